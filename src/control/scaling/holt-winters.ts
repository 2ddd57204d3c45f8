/**
 * Load some steps ahead: Holt-Winters, additive, with a damped trend (Holt 1957, Winters 1960; Gardner and McKenzie 1985). One value a bucket, one season of buckets; the state is three numbers and
 * one number a bucket, however long it runs. Buckets are told by their number, counted from the epoch, so that a gateway that was down goes on where the day is.
 *
 * Before a whole season has been seen there is no season to go by: level and trend alone predict.
 */

/** A day of five minutes each. */
export const BUCKET_MS = 300_000;
export const SEASON = 288;

/** Weights of the newest value, and how much of a trend is left a step later. */
const ALPHA = 0.3;
const BETA = 0.05;
const GAMMA = 0.3;
const DAMPING = 0.9;

export interface ForecastState {
  readonly level: number;
  readonly trend: number;
  /** Number of the first bucket and of the last one; -1: none. */
  readonly first: number;
  readonly last: number;
  /** By bucket number modulo SEASON: the value itself in the first season, then the distance from the level; null: not seen. */
  readonly season: readonly (number | null)[];
  /** The first season is over. */
  readonly seasonal: boolean;
}

export class HoltWinters {
  #level = 0;
  #trend = 0;
  #first = -1;
  #last = -1;
  #season: (number | null)[] = Array.from({ length: SEASON }, () => null);
  #seasonal = false;

  /** The value of a bucket. Those that are no numbers, or of a bucket before the last, are left out. */
  observe(bucket: number, value: number): void {
    if (!Number.isFinite(value) || value < 0 || !Number.isSafeInteger(bucket) || bucket <= this.#last) return;
    if (this.#first < 0) {
      this.#first = bucket;
      this.#level = value;
    }
    if (!this.#seasonal && bucket - this.#first >= SEASON) this.#begin();
    const slot = bucket % SEASON;
    const seasonal = this.#seasonal ? (this.#season[slot] ?? 0) : 0;
    // What the steps in between would have brought, had they been seen.
    const steps = this.#last < 0 ? 0 : Math.min(bucket - this.#last, SEASON);
    const expected = this.#level + this.#trend * damped(steps);
    const level = ALPHA * (value - seasonal) + (1 - ALPHA) * expected;
    if (this.#last >= 0) this.#trend = BETA * (level - this.#level) + (1 - BETA) * DAMPING * this.#trend;
    this.#level = level;
    this.#season[slot] = this.#seasonal ? GAMMA * (value - level) + (1 - GAMMA) * seasonal : value;
    this.#last = bucket;
  }

  /** The value `steps` buckets after the last one; null before there was any. Never below 0. */
  forecast(steps: number): number | null {
    if (this.#last < 0) return null;
    const seasonal = this.#seasonal ? (this.#season[(this.#last + steps) % SEASON] ?? 0) : 0;
    return Math.max(0, this.#level + this.#trend * damped(steps) + seasonal);
  }

  /** A season has been seen, so that time of day counts. */
  get seasonal(): boolean {
    return this.#seasonal;
  }

  state(): ForecastState {
    return {
      level: this.#level,
      trend: this.#trend,
      first: this.#first,
      last: this.#last,
      season: [...this.#season],
      seasonal: this.#seasonal,
    };
  }

  /** Goes on from a state; one that cannot be is refused (false), and nothing is changed. */
  restore(value: unknown): boolean {
    const s = value as Partial<ForecastState> | null;
    if (s === null || typeof s !== 'object') return false;
    const { level, trend, first, last, season, seasonal } = s;
    const isNumber = (n: unknown): n is number => typeof n === 'number' && Number.isFinite(n);
    if (!isNumber(level) || !isNumber(trend) || !Number.isSafeInteger(first) || !Number.isSafeInteger(last))
      return false;
    if (!Array.isArray(season) || season.length !== SEASON || typeof seasonal !== 'boolean') return false;
    if (!season.every((v) => v === null || isNumber(v)) || (first ?? 0) > (last ?? 0)) return false;
    this.#level = level;
    this.#trend = trend;
    this.#first = first ?? -1;
    this.#last = last ?? -1;
    this.#season = [...season] as (number | null)[];
    this.#seasonal = seasonal;
    return true;
  }

  /** The first season is over: its values become distances from their mean. */
  #begin(): void {
    const seen = this.#season.filter((v) => v !== null);
    const mean = seen.reduce((sum, v) => sum + v, 0) / Math.max(1, seen.length);
    this.#season = this.#season.map((v) => (v === null ? 0 : v - mean));
    this.#level = mean;
    this.#trend = 0;
    this.#seasonal = true;
  }
}

/** Sum of the damped steps. */
function damped(steps: number): number {
  return (DAMPING * (1 - DAMPING ** steps)) / (1 - DAMPING);
}
