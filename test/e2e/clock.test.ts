/** The wall clock of a running gateway is set: an hour on, two hours back. What waits for a time does not wait for that clock, and what is judged by it is judged by the one there is. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { BundleParts } from '../harness/bundle.ts';
import type { TestGateway } from '../harness/gateway.ts';
import { WallClock } from '../harness/wall-clock.ts';
import { ask, codeOf, type Heard } from './client.ts';
import { EndpointProcess } from './endpoint-process.ts';
import { endpointsOf, Given, metricOf, untilIdle } from './given.ts';

const HOUR_S = 3_600;

const shop = {
  id: 'shop',
  match: { path: { prefix: '/' } },
  access: 'public',
  reason: 'everything, for a test',
  cell: 'shop',
};

describe('the clock is set', () => {
  const given = new Given();
  const clock = new WallClock();
  let endpoint: EndpointProcess;
  let gateway: TestGateway;
  let bundle: BundleParts;
  let stored = 0;

  before(async () => {
    endpoint = await EndpointProcess.start('shop');
    given.ends(() => endpoint.kill());
    const kept = await given.upstream({
      behaviours: {
        kept: (_, response) => {
          stored++;
          // Its own clock is right all the while: by its Date an answer would be as old as the gateway's is wrong.
          response.sendDate = false;
          response.writeHead(200, { 'cache-control': 'max-age=600' }).end(`answer ${stored}`);
        },
      },
    });
    bundle = {
      waf: { mode: 'off' },
      routes: {
        routes: [
          shop,
          { ...shop, id: 'kept', match: { path: { prefix: '/kept' } }, cell: 'kept', cache: {} },
          { ...shop, id: 'few', match: { path: { prefix: '/few' } }, limits: ['few'] },
        ],
      },
      cells: {
        cells: [
          { id: 'shop', endpoints: [{ address: endpoint.address }] },
          { id: 'kept', endpoints: [{ address: kept.address }] },
        ],
      },
      limits: { limits: [{ id: 'few', key: ['route'], requests: 1, windowMs: 1_000, burst: 2 }] },
      defaults: {
        degradation: {
          downAfterMs: 0,
          upAfterMs: 0,
          dependencies: [{ name: 'time', for: 'lifetimes of tokens and answers', watch: { part: 'clock' } }],
        },
      },
    };
    gateway = await given.gateway({ env: clock.env, bootstrap: { lanes: 1 }, bundle });
  });
  after(async () => {
    await given.end();
    clock.end();
  });

  const get = (path: string): Promise<Heard> => ask(gateway.ports.http, path);
  const jumped = (by: RegExp): Promise<void> =>
    gateway.until(`a jump by ${by} is told`, async () => {
      const { mode } = (await gateway.admin('/v1/status')) as { mode: { dependencies: { reason: string }[] } };
      return by.test(mode.dependencies[0]?.reason ?? '');
    });

  it('an hour on: traffic goes on, what was stored is old, and it is told', async () => {
    assert.equal((await get('/kept')).body, 'answer 1');
    assert.match(String((await get('/kept')).headers['cache-status']), /hit/);
    clock.set(HOUR_S);
    assert.equal((await get('/')).status, 200);
    await gateway.until('the answer of an hour ago is not used', async () => (await get('/kept')).body === 'answer 2');
    await jumped(/^the clock has jumped by 3(599|600|601) s$/);
    assert.equal(await metricOf(gateway, 'cnx_dependency_down', 'time'), 1);
    assert.equal((await gateway.probe('/readyz')).status, 200);
  });

  it('two hours back: an endpoint that was out until later is tried at once, and a limit opens again', async () => {
    await endpoint.kill();
    await gateway.until('it is out of rotation', async () => {
      await get('/');
      return (await endpointsOf(gateway)).some((e) => e.downUntil > 0);
    });
    await endpoint.run();
    clock.set(-HOUR_S);
    await gateway.until('it serves', async () => (await get('/')).status === 200);
    await jumped(/^the clock has jumped by -7(199|200|201) s$/);
    await gateway.until('the limit binds', async () => codeOf(await get('/few')) === 'rate_limited');
    await gateway.until('it opens again', async () => (await get('/few')).status === 200);
    await untilIdle(gateway);
  });

  it('two hours back: what was stored later than now is not young for ever', async () => {
    const before = stored;
    await gateway.until('it is fetched anew within its lifetime', async () => {
      await get('/kept');
      return stored > before;
    });
  });

  it('set right again, an hour on: no lane seems to hang, traffic goes on, and a new bundle is taken', async () => {
    clock.set(0);
    assert.equal((await gateway.probe('/healthz')).status, 200, 'all lanes tick');
    assert.equal((await get('/')).status, 200);
    const digest = await gateway.publish({ ...bundle, limits: { limits: [] }, routes: { routes: [shop] } });
    await gateway.until('it serves', async () => {
      const status = (await gateway.admin('/v1/status')) as { bundle: { digest: string } | null };
      return status.bundle?.digest === digest;
    });
    assert.equal((await get('/few')).status, 200);
    await untilIdle(gateway);
    await gateway.stop();
  });
});
