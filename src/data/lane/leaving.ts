/**
 * Endpoints that have left a cell while requests are on their way to them: no new one goes there, and their connections stay until the last one is over.
 * Without it what waits for a connection would fail because its endpoint has gone.
 */
import type { EndpointColumns } from '../../snapshot/endpoint-columns.ts';
import { ENDPOINT_SLOTS } from '../../snapshot/endpoint-columns.ts';
import type { EndpointPlan } from '../../snapshot/cell-plans.ts';

export class Leaving {
  readonly #columns: EndpointColumns;
  readonly #base: number;
  /** By identity; at most as many as have rows in the table. */
  readonly #endpoints = new Map<string, EndpointPlan>();

  constructor(columns: EndpointColumns, laneIndex: number) {
    this.#columns = columns;
    this.#base = laneIndex * ENDPOINT_SLOTS;
  }

  /** Those of `before` that are not in `now` and that this lane still uses. */
  left(before: readonly EndpointPlan[], now: readonly EndpointPlan[]): void {
    const staying = new Set(now.map(({ identity }) => identity));
    for (const endpoint of before)
      if (!staying.has(endpoint.identity) && this.#uses(endpoint)) this.#endpoints.set(endpoint.identity, endpoint);
  }

  /** True when some have nothing under way any more: they are forgotten. */
  sweep(): boolean {
    let some = false;
    for (const [identity, endpoint] of this.#endpoints) {
      if (this.#uses(endpoint)) continue;
      this.#endpoints.delete(identity);
      some = true;
    }
    return some;
  }

  get endpoints(): readonly EndpointPlan[] {
    return [...this.#endpoints.values()];
  }

  #uses({ slot }: EndpointPlan): boolean {
    return (this.#columns.inflight[this.#base + slot] ?? 0) > 0;
  }
}
