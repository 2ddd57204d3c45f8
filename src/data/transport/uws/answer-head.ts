/** Heads on their way through: the upstream's answer made into ours, and the client's request made into the upstream's. */
import { ANSWER_FIELDS_MAX } from './bounds.ts';
import { isClaim } from '../claims.ts';
import { eachListed, endsHere, NOT_ASCII_VALUE, NOT_IN_VALUE, TOKEN } from '../fields.ts';
import type { Head } from './head.ts';
import type { HeaderEdits } from './header-edits.ts';

/** Who we are in Via (RFC 9110 §7.6.3): protocol and pseudonym, no host name. */
export const VIA = '1.1 cloudnexus';
const LENGTH = /^[0-9]{1,15}$/;

type Fields = Readonly<Record<string, string | string[] | undefined>>;
const NO_FIELDS: Fields = {};

/** Fields of the upstream's answer as one text after the first, without the last line end; see `Downstream.head`. */
export class AnswerFields {
  text: string | Buffer = '';
  /** Content-Length, or -1. */
  length = -1;
  #block = '';
  #count = 0;

  /**
   * Reads an upstream's fields. False when one of them may not be passed on: the answer is invalid. `bodiless`: no body follows, so that the length
   * must be written here; otherwise uWebSockets.js does.
   */
  read(fields: Fields, edits: HeaderEdits, bodiless: boolean): boolean {
    this.#begin(false);
    this.length = -1;
    // A framing that two readers could read differently does not pass (RFC 9112 §6.3).
    if (fields['transfer-encoding'] !== undefined && fields['content-length'] !== undefined) return false;
    const nominated = namedByConnection(fields['connection']);
    for (const name in fields) {
      const value = fields[name];
      if (value === undefined) continue;
      if (name === 'content-length') {
        if (typeof value !== 'string' || !LENGTH.test(value)) return false;
        this.length = Number(value);
        continue;
      }
      // uWebSockets.js writes a Date of its own, always.
      if (endsHere(name) || name === 'date' || edits.hides(name) || nominated?.includes(name) === true) continue;
      if (!TOKEN.test(name)) return false;
      // Written beside what is appended to it.
      if (isAppended(edits, name)) continue;
      if (typeof value === 'string') {
        if (!this.#add(name, value)) return false;
      } else {
        for (const one of value) if (!this.#add(name, one)) return false;
      }
    }
    this.#edits(edits, fields);
    if (bodiless && this.length >= 0) this.#add('content-length', String(this.length));
    return this.#seal();
  }

  /** Fields of an answer of our own. `length`: to be written here, or -1. */
  own(contentType: string, edits: HeaderEdits, close: boolean, length: number): void {
    this.#begin(close);
    if (length >= 0) this.#add('content-length', String(length));
    if (contentType !== '' && !edits.hides('content-type')) this.#add('content-type', contentType);
    this.#edits(edits, contentType === '' ? NO_FIELDS : { 'content-type': contentType });
    this.#seal();
  }

  #begin(close: boolean): void {
    this.#block = close ? `${VIA}\r\nconnection: close` : VIA;
    this.#count = 0;
  }

  #add(name: string, value: string): boolean {
    if (NOT_IN_VALUE.test(value) || ++this.#count > ANSWER_FIELDS_MAX) return false;
    this.#block += `\r\n${name}: ${value}`;
    return true;
  }

  #edits(edits: HeaderEdits, fields: Fields): void {
    const { names, values, absents, appends } = edits;
    for (let i = 0; i < names.length; i++) this.#add(names[i] as string, values[i] as string);
    for (let i = 0; i < absents.length; i += 2) {
      const name = absents[i] as string;
      if (fields[name] === undefined) this.#add(name, absents[i + 1] as string);
    }
    for (let i = 0; i < appends.length; i += 2) {
      const name = appends[i] as string;
      const before = fields[name];
      const list = before === undefined ? [] : typeof before === 'string' ? [before] : before;
      this.#add(name, [...list, appends[i + 1] as string].filter((one) => one !== '').join(', '));
    }
  }

  #seal(): true {
    // A string would be written as UTF-8; bytes stay bytes.
    this.text = hasHighBytes(this.#block) ? Buffer.from(this.#block, 'latin1') : this.#block;
    this.#block = '';
    return true;
  }
}

/** First field of every answer; the others follow in `AnswerFields.text`. */
export const FIRST_FIELD = 'via';

function hasHighBytes(block: string): boolean {
  HIGH.lastIndex = 0;
  return HIGH.test(block);
}
const HIGH = /[\x80-\xff]/;

function isAppended(edits: HeaderEdits, name: string): boolean {
  const { appends } = edits;
  for (let i = 0; i < appends.length; i += 2) if (appends[i] === name) return true;
  return false;
}

function namedByConnection(value: string | string[] | undefined): string[] | null {
  if (value === undefined || value === 'keep-alive' || value === 'close') return null;
  const names: string[] = [];
  for (const one of typeof value === 'string' ? [value] : value) eachListed(one, (token) => names.push(token));
  return names;
}

/** True when stages replaced or removed this field, or one that CGI and its heirs cannot tell from it: `X_User` and `X-User` are one variable there. */
export function hidden(name: string, edits: HeaderEdits): boolean {
  return edits.hides(name) || (name.includes('_') && edits.hides(name.replaceAll('_', '-')));
}

/** The fields of the upstream request: flat name, value, … Everything in it was checked when it came or when it was set. */
export function requestFields(head: Head, edits: HeaderEdits, authority: string, length: number): string[] {
  const fields = ['host', authority];
  for (let i = 0; i < head.count; i++) {
    const name = head.names[i] as string;
    if (endsHere(name) || isClaim(name) || hidden(name, edits) || head.nominates(name)) continue;
    fields.push(name, head.values[i] as string);
  }
  for (let i = 0; i < edits.names.length; i++) fields.push(edits.names[i] as string, edits.values[i] as string);
  fields.push('via', VIA);
  if (length >= 0) fields.push('content-length', String(length));
  return fields;
}

/** True for what `requestFields` may hold: a last look, since undici pays for an invalid argument with a connection. */
export function sendable(target: string, authority: string): boolean {
  return TARGET.test(target) && AUTHORITY.test(authority);
}
const TARGET = /^\/[\x21\x22\x24-\x7e]*$/;
const AUTHORITY = /^[A-Za-z0-9._~!$&'()*+,;=:[\]%-]+$/;

/** True when a text has chars that are no bytes or no ASCII; exported for the WebSocket relay, whose client writes strings. */
export function isAscii(text: string): boolean {
  return !NOT_ASCII_VALUE.test(text);
}
