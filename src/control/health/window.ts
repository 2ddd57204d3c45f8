/** Calls of the last while, in buckets of a tenth of it, from counts that only grow and wrap at 32 bits. */

/** Buckets of a window. */
const BUCKETS = 10;
/** Numbers of a bucket: calls, failed ones, slow ones. */
const WIDTH = 3;

export type Totals = readonly [calls: number, failed: number, slow: number];

export class CallWindow {
  readonly #bucketMs: number;
  readonly #buckets = new Int32Array(BUCKETS * WIDTH);
  readonly #sums = new Int32Array(WIDTH);
  readonly #last: Int32Array;
  /** Number of the bucket that is filled, counted from the epoch; -1 = none yet. */
  #at = -1;

  /** `from`: the counts now. */
  constructor(windowMs: number, from: Totals) {
    this.#bucketMs = windowMs / BUCKETS;
    this.#last = Int32Array.from(from);
  }

  get calls(): number {
    return this.#sums[0] as number;
  }
  get failed(): number {
    return this.#sums[1] as number;
  }
  get slow(): number {
    return this.#sums[2] as number;
  }

  /** What was counted since the last time belongs to now (epoch ms). */
  add(now: number, totals: Totals): void {
    const at = Math.floor(now / this.#bucketMs);
    // A clock that was set back begins anew.
    if (this.#at < 0 || at < this.#at || at - this.#at >= BUCKETS) this.#empty();
    else for (let bucket = this.#at + 1; bucket <= at; bucket++) this.#drop(bucket % BUCKETS);
    this.#at = at;
    for (let i = 0; i < WIDTH; i++) {
      const more = ((totals[i] as number) - (this.#last[i] as number)) | 0;
      const place = (at % BUCKETS) * WIDTH + i;
      this.#last[i] = totals[i] as number;
      this.#buckets[place] = (this.#buckets[place] as number) + more;
      this.#sums[i] = (this.#sums[i] as number) + more;
    }
  }

  /** Nothing of what was counted counts any more. */
  clear(): void {
    this.#empty();
  }

  #empty(): void {
    this.#buckets.fill(0);
    this.#sums.fill(0);
  }

  #drop(bucket: number): void {
    for (let i = 0; i < WIDTH; i++) {
      const place = bucket * WIDTH + i;
      this.#sums[i] = (this.#sums[i] as number) - (this.#buckets[place] as number);
      this.#buckets[place] = 0;
    }
  }
}
