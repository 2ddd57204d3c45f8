/**
 * Tells of endpoints that lanes took out of rotation because they refuse connections, and of those that answer again: probes, circuits and outliers have lines of
 * their own, but a cell without any of them loses endpoints too. A reset connection is no news: it may have been idle, and closed in good order.
 */
import type { EndpointPlan } from '../../snapshot/cell-plans.ts';
import type { EndpointColumns } from '../../snapshot/endpoint-columns.ts';

/** Looks in a row that must find an endpoint in rotation until it is said to be back: one that refuses now and then is told of once. */
const LOOKS_UNTIL_BACK = 10;
/** Changes told in one look; the others in the next ones. */
const TOLD_MAX = 32;

export class RefusingWatch {
  readonly #columns: EndpointColumns;
  readonly #changed: (identity: string, out: boolean) => void;
  #endpoints: readonly EndpointPlan[] = [];
  /** Looks since which those that were told of are back, by identity. */
  readonly #told = new Map<string, number>();

  constructor(columns: EndpointColumns, changed: (identity: string, out: boolean) => void) {
    this.#columns = columns;
    this.#changed = changed;
  }

  /** What is watched from now on. Who is gone is not said to be back. */
  activate(endpoints: readonly EndpointPlan[]): void {
    this.#endpoints = endpoints;
    const there = new Set(endpoints.map((e) => e.identity));
    for (const identity of this.#told.keys()) if (!there.has(identity)) this.#told.delete(identity);
  }

  tick(): void {
    let told = 0;
    for (const { identity, slot } of this.#endpoints) {
      const down = this.#columns.downUntil[slot] ?? 0;
      const looks = this.#told.get(identity);
      if (looks === undefined ? down <= 0 : down > 0) {
        if (looks !== undefined) this.#told.set(identity, 0);
        continue;
      }
      if (looks !== undefined && looks + 1 < LOOKS_UNTIL_BACK) {
        this.#told.set(identity, looks + 1);
        continue;
      }
      if (told >= TOLD_MAX) continue;
      told++;
      if (looks === undefined) this.#told.set(identity, 0);
      else this.#told.delete(identity);
      this.#changed(identity, looks === undefined);
    }
  }
}
