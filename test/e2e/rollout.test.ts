/** New bundles by steps on a running gateway: who sees them, what takes them back, and what does not wait for any step. */
import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { keyedHash } from '../../src/base/keyed-hash.ts';
import { RETIRED_NAMED_MAX } from '../../src/admin/names.ts';
import { run as auditCommand } from '../../src/cli/audit/audit.ts';
import { run as bundleCommand } from '../../src/cli/bundle/bundle.ts';
import { run as rolloutCommand } from '../../src/cli/rollout/rollout.ts';
import { keyOf } from '../../src/control/rollout/rollout.ts';
import { DebianRegistry } from '../control/harness/debian-registry.ts';
import { type BundleParts, plainBundle } from '../harness/bundle.ts';
import type { TestGateway } from '../harness/gateway.ts';
import { ask, keepAlive } from './client.ts';
import { Given } from './given.ts';
import { release } from './release.ts';

const TENANTS = 2_000;
/** What is asked for in turn; a bad release fails the last. */
const PATHS = ['/a', '/a', '/a', '/a', '/b'];
/** From the moment when it does too badly to the moment when nobody sees it, as promised. */
const REVERT_MS_MAX = 10_000;
const CLIENTS = 8;

interface Status {
  readonly bundle: { readonly digest: string; readonly seq: number };
  readonly source: { readonly state: string; readonly lastError: string | null };
  readonly rollout: {
    readonly digest: string;
    readonly step: number;
    readonly share: number;
    readonly cellsReached: number;
  } | null;
  readonly kept: readonly { readonly digest: string }[];
  readonly rejections: readonly { readonly digest: string; readonly step: string; readonly reason: string }[];
}

const statusOf = async (gateway: TestGateway): Promise<Status> => (await gateway.admin('/v1/status')) as Status;

function staged(more: object): Record<string, unknown> {
  return { lanes: 2, rollout: { plan: 'staged', samplesMin: 20, ...more } };
}

/** Every tenant asks for every path; who was answered by which release. Stops early when told to. */
async function traffic(
  gateway: TestGateway,
  seen: Map<string, Set<string>>,
  on: () => boolean = () => true,
): Promise<void> {
  const agent = keepAlive(CLIENTS);
  let next = 0;
  const client = async (): Promise<void> => {
    while (next < TENANTS && on()) {
      const tenant = `tenant-${next++}`;
      for (const path of PATHS) {
        const heard = await ask(gateway.ports.http, path, { agent, headers: { 'x-tenant': tenant } });
        assert.ok(heard.status === 200 || heard.status === 503, String(heard.status));
        const n = String(heard.headers['x-release']);
        seen.set(n, (seen.get(n) ?? new Set()).add(tenant));
      }
    }
  };
  await Promise.all(Array.from({ length: CLIENTS }, client));
  agent.destroy();
}

/** A tenant that this release answers. */
async function tenantOf(gateway: TestGateway, n: number): Promise<string> {
  for (let i = 0; i < TENANTS; i++) {
    const heard = await ask(gateway.ports.http, '/a', { headers: { 'x-tenant': `tenant-${i}` } });
    if (heard.headers['x-release'] === String(n)) return `tenant-${i}`;
  }
  throw new Error(`nobody is answered by release ${n}`);
}

describe('a staged rollout', () => {
  const given = new Given();
  after(() => given.end());

  it('takes a bundle back that makes a fifth of its answers fail, and only its share of identities saw it', async () => {
    const upstream = await given.upstream();
    const gateway = await given.gateway({
      bundle: release(upstream.address, 1),
      bootstrap: staged({ steps: [1, 100], soakMs: 600_000 }),
    });
    const digest = await gateway.publish(release(upstream.address, 2, true));
    await gateway.until('it is tried', async () => (await statusOf(gateway)).rollout?.digest === digest);
    assert.equal((await statusOf(gateway)).rollout?.share, 0.01);
    assert.match((await gateway.probe('/metrics')).body, /^policy_version_mismatch 0$/m);

    const seen = new Map<string, Set<string>>();
    await traffic(gateway, seen);
    await gateway.until('it is taken back', async () => (await statusOf(gateway)).rollout === null, REVERT_MS_MAX);

    const key = keyOf(digest, '');
    const below = 0.01 * 2 ** 32;
    const tenants = Array.from({ length: TENANTS }, (_, i) => `tenant-${i}`);
    const first = new Set(tenants.filter((tenant) => keyedHash(tenant, key.k0, key.k1) < below));
    const saw = seen.get('2') ?? new Set<string>();
    assert.ok(saw.size > 0);
    for (const tenant of saw) assert.ok(first.has(tenant), `${tenant} is not of the first share`);

    const status = await statusOf(gateway);
    assert.notEqual(status.bundle.digest, digest);
    const [rejection] = status.rejections;
    assert.equal(rejection?.step === 'rollout' || rejection?.step === 'verify', true, rejection?.step);
    assert.match(status.rejections.map((r) => r.reason).join(), /failed answers: \d+ of \d+/);
    await gateway.until('the source says so', async () => (await statusOf(gateway)).source.state === 'rejected');
    assert.match((await statusOf(gateway)).source.lastError ?? '', /taken back/);
    assert.equal((await ask(gateway.ports.http, '/b', { headers: { 'x-tenant': 'any' } })).status, 200);

    // It stays out over a restart.
    await gateway.restart();
    await gateway.untilReady();
    await gateway.until('looked at again', async () => (await statusOf(gateway)).source.state === 'rejected');
    assert.equal((await statusOf(gateway)).rollout, null);

    // The next one is tried, and the tag's way back to what serves ends that at once.
    const good = await gateway.publish(release(upstream.address, 3));
    await gateway.until('the next is tried', async () => (await statusOf(gateway)).rollout?.digest === good);
    await gateway.stop();
  });

  it('goes up by steps to all, and each identity goes over once', async () => {
    const upstream = await given.upstream();
    const gateway = await given.gateway({
      bundle: release(upstream.address, 1),
      bootstrap: staged({ steps: [10, 50, 100], soakMs: 500, samplesMin: 10 }),
    });
    const newest = new Map<string, number>();
    const load = { on: true };
    const client = async (from: number): Promise<void> => {
      const agent = keepAlive(1);
      try {
        for (let i = from; load.on; i = (i + 1) % 100) {
          const tenant = `tenant-${i}`;
          const heard = await ask(gateway.ports.http, '/a', { agent, headers: { 'x-tenant': tenant } });
          assert.equal(heard.status, 200);
          const n = Number(heard.headers['x-release']);
          assert.ok(n >= (newest.get(tenant) ?? 0), `${tenant} went back`);
          newest.set(tenant, n);
          await sleep(2);
        }
      } finally {
        load.on = false;
        agent.destroy();
      }
    };
    // One client: two might see the answers to two requests of one tenant in either order while a lane changes.
    const asking = client(0);
    let digest = '';
    try {
      digest = await gateway.publish(release(upstream.address, 2));
      await gateway.until('all see it', async () => {
        assert.ok(load.on, 'a request failed');
        return (await statusOf(gateway)).bundle.digest === digest;
      });
      // A step may be over before the status is asked for again; the log has each.
      const steps = (): number[] =>
        [...gateway.stdout.matchAll(/^\{"kind":"event".*"bundle is tried by a .*share.*"step":(\d+)/gm)].map((m) =>
          Number(m[1]),
        );
      await gateway.until('the log has the last step', () => steps().includes(3));
      assert.deepEqual(steps(), [1, 2, 3]);
      assert.match((await gateway.probe('/metrics')).body, /cnx_rollouts_total\{outcome="promoted"\} 1/);
    } finally {
      load.on = false;
    }
    await asking;
    await gateway.until('it is kept', async () => (await statusOf(gateway)).kept[0]?.digest === digest);
    // What proved itself is what a restart begins with.
    await gateway.restart();
    await gateway.untilReady();
    const heard = await ask(gateway.ports.http, '/a', { headers: { 'x-tenant': 'any' } });
    assert.equal(heard.headers['x-release'], '2');
    await gateway.stop();
  });

  it('reaches one cell after the other when cells are staggered', async () => {
    const upstream = await given.upstream();
    const parts = (n: number): BundleParts => {
      const route = (cell: string): object => ({
        id: cell,
        match: { path: { prefix: `/${cell}` } },
        access: 'public',
        reason: 'everything, for a test',
        cell,
        respond: { answerHeaders: { set: { 'x-release': String(n) } } },
      });
      const cells = ['one', 'two'].map((id) => ({ id, endpoints: [{ address: upstream.address }] }));
      return plainBundle([], { routes: { routes: [route('one'), route('two')] }, cells: { cells } });
    };
    const gateway = await given.gateway({
      bundle: parts(1),
      bootstrap: staged({ steps: [100], soakMs: 100, samplesMin: 0, cells: 'staggered', cellMs: 5_000 }),
    });
    const releaseOf = async (path: string): Promise<string> =>
      String((await ask(gateway.ports.http, path)).headers['x-release']);
    const digest = await gateway.publish(parts(2));
    await gateway.until('it has reached the first cell', async () => (await releaseOf('/one')) === '2');
    // In every lane: it is told when all have it.
    await gateway.until('it is told', async () => {
      const { rollout, bundle } = await statusOf(gateway);
      return rollout !== null || bundle.digest === digest;
    });
    let alone = 0;
    await gateway.until('it serves', async () => {
      const [one, two] = [await releaseOf('/one'), await releaseOf('/two')];
      assert.equal(one, '2');
      // One lane may be ahead of the other, and both of what is told.
      if (two === '2')
        await gateway.until('the second cell is told of', async () => {
          const { rollout } = await statusOf(gateway);
          return rollout === null || rollout.cellsReached === 2;
        });
      const { bundle } = await statusOf(gateway);
      if (two === '1') alone += 1;
      return bundle.digest === digest;
    });
    assert.ok(alone > 0, 'the second came later');
    assert.equal(await releaseOf('/two'), '2');
    await gateway.stop();
  });

  it('operators take back, pin and unpin, and the audit log says so', async () => {
    const upstream = await given.upstream();
    const gateway = await given.gateway({ bundle: release(upstream.address, 1), bootstrap: { lanes: 1 } });
    const servesRelease = async (n: number): Promise<void> =>
      gateway.until(`release ${n} serves`, async () => {
        const heard = await ask(gateway.ports.http, '/a', { headers: { 'x-tenant': 'any' } });
        return heard.headers['x-release'] === String(n);
      });
    const cnx = async (...args: string[]): Promise<string> => {
      let told = '';
      const io = { stdout: (text: string) => (told += text), stderr: (text: string) => (told += text), env: {} };
      const code = await rolloutCommand([...args, '--admin', `http://127.0.0.1:${gateway.ports.admin}`], io);
      return `${code} ${told}`;
    };
    const first = (await statusOf(gateway)).bundle.digest;
    const second = await gateway.publish(release(upstream.address, 2));
    await servesRelease(2);
    await gateway.until('it is kept', async () => (await statusOf(gateway)).kept[0]?.digest === second);

    assert.match(await cnx('rollback'), /^2 .*--reason/);
    assert.equal(await cnx('rollback', '--reason', 'too slow'), `0 serves ${first}\n`);
    await servesRelease(1);
    await gateway.until('the source says so', async () => (await statusOf(gateway)).source.state === 'rejected');
    assert.match(await cnx('status'), /because .* names sha256:[0-9a-f]{64}, which is not taken: .*too slow/);

    assert.match(
      await cnx('pin', second, '--for', '2h', '--reason', 'compare'),
      /^1 .*taken back/,
      'it is quarantined',
    );
    assert.match(await cnx('pin', first, '--for', '2h', '--reason', 'compare'), /^0 pinned until/);
    const third = await gateway.publish(release(upstream.address, 3));
    await gateway.until('it is seen', async () => (await statusOf(gateway)).rejections.some((r) => r.digest === third));
    await servesRelease(1);
    await gateway.restart();
    await gateway.untilReady();
    await servesRelease(1);
    assert.match(await cnx('status'), /because {3}an operator pinned it/);
    assert.match(await cnx('unpin', '--reason', 'done'), /^0 the source counts again/);
    await servesRelease(3);

    const history = await cnx('history');
    for (const kind of ['started', 'activated', 'reverted', 'admin', 'pinned', 'rejected', 'unpinned'])
      assert.match(history, new RegExp(`  ${kind} `), history);
    gateway.signal('SIGTERM');
    await gateway.ended();
    let told = '';
    const io = { stdout: (text: string) => (told += text), stderr: (text: string) => (told += text), env: {} };
    assert.equal(await auditCommand(['verify', `${gateway.directory}/state/audit`], io), 0, told);
    assert.match(told, /all as they were written/);
    await gateway.stop();
  });

  it('a rollback by moving the tag reaches three gateways that poll one registry', async (t) => {
    const pollMs = 5_000;
    const registry = await DebianRegistry.start({ after: (end: () => unknown) => given.ends(end) });
    const upstream = await given.upstream();
    const source = `${registry.host}/edge/config:stable`;
    const cnx = async (...args: string[]): Promise<void> => {
      let said = '';
      const io = { stdout: (text: string) => (said += text), stderr: (text: string) => (said += text), env: {} };
      assert.equal(await bundleCommand(args, io), 0, said);
    };
    const start = (trustFile: object): Promise<TestGateway> =>
      given.gateway({
        bundle: release(upstream.address, 1),
        bootstrap: { ...staged({ soakMs: 600_000 }), lanes: 1, bundle: { source, pollMs }, ...trustFile },
        awaitReady: false,
      });
    const first = await start({});
    const push = (): Promise<void> => cnx('push', `oci:${first.directory}/bundles:stable`, source);
    await push();
    await first.untilReady();
    const { digest } = (await statusOf(first)).bundle;
    const trustFile = `${first.directory}/trust.yaml`;
    const gateways = [first, await start({ trustFile }), await start({ trustFile })];
    for (const gateway of gateways) await gateway.untilReady();
    const next = await first.publish(release(upstream.address, 2));
    await push();
    for (const gateway of gateways)
      await gateway.until('it is tried', async () => (await statusOf(gateway)).rollout?.digest === next);

    await cnx('tag', `${registry.host}/edge/config@${digest}`, 'stable');
    const from = performance.now();
    await Promise.all(
      gateways.map(async (gateway) => {
        await gateway.until('nothing is tried', async () => (await statusOf(gateway)).rollout === null);
        t.diagnostic(`${Math.round(performance.now() - from)} ms, with polls every ${pollMs} ms ± 20 %`);
      }),
    );
    for (const gateway of gateways) {
      assert.equal((await statusOf(gateway)).bundle.digest, digest);
      await gateway.stop();
    }
  });

  it('what serves keeps its names, its secrets and its share of the log however many candidates come', async () => {
    const upstream = await given.upstream();
    const gateway = await given.gateway({
      bundle: { ...release(upstream.address, 1), defaults: { maskedQuery: ['voucher'] } },
      bootstrap: { ...staged({ steps: [1, 100], soakMs: 600_000 }), lanes: 1 },
    });
    const first = (await statusOf(gateway)).bundle.digest;
    for (let n = 2; n <= RETIRED_NAMED_MAX + 2; n++) {
      const digest = await gateway.publish({ ...release(upstream.address, n), defaults: { accessLogSample: 0 } });
      await gateway.until('it is tried', async () => (await statusOf(gateway)).rollout?.digest === digest);
    }
    const { revision } = (await gateway.admin('/v1/routes')) as { revision: number };
    assert.equal(revision, 1);
    const tenant = await tenantOf(gateway, 1);
    await ask(gateway.ports.http, '/b?voucher=AB12', { headers: { 'x-tenant': tenant } });
    const line = /^\{"kind":"request".*"path":"\/b".*$/m;
    await gateway.until('it is logged', () => line.test(gateway.stdout));
    const [logged = ''] = line.exec(gateway.stdout) ?? [];
    const { query, bundle, route } = JSON.parse(logged) as { query: string; bundle: { digest: string }; route: string };
    assert.deepEqual([query, bundle.digest, route], ['voucher=***', first, 'all']);
    await gateway.stop();
  });

  it('a rollback waits for no step, and ends what is being tried', async () => {
    const upstream = await given.upstream();
    const gateway = await given.gateway({
      bundle: release(upstream.address, 1),
      bootstrap: staged({ steps: [1, 100], soakMs: 600_000 }),
    });
    const first = (await statusOf(gateway)).bundle.digest;
    const digest = await gateway.publish(release(upstream.address, 2));
    await gateway.until('it is tried', async () => (await statusOf(gateway)).rollout?.digest === digest);
    // The same sources give the same digest only with the same number; a tag moves by itself.
    const io = { stdout: () => undefined, stderr: () => undefined, env: {} };
    assert.equal(await bundleCommand(['tag', `oci:${gateway.directory}/bundles@${first}`, 'stable'], io), 0);
    await gateway.until('nothing is tried', async () => (await statusOf(gateway)).rollout === null);
    const status = await statusOf(gateway);
    assert.equal(status.bundle.digest, first);
    assert.equal(status.source.state, 'current');
    assert.match((await gateway.probe('/metrics')).body, /cnx_rollouts_total\{outcome="superseded"\} 1/);
    await gateway.stop();
  });
});
