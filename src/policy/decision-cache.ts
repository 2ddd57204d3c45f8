/** Decisions of a pure policy, by the text of its input. Bounded by entries and by bytes; failures are never kept. */
import { LRUCache } from 'lru-cache';
import type { Outcome } from './outcome.ts';

/** What is kept of a decision. */
export interface CachedDecision {
  readonly outcome: Outcome;
  readonly reason: string;
}

/** Most memory of one cache. Unit: bytes, counted as two per character and a fixed share per entry. */
export const DECISION_CACHE_BYTES_MAX = 16 * 1024 * 1024;
/** Longest input that is cached. Unit: characters. Longer ones seldom come again. */
export const CACHED_INPUT_LENGTH_MAX = 4_096;
const ENTRY_BYTES = 128;

export class DecisionCache {
  readonly #entries: LRUCache<string, CachedDecision>;

  constructor(entriesMax: number) {
    this.#entries = new LRUCache({
      max: entriesMax,
      maxSize: DECISION_CACHE_BYTES_MAX,
      sizeCalculation: (decision, key) => ENTRY_BYTES + 2 * (key.length + decision.reason.length),
    });
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Bytes in use, as counted. */
  get bytes(): number {
    return this.#entries.calculatedSize;
  }

  get(input: string, entrypoint: number): CachedDecision | undefined {
    return input.length > CACHED_INPUT_LENGTH_MAX ? undefined : this.#entries.get(key(input, entrypoint));
  }

  put(input: string, entrypoint: number, decision: CachedDecision): void {
    if (input.length <= CACHED_INPUT_LENGTH_MAX) this.#entries.set(key(input, entrypoint), decision);
  }
}

/** An input begins with `{`, so a number in front of it cannot be mistaken. */
function key(input: string, entrypoint: number): string {
  return entrypoint === 0 ? input : entrypoint + input;
}
