import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseManifest } from './manifest.ts';
import { OCI_INDEX, OCI_MANIFEST } from './media-types.ts';

const DIGEST = `sha256:${'0f'.repeat(32)}`;
const descriptor = { mediaType: 'application/wasm', digest: DIGEST, size: 3 };
const manifest = { schemaVersion: 2, mediaType: OCI_MANIFEST, config: descriptor, layers: [descriptor] };
const parse = (value: unknown, type?: string) => parseManifest(new TextEncoder().encode(JSON.stringify(value)), type);

describe('manifests', () => {
  it('are read with what matters and without what is not used', () => {
    const parsed = parse(
      {
        ...manifest,
        artifactType: 'a/b',
        unknown: 1,
        layers: [{ ...descriptor, urls: ['http://evil.example/'], data: 'AAAA', annotations: { x: 'y' } }],
      },
      `${OCI_MANIFEST}; charset=utf-8`,
    );
    assert.equal(parsed.kind, 'manifest');
    assert.deepEqual(JSON.parse(JSON.stringify(parsed)), {
      kind: 'manifest',
      artifactType: 'a/b',
      config: descriptor,
      layers: [{ ...descriptor, annotations: { x: 'y' } }],
      annotations: {},
    });
  });

  it('are indexes when they list manifests', () => {
    assert.equal(parse({ schemaVersion: 2, mediaType: OCI_INDEX, manifests: [] }, OCI_INDEX).kind, 'index');
  });

  for (const [what, value, type, code] of [
    ['both shapes at once', { ...manifest, manifests: [] }, undefined, 'ambiguous_manifest'],
    [
      'an index with layers',
      { schemaVersion: 2, mediaType: OCI_INDEX, manifests: [], layers: [] },
      undefined,
      'ambiguous_manifest',
    ],
    ['another content type', manifest, OCI_INDEX, 'media_type_mismatch'],
    ['no content type', manifest, '', 'media_type_mismatch'],
    ['a mediaType that disagrees', { ...manifest, mediaType: OCI_INDEX }, undefined, 'malformed_manifest'],
    ['no mediaType', { ...manifest, mediaType: undefined }, undefined, 'malformed_manifest'],
    ['schemaVersion 1', { ...manifest, schemaVersion: 1 }, undefined, 'malformed_manifest'],
    ['a list', [], undefined, 'malformed_manifest'],
    ['no config', { ...manifest, config: undefined }, undefined, 'malformed_manifest'],
    ['layers that are no list', { ...manifest, layers: {} }, undefined, 'malformed_manifest'],
    [
      'too many layers',
      { ...manifest, layers: Array.from({ length: 513 }, () => descriptor) },
      undefined,
      'malformed_manifest',
    ],
    [
      'a path for a digest',
      { ...manifest, config: { ...descriptor, digest: 'sha256:../../etc/passwd' } },
      undefined,
      'malformed_manifest',
    ],
    [
      'an upper case digest',
      { ...manifest, config: { ...descriptor, digest: DIGEST.toUpperCase() } },
      undefined,
      'malformed_manifest',
    ],
    [
      'sha512',
      { ...manifest, config: { ...descriptor, digest: `sha512:${'0'.repeat(128)}` } },
      undefined,
      'malformed_manifest',
    ],
    ['a negative size', { ...manifest, config: { ...descriptor, size: -1 } }, undefined, 'malformed_manifest'],
    [
      'a size that is no whole number',
      { ...manifest, config: { ...descriptor, size: 1.5 } },
      undefined,
      'malformed_manifest',
    ],
    ['a size as text', { ...manifest, config: { ...descriptor, size: '3' } }, undefined, 'malformed_manifest'],
    [
      'a media type with a line break',
      { ...manifest, config: { ...descriptor, mediaType: 'a/b\r\nx: y' } },
      undefined,
      'malformed_manifest',
    ],
    ['annotations that are no text', { ...manifest, annotations: { a: 1 } }, undefined, 'malformed_manifest'],
    ['a subject that is no descriptor', { ...manifest, subject: {} }, undefined, 'malformed_manifest'],
  ] as const) {
    it(`are refused with ${what}`, () => {
      assert.throws(() => parse(value, type), { code });
    });
  }

  it('are refused when they are not strict JSON', () => {
    const text = JSON.stringify(manifest).replace('{"schemaVersion"', '{"layers":[],"schemaVersion"');
    assert.throws(() => parseManifest(new TextEncoder().encode(text)), { code: 'malformed_json' });
  });
});
