/** What cosign 1 and 2 write under `.sig` tags: read, counted, kept and copied. */
import assert from 'node:assert/strict';
import { type KeyObject, sign } from 'node:crypto';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { SignatureArtifact } from '../../src/control/oci/artifact.ts';
import { type Digest, digestOf } from '../../src/control/oci/digest.ts';
import { canonicalJsonBytes } from '../../src/control/oci/json.ts';
import { OciLayout } from '../../src/control/oci/layout.ts';
import { OCI_MANIFEST } from '../../src/control/oci/media-types.ts';
import { copyBundle, publishBundle } from '../../src/control/oci/publish.ts';
import { OciRegistry } from '../../src/control/oci/registry.ts';
import {
  SIMPLE_SIGNATURE_ANNOTATION,
  SIMPLE_SIGNING,
  simpleSignatureTag,
} from '../../src/control/oci/simple-signatures.ts';
import { BundleStore } from '../../src/control/store/store.ts';
import { prepareTrust } from '../../src/control/trust/policy.ts';
import { verifySimpleSignature } from '../../src/control/trust/simple-signature.ts';
import { DebianRegistry } from './harness/debian-registry.ts';
import {
  bundle,
  GATEWAY,
  KEY_A,
  KEY_B,
  newKey,
  NOW_MS,
  policy,
  publishSigned,
  temporaryDirectory,
  temporaryLayout,
  trust,
  trusted,
  verified,
} from './harness/sample.ts';
import { ScriptedRegistry } from './harness/scripted-registry.ts';

/** The payload of cosign 2.6 for a digest; `docker-reference` binds nothing. */
function payload(digest: string, more: Record<string, unknown> = {}): Uint8Array {
  return canonicalJsonBytes({
    critical: {
      identity: { 'docker-reference': 'registry.example/edge/config' },
      image: { 'docker-manifest-digest': digest },
      type: 'cosign container image signature',
    },
    optional: null,
    ...more,
  });
}
const signed = (key: KeyObject, bytes: Uint8Array): string =>
  sign(key.asymmetricKeyType === 'ed25519' ? null : 'sha256', bytes, key).toString('base64');

/** A manifest as cosign puts it under the `.sig` tag: one layer for each key. */
function simple(
  subject: Digest,
  keys: readonly KeyObject[],
  edit: (layers: Record<string, unknown>[]) => void = () => {},
) {
  const config = canonicalJsonBytes({ architecture: '', created: '0001-01-01T00:00:00Z', os: '', rootfs: {} });
  const bytes = payload(subject);
  const layers: Record<string, unknown>[] = keys.map((key) => ({
    mediaType: SIMPLE_SIGNING,
    digest: digestOf(bytes),
    size: bytes.byteLength,
    annotations: { [SIMPLE_SIGNATURE_ANNOTATION]: signed(key, bytes) },
  }));
  edit(layers);
  const configDescriptor = {
    mediaType: 'application/vnd.oci.image.config.v1+json',
    digest: digestOf(config),
    size: config.byteLength,
  };
  const manifest = canonicalJsonBytes({ schemaVersion: 2, mediaType: OCI_MANIFEST, config: configDescriptor, layers });
  const artifact: SignatureArtifact = {
    manifest,
    descriptor: { mediaType: OCI_MANIFEST, digest: digestOf(manifest), size: manifest.byteLength },
    blobs: [
      { descriptor: configDescriptor, bytes: config },
      { descriptor: { mediaType: SIMPLE_SIGNING, digest: digestOf(bytes), size: bytes.byteLength }, bytes },
    ],
    tag: simpleSignatureTag(subject),
  };
  return artifact;
}

const SUBJECT = digestOf(new TextEncoder().encode('manifest'));
const keys = (...list: KeyObject[]) => prepareTrust(policy({ keys: list.map((key, i) => trusted(`k${i}`, key)) })).keys;

describe('a simple signature', () => {
  for (const [name, key] of [
    ['ecdsa-p256', KEY_B],
    ['ed25519', KEY_A],
  ] as const) {
    it(`by ${name} names its key among several`, () => {
      const bytes = payload(SUBJECT);
      assert.equal(
        verifySimpleSignature(bytes, signed(key, bytes), SUBJECT, keys(newKey(), key, newKey('ecdsa-p256'))).id,
        'k1',
      );
    });
  }

  for (const [what, bytes, code] of [
    ['another manifest', payload(digestOf(new TextEncoder().encode('other'))), 'bad_signature'],
    [
      'another type',
      payload(SUBJECT, { critical: { type: 'x', image: { 'docker-manifest-digest': SUBJECT } } }),
      'bad_signature',
    ],
    ['nothing critical', canonicalJsonBytes({ optional: {} }), 'bad_signature'],
    [
      'a name twice',
      new TextEncoder().encode(`{"critical":{},"critical":{"type":"cosign container image signature"}}`),
      'malformed_json',
    ],
    ['no JSON', new TextEncoder().encode('x'), 'malformed_json'],
  ] as const) {
    it(`that correctly signs ${what} is refused`, () => {
      assert.throws(() => verifySimpleSignature(bytes, signed(KEY_B, bytes), SUBJECT, keys(KEY_B)), { code });
    });
  }

  for (const [what, edit, code] of [
    ['altered', (text: string) => `${text.slice(0, 12)}${text[12] === 'A' ? 'B' : 'A'}${text.slice(13)}`, 'wrong_key'],
    ['of a stranger', () => signed(newKey('ecdsa-p256'), payload(SUBJECT)), 'wrong_key'],
    ['over other bytes', () => signed(KEY_B, payload(`${SUBJECT}0`)), 'wrong_key'],
    ['empty', () => '', 'bad_signature'],
    ['no base64', (text: string) => `${text}!`, 'bad_signature'],
    ['endless', (text: string) => text.repeat(100), 'bad_signature'],
  ] as const) {
    it(`that is ${what} is refused`, () => {
      const bytes = payload(SUBJECT);
      assert.throws(() => verifySimpleSignature(bytes, edit(signed(KEY_B, bytes)), SUBJECT, keys(KEY_B)), { code });
    });
  }
});

describe('a bundle with simple signatures', () => {
  it('verifies, boots from the store and is copied, alone or beside Sigstore bundles', async (t) => {
    const layout = await temporaryLayout(t);
    const built = bundle(3);
    await publishBundle(layout, built, 'latest');
    await layout.putSignature(built.descriptor, simple(built.digest, [newKey(), KEY_A, KEY_B]));
    const both = trust({ threshold: 2 });
    const result = await verified(layout, built, { trust: both });
    assert.deepEqual(
      result.signers.map((signer) => signer.keyId),
      ['a', 'b'],
    );

    const state = join(await temporaryDirectory(t), 'state');
    const store = await BundleStore.open(state);
    await store.activated(result, 1, NOW_MS);
    const again = await BundleStore.open(state);
    const options = { trust: both, gateway: GATEWAY, nowMs: NOW_MS };
    assert.equal((await again.boot(options)).bundle?.digest, built.digest);

    const copy = await OciLayout.create(join(await temporaryDirectory(t), 'copy'));
    await copyBundle(layout, copy, built.digest, 'latest');
    await verified(copy, built, { trust: both });

    // One key the old way, the other the new way.
    const mixed = bundle(4);
    await publishSigned(layout, mixed, [KEY_A]);
    await layout.putSignature(mixed.descriptor, simple(mixed.digest, [KEY_B]));
    await verified(layout, mixed, { trust: both });
    // Twice the same key is one key.
    const twice = bundle(5);
    await publishSigned(layout, twice, [KEY_A]);
    await layout.putSignature(twice.descriptor, simple(twice.digest, [KEY_A]));
    await assert.rejects(verified(layout, twice, { trust: both }), { code: 'below_threshold' });
  });

  it('does not verify where the trust policy does not list the format', async (t) => {
    const layout = await temporaryLayout(t);
    const built = bundle(3);
    await publishBundle(layout, built, 'latest');
    await layout.putSignature(built.descriptor, simple(built.digest, [KEY_A]));
    await assert.rejects(verified(layout, built, { trust: trust({ formats: ['sigstore-bundle'] }) }), {
      message: /of a format that the trust policy does not list/,
    });
  });

  for (const [what, edit, message] of [
    ['a foreign layer', (layers) => layers.push({ ...layers[0], mediaType: 'application/x-tar' }), /a layer is no/],
    ['a layer without a signature', (layers) => delete layers[0]?.['annotations'], /a layer is no/],
    ['an endless payload', (layers) => Object.assign(layers[0] ?? {}, { size: 1 << 20 }), /more than 16384 bytes/],
    [
      'a thousand layers',
      (layers) => layers.push(...Array.from({ length: 99 }, () => ({ ...layers[0] }))),
      /100 signatures, at most 32/,
    ],
  ] as [string, (layers: Record<string, unknown>[]) => void, RegExp][]) {
    it(`is unsigned when there is ${what} under the tag`, async (t) => {
      const layout = await temporaryLayout(t);
      const built = bundle(3);
      await publishBundle(layout, built, 'latest');
      const artifact = simple(built.digest, [KEY_A], edit);
      await layout.putManifest(artifact.manifest, artifact.descriptor, artifact.tag);
      for (const blob of artifact.blobs) await layout.putBlob(blob);
      await assert.rejects(verified(layout, built), { code: 'unsigned', message });
    });
  }

  it("goes through Debian's registry", async (t) => {
    const debian = await DebianRegistry.start(t);
    const registry = new OciRegistry(debian.host, 'edge/config');
    t.after(() => registry.close());
    const built = bundle(3);
    await publishBundle(registry, built, 'prod');
    await registry.putSignature(built.descriptor, simple(built.digest, [KEY_B]));
    await verified(registry, built);
    const { listed } = await registry.list();
    assert.deepEqual(listed, [{ digest: built.digest, tags: ['prod'] }], 'the tag of signatures is no release');
  });

  it('is found by its other signature while the place of these does not answer', async (t) => {
    const scripted = await ScriptedRegistry.start(t);
    const built = bundle(3);
    scripted.publish(built);
    scripted.hook = (_, answer, url) => {
      if (!url.pathname.endsWith('.sig')) return false;
      answer.writeHead(500).end();
      return true;
    };
    const client = new OciRegistry(scripted.host, 'edge/config', { sleep: async () => {} });
    t.after(() => client.close());
    await verified(client, built);
    // Where it is missing, nobody says that there is none.
    await assert.rejects(verified(client, built, { trust: trust({ threshold: 2 }) }), { code: 'server_error' });
  });
});
