/**
 * Who asks how much: a count-min sketch of the keys (tenants, or addresses where no tenant is known) of the last second, so that under pressure those above their fair share are turned away first. Of
 * fixed size whatever keys come. Keys that share cells are taken for larger than they are, in both rows only when both collide.
 */

/** Cells of a row. */
const CELLS = 1_024;
const MASK = CELLS - 1;
/** Time that is counted together. */
const WINDOW_MS = 1_000;
/** So far above the fair share nobody is above it: what is counted is a moment. */
const SLACK = 1.5;
/** With fewer requests in a window nobody is told apart. */
const REQUESTS_MIN = 20;

export class Shares {
  readonly #seed: number;
  #now = new Uint32Array(2 * CELLS);
  #before = new Uint32Array(2 * CELLS);
  #total = 0;
  #keys = 0;
  /** Requests of the window before that one key may have had. */
  #fair = Number.POSITIVE_INFINITY;
  #began = 0;

  /** `seed`: keeps who chooses keys from choosing whom they meet. */
  constructor(seed: number) {
    this.#seed = seed;
  }

  /** Counts a request of `key`; true when the key has had more than its fair share in the last second. `now`: epoch ms. */
  take(key: string, now: number): boolean {
    if (now - this.#began >= WINDOW_MS || now < this.#began) this.#turn(now);
    const hash = hashOf(key, this.#seed);
    const first = hash & MASK;
    const second = CELLS + ((hash >>> 16) & MASK);
    const cells = this.#now;
    if (cells[first] === 0) this.#keys++;
    cells[first] = (cells[first] as number) + 1;
    cells[second] = (cells[second] as number) + 1;
    this.#total++;
    return Math.min(this.#before[first] as number, this.#before[second] as number) > this.#fair;
  }

  #turn(now: number): void {
    const stale = now - this.#began >= 2 * WINDOW_MS || now < this.#began;
    const spare = this.#before;
    this.#before = this.#now;
    if (stale) this.#before.fill(0);
    spare.fill(0);
    this.#now = spare;
    const told = !stale && this.#keys > 1 && this.#total >= REQUESTS_MIN;
    this.#fair = told ? (SLACK * this.#total) / this.#keys : Number.POSITIVE_INFINITY;
    this.#total = 0;
    this.#keys = 0;
    this.#began = now;
  }
}

/** FNV-1a over the text, then mixed (MurmurHash3's finalizer). */
export function hashOf(text: string, seed: number): number {
  let h = (0x811c9dc5 ^ seed) | 0;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
