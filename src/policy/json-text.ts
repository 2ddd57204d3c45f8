/** JSON text that goes into a module: written by us, and looked at once more before the module's lenient parser sees it. */
import { INPUT_DEPTH_MAX } from './outcome.ts';

/** Answer of `screen`. */
export const Screened = { Fine: 0, TooDeep: 1, Malformed: 2 } as const;
export type Screened = (typeof Screened)[keyof typeof Screened];

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/**
 * Looks for the two things in a JSON text that a module does not survive: nesting beyond INPUT_DEPTH_MAX and an escaped lone surrogate
 * (RFC 8259 §8.2), for which OPA's parser aborts. Not a validation: `opa_json_parse` does that.
 */
export function screen(text: string): Screened {
  let depth = 0;
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c === QUOTE) {
      i = stringEnd(text, i + 1);
      if (i < 0) return Screened.Malformed;
    } else if (c === 0x7b || c === 0x5b) {
      if (++depth > INPUT_DEPTH_MAX) return Screened.TooDeep;
    } else if (c === 0x7d || c === 0x5d) depth--;
  }
  return depth === 0 ? Screened.Fine : Screened.Malformed;
}

/** Index of the quote that ends the string, or -1: no end, or a lone surrogate escape in it. */
function stringEnd(text: string, from: number): number {
  for (let i = from; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c === QUOTE) return i;
    if (c !== BACKSLASH) continue;
    i++;
    if (text.charCodeAt(i) !== 0x75) continue;
    const unit = hex4(text, i + 1);
    i += 4;
    if (unit < 0xd800 || unit > 0xdfff) continue;
    const paired = unit < 0xdc00 && text.charCodeAt(i + 1) === BACKSLASH && text.charCodeAt(i + 2) === 0x75;
    const low = paired ? hex4(text, i + 3) : 0;
    if (low < 0xdc00 || low > 0xdfff) return -1;
    i += 6;
  }
  return -1;
}

function hex4(text: string, at: number): number {
  return Number.parseInt(text.slice(at, at + 4), 16);
}

/** What cannot stand in a JSON string as it is; surrogates too, since pairs and lone ones take the same slow path. */
// oxlint-disable-next-line no-control-regex -- control characters are what is looked for (RFC 8259 §7)
const SPECIAL = /["\\\u0000-\u001f\ud800-\udfff]/;

/** A string as JSON text. Lone surrogates become U+FFFD: escaped, they would make the module abort, once per request at a client's will. */
export function quote(value: string): string {
  return SPECIAL.test(value) ? JSON.stringify(value.toWellFormed()) : `"${value}"`;
}

/** Any JSON value as text, with all strings and keys well-formed. What JSON does not know becomes null. */
export function toJsonText(value: unknown): string {
  // JSON.stringify writes lone surrogates as \udXXX, so the text tells whether the slow path is needed.
  const text = JSON.stringify(value) as string | undefined;
  if (text === undefined) return 'null';
  return text.includes('\\ud') ? JSON.stringify(value, wellFormed) : text;
}

/** Replacer for JSON.stringify. */
function wellFormed(_key: string, value: unknown): unknown {
  if (typeof value === 'string') return value.toWellFormed();
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  const entries = Object.entries(value);
  return entries.every(([key]) => key.isWellFormed())
    ? value
    : Object.fromEntries(entries.map(([key, v]) => [key.toWellFormed(), v]));
}

/** What an integer beyond the exact ones looks like in a text that JSON.stringify wrote. */
const LONG_NUMBER = /\d{16}|\de\+/;

/** As `toJsonText`, of what a token says: an integer that a double does not hold exactly is null, since what is left of it after parsing may be somebody else's (RFC 8259 §6). */
export function toExactJsonText(value: unknown): string {
  const text = toJsonText(value);
  return LONG_NUMBER.test(text) ? JSON.stringify(JSON.parse(text), exact) : text;
}

/** Replacer for JSON.stringify. */
function exact(_key: string, value: unknown): unknown {
  return Number.isInteger(value) && !Number.isSafeInteger(value) ? null : value;
}
