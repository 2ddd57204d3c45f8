/**
 * How many requests a lane may have under way in a cell, found by itself: a gradient limiter, as Netflix's concurrency-limits and Envoy's adaptive concurrency have it. As long as the median time to the response
 * head stays within a tolerance of what it is without a queue, the limit grows by its square root; beyond, it shrinks in proportion. What the time is without a queue is the least median of the last minute; twice a
 * minute the limit is halved for two windows while it is made use of, so that a queue that always stands is not taken for the rule.
 */
import type { AdaptivePlan } from '../../snapshot/guards.ts';

/** Answers of a window. */
const SAMPLES = 64;
const MIDDLE = SAMPLES / 2;
/** The least median is that of the running and the last part of so long. */
const PART_MS = 30_000;
/** Windows at the beginning of a part in which the limit is halved. */
const PROBES = 2;
/** One window does not halve it more than once. */
const GRADIENT_MIN = 0.5;
/** Part of the way to its new value that one window takes it. */
const STEP = 0.5;
const PERCENT = 100;

export class AdaptiveLimit {
  readonly #plan: AdaptivePlan;
  readonly #samples = new Float64Array(SAMPLES);
  #count = 0;
  /** The most that were under way in the window. */
  #most = 0;
  #limit: number;
  #least = Number.POSITIVE_INFINITY;
  #leastBefore = Number.POSITIVE_INFINITY;
  /** Epoch ms; -1 = not yet. */
  #partBegan = -1;
  #probes = 0;

  constructor(plan: AdaptivePlan) {
    this.#plan = plan;
    // Nothing is held back before something is known.
    this.#limit = plan.maxRequests;
  }

  get plan(): AdaptivePlan {
    return this.#plan;
  }

  /** Requests that may be under way now. */
  get limit(): number {
    const now = this.#probes > 0 ? this.#limit / 2 : this.#limit;
    return Math.max(this.#plan.minRequests, Math.floor(now));
  }

  /** One more is under way: so many are. */
  began(underWay: number): void {
    if (underWay > this.#most) this.#most = underWay;
  }

  /** A response head came after so many ms. `now`: epoch ms of the answer. By when they were asked for, answers that take longer than a part would begin a part each. */
  answered(ms: number, now: number): void {
    this.#samples[this.#count++] = ms;
    if (this.#count < SAMPLES) return;
    this.#count = 0;
    this.#samples.sort();
    const median = this.#samples[MIDDLE] as number;
    const most = this.#most;
    this.#most = 0;
    this.#turn(now, most);
    this.#least = Math.min(this.#least, median);
    if (this.#probes > 0) this.#probes--;
    else this.#follow(median, most);
  }

  #turn(now: number, most: number): void {
    if (this.#partBegan < 0) this.#partBegan = now;
    // Answers may be told of a little out of order; further back than a part only a clock that was set back goes.
    if (Math.abs(now - this.#partBegan) < PART_MS) return;
    this.#partBegan = now;
    this.#leastBefore = this.#least;
    this.#least = Number.POSITIVE_INFINITY;
    if (most * 2 >= this.#limit) this.#probes = PROBES;
  }

  #follow(median: number, most: number): void {
    const { minRequests, maxRequests, tolerancePercent } = this.#plan;
    const least = Math.min(this.#least, this.#leastBefore);
    const ratio = median > 0 ? (least * (1 + tolerancePercent / PERCENT)) / median : 1;
    const gradient = Math.max(GRADIENT_MIN, Math.min(1, ratio));
    // What is not made use of says nothing about what more would do.
    if (gradient === 1 && most * 2 < this.#limit) return;
    const wanted = this.#limit * gradient + Math.sqrt(this.#limit);
    const next = this.#limit + STEP * (wanted - this.#limit);
    this.#limit = Math.max(minRequests, Math.min(maxRequests, next));
  }
}
