/**
 * Path of the request target, made canonical once (RFC 3986 §6.2.2, RFC 9110 §4.2.3). Two parties that decode the same path differently can be made to
 * disagree about what is asked for, so what has two readings is refused rather than guessed:
 *
 * - `%2F` and `%5C` (an encoded separator), a raw backslash, `%00`, `%` without two hexadecimal digits;
 * - bytes that are no UTF-8 after decoding (overlong forms and surrogates included), control characters;
 * - dot segments that climb above the root, and those with parameters: to servlet containers `..;x` is `..`.
 *
 * Dot segments are removed after decoding, so `%2e%2e` is one too. Empty segments (`//`) are joined, as file systems and most routers do. `;` and
 * what follows it stay part of their segment, and an escaped delimiter stays escaped on its way upstream: `%3B` is text where `;` begins a parameter (RFC 3986 §2.2).
 * A path that needs none of this is returned as it is: the fast path allocates nothing.
 */

import { isUtf8 } from 'node:buffer';

/** Longest path, bytes as received. */
export const PATH_BYTES_MAX = 8 * 1024;
/** Most segments. */
export const PATH_SEGMENTS_MAX = 256;
/** Longest query, bytes as received. */
export const QUERY_BYTES_MAX = 16 * 1024;

export const TargetFault = {
  None: 0,
  /** Does not begin with `/`. */
  NotAPath: 1,
  TooLong: 2,
  /** `%` without two hexadecimal digits. */
  Escape: 3,
  /** `%2F`, `%5C` or a raw backslash. */
  Separator: 4,
  /** NUL or another control character, raw or encoded. */
  Control: 5,
  /** Not UTF-8, or raw 8-bit. */
  Encoding: 6,
  /** `..` above the root. */
  Climbs: 7,
  /** `#`: a fragment is never sent. */
  Fragment: 8,
  /** `..;x` or `.;x`. */
  DotParameter: 9,
} as const;
export type TargetFault = (typeof TargetFault)[keyof typeof TargetFault];

/** For the decision record, by fault. */
export const TARGET_FAULT_TEXT: Readonly<Record<TargetFault, string>> = {
  [TargetFault.None]: '',
  [TargetFault.NotAPath]: 'the target is no absolute path',
  [TargetFault.TooLong]: 'the path is too long',
  [TargetFault.Escape]: 'a percent sign without two hexadecimal digits',
  [TargetFault.Separator]: 'an encoded slash, or a backslash',
  [TargetFault.Control]: 'a control character',
  [TargetFault.Encoding]: 'not UTF-8',
  [TargetFault.Climbs]: 'dot segments climb above the root',
  [TargetFault.Fragment]: 'a fragment',
  [TargetFault.DotParameter]: 'a dot segment with a parameter',
};

/** What `readPath` found; one object per reader, used again. */
export interface CanonicalPath {
  /** Decoded, dot segments resolved. */
  path: string;
  /** The same, percent-encoded as it goes upstream. */
  encoded: string;
}

/**
 * Nothing but chars that stand for themselves in a path segment (RFC 3986 §3.3), those that clients send raw and servers accept among them. Not `//`, nor a segment that is `.` or `..`, with a
 * parameter or without; `a..b` and `.well-known` are plain.
 */
const PLAIN = /^(?:\/(?!\/|\.{1,2}(?:[/;]|$))[A-Za-z0-9\-._~!$&'()*+,;=:@]*)+$/;
/** One char per byte: what may be written raw in the canonical form. */
const RAW = new Uint8Array(256);
for (const char of "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()*+,;=:@")
  RAW[char.charCodeAt(0)] = 1;
/** Those of them that mean the same escaped (RFC 3986 §2.3). */
const UNRESERVED = RAW.slice();
for (const char of "!$&'()*+,;=:@") UNRESERVED[char.charCodeAt(0)] = 0;
const HEX = Array.from({ length: 256 }, (_, byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`);

const utf8 = new TextDecoder('utf-8', { fatal: false, ignoreBOM: true });
const scratch = Buffer.alloc(PATH_BYTES_MAX);
/** By place in `scratch`: 1 = it came escaped and goes on so. */
const escaped = new Uint8Array(PATH_BYTES_MAX);
const SLASH = 0x2f;
const BACKSLASH = 0x5c;
const DOT = 0x2e;
const SEMICOLON = 0x3b;
const PERCENT = 0x25;
const HASH = 0x23;
const DEL = 0x7f;
const SPACE = 0x20;

/** Reads a path as received (one char per byte) into `into`; says what is wrong with it otherwise. Never throws. */
export function readPath(raw: string, into: CanonicalPath): TargetFault {
  if (raw.length > PATH_BYTES_MAX) return TargetFault.TooLong;
  if (PLAIN.test(raw)) {
    into.path = raw;
    into.encoded = raw;
    return TargetFault.None;
  }
  if (raw.charCodeAt(0) !== SLASH) return TargetFault.NotAPath;
  return slow(raw, into);
}

function slow(raw: string, into: CanonicalPath): TargetFault {
  let used = 0;
  let high = false;
  for (let i = 0; i < raw.length; i++) {
    let byte = raw.charCodeAt(i);
    escaped[used] = 0;
    if (byte === PERCENT) {
      const upper = hexDigit(raw.charCodeAt(i + 1));
      const lower = hexDigit(raw.charCodeAt(i + 2));
      if (upper < 0 || lower < 0) return TargetFault.Escape;
      byte = upper * 16 + lower;
      i += 2;
      escaped[used] = 1 - (UNRESERVED[byte] as number);
      if (byte === SLASH || byte === BACKSLASH) return TargetFault.Separator;
      if (byte >= 0x80) high = true;
    } else if (byte === HASH) return TargetFault.Fragment;
    else if (byte === BACKSLASH) return TargetFault.Separator;
    else if (byte >= 0x80) return TargetFault.Encoding;
    else if (byte === SPACE) return TargetFault.Control;
    if (byte < SPACE || byte === DEL) return TargetFault.Control;
    scratch[used++] = byte;
  }
  // Buffer's own check knows overlong forms, surrogates and what lies beyond U+10FFFF.
  const text = high ? decoded(scratch.subarray(0, used)) : scratch.latin1Slice(0, used);
  if (text === null) return TargetFault.Encoding;
  return resolve(used, high, text, into);
}

/** Removes dot and empty segments from the bytes in `scratch`, in place: what is written never overtakes what is read. */
function resolve(used: number, high: boolean, text: string, into: CanonicalPath): TargetFault {
  let out = 0;
  let segments = 0;
  let from = 1;
  let changed = false;
  while (from <= used) {
    let to = from;
    while (to < used && scratch[to] !== SLASH) to++;
    const length = to - from;
    const last = to >= used;
    const dots = length === 1 || length === 2 ? dotsAt(from, length) : 0;
    if (dots === 0 && dotParameterAt(from, to)) return TargetFault.DotParameter;
    if (dots === 1 || (length === 0 && !last)) {
      changed = true;
      // A trailing `/.` means the directory itself.
      if (last) scratch[out++] = SLASH;
    } else if (dots === 2) {
      changed = true;
      if (out === 0) return TargetFault.Climbs;
      out--;
      while (scratch[out] !== SLASH) out--;
      if (last) scratch[out++] = SLASH;
    } else {
      if (++segments > PATH_SEGMENTS_MAX) return TargetFault.TooLong;
      scratch[out++] = SLASH;
      if (out !== from) {
        scratch.copyWithin(out, from, to);
        escaped.copyWithin(out, from, to);
      }
      out += length;
    }
    from = to + 1;
  }
  if (out === 0) scratch[out++] = SLASH;
  const path = !changed ? text : high ? decoded(scratch.subarray(0, out)) : scratch.latin1Slice(0, out);
  if (path === null) return TargetFault.Encoding;
  into.path = path;
  let encoded = '';
  for (let i = 0; i < out; i++) {
    const byte = scratch[i] as number;
    encoded +=
      byte === SLASH ? '/' : RAW[byte] === 1 && escaped[i] === 0 ? String.fromCharCode(byte) : (HEX[byte] as string);
  }
  into.encoded = encoded;
  return TargetFault.None;
}

function dotsAt(from: number, length: number): number {
  if (scratch[from] !== DOT) return 0;
  if (length === 1) return 1;
  return scratch[from + 1] === DOT ? 2 : 0;
}

/** True for a segment that begins with `.;` or `..;`. */
function dotParameterAt(from: number, to: number): boolean {
  if (scratch[from] !== DOT) return false;
  const at = scratch[from + 1] === DOT ? from + 2 : from + 1;
  return at < to && scratch[at] === SEMICOLON;
}

/** UTF-8, or null. */
function decoded(bytes: Buffer): string | null {
  return isUtf8(bytes) ? utf8.decode(bytes) : null;
}

function hexDigit(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  const letter = code | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1;
}

/** What may not stand in a query: controls, space, `#`, raw 8-bit. The rest is the application's, so nothing is decoded; escapes must be whole. */
const BAD_QUERY = /[^\x21\x22\x24-\x7e]|%(?![0-9A-Fa-f]{2})/;

/** Checks a query as received. */
export function checkQuery(query: string): TargetFault {
  if (query.length === 0) return TargetFault.None;
  if (query.length > QUERY_BYTES_MAX) return TargetFault.TooLong;
  return BAD_QUERY.test(query) ? TargetFault.Escape : TargetFault.None;
}

/** Chars that RFC 3986 allows in no query, and that clients send all the same. */
const ODD_IN_QUERY = /["<>\\^`{|}]/g;

/** The query as it goes upstream: what may not stand there raw is escaped, which means the same to whoever decodes it. */
export function canonicalQuery(query: string): string {
  if (query === '') return query;
  ODD_IN_QUERY.lastIndex = 0;
  return ODD_IN_QUERY.test(query) ? query.replace(ODD_IN_QUERY, (char) => HEX[char.charCodeAt(0)] as string) : query;
}
