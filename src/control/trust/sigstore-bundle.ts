import { createPublicKey, type KeyObject, sign } from 'node:crypto';
import type { Digest } from '../oci/digest.ts';
import { canonicalJsonBytes, parseStrictJson, Shape } from '../oci/json.ts';
import { SIGSTORE_BUNDLE } from '../oci/media-types.ts';
import { Rejection } from '../oci/rejection.ts';
import { SIGNATURE_BYTES_MAX } from '../oci/signatures.ts';
import { decodeBase64, encodeBase64 } from './base64.ts';
import { hashFor, isSignedBy, preAuthEncoding } from './dsse.ts';
import { algorithmOf, fingerprintOf, type PreparedKey } from './policy.ts';
import { IN_TOTO, requireStatementAbout, statementFor } from './statement.ts';

/** Keys tried for one signature whose hint names none of ours. */
const KEYS_TRIED_MAX = 8;

/**
 * Signs a manifest: a Sigstore bundle v0.3 with a key (no certificate, no transparency log), as `cosign sign --key` with
 * an empty signing config writes it.
 *
 * @throws {TypeError} when the key is neither ECDSA P-256 nor Ed25519.
 */
export function makeSigstoreBundle(
  privateKey: KeyObject,
  subject: Digest,
  annotations?: Readonly<Record<string, string>>,
): Uint8Array {
  const alg = algorithmOf(privateKey);
  if (alg === undefined) throw new TypeError('the key is neither ECDSA P-256 nor Ed25519');
  const payload = statementFor(subject, annotations);
  const signature = sign(hashFor(alg), preAuthEncoding(IN_TOTO, payload), privateKey);
  return canonicalJsonBytes({
    mediaType: SIGSTORE_BUNDLE,
    verificationMaterial: { publicKey: { hint: fingerprintOf(createPublicKey(privateKey)) } },
    dsseEnvelope: {
      payload: encodeBase64(payload),
      payloadType: IN_TOTO,
      signatures: [{ sig: encodeBase64(signature) }],
    },
  });
}

interface Envelope {
  readonly hint: string;
  readonly payload: Uint8Array;
  readonly signature: Uint8Array;
}

const shape: Shape = new Shape('bad_signature', 'Sigstore bundle');

/**
 * Verifies one keyed Sigstore bundle about a manifest with the keys of the trust policy, whose type and curve are the only
 * ones used. The payload is parsed only after its signature has been verified.
 *
 * @param keys keys of the needed role, revoked and expired ones included: the caller tells those apart.
 * @returns the key that signed.
 * @throws {Rejection} `wrong_key` when no key of ours made it, `bad_signature` for everything else.
 */
export function verifySigstoreBundle(bytes: Uint8Array, subject: Digest, keys: readonly PreparedKey[]): PreparedKey {
  const envelope = readEnvelope(bytes);
  const signed = preAuthEncoding(IN_TOTO, envelope.payload);
  const hinted = keys.find((key) => key.fingerprint === envelope.hint);
  // A hint that names a key of ours is binding; another signer's tool may write hints of its own making.
  const tried = hinted === undefined ? keys.slice(0, KEYS_TRIED_MAX) : [hinted];
  const key = tried.find((candidate) => isSignedBy(candidate, signed, envelope.signature));
  if (key === undefined) {
    if (hinted !== undefined)
      throw new Rejection('bad_signature', `its signature does not verify with the key ${hinted.id} that it names`);
    throw new Rejection(
      'wrong_key',
      `it is signed by a key that is not trusted (hint ${JSON.stringify(envelope.hint.slice(0, 64))})`,
    );
  }
  requireStatementAbout(envelope.payload, subject);
  return key;
}

function readEnvelope(bytes: Uint8Array): Envelope {
  const bundle = shape.object(parseStrictJson(bytes, { what: 'Sigstore bundle', bytesMax: SIGNATURE_BYTES_MAX }), '');
  if (bundle['mediaType'] !== SIGSTORE_BUNDLE) shape.fail('mediaType', JSON.stringify(SIGSTORE_BUNDLE));
  if ('messageSignature' in bundle) shape.fail('messageSignature', 'absent: a DSSE envelope is needed');
  const material = shape.object(bundle['verificationMaterial'], 'verificationMaterial');
  for (const name of ['certificate', 'x509CertificateChain']) {
    if (material[name] !== undefined && material[name] !== null)
      shape.fail(`verificationMaterial.${name}`, 'absent: keys are trusted here, not certificates');
  }
  const publicKey = shape.object(material['publicKey'], 'verificationMaterial.publicKey');
  const hint =
    publicKey['hint'] === undefined ? '' : shape.string(publicKey['hint'], 'verificationMaterial.publicKey.hint', 256);
  const envelope = shape.object(bundle['dsseEnvelope'], 'dsseEnvelope');
  if (envelope['payloadType'] !== IN_TOTO) shape.fail('dsseEnvelope.payloadType', JSON.stringify(IN_TOTO));
  const signatures = shape.array(envelope['signatures'], 'dsseEnvelope.signatures', 16);
  if (signatures.length !== 1) shape.fail('dsseEnvelope.signatures', 'a list of exactly one signature');
  return {
    hint,
    payload: base64(envelope['payload'], 'dsseEnvelope.payload'),
    signature: base64(
      shape.object(signatures[0], 'dsseEnvelope.signatures[0]')['sig'],
      'dsseEnvelope.signatures[0].sig',
    ),
  };
}

function base64(value: unknown, where: string): Uint8Array {
  const bytes = decodeBase64(shape.string(value, where, SIGNATURE_BYTES_MAX));
  if (bytes === undefined || bytes.byteLength === 0) shape.fail(where, 'base64 with padding');
  return bytes;
}
