/**
 * A ring of endpoints for consistent hashing: each stands at many places, a request goes to the first place that is not before its own. Endpoints that come or go move
 * only what they take or had. Places hang on an endpoint's identity, and how many on its weight beside the smallest; so all lanes and gateways
 * have the same.
 */
import { keyedHash } from '../../base/keyed-hash.ts';
import type { EndpointPlan } from '../../snapshot/cell-plans.ts';

/** Places of an endpoint of the smallest weight. */
export const PLACES = 128;
/** Places of one endpoint, whatever its weight, and of all together. */
const PLACES_OF_ONE_MAX = 4_096;
const PLACES_MAX = 32_768;
/** Places, not endpoints, that a look-up passes on its way to one that may be used; beyond, any other is taken. */
const STEPS_MAX = 4_096;
/** Room for the member's index below the 32 bits of the place. */
const INDICES = 0x400;

export class HashRing {
  readonly #places: Uint32Array;
  readonly #members: Uint16Array;

  constructor(endpoints: readonly EndpointPlan[], k0: number, k1: number) {
    const least = endpoints.reduce((min, e) => Math.min(min, e.weight ?? 1), Number.POSITIVE_INFINITY);
    const counts = endpoints.map((e) => Math.min(PLACES_OF_ONE_MAX, Math.round((PLACES * (e.weight ?? 1)) / least)));
    const all = counts.reduce((sum, n) => sum + n, 0);
    const scale = Math.min(1, PLACES_MAX / Math.max(1, all));
    const sorted: number[] = [];
    for (const [member, { identity }] of endpoints.entries()) {
      const own = keyedHash(identity, k0, k1);
      const count = Math.max(1, Math.floor((counts[member] as number) * scale));
      for (let i = 0; i < count; i++) sorted.push(mixed(own, i) * INDICES + member);
    }
    const order = Float64Array.from(sorted).sort();
    this.#places = Uint32Array.from(order, (x) => Math.floor(x / INDICES));
    this.#members = Uint16Array.from(order, (x) => x % INDICES);
  }

  /** The first member from this hash on whose `state` is `wanted`; -1 when there is none within reach. */
  find(hash: number, state: Uint8Array, wanted: number): number {
    const places = this.#places;
    const count = places.length;
    let low = 0;
    let high = count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((places[middle] as number) < hash) low = middle + 1;
      else high = middle;
    }
    const steps = Math.min(count, STEPS_MAX);
    for (let i = 0; i < steps; i++) {
      const member = this.#members[low >= count ? low - count : low] as number;
      if (state[member] === wanted) return member;
      low++;
    }
    return -1;
  }
}

/** Place `i` of an endpoint (the finalizer of MurmurHash3). */
function mixed(own: number, i: number): number {
  let h = (own ^ Math.imul(i + 1, 0x9e3779b9)) | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
