/** Circuit breakers and outlier ejection, with real requests over two lanes: what opens, what is said of it, and that it closes again. */
import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { after, describe, it } from 'node:test';
import { plainBundle } from '../harness/bundle.ts';
import type { TestGateway } from '../harness/gateway.ts';
import { ask, codeOf } from './client.ts';
import { EndpointProcess } from './endpoint-process.ts';
import { endpointsOf, Given, untilIdle } from './given.ts';

const breaker = {
  slidingWindowMs: 5_000,
  minimumNumberOfCalls: 10,
  waitDurationInOpenStateMs: 1_500,
  permittedNumberOfCallsInHalfOpenState: 2,
};

interface Now {
  readonly cellCircuits: readonly { readonly cell: string; readonly circuit: string }[];
}

async function cellCircuit(gateway: TestGateway): Promise<string> {
  const { cellCircuits } = (await gateway.admin('/v1/status')) as Now;
  return cellCircuits[0]?.circuit ?? 'closed';
}

describe('circuits', () => {
  const given = new Given();
  after(() => given.end());

  it('a cell that fails is left alone for a while, then tried, and serves again', async () => {
    let bad = true;
    let asked = 0;
    const upstream = await given.upstream({
      behaviours: {
        '': (_, response) => {
          asked++;
          response.writeHead(bad ? 500 : 200).end('said');
        },
      },
    });
    const gateway = await given.gateway({
      bundle: plainBundle([], {
        cells: { cells: [{ id: 'one', endpoints: [{ address: upstream.address }], cellCircuitBreaker: breaker }] },
      }),
      bootstrap: { lanes: 2 },
    });
    await gateway.until('it opens', async () => {
      await ask(gateway.ports.http, '/');
      return (await cellCircuit(gateway)) === 'open';
    });
    let before = 0;
    let refused = await ask(gateway.ports.http, '/');
    // Whoever is held up for longer than it is open is one of those who try it.
    await gateway.until('it is open', async () => {
      before = asked;
      refused = await ask(gateway.ports.http, '/');
      return refused.status === 503;
    });
    assert.equal(codeOf(refused), 'circuit_open');
    assert.match(String(refused.headers['retry-after']), /^[12]$/);
    assert.equal(asked, before, 'nobody is asked');
    const told = (await gateway.admin(`/v1/explain/${String(refused.headers['x-request-id'])}`)) as { detail: string };
    assert.equal(told.detail, 'the circuit of cell one is open');
    await gateway.untilPrinted(/^{"kind":"event".*"circuit changed".*"state":"open"/m);
    assert.match((await gateway.probe('/metrics')).body, /cnx_cell_circuit_state\{cell="one"\} 1/);
    // It still fails: a few are let through, and it opens again.
    await gateway.until('it was tried', async () => {
      const heard = await ask(gateway.ports.http, '/');
      return heard.status === 500 && asked > before + 1;
    });
    await gateway.until('it is open again', async () => (await cellCircuit(gateway)) === 'open');
    bad = false;
    await gateway.until('it serves', async () => (await ask(gateway.ports.http, '/')).status === 200);
    await gateway.until('it is closed', async () => {
      await ask(gateway.ports.http, '/');
      return (await cellCircuit(gateway)) === 'closed';
    });
    await untilIdle(gateway);
    await gateway.stop();
  });

  it('while a circuit is open what is stored serves, or the standby, and neither says when to come again', async () => {
    let bad = false;
    const behaviour = (_: unknown, response: ServerResponse): void =>
      void response.writeHead(bad ? 500 : 200, bad ? {} : { 'cache-control': 'max-age=1' }).end('first');
    const first = await given.upstream({ behaviours: { '': behaviour, kept: behaviour } });
    const second = await given.upstream({ name: 'second' });
    const route = { access: 'public', reason: 'everything, for a test' };
    const gateway = await given.gateway({
      bundle: plainBundle([], {
        routes: {
          routes: [
            { ...route, id: 'all', match: { path: { prefix: '/' } }, cell: 'stood-in' },
            {
              ...route,
              id: 'kept',
              match: { path: { prefix: '/kept' } },
              cell: 'alone',
              cache: { staleIfErrorMs: 600_000 },
            },
          ],
        },
        cells: {
          cells: [
            { id: 'stood-in', standby: 'spare', endpoints: [{ address: first.address }], cellCircuitBreaker: breaker },
            { id: 'alone', endpoints: [{ address: first.address }], cellCircuitBreaker: breaker },
            { id: 'spare', endpoints: [{ address: second.address }] },
          ],
        },
      }),
      bootstrap: { lanes: 1 },
    });
    const { http } = gateway.ports;
    assert.equal((await ask(http, '/kept')).status, 200);
    bad = true;
    let standby = await ask(http, '/');
    await gateway.until('the standby serves', async () => (standby = await ask(http, '/')).body === 'second');
    assert.equal(standby.headers['retry-after'], undefined);
    await gateway.until('the circuit of the other opens', async () => {
      await ask(http, '/kept/not');
      return codeOf(await ask(http, '/kept/not')) === 'circuit_open';
    });
    await gateway.until('what is stored is stale', async () =>
      / ttl=-.*detail=error/.test(String((await ask(http, '/kept')).headers['cache-status'])),
    );
    const kept = await ask(http, '/kept');
    assert.deepEqual([kept.status, kept.body, kept.headers['retry-after']], [200, 'first', undefined]);
    await untilIdle(gateway);
    await gateway.stop();
  });

  it('an endpoint that fails is out by its circuit in every lane, and the others serve', async () => {
    let bad = true;
    const sick = await given.upstream({
      behaviours: { '': (_, response) => response.writeHead(bad ? 500 : 200).end('sick') },
    });
    const well = await given.upstream({ name: 'well' });
    const gateway = await given.gateway({
      bundle: plainBundle([], {
        cells: {
          cells: [
            {
              id: 'one',
              endpoints: [{ address: sick.address }, { address: well.address }],
              circuitBreaker: breaker,
              outlierDetection: { enabled: false },
              // Otherwise it would not be asked often enough to fail by its circuit.
              health: { alpha: 0.01 },
            },
          ],
        },
      }),
      bootstrap: { lanes: 2 },
    });
    const circuit = async (): Promise<string | undefined> =>
      (await endpointsOf(gateway)).find((e) => e.identity.endsWith(`:${sick.port}`))?.circuit;
    await gateway.until('it opens', async () => {
      await Promise.all(Array.from({ length: 8 }, () => ask(gateway.ports.http, '/')));
      return (await circuit()) === 'open';
    });
    const from = performance.now();
    const heard = await Promise.all(Array.from({ length: 20 }, () => ask(gateway.ports.http, '/')));
    const tries = 1 + Math.floor((performance.now() - from) / breaker.waitDurationInOpenStateMs);
    const permits = tries * breaker.permittedNumberOfCallsInHalfOpenState;
    assert.ok(heard.filter((h) => h.status !== 200).length <= permits, `permits at most: ${permits}`);
    bad = false;
    await gateway.until('it closes', async () => {
      await ask(gateway.ports.http, '/');
      return (await circuit()) === 'closed';
    });
    await untilIdle(gateway);
    await gateway.stop();
  });

  it('an outlier is ejected, one at most of three, and let in again', async () => {
    const bad = new Set(['a', 'b']);
    const upstreams = await Promise.all(
      ['a', 'b', 'c'].map((name) =>
        given.upstream({
          name,
          behaviours: { '': (_, response) => response.writeHead(bad.has(name) ? 503 : 200).end(name) },
        }),
      ),
    );
    const gateway = await given.gateway({
      bundle: plainBundle([], {
        cells: {
          cells: [
            {
              id: 'one',
              endpoints: upstreams.map(({ address }) => ({ address })),
              outlierDetection: { baseEjectionTimeMs: 2_000 },
              health: { alpha: 0.01 },
            },
          ],
        },
      }),
      bootstrap: { lanes: 2 },
    });
    const ejected = async (): Promise<number> => (await endpointsOf(gateway)).filter((e) => e.outlier).length;
    await gateway.until('one is ejected', async () => {
      await Promise.all(Array.from({ length: 8 }, () => ask(gateway.ports.http, '/')));
      assert.ok((await ejected()) <= 1);
      return (await ejected()) === 1;
    });
    await gateway.untilPrinted(/^{"kind":"event".*"outlier ejection changed".*"state":"ejected".*failures in a row/m);
    for (let n = 0; n < 40; n++) await ask(gateway.ports.http, '/');
    assert.ok((await ejected()) <= 1, 'the ceiling holds');
    bad.clear();
    await gateway.until('it is let in', async () => (await ejected()) === 0);
    await gateway.until('all serve', async () => {
      const heard = await Promise.all(Array.from({ length: 12 }, () => ask(gateway.ports.http, '/')));
      return new Set(heard.map((h) => h.body)).size === 3 && heard.every((h) => h.status === 200);
    });
    await gateway.stop();
  });

  it('a bulkhead is full for one tenant, and for nobody else', async () => {
    let free: () => void = () => undefined;
    const upstream = await given.upstream({
      behaviours: { hold: (_, response) => (free = (): void => void response.end('held')) },
    });
    const gateway = await given.gateway({
      bundle: plainBundle([], {
        cells: {
          cells: [{ id: 'one', endpoints: [{ address: upstream.address }], bulkhead: { maxRequestsPerTenant: 1 } }],
        },
        routes: {
          routes: [
            {
              id: 'all',
              match: { path: { prefix: '/' } },
              access: 'public',
              reason: 'everything, for a test',
              tenant: { header: 'x-tenant' },
            },
          ],
        },
      }),
      bootstrap: { lanes: 2 },
    });
    const as = (tenant: string, path = '/'): ReturnType<typeof ask> =>
      ask(gateway.ports.http, path, { headers: { 'x-tenant': tenant } });
    const held = as('acme', '/hold');
    await gateway.until('it is held', () => upstream.requests.length === 1);
    const full = await as('acme');
    assert.deepEqual([full.status, codeOf(full)], [503, 'bulkhead_full']);
    assert.equal((await as('beta')).status, 200);
    free();
    assert.equal((await held).status, 200);
    await gateway.until('there is room again', async () => (await as('acme')).status === 200);
    await gateway.stop();
  });

  it('one of four is killed under load: no request that is safe to send again fails; a whole cell: only its tenants notice', async () => {
    const started = await Promise.all(['a', 'b', 'c', 'd', 'other'].map((name) => EndpointProcess.start(name)));
    for (const endpoint of started) given.ends(() => endpoint.kill());
    const four = started.slice(0, 4);
    const [victim] = four as [EndpointProcess];
    const route = (id: string): object => ({
      id,
      match: { path: { prefix: `/${id}` } },
      access: 'public',
      reason: 'everything, for a test',
      cell: id,
    });
    const gateway = await given.gateway({
      bundle: plainBundle([], {
        cells: {
          cells: [
            {
              id: 'four',
              endpoints: four.map((e) => ({ address: e.address })),
              // All clients may wait for the victim, on a machine that has just held it up.
              retryBudget: { minRetryConcurrency: 8 },
            },
            { id: 'other', endpoints: [{ address: started[4]?.address }] },
          ],
        },
        routes: { routes: [route('four'), route('other')] },
      }),
      bootstrap: { lanes: 2 },
    });
    const load = { on: true };
    const seen = { safe: 0, unsafe: 0, unsafeFailed: 0, other: 0 };
    const failures: string[] = [];
    let whole = false;
    const client = async (what: 'safe' | 'unsafe' | 'other'): Promise<void> => {
      while (load.on) {
        const path = what === 'other' ? '/other' : '/four';
        const heard = await ask(gateway.ports.http, path, what === 'unsafe' ? { method: 'POST', body: 'x' } : {});
        seen[what]++;
        if (heard.status === 200) continue;
        if (what === 'unsafe') seen.unsafeFailed++;
        else if (what === 'other' || !whole) failures.push(`${what}: ${heard.status} ${heard.body}`);
      }
    };
    const kinds = ['safe', 'safe', 'safe', 'safe', 'unsafe', 'unsafe', 'other', 'other'] as const;
    const clients = kinds.map((kind) => client(kind));
    try {
      await gateway.until('there is load', () => seen.safe > 100 && seen.unsafe > 50 && seen.other > 50);
      await victim.kill();
      const { safe, unsafe } = seen;
      await gateway.until('the others carry on', () => seen.safe > safe + 200 && seen.unsafe > unsafe + 50);
      assert.ok(seen.unsafeFailed <= 2, `${seen.unsafeFailed} failed of 2 that could be in flight`);
      whole = true;
      await Promise.all(four.slice(1).map((endpoint) => endpoint.kill()));
      const { other } = seen;
      await gateway.until('the other cell carries on', () => seen.other > other + 200);
    } finally {
      load.on = false;
      await Promise.all(clients);
    }
    assert.deepEqual(failures, []);
    await gateway.stop();
  });
});
