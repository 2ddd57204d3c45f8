/** The drill of docs/degradation.md: what services depend on is killed, one after the other, and the gateway steps back and forward again as it says. */
import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { plainBundle } from '../harness/bundle.ts';
import { TestGateway } from '../harness/gateway.ts';
import { ask, codeOf, type Heard } from './client.ts';
import { EndpointProcess } from './endpoint-process.ts';
import { metricOf } from './given.ts';

interface Status {
  readonly mode: {
    readonly mode: string;
    readonly dependencies: readonly { readonly name: string; readonly down: boolean; readonly reason: string }[];
  };
}

/** The service: an answer that may be stored for a second and is stale for long, and others that may not. */
function service(): { server: Server; asked: () => number } {
  let asked = 0;
  const server = createServer((request, response) => {
    asked++;
    const kept = request.url?.startsWith('/kept') === true;
    response.writeHead(200, { 'cache-control': kept ? 'max-age=1, stale-if-error=3600' : 'no-store' });
    response.end(`answer ${asked}`);
  });
  return { server, asked: () => asked };
}

describe('what services depend on is lost', () => {
  const upstream = service();
  let search: EndpointProcess;
  let mails: EndpointProcess;
  let ledger: EndpointProcess;
  let gateway: TestGateway;

  before(async () => {
    await new Promise<void>((resolve) => upstream.server.listen(0, '127.0.0.1', resolve));
    [search, mails, ledger] = await Promise.all([
      EndpointProcess.start('search'),
      EndpointProcess.start('mails'),
      EndpointProcess.start('ledger'),
    ]);
    const route = { access: 'public', reason: 'everything, for a test', cell: 'shop' };
    gateway = await TestGateway.start({
      bootstrap: { lanes: 1 },
      bundle: {
        waf: { mode: 'off' },
        routes: {
          routes: [
            { ...route, id: 'shop', match: { path: { prefix: '/' } } },
            { ...route, id: 'kept', match: { path: { prefix: '/kept' } }, cache: {} },
            {
              ...route,
              id: 'sorry',
              match: { path: { prefix: '/sorry' } },
              respond: { direct: { body: 'back soon' } },
            },
            {
              ...route,
              id: 'moved',
              match: { path: { prefix: '/moved' } },
              respond: { redirect: { to: '/elsewhere' } },
            },
          ],
        },
        cells: {
          cells: [
            { id: 'shop', endpoints: [{ address: `127.0.0.1:${(upstream.server.address() as AddressInfo).port}` }] },
          ],
        },
        defaults: {
          degradation: {
            downAfterMs: 0,
            upAfterMs: 0,
            retryAfterSeconds: 7,
            dependencies: [
              { name: 'search', for: 'suggestions', watch: { address: search.address } },
              { name: 'mails', for: 'confirmations', watch: { address: mails.address } },
              { name: 'ledger', for: 'every booking', critical: true, watch: { address: ledger.address } },
              { name: 'disk', for: 'restarts without a registry', watch: { part: 'state' } },
            ],
          },
        },
      },
    });
  });
  after(async () => {
    await gateway.stop();
    upstream.server.closeAllConnections();
    upstream.server.close();
    await Promise.all([search.kill(), mails.kill(), ledger.kill()]);
  });

  const get = (path: string, method = 'GET'): Promise<Heard> => ask(gateway.ports.http, path, { method });
  const mode = async (name: string): Promise<void> => {
    await gateway.until(
      `the mode is ${name}`,
      async () => ((await gateway.admin('/v1/status')) as Status).mode.mode === name,
    );
    assert.ok((await metricOf(gateway, 'cnx_mode')) === ['normal', 'degraded', 'limited', 'survival'].indexOf(name));
  };

  it('normal: everything is served', async () => {
    await mode('normal');
    assert.equal((await get('/', 'POST')).status, 200);
    assert.equal((await get('/kept')).body, `answer ${upstream.asked()}`);
  });

  it('degraded, one is down: stored answers that are stale are used at once, and fetched anew behind', async () => {
    const stored = (await get('/kept')).body;
    await search.kill();
    await mode('degraded');
    const { dependencies } = ((await gateway.admin('/v1/status')) as Status).mode;
    assert.deepEqual(
      dependencies.filter((d) => d.down).map((d) => d.name),
      ['search'],
    );
    assert.match(dependencies[0]?.reason ?? '', /ECONNREFUSED/);
    assert.equal((await get('/', 'POST')).status, 200);
    // Fresh or stale: the first that comes after its second has passed is the stale one, and says so.
    let stale: Heard | undefined;
    await gateway.until('it has become stale', async () => {
      stale = await get('/kept');
      return / ttl=-/.test(String(stale.headers['cache-status']));
    });
    assert.equal(stale?.body, stored);
    await gateway.until('it was fetched anew', async () => (await get('/kept')).body !== stored);
  });

  it('limited, two are down: only safe methods, 503 with Retry-After for the rest', async () => {
    await mails.kill();
    await mode('limited');
    const refused = await get('/', 'POST');
    assert.equal(refused.status, 503);
    assert.equal(codeOf(refused), 'read_only');
    assert.equal(refused.headers['retry-after'], '7');
    assert.equal((await get('/')).status, 200);
    assert.equal((await get('/', 'HEAD')).status, 200);
    assert.equal((await get('/moved', 'POST')).status, 308, 'a redirect changes nothing');
  });

  it('survival, a critical one is down: what needs no upstream, and nothing else', async () => {
    await ledger.kill();
    await mode('survival');
    const asked = upstream.asked();
    const refused = await get('/');
    assert.equal(refused.status, 503);
    assert.equal(codeOf(refused), 'static_only');
    assert.equal(refused.headers['retry-after'], '7');
    assert.equal((await get('/moved')).status, 308);
    assert.equal((await get('/sorry')).body, 'back soon');
    const kept = await get('/kept');
    assert.equal(kept.status, 200, 'stored, fresh or stale');
    await gateway.until('what is stored is stale', async () =>
      / ttl=-/.test(String((await get('/kept')).headers['cache-status'])),
    );
    assert.equal((await get('/kept')).headers['retry-after'], undefined, 'whoever is served is not told to come again');
    assert.equal((await get('/', 'POST')).status, 503);
    assert.equal(upstream.asked(), asked, 'nothing went upstream');
    assert.equal((await gateway.probe('/readyz')).status, 200, 'it still serves');
  });

  it('what comes back lets it step forward; every change is logged and counted', async () => {
    await ledger.run();
    await mode('limited');
    await mails.run();
    await mode('degraded');
    await search.run();
    await mode('normal');
    assert.equal((await get('/', 'POST')).status, 200);
    const changes = gateway.stdout
      .split('\n')
      .filter((line) => line.includes('"mode changed"'))
      .map((line) => JSON.parse(line) as { from: string; to: string });
    const way = ['normal', 'degraded', 'limited', 'survival', 'limited', 'degraded', 'normal'];
    assert.deepEqual(
      changes.map((c) => `${c.from} ${c.to}`),
      way.slice(1).map((to, i) => `${way[i]} ${to}`),
    );
    assert.match(gateway.stdout, /"dependency down".*"ledger"/);
    assert.match(gateway.stdout, /"dependency up".*"ledger"/);
    assert.equal(await metricOf(gateway, 'cnx_mode_changes_total', 'mode="limited"'), 2);
    assert.equal(await metricOf(gateway, 'cnx_dependency_down'), 0);
  });
});

describe('a cell that all depends on is lost', () => {
  it('survival, and back by its probes alone: in survival no request finds out that it is well', async () => {
    const shop = await EndpointProcess.start('shop');
    const gateway = await TestGateway.start({
      bootstrap: { lanes: 1 },
      bundle: plainBundle([], {
        cells: {
          cells: [
            {
              id: 'shop',
              endpoints: [{ address: shop.address }],
              probe: { path: '/', intervalMs: 200, timeoutMs: 150 },
            },
          ],
        },
        defaults: {
          degradation: {
            downAfterMs: 0,
            upAfterMs: 0,
            dependencies: [{ name: 'shop', for: 'everything there is', critical: true, watch: { cell: 'shop' } }],
          },
        },
      }),
    });
    try {
      const said = async (): Promise<string> => {
        const heard = await ask(gateway.ports.http, '/');
        return heard.status === 200 ? 'served' : (codeOf(heard) ?? '');
      };
      // Probes of a process that stands still for a moment fail as well.
      await gateway.until('it serves', async () => (await said()) === 'served');
      await shop.kill();
      await gateway.until('survival', async () => (await said()) === 'static_only');
      await shop.run();
      await gateway.until('it serves again', async () => (await said()) === 'served');
      assert.match((await gateway.probe('/metrics')).body, /^cnx_mode(\{\})? 0$/m);
    } finally {
      await gateway.stop();
      await shop.kill();
    }
  });
});
