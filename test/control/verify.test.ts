import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { type AssembledBundle, assembleBundle, assembleSignature } from '../../src/control/oci/artifact.ts';
import { type Digest, digestHex, digestOf, referrersTag } from '../../src/control/oci/digest.ts';
import { canonicalJsonBytes } from '../../src/control/oci/json.ts';
import type { OciLayout } from '../../src/control/oci/layout.ts';
import type { Descriptor } from '../../src/control/oci/manifest.ts';
import { BUNDLE_ARTIFACT, LAYERS, OCI_INDEX, OCI_MANIFEST, RELEASE } from '../../src/control/oci/media-types.ts';
import { publishBundle } from '../../src/control/oci/publish.ts';
import { releaseBytes } from '../../src/control/oci/release.ts';
import { makeSigstoreBundle } from '../../src/control/trust/sigstore-bundle.ts';
import { isVerifiedBundle, verifyBundle, type VerifyStep } from '../../src/control/trust/verify.ts';
import {
  bundle,
  KEY_A,
  KEY_B,
  layers,
  newKey,
  NOW_MS,
  publishSigned,
  release,
  temporaryLayout,
  trust,
  trusted,
  verified,
  verifyOptions,
} from './harness/sample.ts';

/** Puts a manifest of any content and signs it with a trusted key: what is refused then is refused for its content. */
async function signedManifest(
  layout: OciLayout,
  manifest: unknown,
  blobs: readonly Uint8Array[] = [],
): Promise<Digest> {
  for (const bytes of blobs) await layout.putBlob({ bytes, descriptor: descriptorOf('x/y', bytes) });
  const bytes = manifest instanceof Uint8Array ? manifest : canonicalJsonBytes(manifest);
  const descriptor = descriptorOf(OCI_MANIFEST, bytes);
  await layout.putManifest(bytes, descriptor, 'latest');
  await layout.putSignature(descriptor, assembleSignature(descriptor, makeSigstoreBundle(KEY_A, descriptor.digest)));
  return descriptor.digest;
}
const descriptorOf = (mediaType: string, bytes: Uint8Array, annotations?: Record<string, string>): Descriptor => ({
  mediaType,
  digest: digestOf(bytes),
  size: bytes.byteLength,
  ...(annotations === undefined ? {} : { annotations }),
});
const text = (value: string) => new TextEncoder().encode(value);
const title = (name: string) => ({ 'org.opencontainers.image.title': name });
const routes = descriptorOf(LAYERS.routes.mediaType, text('{}'), title('routes.json'));
const config = releaseBytes(release(1));
const manifest = (more: Record<string, unknown> = {}) => ({
  schemaVersion: 2,
  mediaType: OCI_MANIFEST,
  artifactType: BUNDLE_ARTIFACT,
  config: descriptorOf(RELEASE, config),
  layers: [routes],
  ...more,
});
const BLOBS = [config, text('{}')];

describe('verification', () => {
  it('of a good bundle gives all of its content, checked, and says every step', async (t) => {
    const layout = await temporaryLayout(t);
    const built = bundle(3);
    await publishSigned(layout, built, [KEY_A, KEY_B]);
    const steps: VerifyStep[] = [];
    const result = await verified(layout, built, {
      trust: trust({ threshold: 2 }),
      onStep: (step) => steps.push(step),
    });
    assert.equal(result.digest, built.digest);
    assert.equal(result.release.seq, 3);
    assert.equal(result.direction, 'new');
    assert.equal(result.stale, false);
    assert.deepEqual(
      result.signers.map((signer) => signer.keyId),
      ['a', 'b'],
    );
    assert.deepEqual(
      result.layersOf('seclang').map((layer) => layer.title),
      ['waf/sqli.conf', 'waf/xss.conf'],
    );
    assert.equal(Buffer.from(result.layer('routes')?.bytes ?? []).toString(), '{"mark":"bundle 3"}');
    assert.equal(result.layer('limits'), undefined);
    assert.equal(isVerifiedBundle(result), true);
    assert.equal(isVerifiedBundle(structuredClone({ digest: result.digest, release: result.release })), false);
    assert.deepEqual(
      steps.map((step) => step.name),
      ['root', 'signatures', 'release', 'audience', 'order', 'layers'],
    );
  });

  const unsigned = (layout: OciLayout, built: AssembledBundle) => publishBundle(layout, built, 'latest');
  for (const [what, prepare, more, code, message] of [
    ['no signature', unsigned, {}, 'unsigned', /no signature/],
    [
      "only a stranger's signature",
      (l, b) => publishSigned(l, b, [newKey(), newKey('ecdsa-p256')]),
      {},
      'wrong_key',
      /none of its 2 signatures/,
    ],
    [
      'too few signatures',
      (l, b) => publishSigned(l, b, [KEY_A]),
      { trust: trust({ threshold: 2 }) },
      'below_threshold',
      /1 of 2/,
    ],
    [
      'two signatures of one key',
      (l, b) => publishSigned(l, b, [KEY_B, KEY_B]),
      { trust: trust({ threshold: 2 }) },
      'below_threshold',
      /1 of 2/,
    ],
    [
      'a revoked key',
      (l, b) => publishSigned(l, b, [KEY_A]),
      { trust: trust({ keys: [trusted('a', KEY_A, { status: 'revoked' }), trusted('b', KEY_B)] }) },
      'revoked_key',
      /key a is revoked/,
    ],
    [
      'an expired key',
      (l, b) => publishSigned(l, b, [KEY_A]),
      { trust: trust({ keys: [trusted('a', KEY_A, { notAfter: '2026-11-20' })] }) },
      'expired_key',
      /key a has expired/,
    ],
    [
      'a key of another role',
      (l, b) => publishSigned(l, b, [KEY_A]),
      { trust: trust({ keys: [trusted('a', KEY_A, { roles: ['promoter'] }), trusted('b', KEY_B)] }) },
      'wrong_key',
      /not trusted/,
    ],
  ] as [
    string,
    (layout: OciLayout, built: AssembledBundle) => Promise<void>,
    Partial<Parameters<typeof verifyBundle>[2]>,
    string,
    RegExp,
  ][]) {
    it(`refuses ${what}`, async (t) => {
      const layout = await temporaryLayout(t);
      const built = bundle(3);
      await prepare(layout, built);
      await assert.rejects(
        verified(layout, built, more),
        (error: Error & { code?: string }) => error.code === code && message.test(error.message),
      );
    });
  }

  it('counts one good signature among any number of bad ones', async (t) => {
    const layout = await temporaryLayout(t);
    const built = bundle(3);
    await publishSigned(layout, built, [...Array.from({ length: 20 }, () => newKey()), KEY_A]);
    assert.deepEqual(
      (await verified(layout, built)).signers.map((signer) => signer.keyId),
      ['a'],
    );
  });

  it('does not take a signature of another bundle that is listed under this one', async (t) => {
    const layout = await temporaryLayout(t);
    const good = bundle(3);
    const other = bundle(4);
    await publishSigned(layout, good);
    await publishBundle(layout, other, 'latest');
    // The fallback index of the good bundle, retagged for the other one.
    const stolen = (await layout.index()).manifests.find(
      (entry) => entry.annotations?.['org.opencontainers.image.ref.name'] === referrersTag(good.digest),
    );
    assert.ok(stolen);
    await layout.update((entries) => [
      ...entries,
      { ...stolen, annotations: { 'org.opencontainers.image.ref.name': referrersTag(other.digest) } },
    ]);
    await assert.rejects(verified(layout, other), { code: 'unsigned', message: /its subject is another manifest/ });
    // The same envelope under a manifest that claims the other subject.
    await layout.putSignature(
      other.descriptor,
      assembleSignature(other.descriptor, makeSigstoreBundle(KEY_A, good.digest)),
    );
    await assert.rejects(verified(layout, other), { code: 'bad_signature' });
  });

  for (const [what, build, code] of [
    ['a seq at or below the floor', () => bundle(3), 'below_floor'],
    ['another audience', () => bundle(3, { release: { product: 'other' } }), 'audience_mismatch'],
    [
      'an activation date that has passed',
      () => bundle(3, { release: { notAfter: '2026-11-20T23:59:59Z' } }),
      'expired',
    ],
    ['another minimal gateway', () => bundle(3, { release: { minGateway: '9.0.0' } }), 'gateway_too_old'],
  ] as const) {
    it(`refuses ${what}`, async (t) => {
      const layout = await temporaryLayout(t);
      const built = build();
      await publishSigned(layout, built);
      const minSeq = code === 'below_floor' ? 4 : 0;
      await assert.rejects(verified(layout, built, { trust: trust({ minSeq }) }), { code });
    });
  }

  it('refuses what was taken back, before it asks anybody', async (t) => {
    const layout = await temporaryLayout(t);
    const built = bundle(3);
    await assert.rejects(verified(layout, built, { quarantined: new Map([[built.digest, 'errors rose']]) }), {
      code: 'quarantined',
      message: /errors rose/,
    });
  });

  for (const [what, value, blobs, code] of [
    ['an index', { schemaVersion: 2, mediaType: OCI_INDEX, manifests: [] }, [], 'wrong_artifact_type'],
    ['both shapes at once', manifest({ manifests: [] }), BLOBS, 'ambiguous_manifest'],
    ['another artifact type', manifest({ artifactType: 'application/vnd.example' }), BLOBS, 'wrong_artifact_type'],
    ['no artifact type', manifest({ artifactType: undefined }), BLOBS, 'wrong_artifact_type'],
    [
      'another config type',
      manifest({ config: descriptorOf('application/vnd.oci.empty.v1+json', config) }),
      BLOBS,
      'wrong_artifact_type',
    ],
    [
      'a release document over its cap',
      manifest({ config: { ...descriptorOf(RELEASE, config), size: 1 << 20 } }),
      BLOBS,
      'too_large',
    ],
    [
      'a release document of another size',
      manifest({ config: { ...descriptorOf(RELEASE, config), size: config.byteLength + 1 } }),
      BLOBS,
      'size_mismatch',
    ],
    [
      'a release document that is none',
      manifest({ config: descriptorOf(RELEASE, text('{"seq":1}')) }),
      [text('{"seq":1}'), text('{}')],
      'malformed_release',
    ],
    [
      'a release document with a name twice',
      manifest({ config: descriptorOf(RELEASE, text('{"seq":1,"seq":2}')) }),
      [text('{"seq":1,"seq":2}')],
      'malformed_json',
    ],
    [
      'an unknown layer',
      manifest({ layers: [routes, descriptorOf('application/x-tar', text('{}'), title('x'))] }),
      BLOBS,
      'unknown_layer',
    ],
    ['no routes', manifest({ layers: [] }), BLOBS, 'missing_layer'],
    [
      'two layers of one role',
      manifest({ layers: [routes, { ...routes, annotations: title('b') }] }),
      BLOBS,
      'duplicate_layer',
    ],
    [
      'a layer over its cap',
      manifest({ layers: [{ ...routes, size: LAYERS.routes.bytesMax + 1 }] }),
      BLOBS,
      'too_large',
    ],
    ['a layer smaller than declared', manifest({ layers: [{ ...routes, size: 3 }] }), BLOBS, 'size_mismatch'],
    ['a layer larger than declared', manifest({ layers: [{ ...routes, size: 1 }] }), BLOBS, 'size_mismatch'],
    [
      'a layer of no strict JSON',
      manifest({ layers: [descriptorOf(LAYERS.routes.mediaType, text('{"a":1,"a":1}'), title('r'))] }),
      [config, text('{"a":1,"a":1}')],
      'malformed_json',
    ],
    [
      'a layer that is absent',
      manifest({ layers: [descriptorOf(LAYERS.routes.mediaType, text('[]'), title('r'))] }),
      [config],
      'not_found',
    ],
    ['bytes that are no manifest', text('not json'), [], 'malformed_json'],
  ] as [string, unknown, Uint8Array[], string][]) {
    it(`refuses ${what}, although it is signed`, async (t) => {
      const layout = await temporaryLayout(t);
      const digest = await signedManifest(layout, value, blobs);
      await assert.rejects(verifyBundle(layout, digest, verifyOptions()), { code });
    });
  }

  it('ignores foreign layers that the release calls optional, and does not fetch them', async (t) => {
    const layout = await temporaryLayout(t);
    const foreign = { mediaType: 'application/x-future', title: 'future', bytes: text('?') };
    const built = assembleBundle({
      release: release(1, { optional: ['application/x-future'] }),
      layers: [...layers('x'), foreign],
      createdEpochS: 0,
    });
    const withoutForeign: AssembledBundle = {
      ...built,
      blobs: new Map([...built.blobs].filter(([digest]) => digest !== digestOf(foreign.bytes))),
    };
    await publishSigned(layout, withoutForeign);
    assert.equal((await verified(layout, built)).layers.length, layers('x').length);
  });

  it('refuses content that was altered on the way', async (t) => {
    const layout = await temporaryLayout(t);
    const built = bundle(3);
    await publishSigned(layout, built);
    const victim = [...built.blobs.values()].find((blob) => blob.descriptor.mediaType === LAYERS.wasm.mediaType);
    assert.ok(victim);
    await writeFile(
      join(layout.directory, 'blobs', 'sha256', digestHex(victim.descriptor.digest)),
      Uint8Array.from(victim.bytes).fill(7),
    );
    await assert.rejects(verified(layout, built), { code: 'digest_mismatch' });
  });

  it('at boot takes what has expired, calls it stale, and still refuses a revoked key', async (t) => {
    const layout = await temporaryLayout(t);
    const built = bundle(3, { release: { notAfter: '2026-11-20T00:00:00Z' } });
    await publishSigned(layout, built);
    assert.equal((await verified(layout, built, { purpose: 'kept' })).stale, true);
    const expiredKey = trust({ keys: [trusted('a', KEY_A, { notAfter: '2026-11-01' })] });
    assert.equal((await verified(layout, built, { purpose: 'kept', trust: expiredKey })).stale, true);
    const revoked = trust({ keys: [trusted('a', KEY_A, { status: 'revoked' }), trusted('b', KEY_B)] });
    await assert.rejects(verified(layout, built, { purpose: 'kept', trust: revoked, nowMs: NOW_MS }), {
      code: 'revoked_key',
    });
  });

  it('fetches nothing but root and signatures before it knows the signer', async (t) => {
    const layout = await temporaryLayout(t);
    const built = bundle(3);
    await publishSigned(layout, built, [newKey()]);
    const asked: string[] = [];
    const watched = {
      name: layout.name,
      resolve: layout.resolve.bind(layout),
      signatures: layout.signatures.bind(layout),
      close: layout.close.bind(layout),
      manifest: (digest: Digest) => (asked.push(digest), layout.manifest(digest)),
      blob: (descriptor: Descriptor) => (asked.push(descriptor.digest), layout.blob(descriptor)),
    };
    await assert.rejects(verifyBundle(watched, built.digest, verifyOptions()), { code: 'wrong_key' });
    assert.deepEqual(asked, [built.digest]);
  });

  it('does not fetch again what is cached', async (t) => {
    const layout = await temporaryLayout(t);
    const built = bundle(3);
    await publishSigned(layout, built);
    const asked: Descriptor[] = [];
    const watched = Object.assign(Object.create(layout) as OciLayout, {
      name: layout.name,
      manifest: layout.manifest.bind(layout),
      signatures: layout.signatures.bind(layout),
      blob: (descriptor: Descriptor) => (asked.push(descriptor), layout.blob(descriptor)),
    });
    await verifyBundle(
      watched,
      built.digest,
      verifyOptions({
        cache: {
          cached: async (descriptor) => (descriptor.mediaType === RELEASE ? undefined : layout.blob(descriptor)),
        },
      }),
    );
    assert.deepEqual(
      asked.map((descriptor) => descriptor.mediaType),
      [RELEASE],
    );
  });
});
