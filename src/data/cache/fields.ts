/** Header fields of an answer as the cache keeps them: which are kept, how one is found, how a 304 freshens them. */
import type { HeaderEdits } from '../../snapshot/route-plans.ts';
import { EDITS_MAX } from '../transport/bounds.ts';
import { endsHere } from '../transport/fields.ts';

/** Lines that other stages and the cache itself write into an answer, beside the route's edits. */
const OWN_LINES = 20;
/** Characters of names and values of stored fields and the route's edits together: an answer's edits have a bound (`EDITS_MAX`, and 16 KiB), and an answer out of a store is made of edits. */
export const STORED_FIELD_CHARS_MAX = 10 * 1024;

/** Field lines in the order of the wire, flat: name (lower-case), value, name, value … */
export type FieldLines = readonly string[];

/** Not stored besides what ends at each hop: who passed it on, and its age, which is counted in when it is stored and told anew with every use. */
const NOT_STORED: ReadonlySet<string> = new Set(['age', 'via']);

/** What a 304 does not change (RFC 9111 §3.2): they say how the stored content lies there, not what it is. */
const NOT_UPDATED: ReadonlySet<string> = new Set(['content-range', 'content-length']);

/** Whether stored fields can be written into an answer beside the route's own edits. */
export function fits(fields: FieldLines, edits: HeaderEdits): boolean {
  const { set, add, remove } = edits;
  const lines = (fields.length + set.length + add.length) / 2 + remove.length;
  if (lines > EDITS_MAX - OWN_LINES) return false;
  let chars = 0;
  for (const texts of [fields, set, add, remove]) for (const text of texts) chars += text.length;
  return chars <= STORED_FIELD_CHARS_MAX;
}

/** All lines of a field joined by commas (RFC 9110 §5.3); undefined when there is none. `name` in lower case. */
export function fieldOf(lines: FieldLines, name: string): string | undefined {
  let joined: string | undefined;
  for (let i = 0; i < lines.length; i += 2) {
    if (lines[i] === name) joined = joined === undefined ? lines[i + 1] : `${joined}, ${lines[i + 1]}`;
  }
  return joined;
}

/** The first line of a field: for fields that may stand only once. */
export function firstOf(lines: FieldLines, name: string): string | undefined {
  for (let i = 0; i < lines.length; i += 2) if (lines[i] === name) return lines[i + 1];
  return undefined;
}

/** Those that may be stored (RFC 9111 §3.1): without fields of the connection, those that `Connection` nominates, and `without` (lower-case). */
export function storedFields(lines: FieldLines, without: readonly string[] = []): string[] {
  const nominated = names(fieldOf(lines, 'connection') ?? '');
  const kept: string[] = [];
  for (let i = 0; i < lines.length; i += 2) {
    const name = lines[i] as string;
    if (endsHere(name) || NOT_STORED.has(name) || nominated.includes(name) || without.includes(name)) continue;
    kept.push(name, lines[i + 1] as string);
  }
  return kept;
}

/** Stored fields after a 304, or a 200 to HEAD, said these (RFC 9111 §3.2): each of its fields replaces all of that name. */
export function freshened(stored: FieldLines, news: FieldLines, without: readonly string[] = []): string[] {
  const incoming = storedFields(news, without);
  const replaced = new Set<string>();
  for (let i = 0; i < incoming.length; i += 2) {
    if (!NOT_UPDATED.has(incoming[i] as string)) replaced.add(incoming[i] as string);
  }
  const result: string[] = [];
  for (let i = 0; i < stored.length; i += 2) {
    if (!replaced.has(stored[i] as string)) result.push(stored[i] as string, stored[i + 1] as string);
  }
  for (let i = 0; i < incoming.length; i += 2) {
    if (replaced.has(incoming[i] as string)) result.push(incoming[i] as string, incoming[i + 1] as string);
  }
  return result;
}

/** Names of a comma-separated list, lower-case. */
export function names(list: string): string[] {
  return list
    .split(',')
    .map((name) => name.trim().toLowerCase())
    .filter((name) => name !== '');
}
