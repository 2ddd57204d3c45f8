import { createHash, createPublicKey, type KeyObject } from 'node:crypto';
import { parseDigest } from '../oci/digest.ts';
import type { SignatureFormat } from '../oci/source.ts';
import { decodeBase64 } from './base64.ts';

export type KeyAlgorithm = 'ecdsa-p256' | 'ed25519';
/** `builder` signs bundles, `promoter` channel indexes. */
export type KeyRole = 'builder' | 'promoter';
/** `tag`: an older bundle that the tag points to again is a legitimate rollback. `endorsed`: only a newer one is taken. */
export type RollbackMode = 'tag' | 'endorsed';

export interface TrustedKey {
  /** A name for people, in logs and status. */
  readonly id: string;
  /** Public key: base64 of the DER SubjectPublicKeyInfo, what a PEM file holds between its lines. */
  readonly spki: string;
  /** Pinned here; never read from a signature. */
  readonly alg: KeyAlgorithm;
  readonly roles: readonly KeyRole[];
  /** UTC date or time after which nothing new is taken on this key. */
  readonly notAfter?: string;
  /** `revoked`: also what is stored already and signed only by this key is not served again after a restart. */
  readonly status?: 'active' | 'revoked';
}

/** The local trust policy: plain data, already checked against its schema by whoever read the file. */
export interface TrustPolicy {
  /** Raise it when keys are replaced after a compromise: it resets sequence and floor. */
  readonly epoch: number;
  readonly keys: readonly TrustedKey[];
  /** How many distinct builder keys must have signed. */
  readonly threshold: number;
  /** The same of promoter keys, for a channel index. Default 1. */
  readonly promoterThreshold?: number;
  /** Signatures that are read. Default all. */
  readonly formats?: readonly SignatureFormat[];
  readonly rollback: RollbackMode;
  /** `required`: a bundle is taken only when a channel index names it. Default `optional`. */
  readonly channelIndex?: 'optional' | 'required';
  /** Lowest sequence that is ever taken. */
  readonly minSeq: number;
  /** Digests that are never taken, whoever signed them. */
  readonly revokedBundles?: readonly string[];
  /** A kept bundle whose keys were revoked boots nevertheless, as stale, when there is no other. */
  readonly serveRevoked?: boolean;
  /** What a bundle must say it is for. */
  readonly product: string;
  readonly channel: string;
  /** This gateway's labels, such as region or cell; every label that a bundle selects by must be equal. */
  readonly labels?: Readonly<Record<string, string>>;
}

/** Keys that one policy may list; each costs one signature check for every candidate without a usable hint. */
export const KEYS_MAX = 32;

export interface PreparedKey {
  readonly id: string;
  readonly key: KeyObject;
  readonly alg: KeyAlgorithm;
  readonly roles: readonly KeyRole[];
  /** Milliseconds since 1970; Infinity when it does not end. */
  readonly notAfterMs: number;
  readonly revoked: boolean;
  /** SHA-256 of the SPKI, base64: the hint in a Sigstore bundle, and what a threshold counts. */
  readonly fingerprint: string;
}

/** A trust policy whose keys have been loaded and found to be what it says they are. */
export interface Trust {
  readonly policy: TrustPolicy;
  readonly keys: readonly PreparedKey[];
}

export class TrustPolicyError extends Error {
  override readonly name = 'TrustPolicyError';
}

/**
 * Loads the keys of a policy.
 * @throws {TrustPolicyError} naming the field: a key of another type or curve than `alg` says, the same key twice, a
 * threshold that can never be reached.
 */
export function prepareTrust(policy: TrustPolicy): Trust {
  const fail = (where: string, sentence: string): never => {
    throw new TrustPolicyError(`trust policy: ${where} ${sentence}`);
  };
  for (const [where, value] of [
    ['epoch', policy.epoch],
    ['minSeq', policy.minSeq],
  ] as const) {
    if (!Number.isSafeInteger(value) || value < 0) fail(where, 'must be a whole number from 0');
  }
  if (policy.keys.length === 0 || policy.keys.length > KEYS_MAX)
    fail('keys', `must be a list of 1 to ${KEYS_MAX} keys`);
  const keys = policy.keys.map((entry, i) => prepareKey(entry, `keys[${i}]`, fail));
  for (const field of ['id', 'fingerprint'] as const) {
    const seen = new Map<string, number>();
    for (const [i, key] of keys.entries()) {
      const first = seen.get(key[field]);
      if (first !== undefined)
        fail(`keys[${i}]`, `has the same ${field === 'id' ? 'id' : 'public key'} as keys[${first}]`);
      seen.set(key[field], i);
    }
  }
  for (const role of ['builder', 'promoter'] as const) {
    const where = role === 'builder' ? 'threshold' : 'promoterThreshold';
    const needed = thresholdOf(policy, role);
    if (!Number.isSafeInteger(needed) || needed < 1) fail(where, 'must be a whole number from 1');
    const usable = keys.filter((key) => key.roles.includes(role) && !key.revoked).length;
    // Without promoters no channel index is taken, which is an ordinary policy.
    if (usable < needed && (role === 'builder' || usable > 0 || policy.channelIndex === 'required'))
      fail(where, `is ${needed}, but only ${usable} keys that are not revoked have the role ${role}`);
  }
  for (const [i, digest] of (policy.revokedBundles ?? []).entries())
    if (parseDigest(digest) === undefined) fail(`revokedBundles[${i}]`, 'must be sha256: and 64 lowercase hex digits');
  if (policy.product === '') fail('product', 'must be a name');
  if (policy.channel === '') fail('channel', 'must be a name');
  return { policy, keys };
}

/** Distinct keys of a role that must have signed. */
export function thresholdOf(policy: TrustPolicy, role: KeyRole): number {
  return role === 'builder' ? policy.threshold : (policy.promoterThreshold ?? 1);
}

function prepareKey(entry: TrustedKey, where: string, fail: (where: string, sentence: string) => never): PreparedKey {
  const der = decodeBase64(entry.spki);
  if (der === undefined)
    fail(
      `${where}.spki`,
      'is not base64 of a DER SubjectPublicKeyInfo (the lines of a PEM file between BEGIN and END, joined)',
    );
  let key: KeyObject;
  try {
    key = createPublicKey({ key: Buffer.from(der), format: 'der', type: 'spki' });
  } catch {
    return fail(`${where}.spki`, 'is not a DER SubjectPublicKeyInfo');
  }
  const actual = algorithmOf(key);
  if (actual !== entry.alg)
    fail(`${where}.spki`, `is ${actual ?? `a ${key.asymmetricKeyType ?? 'foreign'} key`}, but alg says ${entry.alg}`);
  const notAfterMs = entry.notAfter === undefined ? Number.POSITIVE_INFINITY : Date.parse(entry.notAfter);
  if (Number.isNaN(notAfterMs)) fail(`${where}.notAfter`, 'must be a UTC date or time such as 2027-01-01');
  return {
    id: entry.id,
    key,
    alg: entry.alg,
    roles: entry.roles,
    notAfterMs,
    revoked: entry.status === 'revoked',
    fingerprint: fingerprintOf(key),
  };
}

/** A key of our own as something to verify with. @throws {TypeError} for other kinds of keys. */
export function signingKey(id: string, privateKey: KeyObject): PreparedKey {
  const key = createPublicKey(privateKey);
  const alg = algorithmOf(key);
  if (alg === undefined) throw new TypeError('the key is neither ECDSA P-256 nor Ed25519');
  return {
    id,
    key,
    alg,
    roles: ['builder'],
    notAfterMs: Number.POSITIVE_INFINITY,
    revoked: false,
    fingerprint: fingerprintOf(key),
  };
}

/** The algorithm that a key can be used with here, or undefined for every other kind of key. */
export function algorithmOf(key: KeyObject): KeyAlgorithm | undefined {
  if (key.asymmetricKeyType === 'ed25519') return 'ed25519';
  if (key.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve === 'prime256v1') return 'ecdsa-p256';
  return undefined;
}

/** SHA-256 of the key's SubjectPublicKeyInfo, base64: cosign's hint. */
export function fingerprintOf(publicKey: KeyObject): string {
  return createHash('sha256')
    .update(publicKey.export({ format: 'der', type: 'spki' }))
    .digest('base64');
}
