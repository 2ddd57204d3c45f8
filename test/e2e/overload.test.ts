/** A gateway that is asked for far more than it can serve, by real sockets: who is served, what the rest hears, and what follows (docs/overload.md). */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { plainBundle } from '../harness/bundle.ts';
import { crsBundleFiles, crsDirectory } from '../harness/crs.ts';
import type { TestGateway } from '../harness/gateway.ts';
import { type Asking, Flood } from './flood.ts';
import { ask } from './client.ts';
import { Given, metricOf } from './given.ts';

/** Ends a flood that does not come to its end. */
const FLOOD_MS_MAX = 100_000;
/** Of a flood, until who asks for more than its share is known. */
const TOLD_APART_MS = 3_000;
/** What makes a request cost far more than it costs to ask for it and to refuse it: the whole rule set, and much to look at. */
const crs = crsDirectory();
const LONG = `?${Array.from({ length: 40 }, (_, i) => `field${i}=some+words+that+are+looked+at+${i}`).join('&')}`;

const ONE = {
  id: 'all',
  match: { path: { prefix: '/' } },
  access: 'public',
  reason: 'for a test',
  respond: { direct: { body: 'served' } },
};

describe('a gateway that is asked for more than it can serve', {
  skip: crs === null && 'the Core Rule Set is not here',
}, () => {
  const given = new Given();
  let gateway: TestGateway;
  let overload: (kinds: readonly Asking[], until: (flood: Flood) => boolean) => Promise<Flood>;

  const shedNow = (): Promise<number> => metricOf(gateway, 'cnx_shed_share', 'lane', '0');
  const shedOf = (name: string): Promise<number> => metricOf(gateway, 'cnx_shed_total', 'class', name);

  before(async () => {
    const route = (id: string, priority: object): object => ({
      id,
      match: { path: { prefix: `/${id}` } },
      access: 'public',
      reason: 'for a test',
      tenant: { header: 'x-tenant' },
      priority,
      respond: { direct: { body: 'served' } },
    });
    gateway = await given.gateway({
      sheds: true,
      bundle: plainBundle(['127.0.0.1:9'], {
        routes: {
          routes: [
            route('critical', { class: 'critical' }),
            route('default', { class: 'default', header: 'x-class' }),
            route('sheddable', { class: 'sheddable' }),
          ],
        },
        waf: { mode: 'block', crs: { dir: 'waf/crs' } },
        files: crsBundleFiles(crs as string),
      }),
      bootstrap: { overload: { delayTargetMs: 10 } },
    });
    overload = async (kinds, until) => {
      const flood = new Flood(gateway.ports.http, kinds);
      try {
        const deadline = performance.now() + FLOOD_MS_MAX;
        while (!until(flood)) {
          flood.check();
          const heard = flood.tallies.map(({ answers }) => JSON.stringify([...answers])).join(' ');
          assert.ok(performance.now() < deadline, `not in time: ${heard}`);
          await sleep(20);
        }
      } finally {
        flood.end();
      }
      return flood;
    };
  });
  after(() => given.end());

  it('serves every critical request and turns sheddable ones away first, with 503 and Retry-After', async () => {
    const flood = await overload(
      [
        { clients: 4, path: `/critical${LONG}`, headers: { 'x-tenant': 'ada' } },
        { clients: 80, path: `/default${LONG}`, headers: { 'x-tenant': 'ben' } },
        { clients: 250, path: `/sheddable${LONG}`, headers: { 'x-tenant': 'cleo' } },
      ],
      (f) => f.heard(0, 200) >= 50 && f.heard(2, 503) >= 500,
    );
    const [critical, usual, sheddable] = flood.tallies;
    assert.deepEqual([...(critical?.answers.keys() ?? [])], [200], 'critical ones are served');
    assert.equal(await shedOf('critical'), 0);
    const share = (kind: number): number => flood.heard(kind, 503) / (flood.heard(kind, 503) + flood.heard(kind, 200));
    assert.ok(share(1) < share(2), `${share(1)} of the default ones, ${share(2)} of the sheddable ones`);
    assert.deepEqual([critical?.odd, usual?.odd, sheddable?.odd], [0, 0, 0], 'all refusals are those of overload');
    for (const { answers } of flood.tallies) assert.ok([...answers.keys()].every((s) => s === 200 || s === 503));
  });

  it('turns nobody away when that is over', async () => {
    await gateway.until('nothing is turned away', async () => (await shedNow()) === 0);
    const before = (await shedOf('default')) + (await shedOf('sheddable'));
    for (let i = 0; i < 50; i++)
      assert.equal((await ask(gateway.ports.http, '/sheddable', { headers: { 'x-tenant': 'dan' } })).status, 200);
    assert.equal((await shedOf('default')) + (await shedOf('sheddable')), before);
  });

  it('turns away those first who ask for more than their share, whatever their class', async () => {
    const quiet = ['ada', 'ben', 'cleo', 'dan', 'eve'].map((tenant) => ({
      clients: 2,
      path: `/default${LONG}`,
      headers: { 'x-tenant': tenant },
    }));
    const loud = { clients: 400, path: `/default${LONG}`, headers: { 'x-tenant': 'zed' } };
    // Who asks how much is told by the second before, so what the first ones heard says nothing.
    const countsOf = (f: Flood, status: number): number[] => f.tallies.map((_, kind) => f.heard(kind, status));
    let early: { readonly shed: number[]; readonly served: number[] } | null = null;
    const began = performance.now();
    const flood = await overload([loud, ...quiet], (f) => {
      if (performance.now() - began < TOLD_APART_MS) return false;
      early ??= { shed: countsOf(f, 503), served: countsOf(f, 200) };
      return f.heard(0, 503) >= (early.shed[0] ?? 0) + 2_000 && f.heard(1, 200) >= (early.served[1] ?? 0) + 20;
    });
    const share = (from: number, to: number): number => {
      const sum = (of: readonly number[] | undefined): number =>
        (of ?? []).slice(from, to).reduce((n, one) => n + one, 0);
      const shed = sum(countsOf(flood, 503)) - sum(early?.shed);
      return shed / (shed + sum(countsOf(flood, 200)) - sum(early?.served));
    };
    const [of, others] = [share(0, 1), share(1, 6)];
    // Where the machine gives the lane a core now and then only, a queue comes and goes, and each time it takes a second to tell them apart.
    assert.ok(others < of, `${of} of the loud one's, ${others} of the others'`);
    await gateway.until('nothing is turned away', async () => (await shedNow()) === 0);
  });

  it('lets a client give its request a lower class than the route has', async () => {
    const flood = await overload(
      [
        { clients: 100, path: `/default${LONG}`, headers: { 'x-tenant': 'a' } },
        { clients: 300, path: `/default${LONG}`, headers: { 'x-tenant': 'b', 'x-class': 'sheddable' } },
      ],
      (f) => f.heard(1, 503) >= 500 && f.heard(0, 200) >= 20,
    );
    const share = (kind: number): number => flood.heard(kind, 503) / (flood.heard(kind, 503) + flood.heard(kind, 200));
    assert.ok(share(0) < share(1), `${share(0)}, ${share(1)}`);
  });
});

describe('a gateway whose routes are all of one class, under such a flood', {
  skip: crs === null && 'the Core Rule Set is not here',
}, () => {
  const given = new Given();
  after(() => given.end());

  /** A gateway after a flood, what that has heard, and how many were turned away unread. */
  const flooded = async (parts: object): Promise<{ gateway: TestGateway; flood: Flood; unread: number }> => {
    const gateway = await given.gateway({
      sheds: true,
      bundle: plainBundle(['127.0.0.1:9'], {
        routes: { routes: [{ ...ONE, ...parts }] },
        waf: { mode: 'block', crs: { dir: 'waf/crs' } },
        files: { ...crsBundleFiles(crs as string), 'pages/away.txt': '${code}' },
      }),
      bootstrap: { overload: { delayTargetMs: 10 } },
    });
    const flood = new Flood(gateway.ports.http, [{ clients: 300, path: `/${LONG}` }]);
    try {
      await gateway.until('enough are refused', () => {
        flood.check();
        return flood.heard(0, 503) >= 3_000 && flood.heard(0, 200) >= 100;
      });
    } finally {
      flood.end();
    }
    await gateway.until(
      'nothing is turned away',
      async () => (await metricOf(gateway, 'cnx_shed_share', 'lane', '0')) === 0,
    );
    // What its clients had sent before they left is counted too.
    await gateway.until('they are gone', async () => (await metricOf(gateway, 'cnx_connections_open')) === 0);
    return { gateway, flood, unread: await metricOf(gateway, 'cnx_shed_total', 'class', 'unread') };
  };

  it('turns most of them away unread, counts each of them, and says so to who asks by its id', async () => {
    const { gateway, flood, unread } = await flooded({});
    const read = await metricOf(gateway, 'cnx_shed_total', 'class', 'default');
    assert.ok(unread > 3 * read && read > 0, `${unread} unread, ${read} read`);
    assert.equal(flood.tallies[0]?.odd, 0, 'they hear what the others hear');
    const refused = await metricOf(gateway, 'cnx_refusals_total', 'code', 'shed');
    assert.equal(refused, unread + read);
    const heard = flood.heard(0, 503);
    assert.ok(refused >= heard && refused <= heard + 300, `${refused} refusals, ${heard} heard`);
    const told = await fetch(`http://127.0.0.1:${gateway.ports.admin}/v1/explain/000000-00-s0000002a`);
    assert.equal(told.status, 404);
    assert.match(JSON.stringify(await told.json()), /turned the request away before its route was looked for/);
  });

  it('reads all of them where the operator has words of his own for it', async () => {
    const { unread, gateway } = await flooded({
      respond: { ...ONE.respond, errorPages: [{ on: ['5xx'], text: 'pages/away.txt' }] },
    });
    assert.equal(unread, 0);
    assert.ok((await metricOf(gateway, 'cnx_shed_total', 'class', 'default')) >= 3_000);
  });
});

describe('a gateway whose process gets a tenth of a core', () => {
  const given = new Given();
  after(() => given.end());

  it('turns nobody away, though everybody waits for longer than the line may be', async () => {
    const upstream = await given.upstream();
    const gateway = await given.gateway({
      bundle: plainBundle([{ address: upstream.address, capacity: 1_000, pendingMax: 1_000 }]),
    });
    const flood = new Flood(gateway.ports.http, [{ clients: 60, path: '/' }]);
    try {
      for (let i = 0; i < 20; i++) {
        gateway.signal('SIGSTOP');
        await sleep(400);
        gateway.signal('SIGCONT');
        const before = flood.heard(0, 200);
        await gateway.until('it goes on', () => flood.heard(0, 200) > before + 60);
        flood.check();
      }
    } finally {
      gateway.signal('SIGCONT');
      flood.end();
    }
    assert.deepEqual([...(flood.tallies[0]?.answers.keys() ?? [])], [200]);
    // The last look may have been at the last of them, a moment's line.
    await gateway.until(
      'no line stands',
      async () => (await metricOf(gateway, 'cnx_lane_queue_seconds', 'lane', '0')) === 0,
    );
  });
});
