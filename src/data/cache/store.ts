/** What is stored, by address and by who shares it: bounded by bytes and entries, the least recently used goes first. One per lane. */
import { LRUCache } from 'lru-cache';
import type { CachePurge } from '../../snapshot/messages.ts';
import type { Place } from './caching.ts';
import type { StoredAnswer } from './stored.ts';

/** Variants, by Vary, and parts of one address for those who share them (`Place.scope`). Beyond, what was used least goes. */
export const VARIANTS_MAX = 64;
/** Uses that are counted; more are as good. */
const USES_MAX = 1_000;

/** An answer and how often it was used. */
export interface Held {
  readonly answer: StoredAnswer;
  /** Halved each time so many variants had to go as there is room for: what was in demand once does not stay for ever. */
  uses: number;
}

/** All that is stored of one address for one scope. */
interface Entry {
  readonly place: Place;
  /** The oldest first. */
  readonly held: readonly Held[];
  /** Variants that had to go for others. */
  readonly displaced: number;
}

/** The address as a key. Neither part holds a line break. */
export function addressKey(host: string, target: string): string {
  return `${host}\n${target}`;
}

const NOTHING: readonly Held[] = [];

export class AnswerStore {
  readonly #entries: LRUCache<string, Entry>;
  readonly #bytesMax: number;
  /** Keys of the entries of an address. */
  readonly #addresses = new Map<string, Set<string>>();
  /** Scopes by numbers that are never given again: short in a key. With the count of their entries. */
  readonly #scopes = new Map<string, { readonly number: number; entries: number }>();
  #lastScope = 0;
  /** Answers that went because there was no room. */
  evicted = 0;

  constructor(bytesMax: number, entriesMax: number) {
    this.#bytesMax = bytesMax;
    this.#entries = new LRUCache<string, Entry>({
      max: entriesMax,
      maxSize: bytesMax,
      sizeCalculation: ({ held }, key) => bytesOf(key, held),
      dispose: (entry, key, reason) => {
        if (reason === 'evict') this.evicted += entry.held.length;
        this.#disposed(key, entry, reason !== 'set');
      },
    });
  }

  /** Bytes of all that is stored. */
  get bytes(): number {
    return this.#entries.calculatedSize;
  }

  /** Addresses with something stored. */
  get size(): number {
    return this.#addresses.size;
  }

  /** What there is for whoever shares an address, the oldest first. */
  held(place: Place): readonly Held[] {
    const key = this.#keyOf(place);
    return key === null ? NOTHING : (this.#entries.get(key)?.held ?? NOTHING);
  }

  /** Stores an answer in the place of those that the same requests selected. A part does not displace a whole. False when it is too large. */
  put(place: Place, answer: StoredAnswer): boolean {
    const scope = this.#scopes.get(place.scope)?.number ?? this.#lastScope + 1;
    const key = keyOf(scope, place);
    const made: Held = { answer, uses: 0 };
    if (bytesOf(key, [made]) > this.#bytesMax) return false;
    const before = this.#entries.peek(key);
    const held: Held[] = [];
    for (const one of before?.held ?? NOTHING) {
      if (replaces(answer, one.answer)) made.uses = Math.max(made.uses, one.uses);
      else held.push(one);
    }
    held.push(made);
    let displaced = before?.displaced ?? 0;
    while (held.length > VARIANTS_MAX || bytesOf(key, held) > this.#bytesMax) {
      held.splice(leastUsed(held), 1);
      this.evicted++;
      if (++displaced % VARIANTS_MAX === 0) for (const one of held) one.uses >>= 1;
    }
    this.#set(key, { place, held, displaced });
    return true;
  }

  /** Forgets one answer. */
  drop(place: Place, answer: StoredAnswer): void {
    const key = this.#keyOf(place);
    if (key !== null) this.#without(key, (one) => one.answer === answer);
  }

  /** Removes what a purge names; how many answers. Looks at every entry unless it names an address. */
  purge(what: CachePurge): number {
    const keys =
      what.by === 'address' ? (this.#addresses.get(addressKey(what.host, what.target)) ?? []) : this.#entries.keys();
    let count = 0;
    for (const key of Array.from(keys)) {
      const place = this.#entries.peek(key)?.place;
      if (place !== undefined)
        count += this.#without(key, (one) => isMeant(what, place.host, place.target, one.answer.tags));
    }
    return count;
  }

  /** Null: nothing of its scope is stored. */
  #keyOf(place: Place): string | null {
    const scope = this.#scopes.get(place.scope);
    return scope === undefined ? null : keyOf(scope.number, place);
  }

  /** How many are gone. */
  #without(key: string, gone: (one: Held) => boolean): number {
    const entry = this.#entries.peek(key);
    if (entry === undefined) return 0;
    const held = entry.held.filter((one) => !gone(one));
    const count = entry.held.length - held.length;
    if (held.length === 0) this.#entries.delete(key);
    else if (count > 0) this.#set(key, { ...entry, held });
    return count;
  }

  /** Each entry holds its bodies, from here until it is disposed of. */
  #set(key: string, entry: Entry): void {
    const { host, target, scope } = entry.place;
    for (const { answer } of entry.held) answer.body.hold();
    const known = this.#scopes.get(scope);
    if (known === undefined) this.#scopes.set(scope, { number: ++this.#lastScope, entries: 1 });
    else known.entries++;
    const address = addressKey(host, target);
    const keys = this.#addresses.get(address);
    if (keys === undefined) this.#addresses.set(address, new Set([key]));
    else keys.add(key);
    this.#entries.set(key, entry);
    // It was refused: too large, which `put` has seen to.
    const there = this.#entries.peek(key);
    if (there !== entry) this.#disposed(key, entry, there === undefined);
  }

  /** An entry went; unless it is `gone`, another one is in its place. */
  #disposed(key: string, { place, held }: Entry, gone: boolean): void {
    for (const { answer } of held) answer.body.letGo();
    const scope = this.#scopes.get(place.scope);
    if (scope !== undefined && --scope.entries === 0) this.#scopes.delete(place.scope);
    if (!gone) return;
    const address = addressKey(place.host, place.target);
    const keys = this.#addresses.get(address);
    keys?.delete(key);
    if (keys?.size === 0) this.#addresses.delete(address);
  }
}

/** It was the answer to a request once more. */
export function used(one: Held): void {
  if (one.uses < USES_MAX) one.uses++;
}

function keyOf(scope: number, place: Place): string {
  return `${scope}\n${place.host}\n${place.target}`;
}

function bytesOf(key: string, held: readonly Held[]): number {
  let bytes = key.length;
  for (const { answer } of held) bytes += answer.bytes;
  return bytes;
}

/** Place of the oldest of those that were used least, but for the one that came last: whoever makes variants that nobody else asks for displaces his own. */
function leastUsed(held: readonly Held[]): number {
  let least = 0;
  for (let i = 1; i < held.length - 1; i++) if ((held[i] as Held).uses < (held[least] as Held).uses) least = i;
  return least;
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
