/** Algorithms and stickiness as a client meets them, over real sockets. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { plainBundle, type BundleParts } from '../harness/bundle.ts';
import { ask } from './client.ts';
import { EndpointProcess } from './endpoint-process.ts';
import { endpointsOf, Given, untilIdle } from './given.ts';

/** Health sees no latency: an endpoint that a busy machine makes slow would get trials, which no algorithm chooses. */
const health = { latencyGoodMs: 59_000, latencyBadMs: 60_000 };

const bundleOf = (endpoints: readonly object[], balance: object): BundleParts =>
  plainBundle([], { cells: { cells: [{ id: 'one', endpoints, balance, health }] } });

describe('balancing', () => {
  const given = new Given();
  after(() => given.end());

  const processes = async (...names: string[]): Promise<EndpointProcess[]> => {
    const started = await Promise.all(names.map((name) => EndpointProcess.start(name)));
    for (const endpoint of started) given.ends(() => endpoint.kill());
    return started;
  };

  it('a client stays with its endpoint by a cookie that cannot be forged, and moves when that is gone', async () => {
    const endpoints = await processes('a', 'b', 'c');
    const sticky = { cookie: 'cnx-endpoint', secret: 'sticky-key', maxAgeSeconds: 600, sameSite: 'Strict' };
    const gateway = await given.gateway({
      bundle: bundleOf(
        endpoints.map(({ address }) => ({ address })),
        { sticky },
      ),
      bootstrap: { lanes: 2, secrets: { 'sticky-key': 'env:STICKY_KEY' } },
      env: { STICKY_KEY: 'a key that nobody knows' },
    });
    const first = await ask(gateway.ports.http, '/');
    const [set = ''] = [first.headers['set-cookie'] ?? ''].flat();
    assert.match(set, /^cnx-endpoint=[A-Za-z0-9_-]{43}; Path=\/; Max-Age=600; HttpOnly; Secure; SameSite=Strict$/);
    const cookie = set.slice(0, set.indexOf(';'));
    for (let n = 0; n < 30; n++) {
      const again = await ask(gateway.ports.http, '/', { headers: { cookie: `x=1; ${cookie}` } });
      assert.equal(again.body, first.body);
      assert.equal(again.headers['set-cookie'], undefined);
    }
    const forged = await ask(gateway.ports.http, '/', { headers: { cookie: `cnx-endpoint=${'A'.repeat(43)}` } });
    assert.notEqual(forged.headers['set-cookie'], undefined, 'it says nothing');
    await endpoints.find(({ name }) => name === first.body)?.kill();
    const moved = await ask(gateway.ports.http, '/', { headers: { cookie } });
    assert.equal(moved.status, 200);
    assert.notEqual(moved.body, first.body);
    assert.notEqual(moved.headers['set-cookie'], undefined);
    await gateway.stop();
  });

  it('ring-hash keeps a header value with its endpoint, in every lane', async () => {
    const endpoints = await processes('a', 'b', 'c');
    const gateway = await given.gateway({
      bundle: bundleOf(
        endpoints.map(({ address }) => ({ address })),
        { algorithm: 'ring-hash', hash: { header: 'X-User', secret: 'ring-key' } },
      ),
      bootstrap: { lanes: 2, secrets: { 'ring-key': 'env:RING_KEY' } },
      env: { RING_KEY: 'a key that nobody knows' },
    });
    const seen = new Set<string>();
    for (let user = 0; user < 12; user++) {
      const answers = new Set<string>();
      for (let n = 0; n < 20; n++) {
        answers.add((await ask(gateway.ports.http, '/', { headers: { 'x-user': `user-${user}` } })).body);
        // A lane may be held up before it counts its request as over; the ring passes over who is busy.
        await untilIdle(gateway);
      }
      assert.equal(answers.size, 1);
      for (const body of answers) seen.add(body);
    }
    assert.ok(seen.size > 1, 'not all users at one endpoint');
    await gateway.stop();
  });

  it('the zone of the gateway comes first; a file moves endpoints between zones', async () => {
    const [near, far] = (await processes('near', 'far')) as [EndpointProcess, EndpointProcess];
    const gateway = await given.gateway({
      bundle: bundleOf([{ file: 'zones' }], { algorithm: 'round-robin', slowStartMs: 0 }),
      bootstrap: { zone: 'a', endpointFiles: { zones: 'zones.json' } },
    });
    const say = (a: EndpointProcess, b: EndpointProcess): void =>
      writeFileSync(
        join(gateway.directory, 'zones.json'),
        JSON.stringify({
          endpoints: [
            { address: a.address, zone: 'a' },
            { address: b.address, zone: 'b' },
          ],
        }),
      );
    say(near, far);
    await gateway.until('both are known', async () => (await endpointsOf(gateway)).length === 2);
    // The lane is told a moment after they are shown.
    await gateway.until('it serves', async () => (await ask(gateway.ports.http, '/')).status === 200);
    for (let n = 0; n < 20; n++) assert.equal((await ask(gateway.ports.http, '/')).body, 'near');
    say(far, near);
    await gateway.until('they have changed places', async () => (await ask(gateway.ports.http, '/')).body === 'far');
    for (let n = 0; n < 20; n++) assert.equal((await ask(gateway.ports.http, '/')).body, 'far');
    await far.kill();
    assert.equal((await ask(gateway.ports.http, '/')).body, 'near');
    await gateway.stop();
  });
});
