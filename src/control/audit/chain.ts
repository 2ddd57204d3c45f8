/**
 * The audit log's lines. Each is a JSON object that names the SHA-256 of the line before it, so that none can be changed, left out or moved without all that follow
 * being made anew; and each is signed, so that none can be made without the key.
 */
import { createHash, type KeyObject, sign, verify } from 'node:crypto';

/** Characters of an entry's fields. */
export const LINE_CHARS_MAX = 16_384;
/** Characters of one text within an entry. */
const TEXT_CHARS_MAX = 2_000;
/** Before the first entry of all. */
export const GENESIS = '0'.repeat(64);
/** Kind of the first entry of a file that follows another: where a log may begin whose older files were rotated away. */
export const CHECKPOINT = 'checkpoint';

export interface Entry {
  /** From 1, without gaps. */
  readonly n: number;
  /** UTC. */
  readonly at: string;
  /** What happened: `activated`, `rejected`, `reverted`, `admin`, … */
  readonly kind: string;
  /** SHA-256 of the line before, hex. */
  readonly prev: string;
  readonly fields: Readonly<Record<string, unknown>>;
  /** Ed25519 over all of the above, base64. */
  readonly signature: string;
}

export type Unsigned = Omit<Entry, 'signature'>;

/** The end of the log, signed anew with every entry: without it, the last lines could be cut off. */
export interface Head {
  /** Number of the first entry that is kept, of the last one, and the hash of its line. */
  readonly first: number;
  readonly n: number;
  readonly hash: string;
  readonly signature: string;
}

export function hashOf(line: string): string {
  return createHash('sha256').update(line, 'utf8').digest('hex');
}

/** Signs an entry. What is too long for a line is left out, and that is said. */
export function signed({ n, at, kind, prev, fields }: Unsigned, key: KeyObject): Entry {
  const { length } = JSON.stringify(fields);
  const entry = { n, at, kind, prev, fields: length <= LINE_CHARS_MAX ? fields : { leftOut: length } };
  return { ...entry, signature: sign(null, entryBytes(entry), key).toString('base64') };
}

/** The one way in which an entry is written. */
export function lineOf({ n, at, kind, prev, fields, signature }: Entry): string {
  return JSON.stringify({ n, at, kind, prev, fields, signature });
}

export function headOf(first: number, n: number, hash: string, key: KeyObject): Head {
  return { first, n, hash, signature: sign(null, headBytes(first, n, hash), key).toString('base64') };
}

export function isSigned(entry: Entry, key: KeyObject): boolean {
  return believed(entryBytes(entry), entry.signature, key);
}

export function isSignedHead(head: Head, key: KeyObject): boolean {
  return believed(headBytes(head.first, head.n, head.hash), head.signature, key);
}

/** Texts that are not too long; what an entry says may come from a registry. */
export function bounded(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const cut = (value: unknown): unknown =>
    typeof value === 'string' && value.length > TEXT_CHARS_MAX ? `${value.slice(0, TEXT_CHARS_MAX)}…` : value;
  return Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, cut(value)]));
}

/** The entry of a line, or undefined when it is none. */
export function parseEntry(line: string): Entry | undefined {
  const value = parsed(line);
  if (value === undefined) return undefined;
  const { n, at, kind, prev, fields, signature } = value;
  const whole =
    Number.isSafeInteger(n) &&
    typeof at === 'string' &&
    typeof kind === 'string' &&
    typeof prev === 'string' &&
    typeof fields === 'object' &&
    fields !== null &&
    typeof signature === 'string';
  return whole ? (value as unknown as Entry) : undefined;
}

export function parseHead(text: string): Head | undefined {
  const value = parsed(text);
  if (value === undefined) return undefined;
  const { first, n, hash, signature } = value;
  const whole =
    Number.isSafeInteger(first) && Number.isSafeInteger(n) && typeof hash === 'string' && typeof signature === 'string';
  return whole ? (value as unknown as Head) : undefined;
}

function parsed(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    // Not JSON: whoever asked says where.
    return undefined;
  }
}

function believed(bytes: Buffer, signature: string, key: KeyObject): boolean {
  const decoded = Buffer.from(signature, 'base64');
  // One text for one signature: the spare bits of the last character are not for others to write in (RFC 4648 §3.5).
  return decoded.toString('base64') === signature && verify(null, bytes, key, decoded);
}

function entryBytes({ n, at, kind, prev, fields }: Unsigned): Buffer {
  return Buffer.from(`cnx audit entry\n${JSON.stringify({ n, at, kind, prev, fields })}`, 'utf8');
}

function headBytes(first: number, n: number, hash: string): Buffer {
  return Buffer.from(`cnx audit head\n${first}\n${n}\n${hash}\n`, 'utf8');
}
