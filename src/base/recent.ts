/**
 * A bounded map for what is asked for on every request: it keeps at least the half of its bound that was used last. Two maps, the younger of which becomes the
 * older when it is full; so a hit costs one look-up, where a list of uses would cost several writes.
 */
import { assert } from './assert.ts';

export class Recent<K, V extends object | string | number | boolean> {
  readonly #entriesMax: number;
  readonly #weightMax: number;
  readonly #weigh: (value: V) => number;
  #young = new Map<K, V>();
  #old = new Map<K, V>();
  #weight = 0;

  /** At most `entriesMax` entries, and values that weigh at most `weightMax` together if `weigh` is given. */
  constructor(entriesMax: number, weightMax = 0, weigh: (value: V) => number = () => 0) {
    assert(entriesMax >= 2, 'a map of recent entries has room for two');
    this.#entriesMax = entriesMax >> 1;
    this.#weightMax = weightMax / 2;
    this.#weigh = weigh;
  }

  /** Entries that are kept; those that were used lately may count twice. */
  get size(): number {
    return this.#young.size + this.#old.size;
  }

  get(key: K): V | undefined {
    const young = this.#young.get(key);
    if (young !== undefined) return young;
    const old = this.#old.get(key);
    if (old !== undefined) this.set(key, old);
    return old;
  }

  /** A value that alone outweighs half of the bound is not kept. */
  set(key: K, value: V): void {
    const weight = this.#weigh(value);
    if (weight > this.#weightMax) return;
    if (this.#young.size >= this.#entriesMax || this.#weight + weight > this.#weightMax) {
      this.#old = this.#young;
      this.#young = new Map();
      this.#weight = 0;
    }
    this.#weight += weight;
    this.#young.set(key, value);
  }

  delete(key: K): void {
    this.#young.delete(key);
    this.#old.delete(key);
  }
}
