import { verify } from 'node:crypto';
import type { KeyAlgorithm, PreparedKey } from './policy.ts';

/** DSSE pre-authentication encoding: what is signed for a payload of a type (secure-systems-lab/dsse, protocol.md). */
export function preAuthEncoding(payloadType: string, payload: Uint8Array): Uint8Array {
  const type = Buffer.from(payloadType, 'utf8');
  return Buffer.concat([
    Buffer.from(`DSSEv1 ${type.byteLength} `),
    type,
    Buffer.from(` ${payload.byteLength} `),
    payload,
  ]);
}

/** Whether a key made this signature over these bytes, by the algorithm that the trust policy pins. */
export function isSignedBy(candidate: PreparedKey, signed: Uint8Array, signature: Uint8Array): boolean {
  try {
    return verify(hashFor(candidate.alg), signed, candidate.key, signature);
  } catch {
    // A signature that cannot be decoded for this kind of key is not this key's: node throws for some lengths.
    return false;
  }
}

/** ECDSA signs the SHA-256; Ed25519 the message itself (RFC 8032). */
export function hashFor(alg: KeyAlgorithm): 'sha256' | null {
  return alg === 'ecdsa-p256' ? 'sha256' : null;
}
