/**
 * Percentiles of the last one to two minutes, from HDR histograms: two windows that take turns, so that an old peak fades and a quiet minute still has
 * numbers. Fed from decision records; a record that was lost is one sample fewer.
 */
import { build, type Histogram } from 'hdr-histogram-js';

/** Length of a window. */
export const WINDOW_MS = 60_000;
/** Steps of a recorded value: 0.1 µs. */
const TICKS_PER_US = 10;
/** Longest value that is told apart, µs: one minute. */
export const VALUE_US_MAX = 60_000_000;
/** Values of one second that are all recorded; of those beyond, one in STRIDE stands for as many: a histogram costs its thread about 0.2 µs a value. */
export const EXACT_PER_SECOND = 2_000;
export const STRIDE = 16;
/** What is told of each. */
export const QUANTILES = [0.5, 0.9, 0.99, 0.999] as const;

export const MEASURES = ['request', 'upstream', 'policy', 'waf'] as const;
export type Measure = (typeof MEASURES)[number];

function histogram(): Histogram {
  return build({
    bitBucketSize: 32,
    autoResize: false,
    lowestDiscernibleValue: 1,
    highestTrackableValue: VALUE_US_MAX * TICKS_PER_US,
    // 1 % exact, 14 KiB each.
    numberOfSignificantValueDigits: 2,
  });
}

/** Two windows of one measure. */
class Windows {
  #now = histogram();
  #before = histogram();
  readonly #both = histogram();
  /** In this second. */
  #recorded = 0;

  record(us: number): void {
    const n = this.#recorded++;
    if (n >= EXACT_PER_SECOND && n % STRIDE !== 0) return;
    const ticks = Math.round(us * TICKS_PER_US);
    const value = Math.min(Math.max(ticks, 0), VALUE_US_MAX * TICKS_PER_US);
    this.#now.recordValueWithCount(value, n < EXACT_PER_SECOND ? 1 : STRIDE);
  }

  /** Another second. */
  second(): void {
    this.#recorded = 0;
  }

  turn(): void {
    [this.#now, this.#before] = [this.#before, this.#now];
    this.#now.reset();
  }

  /** µs at each quantile; null when there is no sample. */
  at(quantiles: readonly number[]): number[] | null {
    this.#both.reset();
    this.#both.add(this.#before);
    this.#both.add(this.#now);
    if (this.#both.totalCount === 0) return null;
    return quantiles.map((q) => this.#both.getValueAtPercentile(q * 100) / TICKS_PER_US);
  }
}

export class Percentiles {
  readonly #windows: Readonly<Record<Measure, Windows>> = {
    request: new Windows(),
    upstream: new Windows(),
    policy: new Windows(),
    waf: new Windows(),
  };
  /** Decisions of policies in both windows: now, before. */
  readonly #decided = [0, 0];
  readonly #denied = [0, 0];
  #turnAt: number;
  #secondAt: number;

  /** `tick`: monotonic ms. By the wall clock both windows would stand still for as long as that is set back. */
  constructor(tick: number) {
    this.#secondAt = tick;
    this.#turnAt = tick + WINDOW_MS;
  }

  record(measure: Measure, us: number): void {
    this.#windows[measure].record(us);
  }

  decided(denied: boolean): void {
    this.#decided[0] = (this.#decided[0] ?? 0) + 1;
    if (denied) this.#denied[0] = (this.#denied[0] ?? 0) + 1;
  }

  /** Begins a new window when the old one is over. Call it now and then. */
  advance(tick: number): void {
    if (tick >= this.#secondAt) {
      this.#secondAt = tick + 1_000;
      for (const measure of MEASURES) this.#windows[measure].second();
    }
    if (tick < this.#turnAt) return;
    // After a long silence both windows are old.
    const turns = tick - this.#turnAt >= WINDOW_MS ? 2 : 1;
    for (let i = 0; i < turns; i++) {
      for (const measure of MEASURES) this.#windows[measure].turn();
      this.#decided.unshift(0);
      this.#decided.length = 2;
      this.#denied.unshift(0);
      this.#denied.length = 2;
    }
    this.#turnAt = tick + WINDOW_MS;
  }

  /** µs at each of `quantiles`; null when nothing was measured in the last two windows. */
  of(measure: Measure, quantiles: readonly number[] = QUANTILES): number[] | null {
    return this.#windows[measure].at(quantiles);
  }

  /** Share of policy decisions that were a denial, 0 … 1; 0 when there were none. */
  get denyRate(): number {
    const decided = (this.#decided[0] ?? 0) + (this.#decided[1] ?? 0);
    return decided === 0 ? 0 : ((this.#denied[0] ?? 0) + (this.#denied[1] ?? 0)) / decided;
  }
}
