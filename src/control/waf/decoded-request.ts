/** A packed request whose body is coded, as rules are to see it: decoded, within a bound, so that no bomb takes a worker's memory. */
import { brotliDecompressSync, constants, gunzipSync, inflateRawSync, inflateSync, type ZlibOptions } from 'node:zlib';
import { POOL_DECODED_TOO_LONG, POOL_UNDECODABLE, type WafCoding } from '../../snapshot/waf-batch.ts';

/** Codings of one body; more than one is odd, more than these are an attack. */
const CODINGS_MAX = 2;
/** Bytes of a length in a packed request (native/waf.ts). */
const LENGTH_BYTES = 4;

type Decode = (bytes: Uint8Array, options: ZlibOptions) => Uint8Array;

const DECODERS: ReadonlyMap<string, Decode> = new Map<string, Decode>([
  ['gzip', gunzipSync],
  ['x-gzip', gunzipSync],
  // RFC 9110 §8.4.1.2 means zlib's format; some senders leave its head away.
  ['deflate', (bytes, options) => ((bytes[0] ?? 0) % 16 === 8 ? inflateSync : inflateRawSync)(bytes, options)],
  [
    'br',
    (bytes, options) =>
      brotliDecompressSync(bytes, {
        maxOutputLength: options.maxOutputLength ?? 0,
        finishFlush: constants.BROTLI_OPERATION_FLUSH,
      }),
  ],
]);

/** The request with its body decoded, or the verdict of one byte that says why there is none. A body of which only the begin is there is decoded as far as it goes. */
export function decodedRequest(request: Uint8Array, coding: WafCoding): Uint8Array | number {
  const bodyAt = request.length - coding.bodyBytes;
  const body = decoded(request.subarray(bodyAt), coding);
  if (typeof body === 'number') return body;
  const out = Buffer.allocUnsafe(bodyAt + body.length);
  out.set(request.subarray(0, bodyAt));
  out.writeUInt32LE(body.length, bodyAt - LENGTH_BYTES);
  out.set(body, bodyAt);
  return out;
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
      bytes = decode(bytes, { maxOutputLength: Math.max(1, decodedBytesMax), finishFlush: constants.Z_SYNC_FLUSH });
    } catch (error) {
      return (error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE'
        ? POOL_DECODED_TOO_LONG
        : POOL_UNDECODABLE;
    }
  }
  return bytes;
}
