/** Rate limits on a running gateway: exact over all lanes, told in fields, apart by key. Counted, never timed. */
import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { plainBundle } from '../harness/bundle.ts';
import type { TestGateway } from '../harness/gateway.ts';
import { AUDIENCE, ISSUER, TestIssuer } from '../harness/issuer.ts';
import { type Ask, ask, codeOf, type Heard, idOf, keepAlive } from './client.ts';
import { Given } from './given.ts';

const BURST = 50;
const HOUR_MS = 3_600_000;
/** A rate that grants something while a test runs: one request every so many milliseconds. */
const EMISSION_MS = 50;

/** Never renewed while a test runs. */
const fixed = (id: string, key: readonly string[], burst: number, more: object = {}): object => ({
  id,
  key,
  requests: 1,
  windowMs: HOUR_MS,
  burst,
  ...more,
});

const statuses = (heard: readonly Heard[]): Record<number, number> => {
  const counts: Record<number, number> = {};
  for (const { status } of heard) counts[status] = (counts[status] ?? 0) + 1;
  return counts;
};

async function hasIpv6(): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(0, '::1', () => server.close(() => resolve(true)));
  });
}

describe('limits', () => {
  const given = new Given();
  let gateway: TestGateway;
  let issuer: TestIssuer;

  before(async () => {
    const upstream = await given.upstream();
    issuer = await TestIssuer.make();
    const route = (id: string, limits: readonly string[], more: object = {}): object => ({
      id,
      match: { path: { prefix: `/${id}` } },
      access: 'public',
      reason: 'for a test of limits',
      limits,
      ...more,
    });
    gateway = await given.gateway({
      bundle: plainBundle([upstream.address], {
        issuers: {
          issuers: [{ id: 'main', issuer: ISSUER, audiences: [AUDIENCE], algorithms: ['ES256'], jwks: issuer.jwks }],
        },
        limits: {
          limits: [
            fixed('burst', ['route'], BURST),
            { id: 'rate', key: ['route'], requests: 1, windowMs: EMISSION_MS, burst: 5 },
            fixed('by-address', ['address'], 3),
            fixed('by-claim', ['claim:sub'], 2),
            fixed('by-tenant', ['tenant'], 2),
            fixed('by-pair', ['header:x-a', 'header:x-b'], 1),
            fixed('wide', ['header:x-key'], 10),
            fixed('narrow', ['route'], 4),
            fixed('watch', ['route'], 1, { mode: 'detect' }),
          ],
        },
        routes: {
          routes: [
            route('burst', ['burst']),
            route('rate', ['rate']),
            route('address', ['by-address']),
            route('claim', ['by-claim'], { issuers: ['main'] }),
            route('tenant', ['by-tenant'], { tenant: { header: 'x-tenant' } }),
            route('pair', ['by-pair']),
            route('both', ['wide', 'narrow']),
            route('other', ['wide']),
            route('watch', ['watch']),
          ],
        },
      }),
      bootstrap: { lanes: 2, limitBuckets: 4_096 },
      listener: { forwardedFrom: ['127.0.0.0/8'] },
    });
  });
  after(() => given.end());

  const send = (path: string, headers: Readonly<Record<string, string>> = {}, more: Ask = {}): Promise<Heard> =>
    ask(gateway.ports.http, path, { ...more, headers });

  it('a burst is exact over connections and lanes: as many as it says, and not one more', async () => {
    const heard = await Promise.all(Array.from({ length: 3 * BURST }, () => send('/burst')));
    assert.deepEqual(statuses(heard), { 200: BURST, 429: 2 * BURST });
    // A request id says which lane it was.
    assert.deepEqual([...new Set(heard.map((h) => idOf(h).slice(7, 9)))].sort(), ['00', '01']);
    // What a client got says what was left: each number once. Two lanes that read their clocks at once may both round down, so one less is as good.
    const left = heard
      .filter((h) => h.status === 200)
      .map((h) => Number(/^"burst";r=(\d+);t=\d+$/.exec(String(h.headers['ratelimit']))?.[1]))
      .sort((a, b) => a - b);
    for (const [n, r] of left.entries())
      assert.ok(r === n || r === n - 1, `${r} left, at place ${n} of ${left.join()}`);
  });

  it('a rate never grants more than burst and time allow, and is renewed', async () => {
    const agent = keepAlive(8);
    given.ends(() => agent.destroy());
    let granted = 0;
    const from = Date.now();
    const client = async (): Promise<void> => {
      for (let n = 0; n < 40; n++) {
        if ((await send('/rate', {}, { agent })).status === 200) granted += 1;
        await sleep(5);
      }
    };
    await Promise.all(Array.from({ length: 8 }, client));
    const elapsed = Date.now() - from;
    assert.ok(granted <= 5 + Math.floor(elapsed / EMISSION_MS) + 1, `${granted} within ${elapsed} ms`);
    assert.ok(granted >= 5, `${granted}: the burst at least`);
    // It is renewed: whoever comes back after Retry-After is served.
    const refused = await gatewayRefuses('/rate');
    assert.equal(refused.headers['retry-after'], '1');
    await sleep(1_000);
    assert.equal((await send('/rate')).status, 200);
  });

  /** Asks until it is refused. */
  async function gatewayRefuses(path: string): Promise<Heard> {
    for (let n = 0; n < 1_000; n++) {
      const heard = await Promise.all(Array.from({ length: 10 }, () => send(path)));
      const refused = heard.find((h) => h.status === 429);
      if (refused !== undefined) return refused;
    }
    throw new Error(`${path} was never refused`);
  }

  it('fields say policy, what is left, and when to come back', async () => {
    const key = { 'x-key': 'fields' };
    const first = await send('/other', key);
    assert.equal(first.headers['ratelimit-policy'], '"wide";q=1;w=3600');
    assert.match(String(first.headers['ratelimit']), /^"wide";r=9;t=\d+$/);
    assert.equal(first.headers['retry-after'], undefined);
    for (let n = 0; n < 9; n++) await send('/other', key);
    const refused = await send('/other', key);
    assert.deepEqual([refused.status, codeOf(refused)], [429, 'rate_limited']);
    assert.match(String(refused.headers['ratelimit']), /^"wide";r=0;t=\d+$/);
    const retry = Number(refused.headers['retry-after']);
    assert.ok(retry > 0 && retry <= HOUR_MS / 1000, `Retry-After: ${retry}`);
  });

  it('of several limits the tightest is told, and a request that one refuses consumes nothing of the others', async () => {
    const key = { 'x-key': 'both' };
    const heard: Heard[] = [];
    for (let n = 0; n < 8; n++) heard.push(await send('/both', key));
    assert.deepEqual(statuses(heard), { 200: 4, 429: 4 });
    assert.match(String(heard[0]?.headers['ratelimit']), /^"narrow";r=3;/);
    // Four of ten were taken from the wide one, not eight.
    assert.match(String((await send('/other', key)).headers['ratelimit']), /^"wide";r=5;/);
  });

  it('keys: address, claim, tenant and tuples are counted apart', async () => {
    const twice = async (one: () => Promise<Heard>): Promise<number[]> => [(await one()).status, (await one()).status];
    // Any of 127.0.0.0/8 is a client of its own; so is one behind a proxy that the listener trusts.
    for (const localAddress of ['127.0.0.11', '127.0.0.12']) {
      const heard = [];
      for (let n = 0; n < 4; n++) heard.push((await send('/address', {}, { localAddress })).status);
      assert.deepEqual(heard, [200, 200, 200, 429], localAddress);
    }
    for (const sub of ['alice', 'bob']) {
      const headers = { authorization: `Bearer ${await issuer.token({ sub })}` };
      assert.deepEqual(await twice(() => send('/claim', headers)), [200, 200]);
      // Another token of the same subject is no other key.
      const again = { authorization: `Bearer ${await issuer.token({ sub, jti: 'another' })}` };
      assert.equal((await send('/claim', again)).status, 429);
    }
    for (const tenant of ['acme', 'globex']) {
      assert.deepEqual(await twice(() => send('/tenant', { 'x-tenant': tenant })), [200, 200]);
      assert.equal((await send('/tenant', { 'x-tenant': tenant })).status, 429);
    }
    // A tuple is no concatenation.
    const pair = async (a: string, b: string): Promise<number> => (await send('/pair', { 'x-a': a, 'x-b': b })).status;
    assert.deepEqual([await pair('ab', 'c'), await pair('a', 'bc'), await pair('ab', 'c')], [200, 200, 429]);
    // Who leaves a part out is limited all the same, by address.
    const missing = async (localAddress: string): Promise<number> =>
      (await send('/pair', { 'x-a': 'ab' }, { localAddress })).status;
    assert.deepEqual(
      [await missing('127.0.0.13'), await missing('127.0.0.13'), await missing('127.0.0.14')],
      [200, 429, 200],
    );
  });

  it('IPv6 clients are counted by /64, wherever in it they are', async () => {
    const from = (address: string): Promise<Heard> => send('/address', { 'x-forwarded-for': address });
    const same = [];
    for (const address of ['2001:db8:0:1::1', '2001:db8:0:1::2', '2001:db8:0:1:ffff:0:1:2', '2001:db8:0:1:1:2:3:4'])
      same.push((await from(address)).status);
    assert.deepEqual(same, [200, 200, 200, 429]);
    assert.equal((await from('2001:db8:0:2::1')).status, 200);
    // An IPv4 address in IPv6 clothes is the IPv4 address.
    const mapped = [];
    for (const address of ['198.51.100.7', '::ffff:198.51.100.7', '::ffff:c633:6407', '198.51.100.7'])
      mapped.push((await from(address)).status);
    assert.deepEqual(mapped, [200, 200, 200, 429]);
  });

  it('a limit that only watches refuses nobody, and the record says that it would have', async () => {
    await send('/watch');
    const over = await send('/watch');
    assert.equal(over.status, 200);
    assert.equal(over.headers['ratelimit'], undefined);
    const told = (await gateway.admin(`/v1/explain/${String(over.headers['x-request-id'])}`)) as { detail: string };
    assert.match(told.detail, /limit watch by route is exceeded \(detect only\)/);
  });

  it('buckets outlive a new bundle: nobody gets a fresh start by it', async () => {
    const upstream = await given.upstream();
    const routes = {
      routes: [
        {
          id: 'all',
          match: { path: { prefix: '/' } },
          access: 'public',
          reason: 'for a test of limits',
          limits: ['kept'],
        },
      ],
    };
    const limits = { limits: [fixed('kept', ['address'], 2)] };
    const own = await given.gateway({ bundle: plainBundle([upstream.address], { routes, limits }) });
    const get = async (): Promise<number> => (await ask(own.ports.http, '/')).status;
    assert.deepEqual([await get(), await get(), await get()], [200, 200, 429]);
    await own.publish(plainBundle([upstream.address], { routes, limits, defaults: { retries: 0 } }));
    await own.until('it serves', async () => {
      const { bundle } = (await own.admin('/v1/status')) as { bundle: { seq: number } };
      return bundle.seq === 2;
    });
    assert.equal(await get(), 429);
    await own.stop();
    await gateway.stop();
  });

  it('on an IPv6 listener, too', async () => {
    if (!(await hasIpv6())) return;
    const upstream = await given.upstream();
    const routes = {
      routes: [
        {
          id: 'all',
          match: { path: { prefix: '/' } },
          access: 'public',
          reason: 'for a test of limits',
          limits: ['one'],
        },
      ],
    };
    const own = await given.gateway({
      bundle: plainBundle([upstream.address], { routes, limits: { limits: [fixed('one', ['address'], 1)] } }),
      listener: { address: '::1' },
    });
    const get = async (): Promise<number> => (await ask(own.ports.http, '/', { host: '::1' })).status;
    assert.deepEqual([await get(), await get()], [200, 429]);
    await own.stop();
  });
});
