/**
 * The attack table of docs/trust.md: each attack against all that follows a source, with a registry that lies. In each of them what served before serves on, and the
 * reason is said.
 */
import assert from 'node:assert/strict';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { type AssembledBundle, assembleSignature } from '../../src/control/oci/artifact.ts';
import { digestHex, digestOf } from '../../src/control/oci/digest.ts';
import { canonicalJsonBytes } from '../../src/control/oci/json.ts';
import { LAYERS, OCI_INDEX, OCI_MANIFEST } from '../../src/control/oci/media-types.ts';
import { SEQ_JUMP_MAX } from '../../src/control/trust/rules.ts';
import { makeSigstoreBundle } from '../../src/control/trust/sigstore-bundle.ts';
import { bundle, KEY_A, KEY_B, layers, newKey, publishSigned, temporaryLayout, trusted } from './harness/sample.ts';
import { suppliedBy, type SupplyOptions } from './harness/supply.ts';

/** Serves sequence 10 with floor 5, as verified from the registry. */
async function serving(t: TestContext, options: SupplyOptions = {}) {
  const world = await suppliedBy(t, options);
  const good = bundle(10, { release: { floor: 5 } });
  world.registry.publish(good, [KEY_A, KEY_B]);
  const supply = await world.start();
  await supply.follow();
  world.serves(supply, 10);
  /** What the attacker put there is looked at and leaves no trace but its reason. */
  const refused = async (reason: RegExp): Promise<void> => {
    await supply.pollNow();
    world.serves(supply, 10);
    const { lastError } = supply.source();
    assert.match(`${world.refusal(supply)} ${lastError ?? ''}`, reason);
    assert.equal(supply.active()?.digest, good.digest);
    assert.equal(supply.trust().highestSeq, 10);
  };
  return { ...world, supply, good, refused };
}

/** The bundle with other manifest bytes, signed anew by a trusted key. */
function resigned(built: AssembledBundle, manifest: Uint8Array): AssembledBundle {
  const digest = digestOf(manifest);
  return { ...built, manifest, digest, descriptor: { ...built.descriptor, digest, size: manifest.byteLength } };
}
interface ManifestLayer {
  digest: string;
  size: number;
  mediaType?: string;
  annotations?: Record<string, string>;
}
const manifestOf = (built: AssembledBundle) =>
  JSON.parse(Buffer.from(built.manifest).toString()) as { layers: ManifestLayer[] };

describe('an arbitrary bundle', () => {
  it('put there by somebody who can write to the registry, without a key or with a key of his own, is not taken', async (t) => {
    const { registry, refused, supply } = await serving(t);
    registry.publish(bundle(11), []);
    await refused(/^unsigned/);
    assert.equal(supply.source().state, 'pending_signature');
    registry.publish(bundle(12), [newKey(), newKey('ecdsa-p256')]);
    await refused(/^wrong_key/);
  });

  it('with the signature of another bundle, or one that names a trusted key, is not taken', async (t) => {
    const { registry, refused, good } = await serving(t);
    const evil = bundle(11);
    registry.publish(evil, []);
    registry.referrers.set(evil.digest, registry.referrers.get(good.digest) ?? []);
    await refused(/its subject is another manifest/);
    // The envelope of the good one under a manifest that claims the evil one as its subject.
    const stolen = assembleSignature(evil.descriptor, makeSigstoreBundle(KEY_A, good.digest));
    for (const blob of stolen.blobs) registry.blobs.set(blob.descriptor.digest, blob.bytes);
    registry.manifests.set(stolen.descriptor.digest, { bytes: stolen.manifest, type: OCI_MANIFEST });
    registry.referrers.set(evil.digest, [{ ...stolen.descriptor }]);
    await refused(/^bad_signature/);
  });
});

describe('a wrong bundle', () => {
  for (const [what, release] of [
    ['another product', { product: 'other' }],
    ['staging', { audience: { channels: ['staging'] } }],
    ['gateways elsewhere', { audience: { channels: ['prod'], selector: { region: 'us' } } }],
  ] as const) {
    it(`that was rightly signed for ${what} is not taken`, async (t) => {
      const { registry, refused } = await serving(t, { policy: { labels: { region: 'eu' } } });
      registry.publish(bundle(11, { release }));
      await refused(/^audience_mismatch/);
    });
  }
});

describe('a rollback', () => {
  it('below the floor is not taken, whoever signed it, also after a restart and without the state file', async (t) => {
    const { registry, refused, supply, start, directory, serves, refusal } = await serving(t);
    registry.publish(bundle(4));
    await refused(/^below_floor/);
    await supply.close();
    rmSync(join(directory, 'state', 'state.json'));
    const again = await start();
    await again.follow();
    serves(again, 10);
    assert.match(refusal(again), /^below_floor/);
  });

  it('to a bundle above the floor is ordinary with tag, and needs a new release with endorsed', async (t) => {
    const { registry, supply, serves, retrust, refusal } = await serving(t);
    const older = bundle(7);
    registry.publish(older);
    await supply.pollNow();
    serves(supply, 7);
    assert.equal(supply.active()?.direction, 'rollback');
    assert.equal(supply.trust().highestSeq, 10);
    registry.publish(bundle(11));
    await supply.pollNow();
    serves(supply, 11);
    await retrust(supply, { rollback: 'endorsed' });
    registry.tags.set('prod', older.digest);
    await supply.pollNow();
    serves(supply, 11);
    assert.match(refusal(supply), /^rollback_not_endorsed/);
  });

  it('to a bundle that the trust policy revokes is not taken', async (t) => {
    const older = bundle(7);
    const { registry, refused } = await serving(t, { policy: { revokedBundles: [older.digest] } });
    registry.publish(older);
    await refused(/^revoked_bundle/);
  });
});

describe('equivocation', () => {
  it('is told: two bundles with one number, both rightly signed, are never both taken', async (t) => {
    const { registry, refused, supply, serves, refusal } = await serving(t);
    registry.publish(bundle(10, { mark: 'another' }));
    await refused(/^equivocation/);
    // Nor after something newer was active in between.
    registry.publish(bundle(11));
    await supply.pollNow();
    registry.publish(bundle(10, { mark: 'a third', release: { floor: 5 } }));
    await supply.pollNow();
    serves(supply, 11);
    assert.match(refusal(supply), /^equivocation/);
  });
});

describe('fast-forward', () => {
  it('by a jump of the counter is not taken', async (t) => {
    const { registry, refused } = await serving(t);
    registry.publish(bundle(10 + SEQ_JUMP_MAX + 1));
    await refused(/^seq_jump/);
    registry.publish(bundle(Number.MAX_SAFE_INTEGER));
    await refused(/^seq_jump/);
  });

  it('by somebody who had a key locks nobody out: a raised epoch without that key begins anew, and cannot be lowered', async (t) => {
    const { registry, supply, serves, retrust, refusal, start, events } = await serving(t);
    const evil = SEQ_JUMP_MAX;
    registry.publish(bundle(evil, { release: { floor: evil } }), [KEY_A]);
    await supply.pollNow();
    serves(supply, evil);
    registry.publish(bundle(11), [KEY_B]);
    await supply.pollNow();
    assert.match(refusal(supply), /^below_floor/);
    const mended = { epoch: 2, keys: [trusted('a', KEY_A, { status: 'revoked' as const }), trusted('b', KEY_B)] };
    await retrust(supply, mended);
    serves(supply, 11);
    assert.deepEqual([supply.trust().epoch, supply.trust().highestSeq, supply.trust().floor], [2, 11, 0]);
    await retrust(supply, { epoch: 1 });
    assert.match(supply.trust().refused ?? '', /epoch is 1, but 2 counts/);
    assert.ok(events.some(({ message }) => /trust policy refused/.test(message)));
    // Nor by a restart with the older file: what is kept was trusted by a newer one.
    await supply.close();
    const again = await start();
    assert.equal(again.active(), null);
  });
});

describe('a freeze', () => {
  it('by a registry that goes on with an old tag is told when the bundle has ended; traffic goes on', async (t) => {
    const { registry, supply, clock, events } = await serving(t);
    const ends = bundle(11, { release: { notAfter: '2026-11-21T01:00:00Z' } });
    registry.publish(ends);
    await supply.pollNow();
    assert.deepEqual([supply.active()?.seq, supply.source().stale], [11, false]);
    clock.nowMs += 3_600_001;
    await supply.pollNow();
    const { stale, staleReason, state } = supply.source();
    assert.deepEqual([stale, state], [true, 'current']);
    assert.match(staleReason ?? '', /ended 2026-11-21T01:00:00/);
    assert.equal(supply.active()?.seq, 11);
    assert.equal(events.filter(({ message }) => /is stale/.test(message)).length, 1, 'said once');
    registry.publish(bundle(12));
    await supply.pollNow();
    assert.equal(supply.source().stale, false);
  });

  it('by a registry that does not answer any more is told after ten minutes', async (t) => {
    const { registry, supply, clock } = await serving(t);
    registry.hook = (_, answer) => {
      answer.writeHead(503).end();
      return true;
    };
    clock.nowMs += 599_000;
    await supply.pollNow();
    assert.equal(supply.source().stale, false);
    clock.nowMs += 2_000;
    await supply.pollNow();
    assert.match(supply.source().staleReason ?? '', /no source has answered/);
    assert.equal(supply.active()?.seq, 10);
  });

  it('with a key that has ended is told; nothing new is taken on it', async (t) => {
    const ending = { keys: [trusted('a', KEY_A, { notAfter: '2026-11-21T00:10:00Z' }), trusted('c', newKey())] };
    const { registry, supply, clock, refused } = await serving(t, { policy: ending });
    assert.equal(supply.source().stale, false);
    clock.nowMs += 601_000;
    registry.publish(bundle(11), [KEY_A]);
    await refused(/^expired_key/);
    assert.equal(supply.source().stale, true);
  });
});

describe('mix-and-match', () => {
  it('of layers of two good bundles under a manifest of his own is unsigned', async (t) => {
    const { registry, refused, good } = await serving(t);
    const other = bundle(11);
    registry.publish(other);
    const mixed = manifestOf(other);
    mixed.layers[0] = manifestOf(good).layers[0] as ManifestLayer;
    registry.publish(resigned(other, canonicalJsonBytes(mixed)), []);
    await refused(/^unsigned/);
  });

  it('of bytes behind a digest is found', async (t) => {
    const { registry, refused } = await serving(t);
    const other = bundle(11, { layers: layers('a mark that is as long') });
    registry.publish(other);
    const [routes] = manifestOf(other).layers;
    const bytes = registry.blobs.get(routes?.digest ?? '') ?? assert.fail();
    registry.blobs.set(routes?.digest ?? '', Uint8Array.from(bytes).fill(0x20, 2, 5));
    await refused(/digest_mismatch/);
    assert.equal(registry.tags.get('prod'), other.digest);
    // The transfer is to blame, not the bundle: whole, it is taken.
    registry.blobs.set(routes?.digest ?? '', bytes);
  });
});

describe('a stolen key', () => {
  it('is not enough where two are needed, however often it signs', async (t) => {
    const { registry, refused } = await serving(t, { policy: { threshold: 2 } });
    registry.publish(bundle(11), [KEY_A]);
    await refused(/^below_threshold/);
    registry.publish(bundle(12), [KEY_B, KEY_B, KEY_B]);
    await refused(/^below_threshold/);
  });

  it('that is revoked while its bundle is being taken is told of at once', async (t) => {
    const keys = [trusted('a', KEY_A, { status: 'revoked' as const }), trusted('b', KEY_B)];
    const meanwhile: { revoke: () => Promise<void> } = { revoke: () => Promise.resolve() };
    const world = await serving(t, { policy: { threshold: 1 }, serve: () => meanwhile.revoke() });
    let looking: Promise<void> | undefined;
    meanwhile.revoke = async () => {
      meanwhile.revoke = () => Promise.resolve();
      world.setTrust({ threshold: 1, keys });
      await world.supply.lookAtTrust();
      looking = world.supply.lookAtTrust();
      while (!world.events.some(({ message }) => message === 'trust policy taken')) await setImmediate();
    };
    world.registry.publish(bundle(11, { release: { floor: 5 } }), [KEY_A]);
    await world.supply.pollNow();
    await looking;
    world.serves(world.supply, 11);
    assert.match(world.supply.source().staleReason ?? '', /not trusted any more: (revoked_key|wrong_key)/);
  });

  it('that is revoked makes nothing new; what it made serves on with an alarm, and not after a restart', async (t) => {
    const world = await suppliedBy(t);
    const { registry, start, retrust, refusal, events } = world;
    registry.publish(bundle(9), [KEY_A, KEY_B]);
    const supply = await start();
    await supply.follow();
    registry.publish(bundle(10), [KEY_A]);
    await supply.pollNow();
    const keys = [trusted('a', KEY_A, { status: 'revoked' as const }), trusted('b', KEY_B)];
    await retrust(supply, { keys });
    assert.equal(supply.active()?.seq, 10);
    assert.match(supply.source().staleReason ?? '', /not trusted any more: revoked_key/);
    assert.ok(events.some(({ level, message }) => level === 'error' && /not trusted any more/.test(message)));
    registry.publish(bundle(11), [KEY_A]);
    await supply.pollNow();
    assert.match(refusal(supply), /^revoked_key/);
    await supply.close();
    const again = await start();
    assert.equal(again.active()?.seq, 9, 'the newest that other keys have signed as well');
    await again.close();

    // Unless the policy prefers serving to revocation, and nothing else is left.
    registry.hook = (_, answer) => {
      answer.writeHead(503).end();
      return true;
    };
    world.setTrust({ keys: [trusted('a', KEY_A, { status: 'revoked' }), trusted('c', newKey())], serveRevoked: true });
    const forgiving = await start();
    assert.deepEqual([forgiving.active()?.seq, forgiving.source().stale], [9, true]);
  });

  it('of another role signs no bundle', async (t) => {
    const promoter = newKey();
    const keys = [trusted('a', KEY_A), trusted('p', promoter, { roles: ['promoter'] })];
    const { registry, refused } = await serving(t, { policy: { keys } });
    registry.publish(bundle(11), [promoter]);
    await refused(/^wrong_key/);
  });
});

describe('endless data and bombs', () => {
  it('are left after the bytes that were signed', async (t) => {
    const { registry, refused } = await serving(t);
    const other = bundle(11);
    registry.publish(other);
    const victim = manifestOf(other).layers[0]?.digest ?? '';
    let sent = 0;
    registry.hook = (_, answer, url) => {
      if (!url.pathname.endsWith(victim)) return false;
      answer.writeHead(200);
      const more = (): void => {
        while (!answer.destroyed && sent < 1 << 28) {
          sent += 65_536;
          if (!answer.write(Buffer.alloc(65_536))) {
            answer.once('drain', more);
            return;
          }
        }
      };
      more();
      return true;
    };
    await refused(/more than the \d+ bytes/);
    assert.ok(sent < 1 << 26);
  });

  for (const [what, edit, reason] of [
    [
      'a layer beyond its cap',
      (m) => Object.assign(m.layers[0] ?? {}, { size: LAYERS.routes.bytesMax + 1 }),
      /^too_large/,
    ],
    [
      'more layers than are looked at',
      (m) => m.layers.push(...Array.from({ length: 512 }, () => ({ ...m.layers[0], digest: '', size: 1 }))),
      /^malformed_manifest/,
    ],
    [
      'more bytes in all than are taken',
      (m) => {
        const [first] = m.layers;
        for (let i = 0; i < 20; i += 1)
          m.layers.push({
            ...(first as ManifestLayer),
            size: LAYERS.seclang.bytesMax,
            mediaType: LAYERS.seclang.mediaType,
            annotations: { 'org.opencontainers.image.title': `waf/${i}.conf` },
          });
      },
      /^too_large/,
    ],
  ] as [string, (m: { layers: ManifestLayer[] }) => void, RegExp][]) {
    it(`${what}: refused before a byte of it is fetched`, async (t) => {
      const { registry, refused } = await serving(t);
      const other = bundle(11);
      const manifest = manifestOf(other);
      edit(manifest);
      registry.publish(resigned(other, canonicalJsonBytes(manifest)));
      const before = registry.asked('GET', '/blobs/').length;
      await refused(reason);
      const fetched = registry.requests.filter((item) => item.url.includes('/blobs/')).length - before;
      // The signature and, where the manifest can be read, the release document.
      assert.ok(fetched <= 2, `${fetched} blobs were fetched`);
    });
  }

  it('nested as deep as a stack, or as long as memory, is refused by the reader', async (t) => {
    const { registry, refused } = await serving(t);
    const deep = new TextEncoder().encode(`${'['.repeat(100_000)}${']'.repeat(100_000)}`);
    const nested = layers('x').map((layer, i) =>
      i === 0 ? { ...layer, mediaType: 'application/x-opaque', bytes: deep } : layer,
    );
    // Built as a layer that is no JSON, then called routes.
    const built = bundle(11, {
      layers: [
        ...nested,
        ...layers('y')
          .slice(0, 1)
          .map((l) => ({ ...l, title: 'r2.json' })),
      ],
      release: { optional: ['application/x-opaque'] },
    });
    const manifest = manifestOf(built);
    manifest.layers = manifest.layers.filter((layer) => layer.mediaType !== LAYERS.routes.mediaType);
    Object.assign(manifest.layers[0] ?? {}, { mediaType: LAYERS.routes.mediaType });
    registry.publish(resigned(built, canonicalJsonBytes(manifest)));
    await refused(/^malformed_json/);
  });
});

describe('parser differentials', () => {
  const raw = (built: AssembledBundle): string => Buffer.from(built.manifest).toString();
  for (const [what, edit, reason] of [
    ['both shapes at once', (text) => text.replace('{', '{"manifests":[],'), /^ambiguous_manifest/],
    ['a name twice', (text) => text.replace('{', '{"schemaVersion":2,'), /^malformed_json/],
    ['a name twice, once escaped', (text) => text.replace('{', '{"l\\u0061yers":[],'), /^malformed_json/],
    ['a byte order mark', (text) => `\ufeff${text}`, /^malformed_json/],
    ['something behind it', (text) => `${text}{}`, /^malformed_json/],
    ['a comment', (text) => text.replace('{', '{/**/'), /^malformed_json/],
    [
      'a mediaType of an index',
      (text) => text.replace(`"mediaType":"${OCI_MANIFEST}"`, `"mediaType":"${OCI_INDEX}"`),
      /^malformed_manifest/,
    ],
    [
      'a digest of another algorithm',
      (text) => text.replace(/"sha256:([0-9a-f]{64})"/, '"sha512:$1$1"'),
      /^malformed_manifest/,
    ],
    [
      'a digest in capitals',
      (text) => text.replace(/"sha256:([0-9a-f]{64})"/, (d) => d.toUpperCase()),
      /^malformed_manifest/,
    ],
    ['a size that is no whole number', (text) => text.replace(/"size":\d+/, '"size":1.5'), /^malformed_manifest/],
    ['a negative size', (text) => text.replace(/"size":\d+/, '"size":-1'), /^malformed_manifest/],
    ['a size beyond exact numbers', (text) => text.replace(/"size":\d+/, '"size":9007199254740993'), /^malformed_/],
    ['__proto__', (text) => text.replace('{', '{"__proto__":{"artifactType":"x"},'), /^malformed_|^ambiguous/],
  ] as [string, (text: string) => string, RegExp][]) {
    it(`${what}, although it is signed, is refused`, async (t) => {
      const { registry, refused } = await serving(t);
      const other = bundle(11);
      const text = edit(raw(other));
      assert.notEqual(text, raw(other));
      registry.publish(resigned(other, new TextEncoder().encode(text)));
      await refused(reason);
    });
  }

  it('a content type that is not that of the bytes is refused', async (t) => {
    const { registry, refused } = await serving(t);
    const other = bundle(11);
    registry.publish(other);
    registry.manifests.set(other.digest, { bytes: other.manifest, type: OCI_INDEX });
    await refused(/media_type_mismatch/);
  });
});

describe('the local disk', () => {
  it('cannot lower the floor: it is in what is signed', async (t) => {
    const { registry, supply, start, directory, serves, refusal } = await serving(t);
    await supply.close();
    const file = join(directory, 'state', 'state.json');
    const state = JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>;
    writeFileSync(file, JSON.stringify({ ...state, floor: 0, highestSeq: 0, highestDigest: undefined }));
    registry.publish(bundle(3));
    const again = await start();
    await again.follow();
    serves(again, 10);
    assert.match(refusal(again), /^below_floor/);
  });

  it('cannot put a bundle there: every byte is hashed and every signature verified at the start', async (t) => {
    const { registry, supply, start, directory, served } = await serving(t);
    registry.publish(bundle(11));
    await supply.pollNow();
    await supply.close();
    const routes = served.at(-1)?.layer('routes') ?? assert.fail();
    writeFileSync(
      join(directory, 'state', 'oci', 'blobs', 'sha256', digestHex(routes.descriptor.digest)),
      '{"routes":[]}',
    );
    await registry.stop();
    const again = await start();
    assert.equal(again.active()?.seq, 10, 'the one before it');
  });
});

describe('the seed', () => {
  it('starts a gateway that keeps nothing while no source answers; the source counts once it does', async (t) => {
    const image = await temporaryLayout(t);
    await publishSigned(image, bundle(3, { release: { notAfter: '2026-11-01T00:00:00Z' } }));
    const { registry, start, serves, directory } = await suppliedBy(t, { seed: `oci:${image.directory}` });
    const supply = await start();
    serves(supply, 3);
    assert.equal(supply.source().stale, true, 'it has ended, and is better than nothing');
    registry.publish(bundle(4));
    await supply.follow();
    serves(supply, 4);
    await supply.close();
    rmSync(image.directory, { recursive: true });
    const again = await start();
    serves(again, 4);
    assert.ok(directory.length > 0);
  });

  it('is verified like everything else, and no way below the floor', async (t) => {
    const image = await temporaryLayout(t);
    await publishSigned(image, bundle(3), [newKey()]);
    const { start, events } = await suppliedBy(t, { seed: `oci:${image.directory}` });
    const supply = await start();
    assert.equal(supply.active(), null);
    assert.match(
      String(events.find(({ message }) => /seed bundle cannot/.test(message))?.fields['reason']),
      /not trusted/,
    );
  });
});

describe('a poll', () => {
  it('of what has not changed is one HEAD, whatever was refused or taken before', async (t) => {
    const { registry, supply } = await serving(t);
    const count = async (polls: number): Promise<string[]> => {
      registry.requests.length = 0;
      for (let i = 0; i < polls; i += 1) await supply.pollNow();
      return registry.requests.map((item) => item.method);
    };
    assert.deepEqual(
      await count(10),
      Array.from({ length: 10 }, () => 'HEAD'),
    );
    registry.publish(bundle(4));
    await supply.pollNow();
    assert.deepEqual(
      await count(10),
      Array.from({ length: 10 }, () => 'HEAD'),
    );
  });
});
