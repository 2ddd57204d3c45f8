/** Limits: from what an operator wrote to what a lane takes, and which stage of a route takes which. */
import { createHash } from 'node:crypto';
import type { LimitConfig, LimitsConfig } from '../../config/limit.ts';
import type { LimitKeyPart, LimitPlan } from '../../snapshot/snapshot.ts';

export function compileLimits(config: LimitsConfig): LimitPlan[] {
  const taken = new Set<number>();
  return config.limits.map((limit) => ({
    id: limit.id,
    identity: identityOf(limit.id, taken),
    key: limit.key.map(keyPart),
    requests: limit.requests,
    windowMs: limit.windowMs,
    burst: limit.burst ?? limit.requests,
    mode: limit.mode,
  }));
}

/**
 * 32 bits of the id's digest, so that buckets outlive bundles. Two ids of one bundle that share them (1 in 8,600 bundles of 1,000 limits) would share
 * buckets, so the later one takes the next number that is free.
 */
function identityOf(id: string, taken: Set<number>): number {
  let identity = createHash('sha256').update(id).digest().readUInt32BE(0);
  while (taken.has(identity)) identity = (identity + 1) >>> 0;
  taken.add(identity);
  return identity;
}

function keyPart(text: LimitConfig['key'][number]): LimitKeyPart {
  const colon = text.indexOf(':');
  if (colon < 0) return { from: text as 'address' | 'country' | 'tenant' | 'route' | 'host' | 'ja4' | 'certificate' };
  const name = text.slice(colon + 1);
  return text.startsWith('claim:') ? { from: 'claim', name } : { from: 'header', name: name.toLowerCase() };
}

/** What only a token says of a request. */
export interface OfToken {
  /** The route's tenant. */
  readonly tenant: boolean;
  /** Header fields that issuers make from claims, in lower case. */
  readonly headers: ReadonlySet<string>;
}

/**
 * Which of a route's limits are taken before authenticate and which after: those that count by a claim, by a header that is made from one, or by a tenant that is either, need an identity. On a
 * route without issuers no identity ever comes, so there all of them are taken early (a missing claim counts by address).
 */
export function splitLimits(
  indices: readonly number[],
  limits: readonly LimitPlan[],
  ofToken: OfToken,
  hasIssuers: boolean,
): { readonly admit: number[]; readonly limit: number[] } {
  const needsIdentity = (index: number): boolean =>
    hasIssuers &&
    (limits[index]?.key ?? []).some(
      (part) =>
        part.from === 'claim' ||
        (part.from === 'header' && ofToken.headers.has(part.name)) ||
        (part.from === 'tenant' && ofToken.tenant),
    );
  return { admit: indices.filter((i) => !needsIdentity(i)), limit: indices.filter(needsIdentity) };
}
