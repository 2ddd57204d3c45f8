/** Sees the wall clock jump: it is compared with the monotonic one. Tokens, certificates, bundles and stored answers are judged by it. */

/** What is no jump: a clock that is slewed, a thread that was held up between two readings. */
export const JUMP_MS_MIN = 2_000;
/** How long the clock counts as down after a jump: the next one comes soon, when two sources of time disagree. */
export const CLOCK_SETTLE_MS = 60_000;

export class ClockWatch {
  readonly #now: () => number;
  readonly #tick: () => number;
  #offset: number;
  #jumpedAt = Number.NEGATIVE_INFINITY;
  #jump = 0;

  /** Epoch ms and monotonic ms. */
  constructor(now: () => number, tick: () => number) {
    this.#now = now;
    this.#tick = tick;
    this.#offset = now() - tick();
  }

  /** Why the clock is in doubt, or null. Ask it once a second. */
  reason(): string | null {
    const tick = this.#tick();
    const offset = this.#now() - tick;
    const jump = offset - this.#offset;
    if (Math.abs(jump) >= JUMP_MS_MIN) {
      this.#jumpedAt = tick;
      this.#jump = jump;
    }
    // Followed as it is: many small steps are no jump.
    this.#offset = offset;
    if (tick - this.#jumpedAt >= CLOCK_SETTLE_MS) return null;
    return `the clock has jumped by ${Math.round(this.#jump / 1000)} s`;
  }
}
