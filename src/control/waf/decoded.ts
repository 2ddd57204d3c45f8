/**
 * A packed request or answer whose body is coded, as rules are to see it: decoded, within a bound, so that no bomb takes a worker's memory. What another decoder could read differently is
 * not decoded at all: bytes behind the end, and what is both of the two forms that go by the name of deflate.
 */
import {
  brotliDecompressSync,
  type BrotliOptions,
  constants,
  gunzipSync,
  inflateRawSync,
  inflateSync,
  zstdDecompressSync,
} from 'node:zlib';
import { WAF_BODY_TRUNCATED } from '../../native/waf.ts';
import { POOL_DECODED_TOO_LONG, POOL_UNDECODABLE, type WafCoding } from '../../snapshot/waf-batch.ts';

/** Codings of one body; more than one is odd, more than these are an attack. */
const CODINGS_MAX = 2;
/** Frames of one zstd body, which follow one another (RFC 8878 §3). */
const FRAMES_MAX = 64;
/** Largest window of such a frame, as a power of two: a decoder must have 8 MiB for it (RFC 9659). */
const ZSTD_WINDOW_LOG_MAX = 23;
/** Bytes of a length in what was packed, and where its flags stand (native/waf.ts). */
const LENGTH_BYTES = 4;
const FLAGS_AT = 1;
/** Beginnings of a body that are tried until one is found that decodes to no more than its bound. */
const BEGINS_MAX = 10;

/** Bytes that a decoder has made of those that it has read. */
interface Read {
  readonly out: Buffer;
  readonly used: number;
}
type Decode = (bytes: Uint8Array, bytesMax: number) => Read;
/** What Node's decoders answer with `info`; its types do not say so. */
interface Told {
  readonly buffer: Buffer;
  readonly engine: { readonly bytesWritten: number };
}
type Zlib = (bytes: Uint8Array, options: BrotliOptions) => unknown;

/** A decoder of Node. A body of which only the begin is there is decoded as far as it goes. */
function zlib(decode: Zlib, finishFlush: number, params: Readonly<Record<number, number>> = {}): Decode {
  return (bytes, bytesMax) => {
    const options = { maxOutputLength: Math.max(1, bytesMax), finishFlush, info: true, params };
    const { buffer, engine } = decode(bytes, options) as Told;
    return { out: buffer, used: engine.bytesWritten };
  };
}

const gunzip = zlib(gunzipSync, constants.Z_SYNC_FLUSH);
const inflate = zlib(inflateSync, constants.Z_SYNC_FLUSH);
const inflateRaw = zlib(inflateRawSync, constants.Z_SYNC_FLUSH);
const zstdFrame = zlib(zstdDecompressSync, constants.ZSTD_e_flush, {
  [constants.ZSTD_d_windowLogMax]: ZSTD_WINDOW_LOG_MAX,
});

const DECODERS: ReadonlyMap<string, Decode> = new Map<string, Decode>([
  ['gzip', gunzip],
  ['x-gzip', gunzip],
  ['deflate', deflate],
  ['br', zlib(brotliDecompressSync, constants.BROTLI_OPERATION_FLUSH)],
  ['zstd', zstd],
]);

/** What was packed with its body decoded, or the verdict of one byte that says why there is none. `coded`: the body, if it was packed without. */
export function decodedPacked(
  packed: Uint8Array,
  coding: WafCoding,
  coded: Uint8Array = packed.subarray(coding.bodyAt, coding.bodyAt + coding.bodyBytes),
): Uint8Array | number {
  const { bodyAt, bodyBytes, beginIsEnough } = coding;
  const end = bodyAt + bodyBytes;
  let body = decoded(coded, coding);
  const cut = body === POOL_DECODED_TOO_LONG && beginIsEnough;
  if (cut) body = beginOf(coded, coding);
  if (typeof body === 'number') return body;
  const out = Buffer.allocUnsafe(packed.length - bodyBytes + body.length);
  out.set(packed.subarray(0, bodyAt));
  if (cut) out[FLAGS_AT] = (out[FLAGS_AT] ?? 0) | WAF_BODY_TRUNCATED;
  out.writeUInt32LE(body.length, bodyAt - LENGTH_BYTES);
  out.set(body, bodyAt);
  out.set(packed.subarray(end), bodyAt + body.length);
  return out;
}

/** The longest of some beginnings of a body that is too long: of one that is coded evenly all but a thousandth. */
function beginOf(body: Uint8Array, coding: WafCoding): Uint8Array | number {
  let best: Uint8Array | number = POOL_DECODED_TOO_LONG;
  let fits = 0;
  let tooLong = body.length;
  for (let i = 0; i < BEGINS_MAX && tooLong - fits > 1; i++) {
    const middle = (fits + tooLong) >>> 1;
    const begin = decoded(body.subarray(0, middle), coding);
    if (begin === POOL_DECODED_TOO_LONG) tooLong = middle;
    else if (typeof begin === 'number') return begin;
    else {
      fits = middle;
      best = begin;
    }
  }
  return best;
}

function decoded(body: Uint8Array, { coding, decodedBytesMax }: WafCoding): Uint8Array | number {
  const names = coding
    .split(',')
    .map((name) => name.trim().toLowerCase())
    .filter((name) => name !== 'identity' && name !== '');
  if (names.length > CODINGS_MAX) return POOL_UNDECODABLE;
  let bytes = body;
  // The last one was applied last.
  for (const name of names.toReversed()) {
    const decode = DECODERS.get(name);
    if (decode === undefined) return POOL_UNDECODABLE;
    try {
      const { out, used } = decode(bytes, decodedBytesMax);
      if (used < bytes.length) return POOL_UNDECODABLE;
      if (out.length > decodedBytesMax) return POOL_DECODED_TOO_LONG;
      bytes = out;
    } catch (error) {
      return (error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE'
        ? POOL_DECODED_TOO_LONG
        : POOL_UNDECODABLE;
    }
  }
  return bytes;
}

/** RFC 9110 §8.4.1.2 means zlib's format; some senders leave its head away. What can be read as either is neither: whoever made it wants it read in two ways. */
function deflate(bytes: Uint8Array, bytesMax: number): Read {
  const wrapped = attempt(inflate, bytes, bytesMax);
  const raw = attempt(inflateRaw, bytes, bytesMax);
  const one = wrapped ?? raw;
  if (one === null || (wrapped !== null && raw !== null))
    throw new Error('this is no deflate, or may be either form of it');
  return one;
}

/** Null: it cannot be read so. What is too long is not tried in another way. */
function attempt(decode: Decode, bytes: Uint8Array, bytesMax: number): Read | null {
  try {
    return decode(bytes, bytesMax);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') throw error;
    return null;
  }
}

/** Node reads one frame; a body may have many, and their contents follow one another. */
function zstd(bytes: Uint8Array, bytesMax: number): Read {
  const parts: Buffer[] = [];
  let used = 0;
  let made = 0;
  for (let i = 0; i < FRAMES_MAX && used < bytes.length; i++) {
    const frame = zstdFrame(bytes.subarray(used), bytesMax - made);
    if (frame.used === 0) break;
    parts.push(frame.out);
    made += frame.out.length;
    used += frame.used;
  }
  return { out: Buffer.concat(parts), used };
}
