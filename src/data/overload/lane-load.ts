/** What a lane sees of its own load: how late its timer is, how busy its loop, how full its heap. Runs on the lane's timers, not on the request path. */
import { performance } from 'node:perf_hooks';
import { getHeapStatistics } from 'node:v8';
import type { Overload } from './overload.ts';

/** Between two looks at the clock, ms, and between two judgements. */
const CLOCK_MS = 20;
const LOOK_MS = 100;
/** Looks at the clock of which the least lateness is taken: the best of one is no best. */
const TICKS_MIN = 3;

export class LaneLoadWatch {
  readonly #overload: Overload;
  readonly #open: () => number;
  readonly #timer: NodeJS.Timeout;
  #ticks = 0;
  #due: number;
  #least = Number.POSITIVE_INFINITY;
  #lookedAt: number;
  #used = performance.eventLoopUtilization();

  /** `open`: exchanges that are open in the lane. */
  constructor(overload: Overload, open: () => number) {
    this.#overload = overload;
    this.#open = open;
    const now = performance.now();
    this.#due = now + CLOCK_MS;
    this.#lookedAt = now;
    this.#timer = setInterval(() => this.#tick(), CLOCK_MS);
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #tick(): void {
    const now = performance.now();
    // The best of a window: one long pause is no queue.
    this.#least = Math.min(this.#least, Math.max(0, now - this.#due));
    this.#due = now + CLOCK_MS;
    this.#ticks++;
    if (now - this.#lookedAt < LOOK_MS || this.#ticks < TICKS_MIN) return;
    this.#ticks = 0;
    const used = performance.eventLoopUtilization();
    const heap = getHeapStatistics();
    this.#overload.look({
      now: Date.now(),
      lateMs: this.#least,
      utilization: performance.eventLoopUtilization(used, this.#used).utilization,
      open: this.#open(),
      heap: heap.used_heap_size / heap.heap_size_limit,
    });
    this.#used = used;
    this.#least = Number.POSITIVE_INFINITY;
    this.#lookedAt = now;
  }
}
