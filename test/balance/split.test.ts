/** Splits between versions through a real gateway with two lanes: sticky, by weight, by header and cookie. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { ask } from '../e2e/client.ts';
import { TestGateway } from '../harness/gateway.ts';
import { TestUpstream } from '../harness/upstream.ts';

let v1: TestUpstream;
let v2: TestUpstream;
let gateway: TestGateway;

before(async () => {
  [v1, v2] = await Promise.all([TestUpstream.start({ name: 'v1' }), TestUpstream.start({ name: 'v2' })]);
  gateway = await TestGateway.start({
    bootstrap: { lanes: 2 },
    bundle: {
      waf: { mode: 'off' },
      routes: {
        routes: [
          {
            id: 'shop',
            match: { path: { prefix: '/' } },
            access: 'public',
            reason: 'everything, for a test',
            split: {
              by: ['cookie:sid'],
              cells: [
                { cell: 'v1', weight: 80 },
                { cell: 'v2', weight: 20, when: [{ header: 'X-Canary', value: 'yes' }, { cookie: 'canary' }] },
              ],
            },
          },
        ],
      },
      cells: {
        cells: [
          { id: 'v1', endpoints: [{ address: v1.address }] },
          { id: 'v2', standby: 'v1', endpoints: [{ address: v2.address }] },
        ],
      },
    },
  });
});
after(async () => {
  await gateway.stop();
  await Promise.all([v1.stop(), v2.stop()]);
});

async function version(headers: Record<string, string>): Promise<string> {
  const heard = await ask(gateway.ports.http, '/', { headers });
  assert.equal(heard.status, 200, heard.body);
  return String(heard.headers['x-upstream']);
}

test('each client sees one version, and about a fifth of them the second', async () => {
  const seen = new Map<string, number>();
  for (let client = 0; client < 100; client++) {
    // New connections, so that both lanes are asked.
    const first = await version({ cookie: `sid=client-${client}` });
    assert.equal(await version({ cookie: `x=y; sid=client-${client}` }), first);
    seen.set(first, (seen.get(first) ?? 0) + 1);
  }
  const canaries = seen.get('v2') ?? 0;
  assert.ok(canaries >= 8 && canaries <= 36, `${canaries} of 100`);
});

test('a header or a cookie leads to the canary; when its cell is gone, its standby serves', async () => {
  assert.equal(await version({ 'x-canary': 'yes' }), 'v2');
  assert.equal(await version({ cookie: 'canary=1' }), 'v2');
  await v2.stop();
  for (let i = 0; i < 10; i++) assert.equal(await version({ 'x-canary': 'yes' }), 'v1');
});
