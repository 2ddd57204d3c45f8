/** How long each cell takes to a response head, as this lane sees it: an exponential mean. Of fixed size; keyed by the cell's row in the shared columns, so that a new bundle forgets nothing. */
import { ENDPOINT_SLOTS } from '../../snapshot/endpoint-columns.ts';

/** What one answer counts. */
const ALPHA = 0.1;
/** What was seen longer ago says nothing any more. */
const KNOWN_MS = 60_000;

export class CellLatency {
  readonly #ms = new Float64Array(ENDPOINT_SLOTS);
  /** Epoch ms of the last answer; 0 = none. */
  readonly #at = new Float64Array(ENDPOINT_SLOTS);

  /** A head came, or did not, after so many ms. `now`: epoch ms. */
  took(slot: number, ms: number, now: number): void {
    const before = this.#ms[slot] as number;
    this.#ms[slot] = this.#isKnown(slot, now) ? before + ALPHA * (ms - before) : ms;
    this.#at[slot] = now;
  }

  /** ms; -1: it is not known. */
  of(slot: number, now: number): number {
    return this.#isKnown(slot, now) ? (this.#ms[slot] as number) : -1;
  }

  #isKnown(slot: number, now: number): boolean {
    const at = this.#at[slot] as number;
    return at > 0 && now - at < KNOWN_MS;
  }
}
