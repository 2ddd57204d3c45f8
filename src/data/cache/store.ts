/** What is stored, by address: bounded by bytes and entries, the least recently used goes first. One per lane. */
import { LRUCache } from 'lru-cache';
import type { CachePurge } from '../../snapshot/messages.ts';
import type { StoredAnswer } from './stored.ts';

/** Answers of one address: variants by Vary, of several routes, tenants, cells; the oldest goes when there are more. */
export const VARIANTS_MAX = 64;

/** An answer and who may get it. */
export interface Held {
  readonly scope: string;
  readonly answer: StoredAnswer;
}

/** All that is stored of one address. */
export interface AddressEntry {
  readonly host: string;
  /** Path and query in canonical form. */
  readonly target: string;
  readonly held: readonly Held[];
}

/** The address as a key. Neither part holds a line break. */
export function addressKey(host: string, target: string): string {
  return `${host}\n${target}`;
}

const NOTHING: readonly Held[] = [];

export class AnswerStore {
  readonly #entries: LRUCache<string, AddressEntry>;
  readonly #bytesMax: number;
  /** Answers that went because there was no room. */
  evicted = 0;

  constructor(bytesMax: number, entriesMax: number) {
    this.#bytesMax = bytesMax;
    this.#entries = new LRUCache<string, AddressEntry>({
      max: entriesMax,
      maxSize: bytesMax,
      sizeCalculation: (entry, key) => entry.held.reduce((sum, held) => sum + held.answer.bytes, key.length),
      dispose: (entry, _key, reason) => {
        if (reason === 'evict') this.evicted += entry.held.length;
      },
    });
  }

  /** Bytes of all that is stored. */
  get bytes(): number {
    return this.#entries.calculatedSize;
  }

  /** Addresses with something stored. */
  get size(): number {
    return this.#entries.size;
  }

  /** What an address has, of all scopes, the oldest first. */
  held(key: string): readonly Held[] {
    return this.#entries.get(key)?.held ?? NOTHING;
  }

  /** Stores an answer in the place of those that the same requests selected. A part does not displace a whole. False when it is too large. */
  put(host: string, target: string, scope: string, answer: StoredAnswer): boolean {
    const key = addressKey(host, target);
    if (answer.bytes + key.length > this.#bytesMax) return false;
    const kept = this.#without(key, (one) => one.scope === scope && replaces(answer, one.answer));
    const held = [...kept, { scope, answer }].slice(-VARIANTS_MAX);
    this.#entries.set(key, { host, target, held });
    return true;
  }

  /** Forgets one answer. */
  drop(key: string, answer: StoredAnswer): void {
    const entry = this.#entries.peek(key);
    if (entry === undefined) return;
    const held = this.#without(key, (one) => one.answer === answer);
    if (held.length === 0) this.#entries.delete(key);
    else this.#entries.set(key, { ...entry, held });
  }

  /** Removes what a purge names; how many answers. Looks at every address unless it names one. */
  purge(what: CachePurge): number {
    if (what.by === 'address') {
      const key = addressKey(what.host, what.target);
      const count = this.#entries.peek(key)?.held.length ?? 0;
      this.#entries.delete(key);
      return count;
    }
    let count = 0;
    for (const key of Array.from(this.#entries.keys())) {
      const entry = this.#entries.peek(key);
      if (entry === undefined) continue;
      const held = entry.held.filter((one) => !isMeant(what, entry.host, entry.target, one.answer.tags));
      if (held.length === entry.held.length) continue;
      count += entry.held.length - held.length;
      if (held.length === 0) this.#entries.delete(key);
      else this.#entries.set(key, { ...entry, held });
    }
    return count;
  }

  #without(key: string, gone: (one: Held) => boolean): readonly Held[] {
    return (this.#entries.peek(key)?.held ?? []).filter((one) => !gone(one));
  }
}

/** Whether an answer is among those that a purge removes. */
export function isMeant(what: CachePurge, host: string, target: string, tags: readonly string[]): boolean {
  switch (what.by) {
    case 'all':
      return true;
    case 'address':
      return what.host === host && what.target === target;
    case 'prefix':
      return what.host === host && target.startsWith(what.target);
    case 'tag':
      return tags.includes(what.tag);
  }
}

function replaces(newer: StoredAnswer, older: StoredAnswer): boolean {
  if (newer.part !== null && older.part === null) return false;
  if (newer.variant === older.variant) return true;
  // One that chose by nothing would match whatever the newer one does not.
  return older.vary.length === 0;
}
