/**
 * Requests and answers as they stand in a file: a start line, fields, an empty line, the body. More is taken than a gateway would take, for rules are to be tried
 * with requests that are wrong on purpose: line ends with or without CR, any start line of three words, any field.
 */
import type { WafRequest, WafResponse } from '../../native/waf.ts';

/** Largest file. Unit: bytes. */
export const MESSAGE_BYTES_MAX = 16 * 1024 * 1024;

export class MessageError extends Error {
  override readonly name = 'MessageError';
}

export interface RawRequest extends WafRequest {
  readonly protocol: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body: Uint8Array;
}

type Fields = [name: string, value: string][];

export function parseRequest(bytes: Uint8Array): RawRequest {
  const { start, headers, rest } = split(bytes, 'request');
  const [method = '', target = '', protocol = 'HTTP/1.1', ...more] = start.split(' ');
  if (target === '' || more.length > 0)
    throw new MessageError(
      `the request begins with "${start.slice(0, 60)}"; expected something like GET /path HTTP/1.1`,
    );
  return { method, target, protocol, headers, body: bodyOf(headers, rest) };
}

export function parseResponse(bytes: Uint8Array): WafResponse & { readonly body: Uint8Array } {
  const { start, headers, rest } = split(bytes, 'answer');
  const [, protocol, status] = /^(\S+) ([0-9]{3})(?: |$)/.exec(start) ?? [];
  if (protocol === undefined)
    throw new MessageError(`the answer begins with "${start.slice(0, 60)}"; expected something like HTTP/1.1 200 OK`);
  return { protocol, status: Number(status), headers, body: bodyOf(headers, rest) };
}

function split(bytes: Uint8Array, what: string): { start: string; headers: Fields; rest: Buffer } {
  if (bytes.length > MESSAGE_BYTES_MAX)
    throw new MessageError(`the ${what} has ${bytes.length} bytes; at most ${MESSAGE_BYTES_MAX} are taken`);
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const lines: string[] = [];
  let at = 0;
  for (;;) {
    const end = buffer.indexOf(0x0a, at);
    const line = buffer.latin1Slice(at, end < 0 ? buffer.length : end).replace(/\r$/, '');
    at = end < 0 ? buffer.length : end + 1;
    // Empty lines before the start line are passed over (RFC 9112 §2.2).
    if (line === '' && lines.length > 0) break;
    if (line !== '') lines.push(line);
    if (at >= buffer.length) break;
  }
  const [start, ...fields] = lines;
  if (start === undefined) throw new MessageError(`the ${what} is empty`);
  const headers = fields.map((line): [string, string] => {
    const colon = line.indexOf(':');
    if (colon <= 0)
      throw new MessageError(`"${line.slice(0, 60)}" is no field of the ${what}: NAME: VALUE is expected`);
    return [line.slice(0, colon), line.slice(colon + 1).trim()];
  });
  return { start, headers, rest: buffer.subarray(at) };
}

/** As long as the fields say; a body that no field speaks of is the rest of the file, and gets its Content-Length, since a gateway would not read it otherwise. */
function bodyOf(headers: Fields, rest: Buffer): Buffer {
  const value = (name: string): string | undefined => headers.find(([n]) => n.toLowerCase() === name)?.[1];
  if (/(^|,)\s*chunked\s*$/i.test(value('transfer-encoding') ?? '')) return unchunked(rest) ?? rest;
  const length = value('content-length');
  if (length === undefined) {
    if (rest.length > 0) headers.push(['Content-Length', `${rest.length}`]);
    return rest;
  }
  return /^[0-9]{1,15}$/.test(length) ? rest.subarray(0, Number(length)) : rest;
}

/** The content of chunks; null when they are malformed. */
function unchunked(bytes: Buffer): Buffer | null {
  const parts: Buffer[] = [];
  for (let at = 0; ; ) {
    const end = bytes.indexOf(0x0a, at);
    const [, digits] = /^([0-9a-f]{1,7})\s*(?:;.*)?\r?$/i.exec(bytes.latin1Slice(at, Math.max(at, end))) ?? [];
    if (end < 0 || digits === undefined) return null;
    const size = Number.parseInt(digits, 16);
    if (size === 0) return Buffer.concat(parts);
    if (end + 1 + size > bytes.length) return null;
    parts.push(bytes.subarray(end + 1, end + 1 + size));
    at = end + 1 + size;
    if (bytes[at] === 0x0d) at++;
    if (bytes[at] === 0x0a) at++;
  }
}
