import { isInCalendar } from '../../config/time.ts';
import { type ReasonCode, Rejection } from './rejection.ts';

export type JsonValue = null | boolean | number | string | JsonValue[] | JsonObject;
export interface JsonObject {
  [key: string]: JsonValue;
}

/** Deeper nesting than this is refused in every document of a bundle. */
export const JSON_DEPTH_MAX = 64;

export interface StrictJsonOptions {
  /** What the bytes are, for the message: `release document`. */
  readonly what: string;
  readonly bytesMax: number;
  readonly depthMax?: number;
}

/**
 * JSON that every parser reads alike: UTF-8 without BOM, no key twice in an object, no `__proto__`, no lone surrogate, no
 * number that changes when read as a double, bounded size and depth. Otherwise a {@link Rejection} with the place: two
 * parsers that disagree about signed bytes are an attack (RFC 8259 §4 leaves duplicate names open).
 */
export function parseStrictJson(bytes: Uint8Array, options: StrictJsonOptions): JsonValue {
  const { what } = options;
  if (bytes.byteLength > options.bytesMax) {
    throw new Rejection('too_large', `${what} has ${bytes.byteLength} bytes, at most ${options.bytesMax} are read`);
  }
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new Rejection('malformed_json', `${what} is not UTF-8`, { cause });
  }
  let value: JsonValue;
  try {
    value = JSON.parse(text) as JsonValue;
  } catch (cause) {
    throw new Rejection('malformed_json', `${what} is not JSON: ${(cause as Error).message}`, { cause });
  }
  const fault = findFault(text, options.depthMax ?? JSON_DEPTH_MAX);
  if (fault !== undefined) throw new Rejection('malformed_json', `${what}: ${fault}`);
  return value;
}

interface Frame {
  /** Names seen in this object; undefined in an array. */
  readonly names: Set<string> | undefined;
  expectsName: boolean;
}

/** One pass over text that JSON.parse has accepted: finds what it lets through. */
function findFault(text: string, depthMax: number): string | undefined {
  const stack: Frame[] = [];
  let i = 0;
  while (i < text.length) {
    const c = text.charCodeAt(i);
    if (c === 0x22) {
      const end = endOfString(text, i);
      const raw = text.slice(i, end);
      const escaped = raw.includes('\\');
      const string = escaped ? (JSON.parse(raw) as string) : raw.slice(1, -1);
      // Only an escape can spell one: the bytes were UTF-8.
      if (escaped && !string.isWellFormed()) return `a lone surrogate ${at(text, i)}`;
      const top = stack.at(-1);
      if (top?.names !== undefined && top.expectsName) {
        if (string === '__proto__') return `the name "__proto__" ${at(text, i)}`;
        if (top.names.has(string)) return `the name ${JSON.stringify(string)} twice in one object ${at(text, i)}`;
        top.names.add(string);
        top.expectsName = false;
      }
      i = end;
      continue;
    }
    if (c === 0x7b || c === 0x5b) {
      if (stack.length === depthMax) return `nested deeper than ${depthMax} ${at(text, i)}`;
      stack.push({ names: c === 0x7b ? new Set() : undefined, expectsName: c === 0x7b });
    } else if (c === 0x7d || c === 0x5d) {
      stack.pop();
    } else if (c === 0x2c) {
      const top = stack.at(-1);
      if (top !== undefined) top.expectsName = true;
    } else if (c === 0x2d || (c >= 0x30 && c <= 0x39)) {
      const end = endOfNumber(text, i);
      const number = text.slice(i, end);
      const read = Number(number);
      const whole = !/[.eE]/.test(number);
      if (!Number.isFinite(read) || (whole && !Number.isSafeInteger(read))) {
        return `a number that cannot be held exactly ${at(text, i)}`;
      }
      i = end;
      continue;
    }
    i += 1;
  }
  return undefined;
}

/** The index after the closing quote: the first quote with an even number of backslashes before it. */
function endOfString(text: string, start: number): number {
  for (let quote = text.indexOf('"', start + 1); quote !== -1; quote = text.indexOf('"', quote + 1)) {
    let escapes = 0;
    while (text.charCodeAt(quote - 1 - escapes) === 0x5c) escapes += 1;
    if (escapes % 2 === 0) return quote + 1;
  }
  return text.length;
}

function endOfNumber(text: string, start: number): number {
  let i = start;
  while (i < text.length && '0123456789+-.eE'.includes(text.charAt(i))) i += 1;
  return i;
}

function at(text: string, index: number): string {
  const before = text.slice(0, index);
  const line = before.split('\n').length;
  return `at line ${line}, column ${index - before.lastIndexOf('\n')}`;
}

/**
 * The one spelling of a JSON value: names sorted by UTF-16 code units, no white space (RFC 8785 for the values we write).
 * Throws TypeError for what JSON cannot hold; names whose value is undefined are left out.
 */
export function canonicalJson(value: unknown): string {
  switch (typeof value) {
    case 'string':
      if (!value.isWellFormed()) throw new TypeError('a lone surrogate cannot be written as JSON');
      return JSON.stringify(value);
    case 'boolean':
      return String(value);
    case 'number':
      if (!Number.isFinite(value)) throw new TypeError(`${value} cannot be written as JSON`);
      return JSON.stringify(value);
    case 'object': {
      if (value === null) return 'null';
      if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
      const object = value as Record<string, unknown>;
      const names = Object.keys(object)
        .filter((name) => object[name] !== undefined)
        .sort();
      return `{${names.map((name) => `${JSON.stringify(name)}:${canonicalJson(object[name])}`).join(',')}}`;
    }
    case 'undefined':
    case 'function':
    case 'symbol':
    case 'bigint':
    default:
      throw new TypeError(`a ${typeof value} cannot be written as JSON`);
  }
}

/** {@link canonicalJson} as bytes. */
export function canonicalJsonBytes(value: unknown): Uint8Array {
  return new TextEncoder().encode(canonicalJson(value));
}

/** Reads fields of a parsed document and says, in one voice, where something is not as it must be. */
export class Shape {
  readonly #code: ReasonCode;
  readonly #what: string;

  constructor(code: ReasonCode, what: string) {
    this.#code = code;
    this.#what = what;
  }

  fail(where: string, expected: string): never {
    throw new Rejection(this.#code, `${this.#what}: ${where === '' ? 'the document' : where} must be ${expected}`);
  }

  object(value: unknown, where: string): JsonObject {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) this.fail(where, 'an object');
    return value as JsonObject;
  }

  /** Refuses names that are not listed, with the first that is unknown. */
  closed(object: JsonObject, where: string, names: readonly string[]): void {
    for (const name of Object.keys(object)) {
      if (!names.includes(name)) {
        const place = where === '' ? name : `${where}.${name}`;
        throw new Rejection(this.#code, `${this.#what}: ${place} is not known here (known: ${names.join(', ')})`);
      }
    }
  }

  array(value: unknown, where: string, countMax: number): JsonValue[] {
    if (!Array.isArray(value) || value.length > countMax) this.fail(where, `a list of at most ${countMax}`);
    return value as JsonValue[];
  }

  string(value: unknown, where: string, lengthMax = 1024): string {
    if (typeof value !== 'string' || value.length > lengthMax)
      this.fail(where, `a string of at most ${lengthMax} characters`);
    return value;
  }

  strings(value: unknown, where: string, countMax: number, lengthMax = 256): string[] {
    return this.array(value, where, countMax).map((item, i) => this.string(item, `${where}[${i}]`, lengthMax));
  }

  /** A map of strings, with no prototype: names of a hostile document reach nothing. */
  stringMap(value: unknown, where: string, countMax: number, lengthMax = 4096): Readonly<Record<string, string>> {
    const object = this.object(value, where);
    const entries = Object.entries(object);
    if (entries.length > countMax) this.fail(where, `a map of at most ${countMax} names`);
    const out = Object.create(null) as Record<string, string>;
    for (const [name, item] of entries) out[name] = this.string(item, `${where}[${JSON.stringify(name)}]`, lengthMax);
    return out;
  }

  count(value: unknown, where: string, max = Number.MAX_SAFE_INTEGER): number {
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0 || value > max) {
      this.fail(where, `a whole number from 0 to ${max}`);
    }
    return value;
  }

  /** A time of RFC 3339 in UTC, as milliseconds. */
  time(value: unknown, where: string): number {
    const text = this.string(value, where, 40);
    const ms = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z$/.test(text) ? Date.parse(text) : Number.NaN;
    if (Number.isNaN(ms) || !isInCalendar(text)) this.fail(where, 'a UTC time such as 2026-11-21T00:00:00Z');
    return ms;
  }
}
