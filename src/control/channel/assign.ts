/** Which bundle of a channel index a gateway runs, and why: by what the gateway is and nothing else, so that anybody can compute it. */
import { createHash } from 'node:crypto';
import { BUCKETS, type ChannelEntry, type ChannelIndex, GATEWAY_LABEL, ruleText } from './document.ts';

/** What a gateway is, for rules of an index. */
export interface Assigned {
  readonly id: string;
  readonly labels: Readonly<Record<string, string>>;
}

export interface Assignment {
  readonly entry: ChannelEntry;
  readonly role: 'stable' | 'canary';
  /** The rule that decided, such as `10 %`, `region=eu` or `all others`. */
  readonly rule: string;
  /** Of the gateway for this bundle, 0 to 99.99, where a share decided; null: none did. */
  readonly bucket: number | null;
  /** All of it as a sentence. */
  readonly why: string;
}

/**
 * The place of a gateway in the order in which a bundle reaches gateways: 0 to {@link BUCKETS} - 1. It depends on the bundle, so that not always the same gateways
 * are first, and not on the index, so that whoever has a bundle keeps it as its share grows.
 */
export function bucketOf(bundle: string, gatewayId: string): number {
  const hash = createHash('sha256').update(`cnx channel ${bundle} ${gatewayId}`).digest();
  // 48 bits: the remainder favours no bucket by more than 4e-11.
  return hash.readUIntBE(0, 6) % BUCKETS;
}

/** The first canary whose rule holds, else `stable`. */
export function assign(index: ChannelIndex, gateway: Assigned): Assignment {
  const passed: string[] = [];
  for (const entry of index.entries) {
    const { rule } = entry;
    if (rule.role === 'stable') {
      const why = passed.length === 0 ? 'there is no canary' : passed.join('; ');
      return { entry, role: 'stable', rule: ruleText(rule), bucket: null, why: `stable, for ${why}` };
    }
    const other = Object.entries(rule.selector).find(([name, value]) => labelOf(gateway, name) !== value);
    if (other !== undefined) {
      const own = labelOf(gateway, other[0]);
      const has = own === undefined ? `no label ${other[0]}` : `${other[0]}=${own}`;
      passed.push(`${ruleText(rule)} is not for a gateway with ${has}`);
      continue;
    }
    if (rule.percent === null)
      return { entry, role: 'canary', rule: ruleText(rule), bucket: null, why: `canary, by ${ruleText(rule)}` };
    const bucket = bucketOf(entry.digest, gateway.id);
    const place = `${gateway.id} is at ${(bucket / 100).toFixed(2)}`;
    if (bucket < Math.round(rule.percent * (BUCKETS / 100)))
      return {
        entry,
        role: 'canary',
        rule: ruleText(rule),
        bucket: bucket / 100,
        why: `canary, by ${ruleText(rule)}: ${place}`,
      };
    passed.push(`${place}, beyond ${ruleText(rule)}`);
  }
  throw new Error('an index without stable was let through');
}

function labelOf(gateway: Assigned, name: string): string | undefined {
  if (name === GATEWAY_LABEL) return gateway.id;
  return Object.hasOwn(gateway.labels, name) ? gateway.labels[name] : undefined;
}
