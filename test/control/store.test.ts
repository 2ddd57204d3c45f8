import assert from 'node:assert/strict';
import { cp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { describe, it, type TestContext } from 'node:test';
import type { AssembledBundle } from '../../src/control/oci/artifact.ts';
import { type Digest, digestHex, referrersTag } from '../../src/control/oci/digest.ts';
import type { CrashPoint } from '../../src/control/oci/files.ts';
import { OciLayout } from '../../src/control/oci/layout.ts';
import { REF_NAME_ANNOTATION } from '../../src/control/oci/media-types.ts';
import {
  EMPTY_STATE,
  parseState,
  PREVIOUS_MAX,
  QUARANTINE_MAX,
  sequenceOf,
  stateBytes,
} from '../../src/control/store/state.ts';
import { BundleStore } from '../../src/control/store/store.ts';
import { SEQ_JUMP_MAX } from '../../src/control/trust/rules.ts';
import type { VerifiedBundle } from '../../src/control/trust/verify.ts';
import {
  bundle,
  GATEWAY,
  KEY_A,
  KEY_B,
  layers,
  NOW_MS,
  policy,
  publishSigned,
  temporaryDirectory,
  temporaryLayout,
  trust,
  trusted,
  verifyOptions,
} from './harness/sample.ts';
import { verifyBundle } from '../../src/control/trust/verify.ts';

/** Processes killed; every one at another moment. */
const KILLS = 10;

const boot = (store: BundleStore, more: Partial<Parameters<BundleStore['boot']>[0]> = {}) =>
  store.boot({ trust: trust(), gateway: GATEWAY, nowMs: NOW_MS, ...more });
const blobFile = (directory: string, digest: Digest) => join(directory, 'oci', 'blobs', 'sha256', digestHex(digest));

/** A source with these bundles, and a way to activate them in a store as the control loop does. */
async function world(t: TestContext, ...bundles: AssembledBundle[]) {
  const source = await temporaryLayout(t);
  for (const item of bundles) await publishSigned(source, item, [KEY_A, KEY_B]);
  const directory = join(await temporaryDirectory(t), 'state');
  const verify = (store: BundleStore, item: AssembledBundle): Promise<VerifiedBundle> =>
    verifyBundle(
      source,
      item.digest,
      verifyOptions({ sequence: sequenceOf(store.state), cache: store, quarantined: store.state.quarantined }),
    );
  const activate = async (store: BundleStore, item: AssembledBundle): Promise<void> => {
    await store.activated(await verify(store, item), 1, NOW_MS);
  };
  return { source, directory, verify, activate };
}

describe('the store', () => {
  it('boots empty where nothing was ever kept', async (t) => {
    const { directory } = await world(t);
    const store = await BundleStore.open(directory);
    assert.deepEqual(await boot(store), { bundle: undefined, passedOver: [], rebuilt: undefined });
  });

  it('boots with what was active, verified again', async (t) => {
    const [first, second] = [bundle(1), bundle(2, { release: { floor: 1 } })];
    const { directory, activate } = await world(t, first, second);
    const store = await BundleStore.open(directory);
    await activate(store, first);
    await activate(store, second);
    await store.close();
    const again = await BundleStore.open(directory);
    const { bundle: booted, passedOver } = await boot(again);
    assert.equal(booted?.digest, second.digest);
    assert.equal(booted?.direction, 'same');
    assert.deepEqual(passedOver, []);
    assert.equal(Buffer.from(booted?.layer('routes')?.bytes ?? []).toString(), '{"mark":"bundle 2"}');
    assert.deepEqual(
      { ...again.state, quarantined: [] },
      {
        epoch: 1,
        highestSeq: 2,
        highestDigest: second.digest,
        floor: 1,
        active: { digest: second.digest, seq: 2, floor: 1, activatedAtMs: NOW_MS },
        previous: [{ digest: first.digest, seq: 1, floor: 0, activatedAtMs: NOW_MS }],
        quarantined: [],
        lastContactMs: 0,
      },
    );
  });

  it('is a layout that other tools read', async (t) => {
    const first = bundle(1);
    const { directory, activate } = await world(t, first);
    const store = await BundleStore.open(directory);
    await activate(store, first);
    const layout = OciLayout.at(join(directory, 'oci'));
    assert.equal((await layout.signatures(first.digest)).candidates.length, 2);
    await verifyBundle(layout, first.digest, verifyOptions());
  });

  it('keeps floor and highest sequence when it goes back', async (t) => {
    const [first, second] = [bundle(3, { release: { floor: 2 } }), bundle(7)];
    const { directory, activate } = await world(t, first, second, bundle(1));
    const store = await BundleStore.open(directory);
    for (const item of [first, second, first]) await activate(store, item);
    assert.deepEqual(
      [
        store.state.highestSeq,
        store.state.floor,
        store.state.active?.seq,
        store.state.previous.map((item) => item.seq),
      ],
      [7, 2, 3, [7]],
    );
    await assert.rejects(activate(store, bundle(1)), { code: 'below_floor' });
  });

  it('keeps the active bundle and five before it, and removes the bytes of all others', async (t) => {
    const bundles = Array.from({ length: 9 }, (_, i) => bundle(i + 1));
    const { directory, activate } = await world(t, ...bundles);
    const store = await BundleStore.open(directory);
    for (const item of bundles) await activate(store, item);
    assert.deepEqual(
      store.state.previous.map((item) => item.seq),
      [8, 7, 6, 5, 4],
    );
    assert.equal(store.state.previous.length, PREVIOUS_MAX);
    const names = new Set(await readdir(join(directory, 'oci', 'blobs', 'sha256')));
    const [oldest, ...kept] = bundles.slice(2);
    assert.ok(oldest);
    assert.equal(names.has(digestHex(oldest.digest)), false);
    for (const item of kept)
      for (const digest of [item.digest, ...item.blobs.keys()]) assert.ok(names.has(digestHex(digest)));
    const tags = (await store.layout.index()).manifests
      .map((entry) => entry.annotations?.[REF_NAME_ANNOTATION])
      .filter((tag) => tag !== undefined);
    assert.deepEqual(tags.sort(), kept.map((item) => referrersTag(item.digest)).sort());
    // Six bundles: manifest, release and routes each; three layers shared; two signatures with their manifests, an index; the empty config.
    assert.equal(names.size, 6 * (3 + 4 + 1) + 4 + 1);
  });

  it('fetches only what is not here yet', async (t) => {
    const [first, second] = [bundle(1), bundle(2)];
    const { directory, source, activate } = await world(t, first, second);
    const store = await BundleStore.open(directory);
    await activate(store, first);
    const asked: string[] = [];
    const watched = Object.assign(Object.create(source) as OciLayout, {
      name: source.name,
      manifest: source.manifest.bind(source),
      signatures: source.signatures.bind(source),
      blob: (descriptor: Parameters<OciLayout['blob']>[0]) => (
        asked.push(descriptor.mediaType), source.blob(descriptor)
      ),
    });
    await verifyBundle(watched, second.digest, verifyOptions({ cache: store }));
    assert.deepEqual(asked, [
      'application/vnd.cloudnexus.edge.release.v1+json',
      'application/vnd.cloudnexus.edge.routes.v1+json',
    ]);
  });

  for (const [what, damage] of [
    ['manifest is torn', (d: string, b: AssembledBundle) => truncate(blobFile(d, b.digest), 10)],
    ['manifest is gone', (d: string, b: AssembledBundle) => rm(blobFile(d, b.digest))],
    [
      'layer is altered',
      (d: string, b: AssembledBundle) =>
        writeFile(blobFile(d, [...b.blobs.keys()][1] as Digest), '{"mark":"BUNDLE 2"}'),
    ],
    ['layer is empty', (d: string, b: AssembledBundle) => truncate(blobFile(d, [...b.blobs.keys()][1] as Digest), 0)],
    ['release is gone', (d: string, b: AssembledBundle) => rm(blobFile(d, [...b.blobs.keys()][0] as Digest))],
    [
      'signatures are gone',
      async (d: string, b: AssembledBundle) => {
        const layout = OciLayout.at(join(d, 'oci'));
        await layout.update((entries) =>
          entries.filter((entry) => entry.annotations?.[REF_NAME_ANNOTATION] !== referrersTag(b.digest)),
        );
      },
    ],
  ] as const) {
    it(`falls back to the bundle before when the active one's ${what}, and heals`, async (t) => {
      const [first, second] = [bundle(1), bundle(2)];
      const { directory, activate } = await world(t, first, second);
      const store = await BundleStore.open(directory);
      for (const item of [first, second]) await activate(store, item);
      await damage(directory, second);
      const again = await BundleStore.open(directory);
      const result = await boot(again);
      assert.equal(result.bundle?.digest, first.digest);
      assert.equal(result.bundle?.direction, 'rollback');
      assert.deepEqual(
        result.passedOver.map((item) => item.digest),
        [second.digest],
      );
      await again.activated(result.bundle, 1, NOW_MS);
      assert.equal(again.state.highestSeq, 2);
      // The source still has the newer one.
      await activate(again, second);
      assert.equal((await boot(await BundleStore.open(directory))).bundle?.digest, second.digest);
    });
  }

  it('boots without the index, which is not believed anyway, if it can', async (t) => {
    const first = bundle(1);
    const { directory, activate } = await world(t, first);
    await activate(await BundleStore.open(directory), first);
    await writeFile(join(directory, 'oci', 'index.json'), '{"schemaVersion":2,"manif');
    const result = await boot(await BundleStore.open(directory));
    assert.equal(result.bundle, undefined);
    assert.match(result.passedOver[0]?.reason ?? '', /index\.json/);
  });

  for (const [what, damage] of [
    ['torn', (path: string) => truncate(path, 20)],
    ['empty', (path: string) => truncate(path, 0)],
    [
      'altered',
      async (path: string) => writeFile(path, (await readFile(path, 'utf8')).replace('"floor":', '"flour":')),
    ],
    ['huge', (path: string) => truncate(path, 10_000_000)],
    ['gone', (path: string) => rm(path)],
  ] as const) {
    it(`makes a new state from what verifies when state.json is ${what}`, async (t) => {
      const [first, second] = [bundle(4, { release: { floor: 4 } }), bundle(9)];
      const { directory, activate } = await world(t, first, second, bundle(3));
      const store = await BundleStore.open(directory);
      for (const item of [first, second]) await activate(store, item);
      await damage(join(directory, 'state.json'));
      const again = await BundleStore.open(directory);
      const result = await boot(again);
      assert.equal(result.bundle?.digest, second.digest);
      assert.equal(result.rebuilt === undefined, what === 'gone');
      assert.deepEqual([again.state.highestSeq, again.state.floor], [9, 4]);
      await assert.rejects(activate(again, bundle(3)), { code: 'below_floor' });
      await again.activated(result.bundle, 1, NOW_MS);
      assert.deepEqual(
        (await BundleStore.open(directory)).state.previous.map((item) => item.seq),
        [4],
      );
    });
  }

  it('boots from a layout that was filled by other tools', async (t) => {
    const { directory } = await world(t);
    const seeded = await OciLayout.create(join(directory, 'oci'));
    for (const seq of [2, 5, 3]) await publishSigned(seeded, bundle(seq), [KEY_B], `v${seq}`);
    await publishSigned(seeded, bundle(6), [], 'v6');
    await publishSigned(seeded, bundle(7, { release: { product: 'other' } }), [KEY_B], 'v7');
    const store = await BundleStore.open(directory);
    const result = await boot(store);
    assert.equal(result.bundle?.release.seq, 5);
    assert.deepEqual(
      result.passedOver.map((item) => item.reason.split(':')[0]),
      ['unsigned', 'audience_mismatch'],
    );
  });

  it('does not serve again what only a key has signed that was revoked since', async (t) => {
    const first = bundle(1);
    const source = await temporaryLayout(t);
    await publishSigned(source, first, [KEY_A]);
    const directory = join(await temporaryDirectory(t), 'state');
    const store = await BundleStore.open(directory);
    await store.activated(await verifyBundle(source, first.digest, verifyOptions()), 1, NOW_MS);
    const revoked = trust({ keys: [trusted('a', KEY_A, { status: 'revoked' }), trusted('b', KEY_B)] });
    const result = await boot(await BundleStore.open(directory), { trust: revoked });
    assert.equal(result.bundle, undefined);
    assert.match(result.passedOver[0]?.reason ?? '', /revoked_key/);
  });

  it('gives the next one when the gateway could not compile the first', async (t) => {
    const [first, second] = [bundle(1), bundle(2)];
    const { directory, activate } = await world(t, first, second);
    const store = await BundleStore.open(directory);
    for (const item of [first, second]) await activate(store, item);
    assert.equal((await boot(store, { except: new Set([second.digest]) })).bundle?.digest, first.digest);
    assert.equal((await boot(store, { except: new Set([first.digest, second.digest]) })).bundle, undefined);
  });

  it('counts anew after the epoch was raised, and refuses a policy older than that', async (t) => {
    const [attack, good] = [bundle(SEQ_JUMP_MAX, { release: { floor: SEQ_JUMP_MAX } }), bundle(5)];
    const { directory, source, activate } = await world(t, attack, good);
    const store = await BundleStore.open(directory);
    await activate(store, attack);
    await assert.rejects(activate(store, good), { code: 'below_floor' });
    const next = verifyOptions({ sequence: sequenceOf(store.state), trust: trust({ epoch: 2 }) });
    await store.activated(await verifyBundle(source, good.digest, next), 2, NOW_MS);
    assert.deepEqual([store.state.epoch, store.state.highestSeq, store.state.floor], [2, 5, 0]);
    const again = await BundleStore.open(directory);
    assert.equal((await boot(again, { trust: trust({ epoch: 2 }) })).bundle?.digest, good.digest);
    const older = await boot(again);
    assert.equal(older.bundle, undefined);
    assert.match(older.passedOver[0]?.reason ?? '', /epoch_regressed/);
  });

  it('does not take back what was quarantined, until the tag has moved', async (t) => {
    const first = bundle(1);
    const { directory, activate, verify } = await world(t, first);
    const store = await BundleStore.open(directory);
    await activate(store, first);
    await store.quarantine(first.digest, 'errors rose to 20 %');
    const again = await BundleStore.open(directory);
    await assert.rejects(verify(again, first), { code: 'quarantined' });
    assert.equal((await boot(again)).bundle, undefined);
    await again.releaseQuarantine(first.digest);
    assert.equal(again.state.quarantined.size, 1);
    await again.releaseQuarantine();
    await verify(again, first);
  });

  it('bounds the quarantine', async (t) => {
    const { directory } = await world(t);
    const store = await BundleStore.open(directory);
    for (let i = 0; i < QUARANTINE_MAX + 3; i += 1) await store.quarantine(bundle(i).digest, 'x'.repeat(5000));
    assert.equal(store.state.quarantined.size, QUARANTINE_MAX);
    assert.equal((await BundleStore.open(directory)).state.quarantined.has(bundle(QUARANTINE_MAX + 2).digest), true);
  });

  it('writes the last contact once a minute at most', async (t) => {
    const { directory } = await world(t);
    let writes = 0;
    const store = await BundleStore.open(directory, {
      crashPointForTests: (step) => void (writes += step === 'write' ? 1 : 0),
    });
    writes = 0;
    for (const s of [100, 110, 120, 161, 170]) await store.contacted(s * 1000);
    assert.equal(writes, 2);
    assert.equal(store.state.lastContactMs, 161_000);
  });

  it('goes on when the disk cannot be written, and says so', async (t) => {
    const { directory } = await world(t);
    let full = false;
    const store = await BundleStore.open(directory, {
      crashPointForTests: (step) => {
        if (full && step === 'write') throw new Error('no space left on device');
      },
    });
    full = true;
    await store.contacted(1_000_000);
    assert.deepEqual([store.fault, store.state.lastContactMs], ['no space left on device', 0]);
    full = false;
    await store.contacted(1_000_001);
    assert.deepEqual([store.fault, store.state.lastContactMs], [undefined, 1_000_001]);
  });

  it('boots into a verified bundle after kill -9 at any moment', async (t) => {
    const [first, second] = [1, 2].map((seq) => bundle(seq, { layers: layers(`bundle ${seq}`).slice(0, 1) })) as [
      AssembledBundle,
      AssembledBundle,
    ];
    const source = await temporaryLayout(t);
    for (const item of [first, second]) await publishSigned(source, item);
    const directory = join(await temporaryDirectory(t), 'state');
    const policyFile = join(await temporaryDirectory(t), 'policy.json');
    await writeFile(policyFile, JSON.stringify(policy()));
    const script = fileURLToPath(new URL('harness/store-churn.ts', import.meta.url));
    const seen = new Set<string>();
    for (let round = 0; round < KILLS; round += 1) {
      const child = spawn(
        process.execPath,
        [script, source.directory, directory, policyFile, first.digest, second.digest],
        { stdio: ['ignore', 'pipe', 'inherit'] },
      );
      await once(child.stdout, 'data');
      await sleep(Math.random() * 25);
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
      const { bundle: booted, passedOver, rebuilt } = await boot(await BundleStore.open(directory));
      assert.deepEqual({ passedOver, rebuilt }, { passedOver: [], rebuilt: undefined });
      assert.ok(booted?.digest === first.digest || booted?.digest === second.digest);
      seen.add(booted.digest);
    }
    assert.ok(seen.size > 0);
  });

  it('boots into a verified bundle wherever a change of bundles was cut off', async (t) => {
    const [first, second] = [1, 2].map((seq) => bundle(seq, { layers: layers(`bundle ${seq}`).slice(0, 1) })) as [
      AssembledBundle,
      AssembledBundle,
    ];
    const { source, activate } = await world(t, first, second);
    const root = await temporaryDirectory(t);
    await activate(await BundleStore.open(join(root, 'before')), first);
    for (let dies = 1; ; dies += 1) {
      const directory = join(root, String(dies));
      await cp(join(root, 'before'), directory, { recursive: true });
      let steps = 0;
      const crash: CrashPoint = () => {
        steps += 1;
        if (steps === dies) throw new Error('died');
      };
      let finished = true;
      try {
        const store = await BundleStore.open(directory, { crashPointForTests: crash });
        await activate(store, second);
      } catch (error) {
        assert.match((error as Error).message, /died/);
        finished = false;
      }
      const again = await BundleStore.open(directory);
      const { bundle: booted, passedOver, rebuilt } = await boot(again);
      assert.deepEqual({ passedOver, rebuilt }, { passedOver: [], rebuilt: undefined }, `dead at step ${dies}`);
      assert.ok(booted?.digest === first.digest || booted?.digest === second.digest, `dead at step ${dies}`);
      // And goes on: the next activation succeeds and leaves nothing behind.
      await again.activated(
        await verifyBundle(source, second.digest, verifyOptions({ sequence: sequenceOf(again.state) })),
        1,
        NOW_MS,
      );
      const left = await readdir(join(directory, 'oci', 'blobs', 'sha256'));
      assert.deepEqual(
        left.filter((name) => name.startsWith('.')),
        [],
      );
      if (finished) {
        assert.ok(dies > 40, `${dies} steps`);
        break;
      }
    }
  });
});

describe('state.json', () => {
  it('is read as it was written', () => {
    const digest = bundle(1).digest;
    const kept = { digest, seq: 1, floor: 0, activatedAtMs: 5 };
    const state = {
      ...EMPTY_STATE,
      epoch: 3,
      highestSeq: 9,
      highestDigest: digest,
      floor: 2,
      active: kept,
      previous: [kept],
      quarantined: new Map([[digest, 'why']]),
      lastContactMs: 7,
    };
    assert.deepEqual(parseState(stateBytes(state)), state);
    assert.deepEqual(parseState(stateBytes(EMPTY_STATE)), EMPTY_STATE);
  });

  for (const change of [
    { schema: 2 },
    { epoch: -1 },
    { highestSeq: '1' },
    { highestDigest: 'x' },
    { active: {} },
    { previous: {} },
    { previous: Array.from({ length: 6 }, () => null) },
    { quarantined: {} },
    { extra: 1 },
  ]) {
    it(`is refused with ${JSON.stringify(change)}`, () => {
      const text = JSON.stringify({
        ...(JSON.parse(Buffer.from(stateBytes(EMPTY_STATE)).toString()) as object),
        ...change,
      });
      assert.throws(() => parseState(new TextEncoder().encode(text)), { code: 'malformed_json' });
    });
  }
});
