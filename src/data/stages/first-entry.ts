/**
 * The router's first answer for hosts and paths that were asked for lately: a call out of JavaScript with two texts costs more than all that its table does. Each path has one place,
 * so that a look-up is a comparison and nothing is allocated, whatever clients ask for.
 */
import type { RouterAddon } from '../../native/router.ts';

/** Answers that are kept; a power of two. */
export const ENTRIES_KEPT = 256;
/** Longest path that is kept, chars. */
export const KEPT_PATH_MAX = 64;

export class FirstEntries {
  readonly #router: Pick<RouterAddon, 'routerFind'>;
  readonly #paths: string[] = Array.from({ length: ENTRIES_KEPT }, () => '');
  readonly #hosts: string[] = Array.from({ length: ENTRIES_KEPT }, () => '');
  readonly #tables = new Uint32Array(ENTRIES_KEPT);
  readonly #bits = new Uint32Array(ENTRIES_KEPT);
  readonly #entries = new Uint32Array(ENTRIES_KEPT);

  constructor(router: Pick<RouterAddon, 'routerFind'>) {
    this.#router = router;
  }

  /** `routerFind` from the beginning. Handles of tables are given out once, so that no answer outlives its table. */
  of(table: number, host: string, path: string, bit: number): number {
    if (path.length > KEPT_PATH_MAX || path.length === 0) return this.#router.routerFind(table, host, path, bit, 0);
    const place = placeOf(path);
    if (
      this.#paths[place] === path &&
      this.#hosts[place] === host &&
      this.#tables[place] === table &&
      this.#bits[place] === bit
    )
      return this.#entries[place] as number;
    const entry = this.#router.routerFind(table, host, path, bit, 0);
    this.#paths[place] = path;
    this.#hosts[place] = host;
    this.#tables[place] = table;
    this.#bits[place] = bit;
    this.#entries[place] = entry;
    return entry;
  }
}

/** By its length and three of its chars from the end, where paths differ. */
function placeOf(path: string): number {
  const { length } = path;
  const last = path.charCodeAt(length - 1);
  const third = path.charCodeAt(length - 1 - (length >> 2));
  const middle = path.charCodeAt(length >> 1);
  return (last ^ (third << 3) ^ (middle << 5) ^ (length * 11)) & (ENTRIES_KEPT - 1);
}
