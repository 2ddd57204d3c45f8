/** The outside of a compact JWS (RFC 7515 §7.1): strict base64url, header and payload as objects, before any key is touched. */
import { isUtf8 } from 'node:buffer';
import { isBase64Url } from '../../base/base64url.ts';
import { repeatedKey } from '../../base/json-keys.ts';

export interface JwsHeader {
  readonly alg: string;
  readonly kid: string | undefined;
}

/** A JSON object from a segment, UTF-8 (RFC 7519 §7.2) and without repeated keys; null when it is anything else. */
export function objectOf(segment: string): Readonly<Record<string, unknown>> | null {
  return objectOfBytes(Buffer.from(segment, 'base64url'));
}

/** The same from bytes. What is not UTF-8 would become U+FFFD, and claims that differ would be one. */
export function objectOfBytes(bytes: Buffer): Readonly<Record<string, unknown>> | null {
  if (!isUtf8(bytes)) return null;
  const text = bytes.toString('utf8');
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== 'object' || value === null || Array.isArray(value) || repeatedKey(text) !== null) return null;
    return value as Record<string, unknown>;
  } catch {
    return null; // Not JSON: the caller refuses the token as malformed.
  }
}

/** The protected header of a well-formed compact JWS, or null. `crit` and `b64` are refused: no extension is understood (RFC 7515 §4.1.11, RFC 7797 §7). */
export function readHeader(token: string): JwsHeader | null {
  const parts = token.split('.', 4);
  const [protectedHeader, payload, signature] = parts;
  if (parts.length !== 3 || protectedHeader === undefined || payload === undefined || signature === undefined)
    return null;
  if (!isBase64Url(protectedHeader) || !isBase64Url(signature) || (payload !== '' && !isBase64Url(payload)))
    return null;
  const header = objectOf(protectedHeader);
  if (header === null || 'crit' in header || 'b64' in header) return null;
  const { alg, kid } = header;
  if (typeof alg !== 'string' || alg === 'none') return null;
  if (kid !== undefined && typeof kid !== 'string') return null;
  return { alg, kid };
}

/** The claims of a token, not verified: only to find its issuer. Null when they are no JSON object. */
export function readClaims(token: string): Readonly<Record<string, unknown>> | null {
  const from = token.indexOf('.') + 1;
  return objectOf(token.slice(from, token.indexOf('.', from)));
}
