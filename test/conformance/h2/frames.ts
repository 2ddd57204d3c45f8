/** Frames of HTTP/2 (RFC 9113 §4, §6) as bytes, and heads in the simplest HPACK (RFC 7541): written for tests, so that anything can be written, right or wrong. */

export const TYPE = {
  data: 0x0,
  headers: 0x1,
  priority: 0x2,
  rstStream: 0x3,
  settings: 0x4,
  pushPromise: 0x5,
  ping: 0x6,
  goaway: 0x7,
  windowUpdate: 0x8,
  continuation: 0x9,
} as const;

export const FLAG = { endStream: 0x1, ack: 0x1, endHeaders: 0x4, padded: 0x8, priority: 0x20 } as const;

export const CODES: readonly string[] = [
  'NO_ERROR',
  'PROTOCOL_ERROR',
  'INTERNAL_ERROR',
  'FLOW_CONTROL_ERROR',
  'SETTINGS_TIMEOUT',
  'STREAM_CLOSED',
  'FRAME_SIZE_ERROR',
  'REFUSED_STREAM',
  'CANCEL',
  'COMPRESSION_ERROR',
  'CONNECT_ERROR',
  'ENHANCE_YOUR_CALM',
  'INADEQUATE_SECURITY',
  'HTTP_1_1_REQUIRED',
];

export const PROTOCOL_ERROR = 1;
export const STREAM_CLOSED = 5;
export const CANCEL = 8;
export const COMPRESSION_ERROR = 9;

export const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');
export const HEADER_BYTES = 9;
const EMPTY = Buffer.alloc(0);

export interface FrameHeader {
  readonly length: number;
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
}

export interface Frame extends FrameHeader {
  readonly payload: Buffer;
}

export function codeName(code: number): string {
  return CODES[code] ?? `code ${code}`;
}

export function frame(type: number, flags: number, stream: number, payload: Buffer = EMPTY): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES + payload.length);
  bytes.writeUIntBE(payload.length, 0, 3);
  bytes[3] = type;
  bytes[4] = flags;
  bytes.writeUInt32BE(stream, 5);
  payload.copy(bytes, HEADER_BYTES);
  return bytes;
}

/** The header at the beginning of `bytes`, which has 9 bytes at least. */
export function headerOf(bytes: Buffer): FrameHeader {
  return {
    length: bytes.readUIntBE(0, 3),
    type: bytes[3] ?? 0,
    flags: bytes[4] ?? 0,
    stream: bytes.readUInt32BE(5) & 0x7fff_ffff,
  };
}

/** The same frame on another stream. */
export function onStream(wire: Buffer, stream: number): Buffer {
  const moved = Buffer.from(wire);
  moved.writeUInt32BE(stream, 5);
  return moved;
}

export function word(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
}

export const ping = (payload: Buffer): Buffer => frame(TYPE.ping, 0, 0, payload);
export const rstStream = (stream: number, code: number): Buffer => frame(TYPE.rstStream, 0, stream, word(code));
export const windowUpdate = (stream: number, increment: number): Buffer =>
  frame(TYPE.windowUpdate, 0, stream, word(increment));
export const priority = (stream: number, dependency: number): Buffer =>
  frame(TYPE.priority, 0, stream, Buffer.concat([word(dependency), Buffer.from([15])]));
export const data = (stream: number, payload: Buffer, end: boolean): Buffer =>
  frame(TYPE.data, end ? FLAG.endStream : 0, stream, payload);

export function settings(values: readonly (readonly [number, number])[]): Buffer {
  const payload = values.map(([id, value]) => Buffer.concat([Buffer.from([id >> 8, id & 255]), word(value)]));
  return frame(TYPE.settings, 0, 0, Buffer.concat(payload));
}

/** HEADERS with the whole block. */
export function headers(stream: number, block: Buffer, end: boolean): Buffer {
  return frame(TYPE.headers, FLAG.endHeaders | (end ? FLAG.endStream : 0), stream, block);
}

/** An integer of HPACK (RFC 7541 §5.1) behind `first`'s pattern bits. */
function integer(pattern: number, bits: number, value: number): Buffer {
  const max = 2 ** bits - 1;
  if (value < max) return Buffer.from([pattern | value]);
  const bytes = [pattern | max];
  let rest = value - max;
  for (; rest >= 128; rest >>>= 7) bytes.push((rest & 127) | 128);
  bytes.push(rest);
  return Buffer.from(bytes);
}

function text(value: string): Buffer {
  return Buffer.concat([integer(0, 7, Buffer.byteLength(value, 'latin1')), Buffer.from(value, 'latin1')]);
}

/** A literal field; `indexed`: it goes into the dynamic table (RFC 7541 §6.2). */
export function field(name: string, value: string, indexed = false): Buffer {
  return Buffer.concat([Buffer.from([indexed ? 0x40 : 0x00]), text(name), text(value)]);
}

/** A field of the tables by its index (RFC 7541 §6.1). */
export const indexedField = (index: number): Buffer => integer(0x80, 7, index);

/** The header block of a request. */
export function requestBlock(
  method: 'GET' | 'POST',
  path: string,
  scheme: string,
  more: readonly Buffer[] = [],
): Buffer {
  return Buffer.concat([
    field(':method', method),
    field(':scheme', scheme),
    field(':path', path),
    field(':authority', 'good.test'),
    ...more,
  ]);
}

/** The status of a response's block, when it is one of those that stand in the static table (RFC 7541 appendix A), as encoders write them; else 0. */
export function statusOf(block: Buffer): number {
  let at = 0;
  // Changes of the table's size come first: integers of five bits and more.
  while (((block[at] ?? 0) & 0xe0) === 0x20) {
    const long = ((block[at++] ?? 0) & 0x1f) === 0x1f;
    if (long) while (((block[at++] ?? 0) & 0x80) !== 0);
  }
  return [200, 204, 206, 304, 400, 404, 500][(block[at] ?? 0) - 0x88] ?? 0;
}
