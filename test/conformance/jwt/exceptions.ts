/**
 * Where a vector's verdict is not that of a gateway for bearer tokens: classes by what the vector is, each with its reason. A vector never has its
 * own row.
 */
import type { KeySet } from './verifier.ts';

export interface Vector {
  readonly id: string;
  /** The serialized JWS: compact, or JSON as text. */
  readonly jws: string;
  readonly keys: KeySet;
  readonly verdict: 'valid' | 'invalid' | 'acceptable';
  /** What the authors say it is about; empty when they do not. */
  readonly comment: string;
}

export interface ExceptionRow {
  readonly class: string;
  readonly reason: string;
  /** The authors' verdict that it is about. */
  readonly of: 'valid' | 'invalid';
  readonly applies: (vector: Vector) => boolean;
  /** What the gateway must say then: `invalid`, or anything (`either`, marked as a warning). */
  readonly wanted: 'invalid' | 'either';
}

const REGISTERED = new Set(
  'HS256 HS384 HS512 RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 EdDSA Ed25519 Ed448 ES256K'.split(' '),
);

/** Read from top to bottom; the first that applies counts. */
export const EXCEPTIONS: readonly ExceptionRow[] = [
  {
    class: 'json-serialization',
    of: 'valid',
    reason: 'a JWT is always in compact serialization (RFC 7519 §3); a bearer token cannot be JSON (RFC 6750 §2.1)',
    applies: ({ jws }) => jws.trimStart().startsWith('{'),
    wanted: 'invalid',
  },
  {
    class: 'unencoded-payload',
    of: 'valid',
    reason: '`b64: false` must not be used in JWTs (RFC 7797 §7)',
    applies: ({ jws }) => headerOf(jws)['b64'] === false,
    wanted: 'invalid',
  },
  {
    class: 'detached-payload',
    of: 'valid',
    reason: 'the payload is not in the token (RFC 7515 appendix F); a gateway has nothing to put in its place',
    applies: ({ jws, id }) => /^[^.]+\.\.[^.]+$/.test(jws) && id.includes('detached'),
    wanted: 'invalid',
  },
  {
    class: 'not-base64url',
    of: 'valid',
    reason:
      'a segment with bytes outside the base64url alphabet (RFC 7515 §2) cannot be a bearer token either (RFC 6750 §2.1)',
    applies: ({ jws }) => /[^A-Za-z0-9_.-]/.test(jws),
    wanted: 'either',
  },
  {
    class: 'unregistered-algorithm',
    of: 'valid',
    reason:
      'the key declares an algorithm that is not registered (RFC 7517 §4.4), so that no pinned one agrees with it',
    applies: ({ keys }) => keys.keys.some((key) => key.alg !== undefined && !REGISTERED.has(key.alg)),
    wanted: 'either',
  },
  {
    class: 'algorithm-differs-from-key',
    of: 'valid',
    reason:
      'the token’s algorithm is not the one that its key declares (RFC 7517 §4.4), which the same collection calls invalid elsewhere',
    applies: ({ jws, keys }) => keys.keys.every((key) => key.alg !== undefined && key.alg !== headerOf(jws)['alg']),
    wanted: 'either',
  },
  {
    class: 'fault-not-in-vector',
    of: 'invalid',
    reason: 'the vector is to have base64 padding and has none: its bytes are those of a good token',
    applies: ({ jws, comment }) => /base64 ?padding/i.test(comment) && !jws.includes('='),
    wanted: 'either',
  },
];

function headerOf(jws: string): Record<string, unknown> {
  try {
    return JSON.parse(Buffer.from(jws.split('.', 1)[0] ?? '', 'base64url').toString('utf8')) as Record<string, unknown>;
  } catch {
    return {}; // No header that could be read: no exception rests on one.
  }
}
