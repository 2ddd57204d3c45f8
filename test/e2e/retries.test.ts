/** Another attempt: after answers that a route does not want, within budget and deadlines. */
import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { type BundleParts, plainBundle } from '../harness/bundle.ts';
import type { TestGateway } from '../harness/gateway.ts';
import { ask, codeOf, type Heard } from './client.ts';
import { Given, untilIdle } from './given.ts';

const route = (more: object): object => ({
  routes: {
    routes: [
      { id: 'all', match: { path: { prefix: '/' } }, access: 'public', reason: 'everything, for a test', ...more },
    ],
  },
});

interface Told {
  readonly detail: string;
  readonly attempts: number;
  readonly stages: readonly { readonly stage: string; readonly decision: string }[];
}

async function explained(gateway: TestGateway, heard: Heard): Promise<Told> {
  const id = String(heard.headers['x-request-id']);
  return (await gateway.admin(`/v1/explain/${id}`)) as Told;
}

/** Resolves when it serves. */
async function publish(gateway: TestGateway, bundle: BundleParts): Promise<void> {
  const digest = await gateway.publish(bundle);
  await gateway.until('the bundle serves', async () => {
    const status = (await gateway.admin('/v1/status')) as { bundle: { digest: string } | null };
    return status.bundle?.digest === digest;
  });
}

describe('another attempt', () => {
  const given = new Given();
  after(() => given.end());

  it('takes the place of an answer that the route does not want, with the same body', async () => {
    const bad = await given.upstream({
      name: 'bad',
      behaviours: { '': (_, response) => response.writeHead(503, { 'x-who': 'bad' }).end('overloaded') },
    });
    const good = await given.upstream({ name: 'good' });
    const gateway = await given.gateway({
      bundle: plainBundle(
        [bad.address, good.address],
        route({ retryOn: ['connect-failure', 'reset', 'gateway-error'] }),
      ),
    });
    let tried = 0;
    for (let n = 0; n < 30; n++) {
      const put = n % 2 === 1;
      const heard = await ask(gateway.ports.http, '/', put ? { method: 'PUT', body: `body ${n}` } : {});
      assert.equal(heard.status, 200);
      assert.equal(heard.headers['x-who'], undefined, 'nothing of the first answer is left');
      const { detail, attempts, stages } = await explained(gateway, heard);
      assert.equal(
        stages.find((s) => s.stage === 'forward')?.decision,
        'forwarded',
        'also where the answer was looked at first',
      );
      if (attempts > 1) {
        tried++;
        assert.match(detail, /^tried again after one\/127\.0\.0\.1:\d+: 503$/);
        if (put) {
          const seen = good.requests.at(-1);
          assert.deepEqual([seen?.method, String(seen?.body)], ['PUT', `body ${n}`]);
        }
      }
    }
    assert.ok(tried > 0, 'the bad one was asked at first');
    // What may change something twice is not sent twice.
    const posted = new Set<number>();
    for (let n = 0; n < 30 && !posted.has(503); n++) {
      const heard = await ask(gateway.ports.http, '/', { method: 'POST', body: 'x' });
      posted.add(heard.status);
      assert.equal((await explained(gateway, heard)).attempts, 1);
    }
    await untilIdle(gateway);
    await gateway.stop();
  });

  it('is not made for a body that has streamed, nor beyond what the budget bears, nor where there is nobody else', async () => {
    const bad = await given.upstream({
      behaviours: { '': (_, response) => response.writeHead(503).end('overloaded') },
    });
    const other = await given.upstream({
      behaviours: { '': (_, response) => response.writeHead(503).end('overloaded') },
    });
    const cells = (retryBudget: object, endpoints: number): object => ({
      cells: [
        {
          id: 'one',
          endpoints: [bad.address, other.address].slice(0, endpoints).map((address) => ({ address })),
          retryBudget,
        },
      ],
    });
    const routes = route({ retryOn: ['5xx'] });
    const gateway = await given.gateway({
      bundle: { ...plainBundle([], routes), cells: cells({ budgetPercent: 100, minRetryConcurrency: 3 }, 2) },
    });
    const two = await ask(gateway.ports.http, '/');
    assert.deepEqual([two.status, two.body, (await explained(gateway, two)).attempts], [503, 'overloaded', 2]);
    const long = await ask(gateway.ports.http, '/', { method: 'PUT', body: Buffer.alloc(100_000) });
    assert.deepEqual([long.status, (await explained(gateway, long)).attempts], [503, 1]);
    await publish(gateway, {
      ...plainBundle([], routes),
      cells: cells({ budgetPercent: 0, minRetryConcurrency: 0 }, 2),
    });
    const spent = await ask(gateway.ports.http, '/');
    assert.equal(spent.status, 503);
    const told = await explained(gateway, spent);
    assert.equal(told.attempts, 1);
    assert.match(told.detail, /: 503; retry budget spent$/);
    assert.match((await gateway.probe('/metrics')).body, /cnx_upstream_retries_denied_total 1/);
    await publish(gateway, { ...plainBundle([], routes), cells: cells({}, 1) });
    const alone = await ask(gateway.ports.http, '/');
    assert.deepEqual([alone.status, alone.body], [503, 'overloaded']);
    assert.match((await explained(gateway, alone)).detail, /not tried again, the attempt failed and no other endpoint/);
    await untilIdle(gateway);
    await gateway.stop();
  });

  it('after a reset is beyond the budget only where the endpoint was in rotation', async () => {
    const bad = await given.upstream({ behaviours: { '': (_, response) => response.destroy() } });
    const cells = [
      {
        id: 'one',
        endpoints: [{ address: bad.address }],
        retryBudget: { budgetPercent: 0, minRetryConcurrency: 0 },
      },
    ];
    const gateway = await given.gateway({ bundle: { ...plainBundle([], route({})), cells: { cells } } });
    const first = await ask(gateway.ports.http, '/');
    assert.deepEqual([first.status, (await explained(gateway, first)).attempts], [502, 2], 'the reset was news');
    for (let n = 0; n < 3; n++) {
      const next = await ask(gateway.ports.http, '/');
      const { attempts, detail } = await explained(gateway, next);
      assert.deepEqual([next.status, attempts], [502, 1]);
      assert.match(detail, /retry budget spent$/);
    }
    await untilIdle(gateway);
    await gateway.stop();
  });

  it('comes when one takes too long, and all of them together have a deadline', async () => {
    const slow = await given.upstream({ behaviours: { '': () => undefined } });
    const quick = await given.upstream({ name: 'quick' });
    // The quick one must answer within it on a machine that stands still for seconds, too; in all less than `headMs`, which ends an attempt as well.
    const timeouts = { perTryMs: 4_000, totalMs: 20_000 };
    const gateway = await given.gateway({
      bundle: plainBundle([slow.address, quick.address], route({ retryOn: ['gateway-error'], timeouts })),
    });
    for (let n = 0, tried = false; !tried; n++) {
      assert.ok(n < 200, 'the slow one is asked at first now and then');
      const heard = await ask(gateway.ports.http, '/');
      assert.deepEqual([heard.status, heard.body], [200, 'quick']);
      tried = (await explained(gateway, heard)).attempts > 1;
    }
    await publish(
      gateway,
      plainBundle([slow.address], route({ retries: 5, retryOn: ['5xx'], timeouts: { totalMs: 300 } })),
    );
    const late = await ask(gateway.ports.http, '/');
    assert.equal(codeOf(late), 'upstream_timeout');
    assert.equal((await explained(gateway, late)).attempts, 1);
    await untilIdle(gateway);
    await gateway.stop();
  });
});
