import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { digestHex, digestOf } from '../../src/control/oci/digest.ts';
import { DurableFiles, TEMPORARY_PREFIX } from '../../src/control/oci/files.ts';
import { OciLayout } from '../../src/control/oci/layout.ts';
import { publishBundle } from '../../src/control/oci/publish.ts';
import {
  bundle,
  KEY_A,
  KEY_B,
  layers,
  publishSigned,
  temporaryDirectory,
  temporaryLayout,
  verified,
} from './harness/sample.ts';

const blobPath = (layout: OciLayout, digest: Parameters<typeof digestHex>[0]) =>
  join(layout.directory, 'blobs', 'sha256', digestHex(digest));

describe('an OCI layout', () => {
  it('has the files that the specification names', async (t) => {
    const layout = await temporaryLayout(t);
    await publishSigned(layout, bundle(1));
    assert.deepEqual((await readdir(layout.directory)).sort(), ['blobs', 'index.json', 'oci-layout']);
    assert.equal(await readFile(join(layout.directory, 'oci-layout'), 'utf8'), '{"imageLayoutVersion":"1.0.0"}');
    for (const name of await readdir(join(layout.directory, 'blobs', 'sha256'))) {
      assert.equal(digestHex(digestOf(await readFile(join(layout.directory, 'blobs', 'sha256', name)))), name);
    }
  });

  it('moves a tag and keeps what it pointed to before', async (t) => {
    const layout = await temporaryLayout(t);
    const [first, second] = [bundle(1), bundle(2)];
    await publishSigned(layout, first);
    assert.deepEqual(await layout.resolve('latest'), { state: 'found', digest: first.digest });
    assert.deepEqual(await layout.resolve('latest', { digest: first.digest }), { state: 'unchanged' });
    await publishSigned(layout, second);
    assert.deepEqual(await layout.resolve('latest', { digest: first.digest }), {
      state: 'found',
      digest: second.digest,
    });
    assert.deepEqual(await layout.resolve('other'), { state: 'missing' });
    assert.deepEqual(await layout.resolve(first.digest), { state: 'found', digest: first.digest });
    await verified(layout, first);
  });

  it('lists a bounded number of manifests that lost their tag', async (t) => {
    const layout = await temporaryLayout(t);
    const built = Array.from({ length: 70 }, (_, i) => bundle(i + 1, { layers: layers('x').slice(0, 1) }));
    for (const item of built) await publishBundle(layout, item, 'latest');
    const { manifests } = await layout.index();
    assert.deepEqual(
      manifests.map((entry) => entry.digest),
      built.slice(-65).map((item) => item.digest),
    );
    assert.deepEqual(
      manifests
        .map((entry) => entry.annotations?.['org.opencontainers.image.ref.name'])
        .filter((tag) => tag !== undefined),
      ['latest'],
    );
  });

  it('keeps every signature when several are added at once', async (t) => {
    const layout = await temporaryLayout(t);
    const built = bundle(1);
    await publishSigned(layout, built, []);
    const { assembleSignature } = await import('../../src/control/oci/artifact.ts');
    const { makeSigstoreBundle } = await import('../../src/control/trust/sigstore-bundle.ts');
    await Promise.all(
      [KEY_A, KEY_B, KEY_B].map((key) =>
        layout.putSignature(
          built.descriptor,
          assembleSignature(built.descriptor, makeSigstoreBundle(key, built.digest)),
        ),
      ),
    );
    assert.equal((await layout.signatures(built.digest)).candidates.length, 3);
  });

  it('says that it is none where there is no marker, or one of another version', async (t) => {
    const directory = await temporaryDirectory(t);
    await assert.rejects(OciLayout.at(directory).resolve('latest'), {
      code: 'unreachable',
      message: /not an OCI image layout/,
    });
    await assert.rejects(OciLayout.at(join(directory, 'absent')).resolve('latest'), { code: 'unreachable' });
    await writeFile(join(directory, 'oci-layout'), '{"imageLayoutVersion":"2.0.0"}');
    await assert.rejects(OciLayout.at(directory).resolve('latest'), { code: 'protocol' });
  });

  for (const [what, text] of [
    ['no JSON', 'x'],
    ['half a file', '{"schemaVersion":2,"manif'],
    ['a manifest', '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json"}'],
    ['a name twice', '{"schemaVersion":2,"manifests":[],"manifests":[]}'],
    [
      'a tag twice',
      JSON.stringify({
        schemaVersion: 2,
        manifests: [1, 2].map((i) => ({
          mediaType: 'a/b',
          size: 1,
          digest: `sha256:${String(i).repeat(64)}`,
          annotations: { 'org.opencontainers.image.ref.name': 'latest' },
        })),
      }),
    ],
  ] as const) {
    it(`is not read with an index that is ${what}`, async (t) => {
      const layout = await temporaryLayout(t);
      await writeFile(join(layout.directory, 'index.json'), text);
      await assert.rejects(layout.resolve('latest'), { name: 'SourceError' });
    });
  }

  it('reads only regular files, and does not wait at a pipe', async (t) => {
    const layout = await temporaryLayout(t);
    const built = bundle(1);
    await publishSigned(layout, built);
    const path = blobPath(layout, built.digest);
    await rm(path);
    execFileSync('mkfifo', [path]);
    await assert.rejects(layout.manifest(built.digest), { code: 'not_found' });
    await rm(path);
    await mkdir(path);
    await assert.rejects(layout.manifest(built.digest), { code: 'not_found' });
    await rm(path, { recursive: true });
    await symlink('/dev/zero', path);
    await assert.rejects(layout.manifest(built.digest), { code: 'not_found' });
  });

  it('does not read more of a file than was declared', async (t) => {
    const layout = await temporaryLayout(t);
    const built = bundle(1);
    await publishSigned(layout, built);
    await writeFile(blobPath(layout, built.digest), new Uint8Array(5 * 1024 * 1024));
    await assert.rejects(layout.manifest(built.digest), { code: 'size_mismatch' });
  });

  it('replaces a torn blob when the right one is written again', async (t) => {
    const layout = await temporaryLayout(t);
    const built = bundle(1);
    await publishSigned(layout, built);
    for (const digest of [built.digest, ...built.blobs.keys()]) await writeFile(blobPath(layout, digest), 'torn');
    await assert.rejects(verified(layout, built), { name: 'Rejection' });
    await publishSigned(layout, built);
    await verified(layout, built);
  });

  it('is whole for a reader at every step of a publication, and stays so when the writer dies there', async (t) => {
    const first = bundle(1);
    const second = bundle(2);
    for (let dies = 1; ; dies += 1) {
      const directory = join(await temporaryDirectory(t), 'layout');
      const reader = await OciLayout.create(directory);
      await publishSigned(reader, first);
      let steps = 0;
      const files = new DurableFiles(() => {
        steps += 1;
        if (steps === dies) throw new Error('died');
      });
      const writer = OciLayout.at(directory, { files });
      let finished = true;
      try {
        await publishSigned(writer, second);
      } catch (error) {
        assert.match((error as Error).message, /died/);
        finished = false;
      }
      const seen = await reader.resolve('latest');
      assert.ok(seen.state === 'found');
      assert.equal(seen.digest === first.digest || seen.digest === second.digest, true);
      await verified(reader, seen.digest === first.digest ? first : second);
      if (finished) {
        assert.equal(seen.digest, second.digest);
        assert.ok(dies > 20, `${dies} steps`);
        break;
      }
      // The next publication is not disturbed by what the dead one left.
      await publishSigned(reader, second);
      await verified(reader, second);
    }
  });

  it('leaves only names that are recognised as temporary when a write dies', async (t) => {
    const directory = await temporaryDirectory(t);
    const files = new DurableFiles((step) => {
      if (step === 'rename') throw new Error('died');
    });
    await assert.rejects(files.write(join(directory, 'x'), new Uint8Array(3)), /died/);
    assert.ok((await readdir(directory)).every((name) => name.startsWith(TEMPORARY_PREFIX)));
  });
});
