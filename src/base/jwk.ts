/** Keys as JSON (RFC 7517): whether one can verify signatures of an algorithm, and is safe to. Both planes ask: before a bundle is taken, and of what an issuer publishes. */
import { createPublicKey, type JsonWebKey as NodeJwk } from 'node:crypto';
import type { JWK } from 'jose';
import { isBase64Url } from './base64url.ts';

/** Why a key can verify nothing under any of these algorithms, or null. */
export function keyFault(jwk: JWK, algorithms: readonly string[]): string | null {
  let why = '';
  for (const algorithm of algorithms) {
    const reason = faultUnder(jwk, algorithm);
    if (reason === null) return null;
    why = moreTelling(why, reason, jwk, algorithm);
  }
  return why;
}

function faultUnder(jwk: JWK, algorithm: string): string | null {
  try {
    return unmeant(jwk, algorithm) ?? unsound(jwk, algorithm);
  } catch (error) {
    // Members of the wrong type.
    return error instanceof Error ? error.message : String(error);
  }
}

/** Of two reasons against a key: that of an algorithm which it is meant for says more than "wrong type". */
export function moreTelling(before: string, reason: string, jwk: JWK, algorithm: string): string {
  return before === '' || NEEDS[algorithm]?.kty === jwk.kty ? reason : before;
}

/** Smallest RSA modulus (RFC 7518 §3.3). Unit: bits. */
const RSA_BITS_MIN = 2048;

/** Which key types an algorithm needs (RFC 7518 §3.1, RFC 8037, RFC 9864): the one table of algorithms. */
const NEEDS: Readonly<Record<string, { readonly kty: string; readonly crv?: string }>> = {
  RS256: { kty: 'RSA' },
  RS384: { kty: 'RSA' },
  RS512: { kty: 'RSA' },
  PS256: { kty: 'RSA' },
  PS384: { kty: 'RSA' },
  PS512: { kty: 'RSA' },
  ES256: { kty: 'EC', crv: 'P-256' },
  ES384: { kty: 'EC', crv: 'P-384' },
  ES512: { kty: 'EC', crv: 'P-521' },
  EdDSA: { kty: 'OKP', crv: 'Ed25519' },
  Ed25519: { kty: 'OKP', crv: 'Ed25519' },
  HS256: { kty: 'oct' },
  HS384: { kty: 'oct' },
  HS512: { kty: 'oct' },
};

/** Shortest HMAC key: as long as the hash (RFC 7518 §3.2). Unit: bytes. */
const HMAC_BYTES_MIN: Readonly<Record<string, number>> = { HS256: 32, HS384: 48, HS512: 64 };

/** Primes whose residues give away keys of the Infineon library (ROCA, CVE-2017-15361): all residues of n are powers of 65537. */
const ROCA_PRIMES = [3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157];

function isRoca(n: bigint): boolean {
  return ROCA_PRIMES.every((p) => {
    const residue = Number(n % BigInt(p));
    for (let power = 1, i = 0; i < p; i++, power = (power * 65_537) % p) if (power === residue) return true;
    return false;
  });
}

/** Why a key is for something else than this algorithm, or null. */
export function unmeant(jwk: JWK, algorithm: string): string | null {
  const needs = NEEDS[algorithm];
  if (needs === undefined) return `algorithm ${algorithm} is not known`;
  if (jwk.kty !== needs.kty) return `key type ${jwk.kty ?? '(none)'} does not fit ${algorithm}`;
  if (needs.crv !== undefined && jwk.crv !== needs.crv) return `curve ${jwk.crv ?? '(none)'} does not fit ${algorithm}`;
  if (jwk.alg !== undefined && jwk.alg !== algorithm && !(isEdwards(jwk.alg) && isEdwards(algorithm))) {
    return `the key is for ${jwk.alg}`;
  }
  if (jwk.use !== undefined && jwk.use !== 'sig') return `the key's use is ${jwk.use}`;
  // Members of the wrong type (RFC 7517 §4) are no leave to overlook what they were to say: a number as name would make the key fit every `kid`.
  if (jwk.kid !== undefined && typeof jwk.kid !== 'string') return 'its name (kid) is no text';
  if (jwk.key_ops !== undefined && !(Array.isArray(jwk.key_ops) && jwk.key_ops.includes('verify')))
    return 'the key may not verify (key_ops)';
  return null;
}

/** What is wrong with the numbers of a key for this algorithm, or null. */
export function unsound(jwk: JWK, algorithm: string): string | null {
  if (jwk.kty === 'RSA') return unfitRsa(jwk) ?? unreadable(jwk);
  const crv = NEEDS[algorithm]?.crv;
  if (crv !== undefined) return unfitPoint(jwk, crv) ?? unreadable(jwk);
  const bytes = bytesOf(jwk.k)?.length ?? 0;
  const least = HMAC_BYTES_MIN[algorithm] ?? 0;
  return bytes < least ? `the secret has ${bytes} bytes; ${algorithm} needs ${least}` : null;
}

/** Why node:crypto does not take a key, or null: it refuses points that are not on their curve. */
function unreadable(jwk: JWK): string | null {
  try {
    createPublicKey({ key: publicPart(jwk) as NodeJwk, format: 'jwk' });
    return null;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function isEdwards(algorithm: string): boolean {
  return algorithm === 'EdDSA' || algorithm === 'Ed25519';
}

function unfitRsa(jwk: JWK): string | null {
  const n = numberOf(jwk.n);
  const e = numberOf(jwk.e);
  if (n === null || e === null) return 'modulus or exponent is missing';
  const bits = n.toString(2).length;
  if (bits < RSA_BITS_MIN) return `the modulus has ${bits} bits; ${RSA_BITS_MIN} are needed`;
  if (e < 3n || e % 2n === 0n) return `exponent ${e} is unsafe`;
  if (n % 2n === 0n) return 'the modulus is even';
  if (isRoca(n)) return 'the key was made by a broken generator (ROCA, CVE-2017-15361)';
  return null;
}

/** Bytes of a coordinate by curve: always all of them, zeros in front included (RFC 7518 §6.2.1.2, RFC 8037 §2). */
const COORDINATE_BYTES: Readonly<Record<string, number>> = { 'P-256': 32, 'P-384': 48, 'P-521': 66, Ed25519: 32 };

/** Whether it lies on its curve is found by {@link unreadable}. */
function unfitPoint(jwk: JWK, crv: string): string | null {
  for (const name of crv === 'Ed25519' ? (['x'] as const) : (['x', 'y'] as const)) {
    const coordinate = bytesOf(jwk[name]);
    if (coordinate === null) return `${name} is missing or no base64url`;
    const least = COORDINATE_BYTES[crv];
    if (coordinate.length !== least) return `${name} has ${coordinate.length} bytes; ${crv} has ${least}`;
    if (crv === 'Ed25519' && isSmallOrder(coordinate)) return 'the point has a small order: anybody can sign for it';
  }
  return null;
}

/**
 * Encodings of the points of Ed25519 whose order divides 8, without the sign's bit (RFC 8032 §5.1.2): under such a key one signature holds for many texts or for all, and
 * OpenSSL does not object. Also those that are not reduced.
 */
const SMALL_ORDER: ReadonlySet<string> = new Set([
  '00'.repeat(32),
  `01${'00'.repeat(31)}`,
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
  `ec${'ff'.repeat(30)}7f`,
  `ed${'ff'.repeat(30)}7f`,
  `ee${'ff'.repeat(30)}7f`,
]);

function isSmallOrder(point: Buffer): boolean {
  const unsigned = Buffer.from(point);
  unsigned[31] = (unsigned[31] ?? 0) & 0x7f;
  return SMALL_ORDER.has(unsigned.toString('hex'));
}

function numberOf(base64url: unknown): bigint | null {
  const bytes = bytesOf(base64url);
  return bytes === null ? null : BigInt(`0x${bytes.toString('hex')}`);
}

/** Bytes of a member, or null: `Buffer` by itself overlooks what is not of the alphabet. */
function bytesOf(base64url: unknown): Buffer | null {
  return typeof base64url === 'string' && isBase64Url(base64url) ? Buffer.from(base64url, 'base64url') : null;
}

/** A verifier has no business with private parts. `alg` and `key_ops` were checked; without them import does not object to a pinned algorithm. */
export function publicPart(jwk: JWK): JWK {
  const all = jwk as Readonly<Record<string, unknown>>;
  const names = jwk.kty === 'oct' ? ['kty', 'k'] : ['kty', 'crv', 'x', 'y', 'n', 'e'];
  return Object.fromEntries(names.flatMap((n) => (all[n] === undefined ? [] : [[n, all[n]]]))) as JWK;
}
