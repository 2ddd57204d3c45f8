import assert from 'node:assert/strict';
import { createHash, createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { describe, it } from 'node:test';
import { bundleFromJSON } from '@sigstore/bundle';
import { toSignedEntity, toTrustMaterial, Verifier } from '@sigstore/verify';
import fc from 'fast-check';
import { type Digest, digestOf } from '../../src/control/oci/digest.ts';
import { preAuthEncoding } from '../../src/control/trust/dsse.ts';
import { prepareTrust, type PreparedKey } from '../../src/control/trust/policy.ts';
import { makeSigstoreBundle, verifySigstoreBundle } from '../../src/control/trust/sigstore-bundle.ts';
import { statementFor } from '../../src/control/trust/statement.ts';
import { KEY_A, KEY_B, newKey, policy, trusted } from './harness/sample.ts';

const SUBJECT = digestOf(new TextEncoder().encode('manifest'));
const OTHER = digestOf(new TextEncoder().encode('another manifest'));
const keys = (...list: KeyObject[]): readonly PreparedKey[] =>
  prepareTrust(policy({ keys: list.map((key, i) => trusted(`k${i}`, key)) })).keys;

interface Envelope {
  mediaType: string;
  verificationMaterial: Record<string, unknown>;
  dsseEnvelope: { payload: string; payloadType: string; signatures: { sig: string; keyid?: string }[] };
}
const decode = (bytes: Uint8Array) => JSON.parse(Buffer.from(bytes).toString()) as Envelope;
const encode = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
const edited = (key: KeyObject, edit: (bundle: Envelope) => void) => {
  const bundle = decode(makeSigstoreBundle(key, SUBJECT));
  edit(bundle);
  return encode(bundle);
};

/** A bundle about any payload, correctly signed. */
function signPayload(key: KeyObject, payload: Uint8Array, payloadType = 'application/vnd.in-toto+json'): Uint8Array {
  const signature = sign(
    key.asymmetricKeyType === 'ed25519' ? null : 'sha256',
    preAuthEncoding(payloadType, payload),
    key,
  );
  return edited(key, (bundle) => {
    bundle.dsseEnvelope = {
      payload: Buffer.from(payload).toString('base64'),
      payloadType,
      signatures: [{ sig: signature.toString('base64') }],
    };
  });
}

/** What the reference implementation says of the same bytes, with the same key. */
function reference(bytes: Uint8Array, key: KeyObject): 'good' | 'bad' {
  try {
    const bundle = bundleFromJSON(decode(bytes));
    const material = toTrustMaterial(
      { mediaType: '', tlogs: [], certificateAuthorities: [], ctlogs: [], timestampAuthorities: [] },
      () => ({
        publicKey: createPublicKey(key),
        validFor: () => true,
      }),
    );
    new Verifier(material, { tlogThreshold: 0, ctlogThreshold: 0, timestampThreshold: 0 }).verify(
      toSignedEntity(bundle),
    );
    return 'good';
  } catch {
    return 'bad';
  }
}

function ours(bytes: Uint8Array, key: KeyObject, subject: Digest = SUBJECT): 'good' | 'bad' {
  try {
    verifySigstoreBundle(bytes, subject, keys(key));
    return 'good';
  } catch (error) {
    assert.match(String((error as { code?: string }).code), /^(bad_signature|wrong_key|malformed_json|too_large)$/);
    return 'bad';
  }
}

describe('pre-authentication encoding', () => {
  it('is that of the DSSE specification', () => {
    const pae = preAuthEncoding('http://example.com/HelloWorld', new TextEncoder().encode('hello world'));
    assert.equal(Buffer.from(pae).toString(), 'DSSEv1 29 http://example.com/HelloWorld 11 hello world');
  });

  it('counts bytes, not characters', () => {
    assert.equal(
      Buffer.from(preAuthEncoding('t\u00fc', new TextEncoder().encode('\u{1f600}'))).toString(),
      'DSSEv1 3 t\u00fc 4 \u{1f600}',
    );
  });
});

describe('a Sigstore bundle', () => {
  for (const alg of ['ed25519', 'ecdsa-p256'] as const) {
    it(`that we make with ${alg} is good here and for the reference implementation`, () => {
      const key = newKey(alg);
      const bytes = makeSigstoreBundle(key, SUBJECT, { 'edge.channel': 'prod' });
      assert.equal(verifySigstoreBundle(bytes, SUBJECT, keys(KEY_A, KEY_B, key)).id, 'k2');
      assert.equal(reference(bytes, key), 'good');
    });
  }

  it('names its key as cosign does: base64 of the SHA-256 of the SPKI', () => {
    const hint = decode(makeSigstoreBundle(KEY_B, SUBJECT)).verificationMaterial['publicKey'];
    const spki = createPublicKey(KEY_B).export({ format: 'der', type: 'spki' });
    assert.deepEqual(hint, { hint: createHash('sha256').update(spki).digest('base64') });
  });

  it('is found by trying our keys when its hint is of another making', () => {
    const bytes = edited(
      KEY_B,
      (bundle) => (bundle.verificationMaterial['publicKey'] = { hint: 'release key of 2026' }),
    );
    assert.equal(verifySigstoreBundle(bytes, SUBJECT, keys(KEY_A, KEY_B)).id, 'k1');
    const none = edited(KEY_B, (bundle) => (bundle.verificationMaterial['publicKey'] = {}));
    assert.equal(verifySigstoreBundle(none, SUBJECT, keys(KEY_A, KEY_B)).id, 'k1');
  });

  it('may carry transparency log entries, which count for nothing', () => {
    const bytes = edited(KEY_A, (bundle) => (bundle.verificationMaterial['tlogEntries'] = [{ logIndex: '1' }]));
    assert.equal(ours(bytes, KEY_A), 'good');
  });

  it('of a stranger is a wrong key, not a bad signature', () => {
    assert.throws(() => verifySigstoreBundle(makeSigstoreBundle(newKey(), SUBJECT), SUBJECT, keys(KEY_A, KEY_B)), {
      code: 'wrong_key',
    });
    assert.throws(() => verifySigstoreBundle(makeSigstoreBundle(KEY_A, SUBJECT), SUBJECT, []), { code: 'wrong_key' });
  });

  it('about another manifest is refused', () => {
    assert.throws(() => verifySigstoreBundle(makeSigstoreBundle(KEY_A, OTHER), SUBJECT, keys(KEY_A)), {
      code: 'bad_signature',
      message: /subject/,
    });
  });

  const stranger = decode(makeSigstoreBundle(newKey(), SUBJECT));
  for (const [what, edit] of [
    ['another media type', (b) => (b.mediaType = 'application/vnd.dev.sigstore.bundle+json;version=0.2')],
    ['a certificate', (b) => (b.verificationMaterial = { certificate: { rawBytes: 'AAAA' } })],
    ['a certificate beside the key', (b) => (b.verificationMaterial['certificate'] = { rawBytes: 'AAAA' })],
    ['a certificate chain', (b) => (b.verificationMaterial['x509CertificateChain'] = { certificates: [] })],
    ['no key', (b) => (b.verificationMaterial = { tlogEntries: [] })],
    ['no signature', (b) => (b.dsseEnvelope.signatures = [])],
    ['two signatures', (b) => b.dsseEnvelope.signatures.push(b.dsseEnvelope.signatures[0] as { sig: string })],
    ['an empty signature', (b) => (b.dsseEnvelope.signatures = [{ sig: '' }])],
    ['a signature that is no base64', (b) => (b.dsseEnvelope.signatures = [{ sig: '!!!!' }])],
    ["a stranger's signature under our hint", (b) => (b.dsseEnvelope = stranger.dsseEnvelope)],
    ['another payload type', (b) => (b.dsseEnvelope.payloadType = 'application/json')],
    ['another payload', (b) => (b.dsseEnvelope.payload = Buffer.from(statementFor(OTHER)).toString('base64'))],
    [
      'a payload with white space in its base64',
      (b) => (b.dsseEnvelope.payload = `${b.dsseEnvelope.payload.slice(0, 4)}\n${b.dsseEnvelope.payload.slice(4)}`),
    ],
    ['a message signature', (b) => Object.assign(b, { messageSignature: {} })],
  ] as [string, (bundle: Envelope) => unknown][]) {
    for (const [name, key] of [
      ['ed25519', KEY_A],
      ['ecdsa-p256', KEY_B],
    ] as const) {
      it(`with ${what} is refused (${name})`, () => {
        assert.throws(() => verifySigstoreBundle(edited(key, edit), SUBJECT, keys(key)), { code: 'bad_signature' });
      });
    }
  }

  for (const [what, payload] of [
    [
      'another statement type',
      { ...JSON.parse(Buffer.from(statementFor(SUBJECT)).toString()), _type: 'https://in-toto.io/Statement/v0.1' },
    ],
    [
      'another predicate',
      { ...JSON.parse(Buffer.from(statementFor(SUBJECT)).toString()), predicateType: 'https://slsa.dev/provenance/v1' },
    ],
    ['no subject', { ...JSON.parse(Buffer.from(statementFor(SUBJECT)).toString()), subject: [] }],
    ['a list', []],
  ] as const) {
    it(`that correctly signs ${what} is refused`, () => {
      const bytes = signPayload(KEY_A, encode(payload));
      assert.throws(() => verifySigstoreBundle(bytes, SUBJECT, keys(KEY_A)), { code: 'bad_signature' });
    });
  }

  it('that correctly signs what is no strict JSON is refused', () => {
    const bytes = signPayload(KEY_A, new TextEncoder().encode('{"_type":1,"_type":2}'));
    assert.throws(() => verifySigstoreBundle(bytes, SUBJECT, keys(KEY_A)), { code: 'malformed_json' });
  });

  it('is never good here when the reference implementation calls it bad, whatever was changed in it', () => {
    const change = fc.oneof(
      fc.record({ kind: fc.constant('byte' as const), at: fc.nat(), to: fc.nat(255) }),
      fc.record({ kind: fc.constant('sig' as const), at: fc.nat(), to: fc.nat(255) }),
      fc.record({ kind: fc.constant('payload' as const), at: fc.nat(), to: fc.nat(255) }),
      fc.record({ kind: fc.constant('none' as const), at: fc.nat(), to: fc.nat(255) }),
    );
    const flip = (base64: string, at: number, to: number): string => {
      const bytes = Buffer.from(base64, 'base64');
      bytes[at % bytes.byteLength] = to;
      return bytes.toString('base64');
    };
    for (const key of [KEY_A, KEY_B]) {
      const original = makeSigstoreBundle(key, SUBJECT);
      fc.assert(
        fc.property(change, ({ kind, at, to }) => {
          let bytes = Uint8Array.from(original);
          if (kind === 'byte') {
            bytes[at % bytes.byteLength] = to;
          } else if (kind !== 'none') {
            const bundle = decode(original);
            const signature = bundle.dsseEnvelope.signatures[0] as { sig: string };
            if (kind === 'sig') signature.sig = flip(signature.sig, at, to);
            else bundle.dsseEnvelope.payload = flip(bundle.dsseEnvelope.payload, at, to);
            bytes = encode(bundle);
          }
          let theirs: 'good' | 'bad';
          try {
            theirs = reference(bytes, key);
          } catch {
            theirs = 'bad';
          }
          const mine = ours(bytes, key);
          // Stricter is allowed (an extra certificate, another media type); laxer is a hole.
          if (mine === 'good') assert.equal(theirs, 'good');
          if (kind === 'none') assert.equal(mine, 'good');
        }),
        { numRuns: 400 },
      );
    }
  });

  it('is only made with keys that can be trusted here', () => {
    for (const key of [
      generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey,
      generateKeyPairSync('ec', { namedCurve: 'secp384r1' }).privateKey,
    ]) {
      assert.throws(() => makeSigstoreBundle(key, SUBJECT), TypeError);
    }
  });
});
