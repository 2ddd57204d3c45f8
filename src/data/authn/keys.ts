/** Keys of one issuer: imported once, chosen by `kid` and pinned algorithm, weak ones left out. */
import { createPublicKey, type JsonWebKey as NodeJwk } from 'node:crypto';
import { compactVerify, type CryptoKey, importJWK, type JWK } from 'jose';
import { isBase64Url, readHeader } from './jws.ts';

/** Keys kept of one set; the rest is ignored and said. */
export const KEYS_MAX = 64;
/** Smallest RSA modulus (RFC 7518 §3.3). Unit: bits. */
const RSA_BITS_MIN = 2048;

export interface VerifyKey {
  readonly kid: string | undefined;
  readonly algorithm: string;
  readonly key: CryptoKey | Uint8Array;
}

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
function unmeant(jwk: JWK, algorithm: string): string | null {
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
function unsound(jwk: JWK, algorithm: string): string | null {
  if (jwk.kty === 'RSA') return unfitRsa(jwk);
  const crv = NEEDS[algorithm]?.crv;
  if (crv !== undefined) return unfitPoint(jwk, crv);
  const bytes = bytesOf(jwk.k)?.length ?? 0;
  const least = HMAC_BYTES_MIN[algorithm] ?? 0;
  return bytes < least ? `the secret has ${bytes} bytes; ${algorithm} needs ${least}` : null;
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

/** Whether it lies on its curve is found by whoever imports it. */
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

/** Imports what can be used of a JWKS under pinned algorithms. `rejected` says which keys were left out and why. */
export async function importKeys(
  jwks: unknown,
  algorithms: readonly string[],
): Promise<{ readonly keys: readonly VerifyKey[]; readonly rejected: readonly string[] }> {
  const list = (jwks as { keys?: unknown } | null)?.keys;
  if (!Array.isArray(list)) return { keys: [], rejected: ['the key set has no array `keys`'] };
  const keys: VerifyKey[] = [];
  const rejected: string[] = [];
  const names = new Names();
  if (list.length > KEYS_MAX) rejected.push(`only the first ${KEYS_MAX} of ${list.length} keys are used`);
  for (const [i, jwk] of (list.slice(0, KEYS_MAX) as JWK[]).entries()) {
    const name = typeof jwk?.kid === 'string' ? `key "${jwk.kid}"` : `key ${i}`;
    if (typeof jwk !== 'object' || jwk === null) {
      rejected.push(`${name} is no object`);
      continue;
    }
    let why = '';
    let fits = false;
    for (const algorithm of algorithms) {
      try {
        // Within the try: a key set comes from elsewhere, and members of the wrong type must cost this key, not the lane.
        const other = unmeant(jwk, algorithm);
        // Counted also when it cannot be used: a token may have been meant for it.
        if (other === null && jwk.kid !== undefined) names.count(jwk.kid, algorithm);
        const reason = other ?? unsound(jwk, algorithm);
        if (reason !== null) {
          // The reason of an algorithm that the key is meant for says more than "wrong type".
          if (why === '' || NEEDS[algorithm]?.kty === jwk.kty) why = reason;
          continue;
        }
        // node:crypto first: it refuses points that are not on their curve.
        if (jwk.kty !== 'oct') createPublicKey({ key: publicPart(jwk) as NodeJwk, format: 'jwk' });
        const key = await importJWK(publicPart(jwk), algorithm);
        keys.push({ kid: typeof jwk.kid === 'string' ? jwk.kid : undefined, algorithm, key });
        fits = true;
      } catch (error) {
        why = error instanceof Error ? error.message : String(error);
      }
    }
    if (!fits) rejected.push(`${name}: ${why}`);
  }
  return { keys: keys.filter((key) => !names.ambiguous(key, rejected)), rejected };
}

/** How many keys of a set have a name for an algorithm. Of several, which one is meant cannot be told (RFC 7517 §4.5), so none is used. */
class Names {
  readonly #counts = new Map<string, number>();
  readonly #said = new Set<string>();

  count(kid: string, algorithm: string): void {
    const name = `${algorithm} ${kid}`;
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + 1);
  }

  /** Says so once for each name. */
  ambiguous({ kid, algorithm }: VerifyKey, rejected: string[]): boolean {
    const name = `${algorithm} ${kid ?? ''}`;
    const count = kid === undefined ? 0 : (this.#counts.get(name) ?? 0);
    if (count <= 1) return false;
    if (!this.#said.has(name)) rejected.push(`key "${kid ?? ''}": ${count} keys have this name for ${algorithm}`);
    this.#said.add(name);
    return true;
  }
}

/** A verifier has no business with private parts. `alg` and `key_ops` were checked; without them import does not object to a pinned algorithm. */
function publicPart(jwk: JWK): JWK {
  const all = jwk as Readonly<Record<string, unknown>>;
  const names = jwk.kty === 'oct' ? ['kty', 'k'] : ['kty', 'crv', 'x', 'y', 'n', 'e'];
  return Object.fromEntries(names.flatMap((n) => (all[n] === undefined ? [] : [[n, all[n]]]))) as JWK;
}

export type SignatureResult =
  | { readonly kind: 'valid'; readonly payload: Uint8Array }
  | { readonly kind: 'invalid'; readonly why: string }
  | { readonly kind: 'unknownKid'; readonly kid: string };

/** Keys tried for a token without `kid`. */
const TRIES_MAX = 4;

/** Checks the signature of a compact JWS: pinned algorithms, keys of its `kid` before those without a name; without one every fitting key. At most four. */
export async function verifySignature(
  token: string,
  keys: readonly VerifyKey[],
  algorithms: readonly string[],
): Promise<SignatureResult> {
  const header = readHeader(token);
  if (header === null) return { kind: 'invalid', why: 'no well-formed compact JWS' };
  if (!algorithms.includes(header.alg))
    return { kind: 'invalid', why: `algorithm ${header.alg} is not among the pinned ones` };
  const { kid } = header;
  const fitting = keys.filter((k) => k.algorithm === header.alg && (kid === undefined || k.kid === kid));
  if (kid !== undefined) fitting.push(...keys.filter((k) => k.algorithm === header.alg && k.kid === undefined));
  for (const candidate of fitting.slice(0, TRIES_MAX)) {
    try {
      const { payload } = await compactVerify(token, candidate.key, { algorithms: [header.alg] });
      return { kind: 'valid', payload };
    } catch {
      // Not this key; the verdict after the last one says so.
    }
  }
  // Newer keys may have the name, though one without a name was tried.
  if (kid !== undefined && !keys.some((k) => k.kid === kid)) return { kind: 'unknownKid', kid };
  return {
    kind: 'invalid',
    why: fitting.length === 0 ? `no key for algorithm ${header.alg}` : 'the signature does not match',
  };
}
