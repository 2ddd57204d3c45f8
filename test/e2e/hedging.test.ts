/** A second attempt beside a slow one, against real endpoints: who answers, what is counted, and that nothing is left. */
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { after, describe, it } from 'node:test';
import { type BundleParts, plainBundle } from '../harness/bundle.ts';
import type { TestGateway } from '../harness/gateway.ts';
import type { Behaviour, TestUpstream } from '../harness/upstream.ts';
import { ask, codeOf, type Heard, keepAlive } from './client.ts';
import { endpointsOf, Given, metricOf, untilIdle } from './given.ts';

const DELAY_MS = 20;
/** What no answer may say. */
const LEAK = 'the secret recipe';

const route = (more: object = {}): object => ({
  routes: {
    routes: [
      {
        id: 'all',
        match: { path: { prefix: '/' } },
        access: 'public',
        reason: 'everything, for a test',
        hedge: { delayMs: DELAY_MS },
        ...more,
      },
    ],
  },
});

/** Slow until it is told otherwise: it says nothing at all. */
class Gate {
  open = false;
  readonly #waiting: (() => void)[] = [];

  readonly behaviour: Behaviour = (_, response) => {
    const answer = (): void => void response.writeHead(200, { 'x-who': 'slow' }).end('slow');
    if (this.open) answer();
    else this.#waiting.push(answer);
  };

  release(): void {
    this.open = true;
    for (const answer of this.#waiting.splice(0)) answer();
  }
}

async function explained(gateway: TestGateway, heard: Heard): Promise<{ detail: string; attempts: number }> {
  const id = String(heard.headers['x-request-id']);
  return (await gateway.admin(`/v1/explain/${id}`)) as { detail: string; attempts: number };
}

const hedges = (gateway: TestGateway, outcome: string): Promise<number> =>
  metricOf(gateway, 'cnx_upstream_hedges_total', `outcome="${outcome}"`);

const cellOf = (upstreams: readonly TestUpstream[], more: object = {}): BundleParts['cells'] => ({
  cells: [{ id: 'one', endpoints: upstreams.map(({ address }) => ({ address })), ...more }],
});

/** Budgets do not bind. */
const FREE = { retryBudget: { budgetPercent: 100, minRetryConcurrency: 1_000 } };

describe('hedging', () => {
  const given = new Given();
  after(() => given.end());

  it('answers from another endpoint when one says nothing, and cancels the one that lost', async () => {
    const gate = new Gate();
    const slow = await given.upstream({ behaviours: { '': gate.behaviour } });
    const quick = [await given.upstream({ name: 'a' }), await given.upstream({ name: 'b' })];
    const elsewhere = await given.upstream({ name: 'elsewhere' });
    const cells = cellOf([slow, ...quick], FREE) as { cells: object[] };
    const gateway = await given.gateway({
      bundle: {
        ...plainBundle([], route({ cell: 'one' })),
        cells: { cells: [...cells.cells, { id: 'two', endpoints: [{ address: elsewhere.address }] }] },
      },
    });
    let won = 0;
    let lost = 0;
    for (let n = 0; n < 60; n++) {
      const heard = await ask(gateway.ports.http, '/');
      assert.deepEqual([heard.status, heard.headers['x-who']], [200, undefined]);
      const { detail, attempts } = await explained(gateway, heard);
      assert.equal(attempts, detail === '' ? 1 : 2);
      if (attempts === 1) continue;
      // On a busy machine a quick one may be asked twice, too.
      const told =
        /^hedge (?:(one\/127\.0\.0\.1:\d+) answered before one\/127\.0\.0\.1:\d+|lost: \S+ had not answered)$/.exec(
          detail,
        );
      assert.ok(told !== null, detail);
      if (told[1] === undefined) lost++;
      else won++;
    }
    assert.ok(won > 0, 'the slow one was asked');
    assert.deepEqual([await hedges(gateway, 'won'), await hedges(gateway, 'lost')], [won, lost]);
    assert.equal(await metricOf(gateway, 'cnx_upstream_retries_total'), 0, 'hedges are no retries');
    await gateway.until('its requests were cancelled', () => slow.requests.every((seen) => seen.aborted));
    assert.equal(elsewhere.requests.length, 0, 'no other cell is asked');
    // Who lost has neither failed nor answered.
    const its = (await endpointsOf(gateway)).find(({ identity }) => identity.endsWith(slow.address));
    assert.deepEqual([its?.health, its?.ejected, its?.downUntil], [1, false, 0]);
    await untilIdle(gateway);
    await gateway.stop();
  });

  it('is for safe methods, and with their bodies for idempotent ones where the route says so', async () => {
    const gate = new Gate();
    const slow = await given.upstream({ behaviours: { '': gate.behaviour } });
    const quick = await given.upstream({ name: 'quick' });
    // Another one, of which nothing is known.
    const fresh = await given.upstream({ behaviours: { '': gate.behaviour } });
    const bundle = (more: object, first: TestUpstream): BundleParts => ({
      ...plainBundle([], route(more)),
      cells: cellOf([first, quick], FREE),
    });
    const gateway = await given.gateway({ bundle: bundle({ timeouts: { headMs: 400 } }, slow) });
    const statuses = new Set<string>();
    for (let n = 0; n < 12; n++) {
      const heard = await ask(gateway.ports.http, '/', { method: n % 2 === 0 ? 'PUT' : 'POST', body: 'x' });
      statuses.add(heard.status === 200 ? 'quick' : codeOf(heard));
      assert.equal((await explained(gateway, heard)).attempts, 1);
    }
    assert.deepEqual([...statuses].sort(), ['quick', 'upstream_timeout']);
    const digest = await gateway.publish(bundle({ hedge: { delayMs: DELAY_MS, methods: 'idempotent' } }, fresh));
    await gateway.until('the bundle serves', async () => {
      const status = (await gateway.admin('/v1/status')) as { bundle: { digest: string } | null };
      return status.bundle?.digest === digest;
    });
    for (let n = 0; (await hedges(gateway, 'won')) === 0; n++) {
      assert.ok(n < 200, 'the slow one is asked now and then');
      const body = `body ${n}`.padEnd(9_000, '.');
      assert.equal((await ask(gateway.ports.http, '/', { method: 'PUT', body })).status, 200);
      assert.equal(String(quick.requests.at(-1)?.body), body);
    }
    await untilIdle(gateway);
    await gateway.stop();
  });

  it('stays within the retry budget, and what is denied waits for the first', async () => {
    const gate = new Gate();
    const upstreams = [
      await given.upstream({ behaviours: { '': gate.behaviour } }),
      await given.upstream({ behaviours: { '': gate.behaviour } }),
    ];
    const retryBudget = { budgetPercent: 0, minRetryConcurrency: 2 };
    const gateway = await given.gateway({
      bundle: { ...plainBundle([], route()), cells: cellOf(upstreams, { retryBudget }) },
    });
    const asked = Array.from({ length: 20 }, () => ask(gateway.ports.http, '/'));
    await gateway.until(
      'all are decided',
      async () => (await endpointsOf(gateway)).reduce((n, e) => n + e.inflight, 0) === 22,
    );
    await gateway.until(
      'all requests are there',
      () => upstreams[0]!.requests.length + upstreams[1]!.requests.length === 22,
    );
    gate.release();
    for (const heard of await Promise.all(asked)) assert.equal(heard.status, 200);
    await gateway.until('all are counted', async () => {
      const counts = await Promise.all(['won', 'lost', 'denied'].map((outcome) => hedges(gateway, outcome)));
      return counts.reduce((sum, n) => sum + n, 0) === asked.length;
    });
    assert.equal(await hedges(gateway, 'denied'), 18);
    await untilIdle(gateway);
    await gateway.stop();
  });

  it('works with answers that stages hold: stored ones, and ones that are tried again', async () => {
    const gate = new Gate();
    const slow = await given.upstream({ behaviours: { '': gate.behaviour, bad: gate.behaviour } });
    const cacheable: Behaviour = (request, response) => {
      const bad = request.url?.startsWith('/bad') === true;
      response
        .writeHead(bad ? 503 : 200, { 'cache-control': 'max-age=600', 'content-type': 'text/plain' })
        .end('stored');
    };
    const behaviours = { '': cacheable, bad: cacheable };
    const quick = [await given.upstream({ behaviours }), await given.upstream({ behaviours })];
    const { routes } = route({ cache: {}, retryOn: ['gateway-error'] }) as { routes: { routes: object[] } };
    // Only where the slow one's deadline is waited for it is short: a quick one may stand still for seconds.
    const short = { id: 'bad', match: { path: { prefix: '/bad' } }, timeouts: { headMs: 500 } };
    const gateway = await given.gateway({
      bundle: {
        ...plainBundle([]),
        routes: { routes: [...routes.routes, ...routes.routes.map((all) => ({ ...all, ...short }))] },
        cells: cellOf([slow, ...quick], FREE),
      },
    });
    for (let n = 0; n < 40; n++) {
      const path = `/?${n}`;
      // Several wait for one fetch, whichever attempt of it answers.
      const several = await Promise.all([1, 2, 3].map(() => ask(gateway.ports.http, path)));
      for (const heard of several) assert.deepEqual([heard.status, heard.body], [200, 'stored']);
      const again = await ask(gateway.ports.http, path);
      assert.match(String(again.headers['cache-status']), /hit/);
    }
    assert.ok((await hedges(gateway, 'won')) > 0);
    // A 503 of the hedge is passed over for what the first says, and tried again like any when it is the last.
    for (let n = 0; n < 20; n++) assert.ok([503, 504].includes((await ask(gateway.ports.http, `/bad?${n}`)).status));
    await untilIdle(gateway);
    await gateway.stop();
  });

  it('leaves nothing behind after thousands of requests, whoever leaves or fails', async () => {
    const fickle = (name: string): Behaviour => {
      let count = name.length;
      return (request, response) => {
        const n = (count = (Math.imul(count, 1_103_515_245) + 12_345) >>> 0) >>> 16;
        if (n % 11 === 0) request.socket.resetAndDestroy();
        else if (n % 11 === 1) response.writeHead(503).end();
        else if (n % 11 === 2) return;
        else setTimeout(() => response.end(name), n % 40);
      };
    };
    const upstreams = [];
    for (const name of ['a', 'bb', 'ccc']) upstreams.push(await given.upstream({ behaviours: { '': fickle(name) } }));
    const gateway = await given.gateway({
      bootstrap: { lanes: 2 },
      // Counts are what this is about, however slow the machine is.
      sheds: true,
      bundle: {
        ...plainBundle(
          [],
          route({
            hedge: { delayMs: 5 },
            retryOn: ['connect-failure', 'reset', 'gateway-error'],
            timeouts: { perTryMs: 300, totalMs: 1_000 },
          }),
        ),
        cells: cellOf(upstreams, {
          retryBudget: { budgetPercent: 50, minRetryConcurrency: 3 },
          bulkhead: { maxRequests: 500, maxRequestsPerTenant: 400 },
        }),
      },
    });
    const agent = keepAlive(40);
    let asked = 0;
    const client = async (number: number): Promise<void> => {
      for (let n = 0; n < 60; n++) {
        asked++;
        if ((number + n) % 6 === 0) {
          // Leaves after a moment, at any stage of the two attempts.
          await new Promise<void>((resolve) => {
            const socket = connect(gateway.ports.http, '127.0.0.1', () => {
              socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
              setTimeout(() => socket.destroy(), (number * 7 + n) % 25);
            });
            socket.on('error', () => undefined).on('close', () => resolve());
          });
        } else {
          const { status } = await ask(gateway.ports.http, '/', { agent });
          assert.ok([200, 502, 503, 504].includes(status), String(status));
        }
      }
    };
    await Promise.all(Array.from({ length: 40 }, (_, i) => client(i)));
    agent.destroy();
    await untilIdle(gateway);
    assert.equal(asked, 2_400);
    const counts = await Promise.all(['won', 'lost', 'denied'].map((outcome) => hedges(gateway, outcome)));
    assert.ok(
      counts.every((count) => count > 0),
      String(counts),
    );
    // Places in the budget came back: with all of them free a hedge is made again.
    const before = counts[0]! + counts[1]!;
    for (let n = 0; (await hedges(gateway, 'won')) + (await hedges(gateway, 'lost')) === before; n++) {
      assert.ok(n < 200);
      await ask(gateway.ports.http, '/');
    }
    await untilIdle(gateway);
    await gateway.until('none is open', async () => (await metricOf(gateway, 'cnx_requests_in_flight')) === 0);
    await gateway.stop();
  });

  it('whichever attempt answers, the WAF inspects that answer, and what it refuses is not taken from the other', async () => {
    const says: Behaviour = (request, response) => {
      const body = request.url?.includes('leak') === true ? `here is ${LEAK}` : 'red shoes';
      response.writeHead(200, { 'content-type': 'text/html' }).end(body);
    };
    const gate = new Gate();
    const slow = await given.upstream({ behaviours: { '': gate.behaviour, leak: gate.behaviour } });
    const quick = await given.upstream({ name: 'quick', behaviours: { '': says, leak: says } });
    const third = await given.upstream({ name: 'third', behaviours: { '': says, leak: says } });
    const gateway = await given.gateway({
      bundle: {
        ...plainBundle([], route()),
        cells: cellOf([slow, quick, third], FREE),
        waf: { mode: 'block', rules: ['waf/leak.conf'], responses: { inspect: true } },
        files: {
          'waf/leak.conf': `SecResponseBodyAccess On\nSecRule RESPONSE_BODY "@contains ${LEAK}" "id:100,phase:4,deny,msg:'a leak'"\n`,
        },
      },
      bootstrap: { lanes: 1 },
    });
    const won = { passed: 0, blocked: 0 };
    const said = async (path: string): Promise<string> => {
      const heard = await ask(gateway.ports.http, path);
      const { detail, attempts } = await explained(gateway, heard);
      const refused = path === '/leak';
      if (refused) assert.deepEqual([heard.status, codeOf(heard)], [403, 'waf_answer_blocked'], heard.body);
      else assert.deepEqual([heard.status, heard.body], [200, 'red shoes']);
      assert.ok(attempts <= 2);
      if (/answered before/.test(detail) || (refused && attempts === 2)) won[refused ? 'blocked' : 'passed']++;
      return heard.body;
    };
    for (let n = 0; n < 200 && (won.passed < 3 || won.blocked < 3); n++) {
      await said('/');
      assert.doesNotMatch(await said('/leak'), new RegExp(LEAK));
    }
    assert.ok(won.passed >= 3 && won.blocked >= 3, JSON.stringify(won));
    assert.equal(
      await metricOf(gateway, 'cnx_upstream_retries_total'),
      0,
      'what was refused is not asked for elsewhere',
    );
    gate.release();
    await untilIdle(gateway);
    await gateway.until('none is open', async () => (await metricOf(gateway, 'cnx_requests_in_flight')) === 0);
    await gateway.stop();
  });
});
