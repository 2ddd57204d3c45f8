/**
 * The retry budget of a cell: so many of its requests in flight, over all lanes, may be further attempts, and a few always. Without it, retries multiply the load of
 * a cell that fails because of its load (the same words and defaults as Envoy's `retry_budget`).
 *
 * Exact: a lane counts itself in before it looks at the sum. Of two that come at once at least one sees the other, so the budget is never exceeded; both may be
 * turned away where there was room for one.
 */
import type { EndpointColumns } from '../../snapshot/endpoint-columns.ts';
import { ENDPOINT_SLOTS } from '../../snapshot/endpoint-columns.ts';
import type { CellGuards } from '../../snapshot/guards.ts';

const PERCENT = 100;

export class RetryBudget {
  readonly #columns: EndpointColumns;
  readonly #base: number;
  readonly #laneCount: number;

  constructor(columns: EndpointColumns, laneIndex: number, laneCount: number) {
    this.#columns = columns;
    this.#base = laneIndex * ENDPOINT_SLOTS;
    this.#laneCount = laneCount;
  }

  /** Takes a place for a further attempt of a request of this cell; false: the budget is spent. `EndpointUse.release` gives it back. `beside`: of one that is under way. */
  take(guards: CellGuards, beside = false): boolean {
    const { slot, retryBudget } = guards;
    const { retrying } = this.#columns.faults;
    const row = this.#base + slot;
    Atomics.add(retrying, row, 1);
    let sum = 0;
    for (let lane = 0; lane < this.#laneCount; lane++) sum += Atomics.load(retrying, lane * ENDPOINT_SLOTS + slot);
    // A request that has failed is in flight, too, though on no endpoint just now.
    const active = this.#columns.inflightOf(slot, this.#laneCount) + (beside ? 0 : 1);
    if (sum <= allowed(active, retryBudget.budgetPercent, retryBudget.minRetryConcurrency)) return true;
    Atomics.sub(retrying, row, 1);
    return false;
  }
}

/** Further attempts that may be in flight beside `active` requests. */
export function allowed(active: number, budgetPercent: number, minRetryConcurrency: number): number {
  return Math.max(minRetryConcurrency, Math.floor((active * budgetPercent) / PERCENT));
}
