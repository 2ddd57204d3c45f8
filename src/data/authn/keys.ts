/** Keys of one issuer: imported once, chosen by `kid` and pinned algorithm, weak ones left out. */
import { compactVerify, type CryptoKey, importJWK, type JWK } from 'jose';
import { moreTelling, publicPart, unmeant, unsound } from '../../base/jwk.ts';
import { readHeader } from './jws.ts';

/** Keys kept of one set; the rest is ignored and said. */
export const KEYS_MAX = 64;

export interface VerifyKey {
  readonly kid: string | undefined;
  readonly algorithm: string;
  readonly key: CryptoKey | Uint8Array;
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
          why = moreTelling(why, reason, jwk, algorithm);
          continue;
        }
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
