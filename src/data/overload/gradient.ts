/**
 * How much longer requests take than they would without a queue: the median time to the response head in windows of some tens of requests, above the least median of the last minute.
 * The least median is what the gradient controllers of Netflix and Envoy call minRTT; it is kept over two half-minutes, so that a lasting change becomes the new measure without
 * requests being held back for probing.
 */

/** Requests of a window. */
const SAMPLES = 64;
const MIDDLE = SAMPLES / 2;
/** The least median is that of the running and the last part of so long. */
const PART_MS = 30_000;

export class Gradient {
  readonly #samples = new Float64Array(SAMPLES);
  #count = 0;
  #median = 0;
  #least = Number.POSITIVE_INFINITY;
  #leastBefore = Number.POSITIVE_INFINITY;
  /** Epoch ms; -1 = not yet. */
  #partBegan = -1;
  #sampled = false;

  /** Time to a response head, ms. */
  sample(ms: number): void {
    this.#samples[this.#count++] = ms;
    if (this.#count < SAMPLES) return;
    this.#count = 0;
    this.#samples.sort();
    this.#median = this.#samples[MIDDLE] as number;
    this.#least = Math.min(this.#least, this.#median);
    this.#sampled = true;
  }

  /** What requests wait longer than the least median of the last minute, ms; 0 when none has come since the last call. `now`: epoch ms. */
  excessMs(now: number): number {
    if (this.#partBegan < 0) this.#partBegan = now;
    if (now - this.#partBegan >= PART_MS || now < this.#partBegan) {
      this.#partBegan = now;
      this.#leastBefore = this.#least;
      this.#least = Number.POSITIVE_INFINITY;
    }
    if (!this.#sampled) return 0;
    this.#sampled = false;
    return Math.max(0, this.#median - Math.min(this.#least, this.#leastBefore, this.#median));
  }
}
