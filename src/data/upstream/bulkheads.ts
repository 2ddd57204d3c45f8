/**
 * Bulkheads: how many requests may be under way in a cell, and of one tenant there, over all lanes. The cell's count is exact but for requests that lanes take in the same moment. Tenants are
 * counted in a count-min sketch of fixed size: never for less than they have, for more only where both of their cells are shared.
 * The adaptive bound is each lane's own.
 */
import type { EndpointColumns } from '../../snapshot/endpoint-columns.ts';
import { ENDPOINT_SLOTS } from '../../snapshot/endpoint-columns.ts';
import { TENANT_CELLS } from '../../snapshot/fault-columns.ts';
import type { AdaptivePlan, CellGuards } from '../../snapshot/guards.ts';
import { Count } from '../../snapshot/lane-columns.ts';
import type { Exchange } from '../exchange.ts';
import { classOf } from '../overload/request-class.ts';
import { hashOf } from '../overload/shares.ts';
import { REFUSALS } from '../refusal.ts';
import { AdaptiveLimit } from './adaptive-limit.ts';

const MASK = TENANT_CELLS - 1;
/** Bits of a hash that choose the second cell. */
const SECOND = 16;
/** Parts of the adaptive bound that a class may take: critical, default, sheddable. */
const CLASS_PARTS = [1, 0.9, 0.7] as const;

export class Bulkheads {
  readonly #columns: EndpointColumns;
  readonly #laneCount: number;
  readonly #base: number;
  /** First row of this lane's counts of requests in flight. */
  readonly #rows: number;
  /** By the cell's slot; as many as there are cells. */
  readonly #adaptive: AdaptiveLimit[] = [];
  readonly #seed: number;
  readonly #counts: Float64Array | null;

  /** `seed`: the same in all lanes. */
  constructor(
    columns: EndpointColumns,
    laneIndex: number,
    laneCount: number,
    seed: number,
    counts: Float64Array | null = null,
  ) {
    this.#columns = columns;
    this.#laneCount = laneCount;
    this.#base = laneIndex * 2 * TENANT_CELLS;
    this.#rows = laneIndex * ENDPOINT_SLOTS;
    this.#seed = seed;
    this.#counts = counts;
  }

  /** Takes a place in the cell for the exchange, or refuses it. `release` gives the tenant's back; the cell's is what is in flight there. */
  take(x: Exchange, cell: string, guards: CellGuards): boolean {
    const { bulkhead, slot } = guards;
    if (bulkhead === undefined) return true;
    const { maxRequests, maxRequestsPerTenant } = bulkhead;
    if (maxRequests > 0 && this.#columns.inflightOf(slot, this.#laneCount) >= maxRequests) {
      this.#count(Count.BulkheadCell);
      x.refuse(REFUSALS.bulkhead_full, `bulkhead full: ${maxRequests} requests are under way in cell ${cell}`);
      return false;
    }
    if (bulkhead.adaptive !== undefined && !this.#fits(x, cell, slot, bulkhead.adaptive)) return false;
    if (maxRequestsPerTenant === 0 || x.tenant === '') return true;
    const hash = hashOf(x.tenant, (this.#seed ^ Math.imul(slot + 1, 0x9e3779b9)) | 0);
    if (this.#of(hash) > maxRequestsPerTenant) {
      this.#add(hash, -1);
      this.#count(Count.BulkheadTenant);
      x.refuse(
        REFUSALS.bulkhead_full,
        `bulkhead full: ${maxRequestsPerTenant} requests of tenant ${x.tenant} are under way in cell ${cell}`,
      );
      return false;
    }
    x.tenantPlace = hash;
    return true;
  }

  /** Whether there is room in the cell for an attempt more, beside one that is under way: as for the lowest class. */
  bears({ bulkhead, slot }: CellGuards): boolean {
    if (bulkhead === undefined) return true;
    const { maxRequests, adaptive } = bulkhead;
    if (maxRequests > 0 && this.#columns.inflightOf(slot, this.#laneCount) >= maxRequests) return false;
    if (adaptive === undefined) return true;
    const least = CLASS_PARTS[CLASS_PARTS.length - 1] ?? 1;
    return (this.#columns.inflight[this.#rows + slot] as number) < this.#limitOf(slot, adaptive).limit * least;
  }

  /** The endpoint of a cell has sent its response head, or not in time: after so many ms, at `now` (epoch ms). */
  answered(guards: CellGuards, ms: number, now: number): void {
    const { bulkhead, slot } = guards;
    if (bulkhead?.adaptive !== undefined) this.#limitOf(slot, bulkhead.adaptive).answered(ms, now);
  }

  #fits(x: Exchange, cell: string, slot: number, plan: AdaptivePlan): boolean {
    const its = this.#limitOf(slot, plan);
    const underWay = this.#columns.inflight[this.#rows + slot] as number;
    const most = Math.max(1, Math.floor(its.limit * (CLASS_PARTS[classOf(x)] ?? 1)));
    if (underWay < most) {
      its.began(underWay + 1);
      return true;
    }
    this.#count(Count.BulkheadAdaptive);
    x.refuse(
      REFUSALS.bulkhead_full,
      `bulkhead full: ${underWay} requests of the lane are under way in cell ${cell}, and more of this class would only wait there`,
    );
    return false;
  }

  #limitOf(slot: number, plan: AdaptivePlan): AdaptiveLimit {
    const known = this.#adaptive[slot];
    if (known?.plan === plan || (known !== undefined && isSame(known.plan, plan))) return known;
    const made = new AdaptiveLimit(plan);
    this.#adaptive[slot] = made;
    return made;
  }

  /** Counts one more in, then tells how many there are: of two that come at once at least one sees the other. */
  #of(hash: number): number {
    this.#add(hash, 1);
    const { tenants } = this.#columns.faults;
    const first = hash & MASK;
    const second = TENANT_CELLS + ((hash >>> SECOND) & MASK);
    let a = 0;
    let b = 0;
    for (let lane = 0; lane < this.#laneCount; lane++) {
      const at = lane * 2 * TENANT_CELLS;
      a += Atomics.load(tenants, at + first);
      b += Atomics.load(tenants, at + second);
    }
    return Math.min(a, b);
  }

  /** Gives a place back to whom it was taken from, full or not: what is under way is counted. */
  resume(x: Exchange, place: number): void {
    this.#add(place, 1);
    x.tenantPlace = place;
  }

  release(x: Exchange): void {
    if (x.tenantPlace < 0) return;
    this.#add(x.tenantPlace, -1);
    x.tenantPlace = -1;
  }

  #add(hash: number, by: number): void {
    const { tenants } = this.#columns.faults;
    Atomics.add(tenants, this.#base + (hash & MASK), by);
    Atomics.add(tenants, this.#base + TENANT_CELLS + ((hash >>> SECOND) & MASK), by);
  }

  #count(which: number): void {
    if (this.#counts !== null) this.#counts[which] = (this.#counts[which] ?? 0) + 1;
  }
}

function isSame(a: AdaptivePlan, b: AdaptivePlan): boolean {
  return (
    a.minRequests === b.minRequests && a.maxRequests === b.maxRequests && a.tolerancePercent === b.tolerancePercent
  );
}
