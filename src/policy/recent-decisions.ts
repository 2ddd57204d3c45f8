/**
 * The last decisions of a pure policy about each user, found by comparing the fields of the input one by one: what most requests repeat needs neither the
 * text of its input nor a digest of it. A decision is found again only for the very same user object and equal texts of all other fields.
 */
import type { CachedDecision } from './decision-cache.ts';
import type { FieldReader, InputSource, InputUser } from './input.ts';

/** Decisions that are remembered about one user (or about requests without one). */
export const RECENT_PER_USER = 4;
/** Longest field that is remembered, characters. */
const FIELD_LENGTH_MAX = 512;

interface RecentDecision {
  readonly entrypoint: number;
  /** By place in the list of fields; undefined = absent. */
  readonly fields: readonly (string | undefined)[];
  readonly decision: CachedDecision;
}

interface Remembered {
  readonly list: RecentDecision[];
  /** Place of the list that is given away next. */
  next: number;
}

export class RecentDecisions {
  readonly #read: readonly FieldReader[];
  /** As long as the identities, which the token cache bounds. */
  readonly #byUser = new WeakMap<InputUser, Remembered>();
  readonly #nobody: Remembered = { list: [], next: 0 };

  /** `read`: all fields of the input besides those of the user. */
  constructor(read: readonly FieldReader[]) {
    this.#read = read;
  }

  get(source: InputSource, entrypoint: number): CachedDecision | undefined {
    const user = source.user;
    const remembered = user === null ? this.#nobody : this.#byUser.get(user);
    if (remembered === undefined) return undefined;
    const { list } = remembered;
    for (let i = 0; i < list.length; i++) {
      const recent = list[i] as RecentDecision;
      if (recent.entrypoint === entrypoint && this.#same(source, recent.fields)) return recent.decision;
    }
    return undefined;
  }

  put(source: InputSource, entrypoint: number, decision: CachedDecision): void {
    const fields: (string | undefined)[] = [];
    for (const read of this.#read) {
      const text = read(source);
      if (text !== undefined && text.length > FIELD_LENGTH_MAX) return;
      fields.push(text);
    }
    const user = source.user;
    let remembered = user === null ? this.#nobody : this.#byUser.get(user);
    if (remembered === undefined) {
      remembered = { list: [], next: 0 };
      if (user !== null) this.#byUser.set(user, remembered);
    }
    remembered.list[remembered.next] = { entrypoint, fields, decision };
    remembered.next = (remembered.next + 1) % RECENT_PER_USER;
  }

  #same(source: InputSource, fields: readonly (string | undefined)[]): boolean {
    const read = this.#read;
    for (let i = 0; i < read.length; i++) if ((read[i] as FieldReader)(source) !== fields[i]) return false;
    return true;
  }
}
