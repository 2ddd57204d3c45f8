/** Text into shared memory, one byte per char. */
import { NOT_IN_VALUE } from '../fields.ts';

/** A loop over chars is cheaper than a call up to about this many; and than two, one of which looks whether all are visible. */
const LOOP_MAX = 64;
const VISIBLE_LOOP_MAX = 128;
const NOT_VISIBLE = /[^\x21-\x7e]/;

/** True when the text can be a field value: one byte per char, no controls but tab. */
export function isFieldValue(text: string): boolean {
  return !NOT_IN_VALUE.test(text);
}

/** Writes a field value; returns where it ends, or -1 when the text cannot be one: one byte per char, no controls but tab. */
export function writeField(to: Buffer, at: number, text: string): number {
  const { length } = text;
  if (length > LOOP_MAX) return NOT_IN_VALUE.test(text) ? -1 : at + to.latin1Write(text, at, length);
  for (let i = 0; i < length; i++) {
    const c = text.charCodeAt(i);
    if (c < 0x20 ? c !== 0x09 : c === 0x7f || c > 0xff) return -1;
    to[at + i] = c;
  }
  return at + length;
}

/** Writes a text whose chars are bytes; returns where it ends. */
export function writeLatin1(to: Buffer, at: number, text: string): number {
  if (text.length > LOOP_MAX) return at + to.latin1Write(text, at, text.length);
  for (let i = 0; i < text.length; i++) to[at + i] = text.charCodeAt(i);
  return at + text.length;
}

/** Writes a text of visible ASCII; returns where it ends, or -1 when it holds anything else. */
export function writeVisible(to: Buffer, at: number, text: string): number {
  if (text.length > VISIBLE_LOOP_MAX) return NOT_VISIBLE.test(text) ? -1 : at + to.latin1Write(text, at, text.length);
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c < 0x21 || c > 0x7e) return -1;
    to[at + i] = c;
  }
  return at + text.length;
}
