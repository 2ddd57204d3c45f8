import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { assembleBundle, type LayerInput } from '../../src/control/oci/artifact.ts';
import { parseManifest } from '../../src/control/oci/manifest.ts';
import { BUNDLE_BYTES_MAX, LAYERS, RELEASE } from '../../src/control/oci/media-types.ts';
import { parseRelease, type Release, releaseBytes } from '../../src/control/oci/release.ts';
import { bundle, layers, release } from './harness/sample.ts';

const routes = (bytes: string): LayerInput => ({
  mediaType: LAYERS.routes.mediaType,
  title: 'routes.json',
  bytes: new TextEncoder().encode(bytes),
});
const build = (list: readonly LayerInput[], more: Partial<Release> = {}) =>
  assembleBundle({ release: release(1, more), layers: list, createdEpochS: 0 });

describe('a bundle', () => {
  it('is the same to the byte when it is built again', () => {
    const first = bundle(7);
    const second = bundle(7);
    assert.equal(first.digest, second.digest);
    assert.deepEqual(first.manifest, second.manifest);
    assert.notEqual(first.digest, bundle(8).digest);
  });

  it('is a manifest with the release as config and one layer each, in the order given', () => {
    const built = bundle(7);
    const manifest = parseManifest(built.manifest);
    assert.ok(manifest.kind === 'manifest');
    assert.equal(manifest.artifactType, 'application/vnd.cloudnexus.edge.bundle.v1');
    assert.equal(manifest.config.mediaType, RELEASE);
    assert.deepEqual(
      manifest.layers.map((layer) => layer.annotations?.['org.opencontainers.image.title']),
      layers('').map((layer) => layer.title),
    );
    assert.equal(manifest.annotations['org.opencontainers.image.created'], '2025-11-20T00:00:00Z');
    for (const layer of [manifest.config, ...manifest.layers])
      assert.equal(built.blobs.get(layer.digest)?.bytes.byteLength, layer.size);
  });

  for (const [what, list, code] of [
    ['no routes', [], 'missing_layer'],
    ['routes twice', [routes('{}'), { ...routes('[]'), title: 'other.json' }], 'duplicate_layer'],
    [
      'one title twice',
      [routes('{}'), { mediaType: LAYERS.wasm.mediaType, title: 'routes.json', bytes: new Uint8Array(1) }],
      'duplicate_layer',
    ],
    ['a layer without title', [{ ...routes('{}'), title: '' }], 'malformed_manifest'],
    [
      'a foreign media type',
      [routes('{}'), { mediaType: 'application/x-tar', title: 'x', bytes: new Uint8Array(1) }],
      'unknown_layer',
    ],
    ['JSON that parsers read differently', [routes('{"a":1,"a":2}')], 'malformed_json'],
    [
      'a layer over its cap',
      [routes('{}'), { mediaType: LAYERS.wasm.mediaType, title: 'x', bytes: new Uint8Array(LAYERS.wasm.bytesMax + 1) }],
      'too_large',
    ],
    [
      'more bytes than a bundle may have',
      [
        routes('{}'),
        ...Array.from({ length: 9 }, (_, i) => ({
          mediaType: LAYERS.wasm.mediaType,
          title: `${i}`,
          bytes: new Uint8Array(BUNDLE_BYTES_MAX / 8),
        })),
      ],
      'too_large',
    ],
    [
      'more layers than a bundle may have',
      [
        routes('{}'),
        ...Array.from({ length: 512 }, (_, i) => ({
          mediaType: LAYERS.seclang.mediaType,
          title: `${i}`,
          bytes: new Uint8Array(1),
        })),
      ],
      'too_large',
    ],
  ] as const) {
    it(`is not built with ${what}`, () => {
      assert.throws(() => build(list), { code });
    });
  }

  it('may hold foreign layers that the release calls optional', () => {
    const foreign = { mediaType: 'application/x-future', title: 'x', bytes: new Uint8Array(1) };
    assert.doesNotThrow(() => build([routes('{}'), foreign], { optional: ['application/x-future'] }));
  });
});

describe('a release document', () => {
  it('is read as it was written', () => {
    const whole = release(5, {
      floor: 3,
      notAfter: '2027-01-01T00:00:00Z',
      minGateway: '1.0.0',
      requires: ['waf.v1'],
      optional: ['a/b'],
      audience: { channels: ['prod', 'dev'], selector: { region: 'eu' } },
      policies: [
        {
          name: 'authz',
          entrypoints: ['authz/allow'],
          abi: '1.3',
          builtins: [],
          inputProjection: ['path'],
          sourceDigest: 'x',
        },
      ],
      source: { repo: 'r', commit: 'c' },
    });
    assert.deepEqual(JSON.parse(JSON.stringify(parseRelease(releaseBytes(whole)))), whole);
  });

  for (const [what, change] of [
    ['schema', { schema: 2 }],
    ['product', { product: '' }],
    ['seq', { seq: -1 }],
    ['seq', { seq: 1.5 }],
    ['seq', { seq: '1' }],
    ['floor', { floor: 6 }],
    ['createdAt', { createdAt: 'yesterday' }],
    ['createdAt', { createdAt: '2026-02-30T99:00:00Z' }],
    ['notAfter', { notAfter: '2026-11-21' }],
    ['audience.channels', { audience: { channels: [] } }],
    ['audience.cell', { audience: { channels: ['prod'], cell: 'x' } }],
    ['minGateway', { minGateway: '1.x' }],
    ['requires[0]', { requires: [1] }],
    ['policies[0].entrypoints', { policies: [{ name: 'x' }] }],
    ['source.url', { source: { url: 'x' } }],
    ['sequence', { sequence: 1 }],
  ] as const) {
    it(`is refused with the name of the field: ${what} = ${JSON.stringify(change)}`, () => {
      const bytes = new TextEncoder().encode(JSON.stringify({ ...release(5), ...change }));
      assert.throws(
        () => parseRelease(bytes),
        (error: Error & { code?: string }) => error.code === 'malformed_release' && error.message.includes(what),
      );
    });
  }

  it('gives a release or a rejection for any JSON', () => {
    fc.assert(
      fc.property(
        fc.json(),
        fc.dictionary(fc.constantFrom('seq', 'floor', 'audience', 'policies', 'source', 'requires'), fc.jsonValue()),
        (text, changes) => {
          for (const bytes of [text, JSON.stringify({ ...release(5), ...changes })].map((item) =>
            new TextEncoder().encode(item),
          )) {
            try {
              parseRelease(bytes);
            } catch (error) {
              assert.ok(
                ['malformed_release', 'malformed_json'].includes((error as { code: string }).code),
                String(error),
              );
            }
          }
        },
      ),
    );
  });
});
