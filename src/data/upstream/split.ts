/**
 * Which cell of a split a request goes to (docs/traffic.md): the first whose `when` holds, else the one whose part of the scale its hash falls in. The hash is keyed and made of what the
 * split says, so the same client comes to the same cell in every lane and every gateway of one configuration, and a part that grows keeps who was in it.
 */
import { liesIn } from '../../snapshot/regions.ts';
import type { CellPlan } from '../../snapshot/cell-plans.ts';
import type { SplitKey, SplitMatch, SplitPlan } from '../../snapshot/route-plans.ts';
import { believed } from '../answers/received.ts';
import { chance, Salt } from '../chance.ts';
import { cookieOf } from '../cookie.ts';
import { countryOf } from '../country.ts';
import type { Exchange } from '../exchange.ts';
import type { CellLatency } from './cell-latency.ts';

/** Share of requests that go by weight although another cell is quicker, so that all are known. */
const TRICKLE = 0.01;
/** Differences below it are noise, ms. */
const NOISE_MS = 2;

/** Index of the cell, or -1: none of them lies in the regions of the tenant. `latency`: what the lane knows of how long cells take; null = nothing. */
export function splitCell(
  x: Exchange,
  split: SplitPlan,
  cells: readonly CellPlan[],
  latency: CellLatency | null = null,
): number {
  const { arms } = split;
  for (const { cell, when } of arms) {
    for (const match of when) if (holds(x, match) && mayGo(x, cells, cell)) return cell;
  }
  const at = keyedHash(keyText(x, split.by), split.seeds);
  let first = arms.length;
  for (let i = 0; i < arms.length; i++) {
    if (at < (arms[i]?.below ?? 0)) {
      first = i;
      break;
    }
  }
  // From there on in a circle, past what only matches and past where the tenant may not be.
  for (let n = 0; n < arms.length; n++) {
    const arm = arms[(first + n) % arms.length];
    if (arm !== undefined && arm.below > 0 && mayGo(x, cells, arm.cell))
      return split.slowest === undefined || latency === null
        ? arm.cell
        : quickEnough(x, split, split.slowest, cells, latency, arm.cell);
  }
  return -1;
}

/** The cell of its part of the scale unless that is too slow: then the quickest. One that nobody has heard of lately is asked. */
function quickEnough(
  x: Exchange,
  { arms }: SplitPlan,
  slowest: number,
  cells: readonly CellPlan[],
  latency: CellLatency,
  own: number,
): number {
  const ms = latencyOf(latency, cells, own, x.now);
  if (ms < 0 || chance(x.random, Salt.OtherCell, TRICKLE)) return own;
  let quickest = own;
  let least = ms;
  for (const { cell, below } of arms) {
    const its = below > 0 && mayGo(x, cells, cell) ? latencyOf(latency, cells, cell, x.now) : -1;
    if (its >= 0 && its < least) {
      least = its;
      quickest = cell;
    }
  }
  return ms <= least * slowest + NOISE_MS ? own : quickest;
}

function latencyOf(latency: CellLatency, cells: readonly CellPlan[], cell: number, now: number): number {
  const guards = cells[cell]?.guards;
  return guards === undefined ? -1 : latency.of(guards.slot, now);
}

function mayGo(x: Exchange, cells: readonly CellPlan[], cell: number): boolean {
  const plan = cells[cell];
  return plan !== undefined && liesIn(x.regions, plan);
}

function holds(x: Exchange, { from, name, value, countries = [] }: SplitMatch): boolean {
  if (from === 'country') return countries.includes(countryOf(x.clientAddress));
  const found = from === 'cookie' ? cookieOf(x.wire, name) : believed(x, name);
  return found !== undefined && (value === null || found === value);
}

/** What the request is told apart by; the address when it has none of what the split names. */
function keyText(x: Exchange, by: readonly SplitKey[]): string {
  for (const key of by) {
    const text = textOf(x, key);
    if (text !== undefined && text !== '') return text;
  }
  return x.clientAddress;
}

function textOf(x: Exchange, key: SplitKey): string | undefined {
  switch (key.from) {
    case 'tenant':
      return x.tenant;
    case 'address':
      return x.clientAddress;
    case 'cookie':
      return cookieOf(x.wire, key.name);
    case 'header':
      return believed(x, key.name);
  }
}

/** Characters of a text that count: bounds the work of a long cookie. */
export const HASHED_CHARS_MAX = 512;

/** 32 bits, unsigned: MurmurHash3 over the characters, keyed by two seeds. */
export function keyedHash(text: string, seeds: readonly [number, number]): number {
  let h = seeds[0] | 0;
  const length = Math.min(text.length, HASHED_CHARS_MAX);
  for (let i = 0; i < length; i++) {
    let k = Math.imul(text.charCodeAt(i), 0xcc9e2d51);
    k = (k << 15) | (k >>> 17);
    h ^= Math.imul(k, 0x1b873593);
    h = (h << 13) | (h >>> 19);
    h = (Math.imul(h, 5) + 0xe6546b64) | 0;
  }
  h ^= length ^ seeds[1];
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
