/**
 * Attack and benign payloads of other projects against the Core Rule Set as it is delivered, in block mode: at paranoia level 1 each is a case, levels 2 to 4 are told as
 * rates beside it.
 */
import type { WafFile } from '../../../src/native/waf.ts';
import { packRequest, WAF_BLOCK, WAF_VERDICT_BYTES_MAX } from '../../../src/native/waf.ts';
import { native } from '../../../src/native.ts';
import { crsFiles } from '../crs/engine.ts';
import type { CaseResult } from '../result.ts';
import type { SuiteOptions } from '../suites.ts';
import { isUnsendable } from './place.ts';
import { type Payload, readPayloads } from './sets.ts';

/** Room for the longest payload of the sets. */
const REQUEST_BYTES = 2 * 1024 * 1024;
const LEVELS = [1, 2, 3, 4] as const;

export interface Rates {
  readonly attacks: number;
  readonly detected: number;
  /** 0 to 1; 1 when there are none. */
  readonly detectionRate: number;
  readonly benign: number;
  readonly falsePositives: number;
  readonly falsePositiveRate: number;
}

/** By set, then by paranoia level. */
export type RatesOfSets = Readonly<Record<string, Readonly<Record<string, Rates>>>>;

export async function runPayloads({ data, note, extra }: SuiteOptions): Promise<CaseResult[]> {
  const payloads = readPayloads(data, note);
  const files = crsFiles(data, false);
  if (files === undefined || payloads.length === 0) return [];
  const blocked = blockedByLevel(files, payloads);
  const rates: Record<string, Record<string, Rates>> = {};
  for (const set of new Set(payloads.map((one) => one.set)))
    for (const level of LEVELS) {
      const told = ratesOf(payloads, blocked.get(level) ?? [], set);
      rates[set] = { ...rates[set], [`level${level}`]: told };
      note(
        `${set}, paranoia level ${level}: ${told.detected} of ${told.attacks} attacks detected (${percent(told.detectionRate)}), ${told.falsePositives} of ${told.benign} benign refused (${percent(told.falsePositiveRate)})`,
      );
    }
  extra('rates', rates satisfies RatesOfSets);
  const first = blocked.get(1) ?? [];
  return payloads.map((one, i) => {
    const refused = first[i] === true;
    const expected = one.attack ? 'refused' : 'served';
    const got = refused ? 'refused' : 'served';
    const mark = expected === got ? 'pass' : 'fail';
    const outcome = one.attack ? (refused ? 'detected' : 'missed') : refused ? 'false positive' : 'served';
    return { id: one.id, set: one.set, stall: false, mark, expected, got, outcome };
  });
}

/** For each level, which payloads are refused. */
function blockedByLevel(files: readonly WafFile[], payloads: readonly Payload[]): Map<number, boolean[]> {
  const waf = native();
  const handle = waf.wafCompile(files);
  const request = Buffer.alloc(REQUEST_BYTES);
  const out = Buffer.alloc(WAF_VERDICT_BYTES_MAX);
  try {
    return new Map(
      LEVELS.map((level) => {
        const profile = waf.wafProfile(handle, {
          mode: 'block',
          variables: ['blocking', 'detection'].map((kind) => ({ name: `${kind}_paranoia_level`, value: `${level}` })),
        });
        const refused = payloads.map((one) => {
          if (isUnsendable(one.request)) return true;
          const length = packRequest(request, one.request);
          if (length < 0) throw new Error(`${one.id} is too long for the suite`);
          return waf.wafInspect(handle, profile, request, length, out) >= WAF_BLOCK;
        });
        return [level, refused];
      }),
    );
  } finally {
    waf.wafRelease(handle);
  }
}

function ratesOf(payloads: readonly Payload[], refused: readonly boolean[], set: string): Rates {
  let [attacks, detected, benign, falsePositives] = [0, 0, 0, 0];
  for (const [i, one] of payloads.entries()) {
    if (one.set !== set) continue;
    const hit = refused[i] === true ? 1 : 0;
    if (one.attack) {
      attacks++;
      detected += hit;
    } else {
      benign++;
      falsePositives += hit;
    }
  }
  return {
    attacks,
    detected,
    detectionRate: attacks === 0 ? 1 : detected / attacks,
    benign,
    falsePositives,
    falsePositiveRate: benign === 0 ? 0 : falsePositives / benign,
  };
}

function percent(rate: number): string {
  return `${(rate * 100).toFixed(2)} %`;
}
