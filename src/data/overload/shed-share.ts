/**
 * Which share of all requests is turned away: a PI controller (as PIE, RFC 8033, has it) that holds the delay that stands in a lane at its target. At the target the lane always has
 * something to do, so what is turned away is what it could not have served in time, and no more.
 *
 * A delay that turning away does not lessen (a thread that does not get its core, handshakes, something else in the loop) must not wind the share up to everything, so it never goes so far that less
 * than half of what was served lately is let through; what was served lately falls meanwhile, so that it is no wall.
 *
 * When a queue begins to stand, how fast it grows says at once how much is too much: with a delay that grows by one second a second, twice as much comes as goes.
 */

/** For each look: of the delay beyond the target, in targets; and of its change since the look before. */
const GAIN = 0.05;
const GAIN_OF_CHANGE = 0.2;
/** Beyond so many targets it is as bad as that. */
const EXCESS_MAX = 3;
/** Beyond so many targets its growth counts: what is about the target rises and falls by chance. */
const GROWING = 1.2;
/** Without a queue: to so much of itself a look, and nothing from there on. */
const EMPTY_DOWN = 0.6;
const NOTHING = 0.002;
/** Part of the target below which there is no queue to speak of. */
const EMPTY = 0.25;
/** Never all: what is let through shows when the pressure has gone. */
const SHARE_MAX = 0.98;
/** Part of what was served lately that is let through in any case; how much of lately is left after a look: half after three and a half seconds. */
const LEAST_SERVED = 0.5;
const LATELY = 0.98;
/** A heap that is nearly full is as much beyond the target. */
const HEAP_EXCESS = 1;

/** What a look has found. */
export interface Look {
  /** Least delay since the look before, ms. */
  readonly delayMs: number;
  /** The heap is nearly full. */
  readonly heapFull: boolean;
  /** Requests since the look before: that came, and that were let through. */
  readonly came: number;
  readonly served: number;
  /** Time since then, ms. */
  readonly ms: number;
}

export class ShedShare {
  readonly #targetMs: number;
  /** 0 … SHARE_MAX. */
  #share = 0;
  /** Delay of the look before, in targets. */
  #before = 0;
  /** The heap was nearly full then. */
  #fullBefore = false;
  /** The most that was let through lately, requests per ms. */
  #lately = 0;

  constructor(targetMs: number) {
    this.#targetMs = targetMs;
  }

  get share(): number {
    return this.#share;
  }

  /** Judges the time since the last look; the share for the time to come. */
  look(seen: Look): number {
    const { delayMs, came, served, ms } = seen;
    // Once is a pause before garbage is collected.
    const heapFull = seen.heapFull && (this.#fullBefore || this.#share > 0);
    this.#fullBefore = seen.heapFull;
    const delay = delayMs / this.#targetMs;
    const rise = delay - this.#before;
    // One look beyond the target is a pause, two are a queue (the interval of CoDel, RFC 8289).
    const standing = this.#share > 0 ? delay : Math.min(delay, this.#before);
    this.#before = delay;
    if (delay < EMPTY && !heapFull) this.#share *= EMPTY_DOWN;
    else if (this.#share > 0 || standing > 1 || heapFull) {
      const excess = Math.min(standing - 1, EXCESS_MAX);
      const wanted =
        this.#share + GAIN * (heapFull ? Math.max(excess, HEAP_EXCESS) : excess) + GAIN_OF_CHANGE * within(rise);
      const growing =
        standing > GROWING && rise > 0 && ms > 0 ? 1 - (1 - this.#share) / (1 + (rise * this.#targetMs) / ms) : 0;
      this.#share = Math.max(0, Math.min(Math.max(wanted, growing), SHARE_MAX));
    }
    this.#lately = Math.max(this.#lately * LATELY, ms > 0 ? served / ms : 0);
    if (!heapFull) this.#share = Math.min(this.#share, this.#most(came, ms));
    if (this.#share < NOTHING) this.#share = 0;
    return this.#share;
  }

  /** The largest share that lets through what must be. */
  #most(came: number, ms: number): number {
    if (came === 0) return SHARE_MAX;
    return Math.max(0, 1 - (LEAST_SERVED * this.#lately * ms) / came);
  }
}

function within(change: number): number {
  return Math.max(-EXCESS_MAX, Math.min(change, EXCESS_MAX));
}
