/** What two live revisions have answered lately: differences of the lanes' counters over a sliding window. */
import { type LaneColumns, REQUEST_BOUNDS_US } from '../../snapshot/lane-columns.ts';
import { Rivalry } from '../../snapshot/rivalry-columns.ts';
import type { Tally } from './compare.ts';

/** Samples that are kept for a window. */
export const SAMPLES_MAX = 128;

const BUCKETS = REQUEST_BOUNDS_US.length + 1;
const COUNTS = [Rivalry.Requests, Rivalry.Failed, Rivalry.Refused, Rivalry.PolicyErrors, Rivalry.Denied] as const;
/** Counts, then the buckets. */
const WIDTH = COUNTS.length + BUCKETS;

interface Sample {
  readonly at: number;
  readonly sums: Float64Array;
}

/** One revision's counters, summed over the lanes. */
export class RevisionWindow {
  readonly #lanes: readonly LaneColumns[];
  readonly #row: number;
  readonly #revision: number;
  readonly #windowMs: number;
  /** By lane, as read last: a lane that was started anew counts from zero. */
  readonly #read: Float64Array[];
  /** Of all lanes since the begin. */
  readonly #sums = new Float64Array(WIDTH);
  readonly #samples: Sample[] = [];

  /** `row`: 0 for the active revision, 1 for the other. */
  constructor(lanes: readonly LaneColumns[], row: number, revision: number, windowMs: number) {
    this.#lanes = lanes;
    this.#row = row;
    this.#revision = revision;
    this.#windowMs = windowMs;
    this.#read = lanes.map(() => new Float64Array(WIDTH));
  }

  /** Requests since the begin. */
  get requests(): number {
    return this.#sums[0] ?? 0;
  }

  /** Reads the counters; `now` monotonic ms, once a second or so. */
  look(now: number): void {
    for (const [i, lane] of this.#lanes.entries()) {
      const row = lane.rivalry[this.#row];
      const read = this.#read[i];
      if (row === undefined || read === undefined || row.counts[Rivalry.Revision] !== this.#revision) continue;
      for (let j = 0; j < WIDTH; j++) {
        const count = COUNTS[j];
        const value = (count === undefined ? row.requestUs.cells[j - COUNTS.length] : row.counts[count]) ?? 0;
        const before = read[j] ?? 0;
        this.#sums[j] = (this.#sums[j] ?? 0) + (value < before ? value : value - before);
        read[j] = value;
      }
    }
    // As many samples as there is room for, evenly over the window.
    const last = this.#samples.at(-1);
    if (last === undefined || now - last.at >= this.#windowMs / (SAMPLES_MAX - 2))
      this.#samples.push({ at: now, sums: this.#sums.slice() });
    while (this.#samples.length > 1 && (this.#samples[1]?.at ?? now) <= now - this.#windowMs) this.#samples.shift();
  }

  /** Within the window. */
  tally(): Tally {
    const from = this.#samples[0]?.sums;
    const since = (j: number): number => (this.#sums[j] ?? 0) - (from?.[j] ?? 0);
    const [requests = 0, failed = 0, refused = 0, policyErrors = 0, denied = 0] = COUNTS.map((_, j) => since(j));
    const buckets = Array.from({ length: BUCKETS }, (_, b) => since(COUNTS.length + b));
    return { requests, failed, refused, policyErrors, denied, buckets };
  }
}
