/**
 * Cache-Control (RFC 9111 §5.2) as requests and answers say it, and CDN-Cache-Control (RFC 9213), which counts instead of it when it is there and well-formed. What is
 * malformed makes an answer less cacheable, never more.
 */
import { names } from './fields.ts';

/** Largest number of seconds that is told apart (RFC 9111 §1.2.2): 68 years. */
export const SECONDS_MAX = 2_147_483_648;
/** Characters of a field that are read; a longer one counts as `no-store`. */
export const DIRECTIVES_CHARS_MAX = 4_096;

/** Directives by name, lower-case: the value, unquoted; null when it has none. Of two with one name the first counts (RFC 9111 §4.2.1). */
export type Directives = ReadonlyMap<string, string | null>;

const NONE: Directives = new Map();
/** Of what is too long, or has quotes that do not close: whatever it was to say, nothing is stored. */
const NO_STORE: Directives = new Map([['no-store', null]]);

/**
 * Reads a list of directives. Values may be tokens or quoted strings, whatever the directive; what is neither keeps its whole text as value. A quote that is not closed would hide what
 * stands behind it, and one that begins no value what stands between it and the next: they make the list `no-store`.
 */
export function parseDirectives(field: string | undefined): Directives {
  if (field === undefined || field === '') return NONE;
  if (field.length > DIRECTIVES_CHARS_MAX) return NO_STORE;
  const found = new Map<string, string | null>();
  for (let at = 0; at < field.length; ) {
    const end = memberEnd(field, at);
    if (end < 0) return NO_STORE;
    const member = field.slice(at, end).trim();
    at = end + 1;
    if (member === '') continue;
    const equals = member.indexOf('=');
    const name = (equals < 0 ? member : member.slice(0, equals)).trim().toLowerCase();
    if (!found.has(name)) found.set(name, equals < 0 ? null : valueOf(member.slice(equals + 1)));
  }
  return found;
}

/** The comma that ends a member, outside of quotes, or the end; -1 when quotes are not where they may be. */
function memberEnd(field: string, from: number): number {
  for (let i = from; i < field.length; i++) {
    const c = field[i];
    if (c === ',') return i;
    if (c !== '"') continue;
    if (!beginsValue(field, from, i)) return -1;
    for (i++; i < field.length && field[i] !== '"'; i++) if (field[i] === '\\') i++;
    if (i >= field.length) return -1;
  }
  return field.length;
}

/** A value begins behind the equals sign; white space between them is none of the grammar, but there are servers that write it. */
function beginsValue(field: string, from: number, at: number): boolean {
  let before = at - 1;
  while (before >= from && (field[before] === ' ' || field[before] === '\t')) before--;
  return before >= from && field[before] === '=';
}

function valueOf(text: string): string {
  if (text.length < 2 || !text.startsWith('"') || !text.endsWith('"')) return text;
  return text.slice(1, -1).replaceAll(/\\(.)/g, '$1');
}

/**
 * Seconds of a directive: null when it is absent, 0 when its value is no number: then the answer counts as stale (RFC 9111 §4.2.1). `absentValue`: what a directive
 * without `=` means.
 */
export function seconds(directives: Directives, name: string, absentValue = 0): number | null {
  const value = directives.get(name);
  if (value === undefined) return null;
  if (value === null) return absentValue;
  return /^\d+$/.test(value) ? Math.min(Number(value), SECONDS_MAX) : 0;
}

/** What an answer's directives say. Times in seconds; null = not said. */
export interface AnswerDirectives {
  readonly noStore: boolean;
  /** With or without names: what one user may keep a shared cache does not. */
  readonly private: boolean;
  readonly public: boolean;
  readonly noCache: boolean;
  /** Fields that may not be used again without asking: they are not stored. Lower-case. */
  readonly noCacheFields: readonly string[];
  /** must-revalidate, proxy-revalidate or s-maxage: never used stale (RFC 9111 §5.2.2). */
  readonly mustRevalidate: boolean;
  /** Besides, an answer to a request with credentials may be stored (RFC 9111 §3.5). */
  readonly forCredentials: boolean;
  readonly mustUnderstand: boolean;
  /** s-maxage, else max-age. */
  readonly maxAge: number | null;
  readonly staleWhileRevalidate: number | null;
  readonly staleIfError: number | null;
  /** Said by CDN-Cache-Control: Expires does not count (RFC 9213 §2.1). */
  readonly targeted: boolean;
}

/** The directives of an answer, from its two fields. */
export function answerDirectives(
  cacheControl: string | undefined,
  targetedField: string | undefined,
): AnswerDirectives {
  const targeted = targetedField === undefined ? null : parseTargeted(targetedField);
  const d = targeted ?? parseDirectives(cacheControl);
  const noCache = d.get('no-cache');
  const noCacheFields = typeof noCache === 'string' ? names(noCache) : [];
  const sharedMaxAge = seconds(d, 's-maxage');
  const mustRevalidate = d.has('must-revalidate') || d.has('proxy-revalidate') || sharedMaxAge !== null;
  return {
    noStore: d.has('no-store'),
    private: d.has('private'),
    public: d.has('public'),
    noCache: d.has('no-cache') && noCacheFields.length === 0,
    noCacheFields,
    mustRevalidate,
    forCredentials: d.has('public') || d.has('must-revalidate') || sharedMaxAge !== null,
    mustUnderstand: d.has('must-understand'),
    maxAge: sharedMaxAge ?? seconds(d, 'max-age'),
    staleWhileRevalidate: seconds(d, 'stale-while-revalidate'),
    staleIfError: seconds(d, 'stale-if-error'),
    targeted: targeted !== null,
  };
}

/** Directives whose value is an integer; in a targeted field another type makes it malformed. */
const INTEGERS: ReadonlySet<string> = new Set(['max-age', 's-maxage', 'stale-while-revalidate', 'stale-if-error']);
const KEY = /[a-z*][a-z0-9_.*-]*/y;
/** Bare items of RFC 8941: decimal, integer, boolean, string, byte sequence, token. */
const ITEM =
  /-?\d{1,12}\.\d{1,3}|-?\d{1,15}|\?[01]|"(?:[\x20-\x21\x23-\x5b\x5d-\x7e]|\\["\\])*"|:[A-Za-z0-9+/=]*:|[A-Za-z*][!#$%&'*+.^_`|~0-9A-Za-z:/-]*/y;

/**
 * A targeted field (RFC 9213 §2.2): a Structured Fields Dictionary (RFC 8941 §3.2). Null when it is malformed or empty, or a directive has a value of the wrong type: then the
 * field counts as absent. Of two with one name the last counts, as the format has it.
 */
export function parseTargeted(field: string): Directives | null {
  if (field.length > DIRECTIVES_CHARS_MAX) return NO_STORE;
  const found = new Map<string, string | null>();
  const cursor = { text: field.replaceAll(/^ +| +$/g, ''), at: 0 };
  if (cursor.text === '') return null;
  for (;;) {
    const name = take(cursor, KEY);
    if (name === null) return null;
    const value = cursor.text[cursor.at] === '=' ? (cursor.at++, take(cursor, ITEM)) : '?1';
    if (value === null || !parameters(cursor)) return null;
    if (INTEGERS.has(name) && !/^-?\d+$/.test(value)) return null;
    found.delete(name);
    if (value !== '?0') found.set(name, value === '?1' ? null : valueOf(value));
    if (cursor.at === cursor.text.length) return found;
    if (!/^[ \t]*,[ \t]*$/.test(between(cursor))) return null;
  }
}

interface Cursor {
  readonly text: string;
  at: number;
}

function take(cursor: Cursor, pattern: RegExp): string | null {
  pattern.lastIndex = cursor.at;
  const found = pattern.exec(cursor.text)?.[0] ?? null;
  cursor.at += found?.length ?? 0;
  return found;
}

/** `;key=value …` after an item: read and not used. */
function parameters(cursor: Cursor): boolean {
  while (cursor.text[cursor.at] === ';') {
    cursor.at++;
    while (cursor.text[cursor.at] === ' ') cursor.at++;
    if (take(cursor, KEY) === null) return false;
    if (cursor.text[cursor.at] !== '=') continue;
    cursor.at++;
    if (take(cursor, ITEM) === null) return false;
  }
  return true;
}

/** The comma between two members with the white space around it. */
function between(cursor: Cursor): string {
  const from = cursor.at;
  while (cursor.at < cursor.text.length && /[ \t,]/.test(cursor.text[cursor.at] as string)) cursor.at++;
  return cursor.at < cursor.text.length ? cursor.text.slice(from, cursor.at) : '';
}

/** What a request's directives ask of a cache (RFC 9111 §5.2.1). Times in seconds; null = not said. */
export interface RequestDirectives {
  readonly noStore: boolean;
  readonly noCache: boolean;
  readonly onlyIfCached: boolean;
  readonly maxAge: number | null;
  readonly minFresh: number | null;
  /** Without a value: however stale. */
  readonly maxStale: number | null;
}

const ASKS_NOTHING: RequestDirectives = {
  noStore: false,
  noCache: false,
  onlyIfCached: false,
  maxAge: null,
  minFresh: null,
  maxStale: null,
};

/** The directives of a request. */
export function requestDirectives(cacheControl: string | undefined): RequestDirectives {
  if (cacheControl === undefined) return ASKS_NOTHING;
  const d = parseDirectives(cacheControl);
  return {
    noStore: d.has('no-store'),
    noCache: d.has('no-cache'),
    onlyIfCached: d.has('only-if-cached'),
    maxAge: seconds(d, 'max-age'),
    minFresh: seconds(d, 'min-fresh'),
    maxStale: seconds(d, 'max-stale', SECONDS_MAX),
  };
}
