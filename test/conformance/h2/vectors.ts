/**
 * The frames of h2-frame-test-case. Each is sent twice as it stands (at once, and byte by byte) as the first frame after the handshake; and once in a legal
 * place, where there is one: on a stream that is in the state which the frame needs, with a header block that is one.
 */
import type { DataDirectory } from '../data.ts';
import {
  COMPRESSION_ERROR,
  data,
  FLAG,
  frame,
  type FrameHeader,
  HEADER_BYTES,
  headerOf,
  headers,
  onStream,
  PROTOCOL_ERROR,
  requestBlock,
  STREAM_CLOSED,
  TYPE,
} from './frames.ts';

export const VECTORS = 'h2-frame-test-case';
/** The stream on which a frame is placed. */
const STREAM = 1;
const FIXED_PRIORITY_BYTES = 5;

export interface Vector {
  /** Its path without the ending: `data/normal`. */
  readonly id: string;
  readonly description: string;
  readonly wire: Buffer;
  /** Codes that a peer may name; undefined: the frame is valid. */
  readonly error: readonly number[] | undefined;
}

/** What must come of it. */
export interface Due {
  /** Codes of which one must be told, or the connection be closed. */
  readonly error?: readonly number[];
  /** An error with one of `error` is as good as being taken. */
  readonly mayError?: boolean;
  /** The request on this stream is answered. */
  readonly answer?: number;
  /** SETTINGS, or PING with this payload, is acknowledged once more than the handshake did. */
  readonly settingsAck?: boolean;
  readonly pingAck?: Buffer;
  /** The peer may leave in peace. */
  readonly mayLeave?: boolean;
}

export interface Plan {
  readonly id: string;
  readonly description: string;
  readonly before: Buffer;
  readonly wire: Buffer;
  readonly after: Buffer;
  /** One byte a write. */
  readonly bytewise: boolean;
  readonly due: Due;
}

export function readVectors(directory: DataDirectory): Vector[] {
  return directory.files(VECTORS, '.json').map((file) => {
    const value = directory.json(VECTORS, file) as Record<string, unknown>;
    const { wire, error, description } = value;
    if (typeof wire !== 'string' || !/^(?:[0-9a-f]{2}){9,}$/i.test(wire))
      throw new Error(`${VECTORS}/${file}: "wire" is not a frame in hexadecimal digits`);
    if (error !== null && !(Array.isArray(error) && error.every((code) => Number.isInteger(code))))
      throw new Error(`${VECTORS}/${file}: "error" is neither null nor a list of codes`);
    return {
      id: file.replace(/\.json$/, ''),
      description: typeof description === 'string' ? description : '',
      wire: Buffer.from(wire, 'hex'),
      error: error === null ? undefined : (error as number[]),
    };
  });
}

export function plansOf(vector: Vector, scheme: string): Plan[] {
  const none = Buffer.alloc(0);
  const first = {
    before: none,
    after: none,
    wire: vector.wire,
    description: vector.description,
    due: dueFirst(vector),
  };
  const plans: Plan[] = [
    { ...first, id: `${vector.id}/first`, bytewise: false },
    { ...first, id: `${vector.id}/bytewise`, bytewise: true },
  ];
  const placed = placedOf(vector, scheme);
  if (placed !== undefined)
    plans.push({ ...placed, id: `${vector.id}/placed`, description: vector.description, bytewise: false });
  return plans;
}

/** As the first frame after the handshake, when no stream is open. */
function dueFirst({ wire, error }: Vector): Due {
  const header = headerOf(wire);
  const { type } = header;
  const place = errorOfPlace(header);
  if (error !== undefined) return { error: [...error, ...place] };
  if (place.length > 0) return { error: place };
  if (type === TYPE.headers) {
    // Whether the block is one nobody says: refused for it, reset, or answered.
    const broken = { error: [COMPRESSION_ERROR, PROTOCOL_ERROR], mayError: true };
    return (header.flags & FLAG.endHeaders) === 0 ? { error: [PROTOCOL_ERROR, COMPRESSION_ERROR] } : broken;
  }
  return acknowledged(header, wire);
}

/** Codes that RFC 9113 gives a client's frame on a connection without streams, for where it stands; none when it may stand there. */
function errorOfPlace({ type, stream }: FrameHeader): number[] {
  switch (type) {
    case TYPE.data:
    case TYPE.rstStream:
    case TYPE.continuation:
      // §5.1: idle, or nobody's.
      return [PROTOCOL_ERROR, STREAM_CLOSED];
    case TYPE.windowUpdate:
      return stream === 0 ? [] : [PROTOCOL_ERROR, STREAM_CLOSED];
    case TYPE.headers:
      return stream % 2 === 0 ? [PROTOCOL_ERROR, STREAM_CLOSED] : [];
    case TYPE.pushPromise:
      // §8.4: a client cannot push.
      return [PROTOCOL_ERROR];
    default:
      return [];
  }
}

function acknowledged({ type, flags }: FrameHeader, wire: Buffer): Due {
  if (type === TYPE.settings && (flags & FLAG.ack) === 0) return { settingsAck: true };
  if (type === TYPE.ping && (flags & FLAG.ack) === 0) return { pingAck: wire.subarray(HEADER_BYTES) };
  return type === TYPE.goaway ? { mayLeave: true } : {};
}

/** In a place where the frame is legal, or would be if it were whole. */
function placedOf(vector: Vector, scheme: string): Omit<Plan, 'id' | 'description' | 'bytewise'> | undefined {
  const { wire, error } = vector;
  const header = headerOf(wire);
  const { type, stream, flags } = header;
  const block = requestBlock('POST', '/', scheme);
  const none = Buffer.alloc(0);
  const open = headers(STREAM, block, false);
  const end = data(STREAM, none, true);
  const moved = onStream(wire, STREAM);
  const failing = error === undefined ? undefined : { error };
  const ended = (flags & FLAG.endStream) !== 0;
  switch (type) {
    case TYPE.pushPromise:
      return undefined;
    case TYPE.settings:
    case TYPE.goaway:
    case TYPE.ping:
      return {
        before: open,
        wire,
        after: end,
        due: failing ?? { ...acknowledged(header, wire), answer: STREAM },
      };
    default:
      // That the frame belongs to no stream, or to the connection, is what the vector is about.
      if (stream === 0) {
        return error === undefined ? { before: open, wire, after: end, due: { answer: STREAM } } : undefined;
      }
  }
  switch (type) {
    case TYPE.headers: {
      if (error !== undefined) return { before: none, wire: moved, after: none, due: { error } };
      const whole = (flags & FLAG.endHeaders) !== 0;
      return {
        before: none,
        wire: withBlock(moved, whole ? block : block.subarray(0, block.length / 2)),
        after: Buffer.concat([
          whole ? none : frame(TYPE.continuation, FLAG.endHeaders, STREAM, block.subarray(block.length / 2)),
          ended ? none : end,
        ]),
        due: { answer: STREAM },
      };
    }
    case TYPE.continuation: {
      const [one, two, three] = [block.subarray(0, 10), block.subarray(10, 20), block.subarray(20)];
      const before = frame(TYPE.headers, 0, STREAM, one);
      if (error !== undefined) return { before, wire: moved, after: none, due: { error } };
      const whole = (flags & FLAG.endHeaders) !== 0;
      const empty = header.length === 0;
      const rest = empty ? block.subarray(10) : three;
      return {
        before: whole ? frame(TYPE.headers, 0, STREAM, empty ? block : block.subarray(0, 10)) : before,
        wire: empty ? moved : withBlock(moved, whole ? block.subarray(10) : two),
        after: Buffer.concat([whole ? none : frame(TYPE.continuation, FLAG.endHeaders, STREAM, rest), end]),
        due: { answer: STREAM },
      };
    }
    case TYPE.rstStream:
      return { before: open, wire: moved, after: none, due: failing ?? {} };
    case TYPE.data:
      return { before: open, wire: moved, after: ended ? none : end, due: failing ?? { answer: STREAM } };
    default:
      return { before: open, wire: moved, after: end, due: failing ?? { answer: STREAM } };
  }
}

/** The frame with another header block: padding, priority and flags stay. */
function withBlock(wire: Buffer, block: Buffer): Buffer {
  const { flags, type, stream } = headerOf(wire);
  const payload = wire.subarray(HEADER_BYTES);
  const padded = type === TYPE.headers && (flags & FLAG.padded) !== 0;
  const padding = padded ? (payload[0] ?? 0) : 0;
  const fixed = (padded ? 1 : 0) + (type === TYPE.headers && (flags & FLAG.priority) !== 0 ? FIXED_PRIORITY_BYTES : 0);
  const parts = [payload.subarray(0, fixed), block, payload.subarray(payload.length - padding)];
  return frame(type, flags, stream, Buffer.concat(parts));
}
