/** The packed forms of a request and of an answer. All numbers are little-endian and nothing is padded (`native/waf/src/wire.rs` is the other side). */
import { present } from '../base/assert.ts';
import type { WafTlsFacts } from './waf-tls.ts';

/** Most header fields of a packed request. */
export const WAF_HEADERS_MAX = 1000;
/** Longest text that is written byte by byte. */
const INLINE_TEXT_BYTES = 24;

/** The body that a request is packed with is only its begin: rules see `INBOUND_DATA_ERROR`. */
export const WAF_BODY_TRUNCATED = 1;
/** The request came through TLS. */
export const WAF_SECURE = 2;
/** What the handshake told follows the body. */
const TLS_FACTS = 4;

/** Text that is the same in ASCII, Latin-1 and UTF-8. */
const ASCII = /^[ -~]*$/;

/** UTF-8, a character for each byte: what the packer writes. */
function utf8(text: string): string {
  return ASCII.test(text) ? text : Buffer.from(text, 'utf8').toString('latin1');
}

/**
 * Packs requests into a buffer that the caller owns, field by field and without garbage:
 * `begin`, `head`, `header`…, `body`, then `length` says how much of the buffer is used. `length` is -1 once something
 * did not fit; the caller then uses a larger buffer or refuses.
 *
 * Layout: `u8` version 1, `u8` flags, `u16` client port; `u16` + method, `u32` + target, `u16` + protocol,
 * `u16` + client address, `u16` + request id; `u16` count of header fields, for each `u16` + name and `u32` + value;
 * `u32` + body; then, when `tls` was called, the facts of the handshake. Text is Latin-1: one byte for each character, as header fields and targets arrive.
 */
export class WafPacker {
  readonly buffer: Buffer;
  /** Bytes used, or -1 when something did not fit. */
  length = 0;
  /** Where the bytes of the body begin, once it was packed. */
  bodyAt = 0;
  #start = 0;
  #countAt = 0;
  #headers = 0;

  constructor(buffer: Buffer) {
    this.buffer = buffer;
  }

  /** Begins a request at an offset (0 unless several share the buffer, as in a batch). */
  begin(offset = 0): void {
    this.length = offset;
    this.#start = offset;
    this.#headers = 0;
  }

  /** The request line and who asks. `target` is as received, with its query. */
  head(
    method: string,
    target: string,
    protocol: string,
    client: string,
    clientPort: number,
    id: string,
    flags = 0,
  ): void {
    if (!this.#room(4)) return;
    const at = this.length;
    this.buffer[at] = 1;
    this.buffer[at + 1] = flags;
    this.buffer[at + 2] = clientPort;
    this.buffer[at + 3] = clientPort >>> 8;
    this.length = at + 4;
    this.#short(method);
    this.#long(target);
    this.#short(protocol);
    this.#short(client);
    this.#short(id);
    if (!this.#room(2)) return;
    this.#countAt = this.length;
    this.length += 2;
  }

  /** The head of an answer; see {@link WafResponsePacker}. */
  answer(status: number, protocol: string, flags: number): void {
    if (!this.#room(4)) return;
    const at = this.length;
    this.buffer[at] = 1;
    this.buffer[at + 1] = flags;
    this.buffer[at + 2] = status;
    this.buffer[at + 3] = status >>> 8;
    this.length = at + 4;
    this.#short(protocol);
    if (!this.#room(2)) return;
    this.#countAt = this.length;
    this.length += 2;
  }

  /** One header field. */
  header(name: string, value: string): void {
    this.#short(name);
    this.#long(value);
    if (this.length < 0) return;
    this.#headers++;
    if (this.#headers > WAF_HEADERS_MAX) this.length = -1;
  }

  /** The body, or its begin; ends the request. Returns the bytes of this request, or -1. */
  body(bytes: Uint8Array | null): number {
    const size = bytes === null ? 0 : bytes.length;
    if (!this.#room(4 + size)) return -1;
    this.buffer[this.#countAt] = this.#headers;
    this.buffer[this.#countAt + 1] = this.#headers >>> 8;
    this.#size(size);
    this.bodyAt = this.length + 4;
    if (size > 0) this.buffer.set(bytes as Uint8Array, this.length + 4);
    this.length += 4 + size;
    return this.length - this.#start;
  }

  /** What the handshake told, behind the body. Returns the bytes of this request, or -1. */
  tls(facts: WafTlsFacts): number {
    if (this.length < 0) return -1;
    const { client } = facts;
    this.#short(facts.version);
    this.#short(facts.cipher);
    this.#short(facts.serverName);
    this.#short(facts.ja4);
    this.#short(client === null ? '' : utf8(client.subject));
    this.#short(client === null ? '' : client.fingerprint);
    const names = client === null ? [] : client.sans;
    if (names.length > 0xffff) this.length = -1;
    if (!this.#room(2)) return -1;
    this.buffer[this.length] = names.length;
    this.buffer[this.length + 1] = names.length >>> 8;
    this.length += 2;
    for (const name of names) this.#short(utf8(name));
    if (this.length < 0) return -1;
    this.buffer[this.#start + 1] = present(this.buffer[this.#start + 1], 'flags') | TLS_FACTS;
    return this.length - this.#start;
  }

  #room(bytes: number): boolean {
    if (this.length < 0 || this.length + bytes > this.buffer.length) {
      this.length = -1;
      return false;
    }
    return true;
  }

  #short(text: string): void {
    const size = text.length;
    if (size > 0xffff) this.length = -1;
    if (!this.#room(2 + size)) return;
    this.buffer[this.length] = size;
    this.buffer[this.length + 1] = size >>> 8;
    this.#text(text, this.length + 2);
    this.length += 2 + size;
  }

  #long(text: string): void {
    const size = text.length;
    if (!this.#room(4 + size)) return;
    this.#size(size);
    this.#text(text, this.length + 4);
    this.length += 4 + size;
  }

  /** A length of four bytes; stores into a typed array keep the low byte. */
  #size(bytes: number): void {
    const { buffer, length } = this;
    buffer[length] = bytes;
    buffer[length + 1] = bytes >>> 8;
    buffer[length + 2] = bytes >>> 16;
    buffer[length + 3] = bytes >>> 24;
  }

  /** Short texts cost less here than the call that copies long ones. */
  #text(text: string, at: number): void {
    const size = text.length;
    if (size > INLINE_TEXT_BYTES) {
      this.buffer.latin1Write(text, at, size);
      return;
    }
    const { buffer } = this;
    for (let i = 0; i < size; i++) buffer[at + i] = text.charCodeAt(i);
  }
}

/** A request as plain values, for callers that do not count nanoseconds. */
export interface WafRequest {
  readonly method: string;
  /** As received, with its query. */
  readonly target: string;
  readonly protocol?: string;
  readonly client?: string;
  readonly clientPort?: number;
  readonly id?: string;
  readonly headers?: readonly (readonly [name: string, value: string])[];
  readonly body?: Uint8Array;
  /** The body is only its begin. */
  readonly bodyTruncated?: boolean;
}

/** Packs a request into `buffer`; returns its bytes, or -1 when it does not fit. */
export function packRequest(buffer: Buffer, request: WafRequest): number {
  const p = new WafPacker(buffer);
  p.begin();
  const flags = request.bodyTruncated === true ? WAF_BODY_TRUNCATED : 0;
  p.head(
    request.method,
    request.target,
    request.protocol ?? 'HTTP/1.1',
    request.client ?? '',
    request.clientPort ?? 0,
    request.id ?? '',
    flags,
  );
  for (const [name, value] of request.headers ?? []) p.header(name, value);
  return p.body(request.body ?? null);
}

/** The body of an answer is only its begin. */
export const WAF_RESPONSE_BODY_TRUNCATED = 1;
/** The body of an answer was not read: its media type is not inspected, it is an event stream, … */
export const WAF_RESPONSE_BODY_NOT_READ = 2;

/**
 * Packs answers as {@link WafPacker} packs requests: `begin`, `head`, `header`…, `body`.
 *
 * Layout: `u8` version 1, `u8` flags, `u16` status; `u16` + protocol; `u16` count of header fields, for each `u16` + name and `u32` + value; `u32` + body.
 */
export class WafResponsePacker {
  readonly #packer: WafPacker;

  constructor(buffer: Buffer) {
    this.#packer = new WafPacker(buffer);
  }

  /** Bytes used, or -1 when something did not fit. */
  get length(): number {
    return this.#packer.length;
  }

  /** As of {@link WafPacker}. */
  get bodyAt(): number {
    return this.#packer.bodyAt;
  }

  /** Status line, and whether the body is whole. */
  head(status: number, protocol: string, flags = 0): void {
    this.#packer.begin();
    this.#packer.answer(status, protocol, flags);
  }

  /** One header field. */
  header(name: string, value: string): void {
    this.#packer.header(name, value);
  }

  /** The body, or its begin; ends the answer. Returns its bytes, or -1. */
  body(bytes: Uint8Array | null): number {
    return this.#packer.body(bytes);
  }
}

/** An answer as plain values, for callers that do not count nanoseconds. */
export interface WafResponse {
  readonly status: number;
  readonly protocol?: string;
  readonly headers?: readonly (readonly [name: string, value: string])[];
  /** Absent: it was not read. */
  readonly body?: Uint8Array;
  readonly bodyTruncated?: boolean;
}

/** Packs an answer into `buffer`; returns its bytes, or -1 when it does not fit. */
export function packResponse(buffer: Buffer, response: WafResponse): number {
  const p = new WafResponsePacker(buffer);
  const notRead = response.body === undefined ? WAF_RESPONSE_BODY_NOT_READ : 0;
  p.head(
    response.status,
    response.protocol ?? 'HTTP/1.1',
    notRead | (response.bodyTruncated === true ? WAF_RESPONSE_BODY_TRUNCATED : 0),
  );
  for (const [name, value] of response.headers ?? []) p.header(name, value);
  return p.body(response.body ?? null);
}
