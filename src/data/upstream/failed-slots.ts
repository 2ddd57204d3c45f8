/** The endpoints that have failed for a request, by their slots: further attempts go to others. */

/** As many attempts as a request may have fail (`numRetries` is at most 5), and one more that is passed over for want of a permit. */
const SLOTS_MAX = 8;

export class FailedSlots {
  readonly #slots = new Int32Array(SLOTS_MAX);
  #count = 0;

  get count(): number {
    return this.#count;
  }

  /** The last one; -1: none. */
  get last(): number {
    return this.#count === 0 ? -1 : (this.#slots[this.#count - 1] as number);
  }

  /** Beyond its bound the earliest is forgotten. */
  add(slot: number): void {
    if (this.#count === SLOTS_MAX) {
      this.#slots.copyWithin(0, 1);
      this.#count--;
    }
    this.#slots[this.#count++] = slot;
  }

  /** Takes the last one back. */
  drop(): void {
    if (this.#count > 0) this.#count--;
  }

  has(slot: number): boolean {
    for (let i = 0; i < this.#count; i++) if (this.#slots[i] === slot) return true;
    return false;
  }

  clear(): void {
    this.#count = 0;
  }
}

/** Of requests that have no further attempts; never written. */
export const NONE_FAILED = new FailedSlots();
