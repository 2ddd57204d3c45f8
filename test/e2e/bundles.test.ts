/** Bundles on a running gateway: the first one, new ones under load, bad ones of every kind, restarts, and a real registry. */
import assert from 'node:assert/strict';
import { createPrivateKey } from 'node:crypto';
import { cpSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { run as bundleCommand } from '../../src/cli/bundle/bundle.ts';
import { OciLayout } from '../../src/control/oci/layout.ts';
import { DebianRegistry } from '../control/harness/debian-registry.ts';
import { type BundleParts, buildBundle, CHANNEL, makeKey, plainBundle, writeBundle } from '../harness/bundle.ts';
import type { TestGateway } from '../harness/gateway.ts';
import { OP } from '../policy/wasm-builder.ts';
import { policy, publish } from './bundle-draft.ts';
import { ask, keepAlive } from './client.ts';
import { Given } from './given.ts';

/** Between two requests of a client: the load must not starve what it is to meet. */
const PAUSE_MS = 5;

interface Status {
  readonly bundle: { readonly digest: string; readonly seq: number; readonly revision: number } | null;
  readonly source: { readonly lastError: string | null };
  readonly rejections: readonly { readonly digest: string; readonly step: string; readonly reason: string }[];
}

interface TrustStatus {
  readonly bundle: { readonly digest: string; readonly signers: readonly string[] } | null;
  readonly source: { readonly staleReason: string | null };
  readonly trust: { readonly keys: readonly object[]; readonly refused: string | null };
}

const statusOf = async (gateway: TestGateway): Promise<Status> => (await gateway.admin('/v1/status')) as Status;

/** A bundle whose answers say which one it is. */
function release(address: string, n: number, more: Partial<BundleParts> = {}): BundleParts {
  const routes = {
    routes: [
      {
        id: 'all',
        match: { path: { prefix: '/' } },
        access: 'public',
        reason: 'everything, for a test',
        respond: { answerHeaders: { set: { 'x-release': String(n) } } },
      },
    ],
  };
  return plainBundle([address], { routes, ...more });
}

async function servedBy(gateway: TestGateway): Promise<string> {
  const heard = await ask(gateway.ports.http, '/');
  assert.equal(heard.status, 200);
  return String(heard.headers['x-release']);
}

/** Resolves with the reason when the bundle was looked at and not taken; what served before serves on. */
async function rejection(gateway: TestGateway, digest: string, serving: string): Promise<string> {
  let found: Status['rejections'][number] | undefined;
  await gateway.until(`${digest} is rejected`, async () => {
    found = (await statusOf(gateway)).rejections.find((r) => r.digest === digest);
    return found !== undefined;
  });
  assert.equal(await servedBy(gateway), serving);
  return `${found?.step}: ${found?.reason}`;
}

describe('bundles', () => {
  const given = new Given();
  after(() => given.end());

  it('new ones go live under load, in order, without a failed request', async () => {
    const releases = 20;
    const upstream = await given.upstream();
    const gateway = await given.gateway({ bundle: release(upstream.address, 0), bootstrap: { lanes: 2 } });
    const load = { on: true };
    let requests = 0;
    const seen = new Set<number>();
    const client = async (): Promise<void> => {
      // One connection, so one lane: what it sees never goes back.
      const agent = keepAlive(1);
      let newest = 0;
      try {
        while (load.on) {
          const heard = await ask(gateway.ports.http, '/', { agent });
          assert.equal(heard.status, 200);
          const n = Number(heard.headers['x-release']);
          assert.ok(n >= newest, `release ${n} after ${newest}`);
          newest = n;
          seen.add(n);
          requests += 1;
          await sleep(PAUSE_MS);
        }
      } finally {
        load.on = false;
        agent.destroy();
      }
    };
    const clients = Array.from({ length: 8 }, client);
    try {
      for (let n = 1; n <= releases && load.on; n++) {
        await gateway.publish(release(upstream.address, n));
        await gateway.until(`release ${n} serves`, async () => (await statusOf(gateway)).bundle?.seq === n + 1);
      }
    } finally {
      load.on = false;
    }
    await Promise.all(clients);
    assert.equal(await servedBy(gateway), String(releases));
    assert.ok(requests >= 300, `only ${requests} requests`);
    assert.ok(seen.size >= releases / 2, `only ${seen.size} releases were seen`);
    assert.deepEqual((await statusOf(gateway)).rejections, []);
    await gateway.stop();
  });

  it('what is unsigned, wrongly signed, broken, too old or not compilable is rejected with its reason, also after a restart', async () => {
    const upstream = await given.upstream();
    const good = release(upstream.address, 5, { release: { seq: 5, floor: 5 } });
    const gateway = await given.gateway({ bundle: good });
    const source = join(gateway.directory, 'source');
    const bundles = join(gateway.directory, 'bundles');
    const { bundle } = await statusOf(gateway);
    assert.equal(bundle?.seq, 5);

    const unsigned = await gateway.publish(release(upstream.address, 6, { release: { seq: 6 } }), { signed: false });
    assert.match(await rejection(gateway, unsigned, '5'), /^verify: unsigned: /);

    const stranger = await makeKey(join(gateway.directory, 'stranger'), 'stranger');
    writeBundle(source, release(upstream.address, 7, { release: { seq: 7 } }));
    const foreign = await buildBundle(source, bundles, stranger.keyFile);
    assert.match(await rejection(gateway, foreign, '5'), /^verify: wrong_key: /);

    const old = await gateway.publish(release(upstream.address, 4, { release: { seq: 4 } }));
    assert.match(await rejection(gateway, old, '5'), /^verify: below_floor: .*4.*5/);

    const secretive = await gateway.publish(
      release(upstream.address, 8, {
        release: { seq: 8 },
        issuers: {
          issuers: [
            { id: 'i', issuer: 'https://i.test', audiences: ['a'], algorithms: ['HS256'], hmacSecret: 'not-mapped' },
          ],
        },
      }),
    );
    assert.match(await rejection(gateway, secretive, '5'), /^compile: [^]*not-mapped/);

    // Made by hand: what a gateway cannot compile, `cnx bundle build` does not write.
    const key = createPrivateKey(readFileSync(gateway.key.keyFile));
    const looping = await publish(OciLayout.at(bundles), key, 9, 'looping', policy({ evaluate: OP.forever }));
    assert.match(await rejection(gateway, looping, '5'), /^compile: [^]*\/policies\/0: did not answer within \d+ ms/);

    // Bytes that are not what their digest says: prepared elsewhere, so that the gateway never sees them whole.
    const elsewhere = join(gateway.directory, 'elsewhere');
    writeBundle(source, release(upstream.address, 10, { release: { seq: 10 } }));
    const broken = await buildBundle(source, elsewhere, gateway.key.keyFile);
    damageLayer(elsewhere, broken);
    cpSync(join(elsewhere, 'blobs'), join(bundles, 'blobs'), { recursive: true });
    cpSync(join(elsewhere, 'index.json'), join(bundles, 'index.new'));
    renameSync(join(bundles, 'index.new'), join(bundles, 'index.json'));
    assert.match(await rejection(gateway, broken, '5'), /^verify: digest_mismatch: /);

    writeFileSync(join(bundles, 'index.json'), '{"manifests": [');
    await gateway.until('the source is said to be broken', async () => {
      const { lastError } = (await statusOf(gateway)).source;
      return lastError !== null && /index\.json/.test(lastError);
    });
    assert.equal(await servedBy(gateway), '5');

    // The source is gone as a whole: what was good is in the state directory.
    rmSync(bundles, { recursive: true });
    await gateway.restart();
    await gateway.untilReady();
    assert.equal(await servedBy(gateway), '5');
    assert.equal((await statusOf(gateway)).bundle?.digest, bundle?.digest);

    // It comes back, with something newer.
    mkdirSync(bundles);
    await gateway.publish(release(upstream.address, 11, { release: { seq: 11 } }));
    await gateway.until('the newer one serves', async () => (await statusOf(gateway)).bundle?.seq === 11);
    assert.equal(await servedBy(gateway), '11');
    await gateway.stop();
  });

  it('without any bundle the gateway lives, is not ready, and serves as soon as the first one is there', async () => {
    const upstream = await given.upstream();
    const gateway = await given.gateway({
      bundle: release(upstream.address, 1),
      bootstrap: { bundle: { source: `oci:later:${CHANNEL}`, pollMs: 5_000 } },
      awaitReady: false,
    });
    await gateway.until('/healthz says yes', async () => {
      const answer = await gateway.probe('/healthz').catch(() => undefined);
      return answer?.status === 200;
    });
    assert.equal((await gateway.probe('/readyz')).status, 503);
    await gateway.untilPrinted(/"no bundle can be had from the source.*"state":"unreachable".*no oci-layout file/);
    await assert.rejects(ask(gateway.ports.http, '/'), /ECONNREFUSED/);
    renameSync(join(gateway.directory, 'bundles'), join(gateway.directory, 'later'));
    await gateway.untilReady();
    assert.equal(await servedBy(gateway), '1');
    await gateway.stop();
  });

  it('are taken by the trust policy as it stands now: a key added, revoked, and a file that is broken', async () => {
    const upstream = await given.upstream();
    const gateway = await given.gateway({ bundle: release(upstream.address, 1) });
    const next = await makeKey(join(gateway.directory, 'next'), 'next');
    const [first, second] = [gateway.key.trust, next.trust].map((trust) => (trust as { keys: object[] }).keys[0]);
    const trust = (keys: unknown): void =>
      writeFileSync(join(gateway.directory, 'trust.yaml'), JSON.stringify({ ...gateway.key.trust, keys }));
    const trusted = async () => (await gateway.admin('/v1/status')) as TrustStatus;
    trust([first, second]);
    await gateway.until('the new key counts', async () => (await trusted()).trust.keys.length === 2);
    writeBundle(join(gateway.directory, 'source'), release(upstream.address, 2));
    const signed = await buildBundle(
      join(gateway.directory, 'source'),
      join(gateway.directory, 'bundles'),
      next.keyFile,
    );
    await gateway.until('what it signs serves', async () => (await trusted()).bundle?.digest === signed);
    assert.deepEqual((await trusted()).bundle?.signers, ['next']);

    trust([first, { ...second, status: 'revoked' }]);
    await gateway.until('it is told', async () => (await trusted()).source.staleReason !== null);
    assert.match((await trusted()).source.staleReason ?? '', /revoked_key/);
    assert.equal(await servedBy(gateway), '2');
    assert.match((await gateway.probe('/metrics')).body, /^cnx_bundle_stale 1$/m);

    trust([]);
    await gateway.until('the file is refused', async () => (await trusted()).trust.refused !== null);
    assert.equal(await servedBy(gateway), '2');
    trust([first, second]);
    await gateway.until('all is well again', async () => {
      const { source, trust: now } = await trusted();
      return source.staleReason === null && now.refused === null;
    });
    await gateway.stop();
  });

  it('come from a real registry; a moved tag is followed, and an outage changes nothing', async () => {
    const registry = await DebianRegistry.start({ after: (end: () => unknown) => given.ends(end) });
    const upstream = await given.upstream();
    const gateway = await given.gateway({
      bundle: release(upstream.address, 1),
      bootstrap: { bundle: { source: `${registry.host}/edge/config:${CHANNEL}`, pollMs: 5_000 } },
      awaitReady: false,
    });
    const push = async (): Promise<void> => {
      let said = '';
      const code = await bundleCommand(
        ['push', `oci:${join(gateway.directory, 'bundles')}:${CHANNEL}`, `${registry.host}/edge/config:${CHANNEL}`],
        { stdout: (text) => (said += text), stderr: (text) => (said += text), env: {} },
      );
      assert.equal(code, 0, said);
    };
    await push();
    await gateway.untilReady();
    assert.equal(await servedBy(gateway), '1');

    await gateway.publish(release(upstream.address, 2));
    await push();
    await gateway.until('the tag is followed', async () => (await statusOf(gateway)).bundle?.seq === 2);
    assert.equal(await servedBy(gateway), '2');

    await registry.stop();
    await gateway.until('the outage is noticed', async () => (await statusOf(gateway)).source.lastError !== null);
    assert.equal(await servedBy(gateway), '2');
    await gateway.restart();
    await gateway.untilReady();
    assert.equal(await servedBy(gateway), '2');
    await gateway.stop();
  });
});

/** Changes a byte of the largest layer of a bundle in a layout. */
function damageLayer(layout: string, digest: string): void {
  const blob = (d: string): string => join(layout, 'blobs', ...d.split(':'));
  const manifest = JSON.parse(readFileSync(blob(digest), 'utf8')) as { layers: { digest: string; size: number }[] };
  const [largest] = manifest.layers.sort((a, b) => b.size - a.size);
  const file = blob(largest?.digest ?? '');
  assert.ok(readdirSync(join(layout, 'blobs/sha256')).length > 2);
  const bytes = readFileSync(file);
  bytes[bytes.length - 2] = (bytes.at(-2) ?? 0) ^ 1;
  rmSync(file);
  writeFileSync(file, bytes);
}
