/** What a lane sees of its own load: how long what is ready waits in line, how full its heap is. Runs on the lane's timers, not on the request path. */
import { performance } from 'node:perf_hooks';
import { getHeapStatistics } from 'node:v8';
import type { UnreadShed } from '../transport/transport.ts';
import type { Overload } from './overload.ts';

/** Between two looks at the clock, ms, and between two judgements. */
const CLOCK_MS = 20;
const LOOK_MS = 100;
/** Looks at the clock of which the least lateness is taken: the best of one is no best. */
const TICKS_MIN = 3;
/** Where the transport measures nothing: as many requests must have come while a timer was late, and a process that gets less than a part of a core is judged by what it ran, as native/transport/src/engine/wait.rs has it. */
const QUEUE_MIN = 8;
const RAN_TIMES = 2;
const US_PER_MS = 1_000;

/** Of what it is told by the lane. */
export interface LaneLoadSources {
  /** Exchanges that are open. */
  readonly open: () => number;
  /**
   * The least time since the last call that a request that is ready waited to be read, ms; 0 where no requests stand in line; negative: nothing is known yet. Null: the transport does not
   * measure it, and the lateness of a timer stands for it.
   */
  readonly waitedMs: (() => number) | null;
  /** As of the transport: who turns requests away unread. */
  readonly unread: UnreadShed | null;
  /** Told how many it has turned away. */
  readonly turnedAway: (count: number) => void;
}

export class LaneLoadWatch {
  readonly #overload: Overload;
  readonly #sources: LaneLoadSources;
  readonly #timer: NodeJS.Timeout;
  #ticks = 0;
  #due: number;
  /** Least wait since the last look, ms. */
  #least = Number.POSITIVE_INFINITY;
  #lookedAt: number;
  /** At the last look at the clock: requests that had come since the look before, and the time that the process had run, ms. */
  #arrived = 0;
  #ran = 0;

  constructor(overload: Overload, sources: LaneLoadSources) {
    this.#overload = overload;
    this.#sources = sources;
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
    const lateMs = Math.max(0, now - this.#due);
    this.#due = now + CLOCK_MS;
    if (!this.#overload.stirred) return;
    const { waitedMs } = this.#sources;
    const waited = waitedMs === null ? this.#lineOf(lateMs) : waitedMs();
    if (waited >= 0) {
      // The best of a window: one long pause is no queue.
      this.#least = Math.min(this.#least, waited);
      this.#ticks++;
    }
    if (now - this.#lookedAt < LOOK_MS || this.#ticks < (waitedMs === null ? TICKS_MIN : 1)) return;
    this.#ticks = 0;
    const heap = getHeapStatistics();
    const { unread, turnedAway } = this.#sources;
    const count = unread?.take() ?? 0;
    if (count > 0) turnedAway(count);
    this.#overload.look({
      unread: count,
      now: Date.now(),
      waitMs: this.#least,
      open: this.#sources.open(),
      heap: heap.used_heap_size / heap.heap_size_limit,
    });
    unread?.set(this.#overload.unread);
    this.#least = Number.POSITIVE_INFINITY;
    this.#lookedAt = now;
    this.#arrived = 0;
  }

  /** What of a timer's lateness is a line of requests. */
  #lineOf(lateMs: number): number {
    const { arrived } = this.#overload;
    const { user, system } = process.cpuUsage();
    const ran = (user + system) / US_PER_MS;
    const line = arrived - this.#arrived < QUEUE_MIN ? 0 : Math.min(lateMs, RAN_TIMES * (ran - this.#ran));
    this.#arrived = arrived;
    this.#ran = ran;
    return line;
  }
}
