import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request } from 'node:http';
import { connect } from 'node:net';
import { test } from 'node:test';
import { isLoopback, ROUTES_PAGE_MAX } from '../../src/admin/admin-server.ts';
import type { Status } from '../../src/admin/admin-server.ts';
import type { ActiveBundle } from '../../src/admin/control-view.ts';
import type { Explanation } from '../../src/admin/explain.ts';
import { LANE_SILENT_MS_MAX } from '../../src/admin/probe-server.ts';
import { CONNECTIONS_MAX, listen, text } from '../../src/admin/answer.ts';
import { sharedTick } from '../../src/base/shared-tick.ts';
import { Gauge, LaneColumns } from '../../src/snapshot/lane-columns.ts';
import { givenExchange, givenRoute, givenSnapshot } from './given.ts';
import { get, givenAdmin } from './given-admin.ts';

const TOKEN = '0123456789abcdef0123456789abcdef';

async function started(t: Parameters<typeof givenAdmin>[0], token: string | null, fault?: (lane: number) => boolean) {
  const given = givenAdmin(t);
  const ports = await given.admin.listen({
    probes: { address: '127.0.0.1', port: 0 },
    admin: { address: '127.0.0.1', port: 0, token, ...(fault === undefined ? {} : { fault }) },
  });
  return {
    ...given,
    probes: `http://127.0.0.1:${ports.probes}`,
    url: `http://127.0.0.1:${ports.admin}`,
    port: ports.admin,
  };
}

/** A request as fetch would not make it. */
function raw(
  port: number,
  options: { path?: string; method?: string; headers?: Record<string, string>; body?: string },
) {
  return new Promise<{ status: number; body: string }>((resolve, reject) => {
    const r = request({ port, host: '127.0.0.1', ...options }, (answer) => {
      let body = '';
      answer.on('data', (chunk: Buffer) => (body += chunk.toString()));
      answer.on('end', () => resolve({ status: answer.statusCode ?? 0, body }));
    });
    r.on('error', reject);
    r.end(options.body);
  });
}

test('with a token, nothing is told without it', async (t) => {
  const { url } = await started(t, TOKEN);
  const table: [string | undefined, number][] = [
    [`Bearer ${TOKEN}`, 200],
    [`bearer  ${TOKEN} `, 200],
    [undefined, 401],
    ['', 401],
    ['Bearer', 401],
    ['Bearer ', 401],
    [TOKEN, 401],
    [`Basic ${TOKEN}`, 401],
    [`Bearer ${TOKEN}x`, 401],
    [`Bearer ${TOKEN.slice(1)}`, 401],
    [`Bearer ${TOKEN} ${TOKEN}`, 401],
    [`Bearer ${TOKEN.toUpperCase()}`, 401],
  ];
  for (const path of ['/v1/status', '/v1/endpoints', '/v1/routes', '/v1/explain/3f2a1b-00-0000002a', '/nothing']) {
    assert.equal((await get(url + path)).status, 401, path);
  }
  for (const [authorization, status] of table) {
    const answer = await get(`${url}/v1/status`, authorization === undefined ? {} : { authorization });
    assert.equal(answer.status, status, authorization);
    if (status === 401) {
      assert.equal(answer.headers.get('www-authenticate'), 'Bearer realm="cnx admin"');
      assert.equal(answer.body, '{\n  "error": "a bearer token is required"\n}\n');
    }
  }
});

test('without a token, only loopback is served, and only under its own names', async (t) => {
  const { port } = await started(t, null);
  const table: [string, number][] = [
    ['127.0.0.1', 200],
    [`127.0.0.1:${port}`, 200],
    ['localhost:1', 200],
    ['LOCALHOST', 200],
    ['[::1]:9902', 200],
    ['127.9.9.9', 200],
    ['attacker.example', 421],
    ['localhost.attacker.example', 421],
    ['127.0.0.1.attacker.example', 421],
    ['10.0.0.1', 421],
    [':80', 421],
  ];
  for (const [host, status] of table) {
    assert.equal((await raw(port, { path: '/v1/status', headers: { host } })).status, status, host);
  }
});

test('without a token, a page of another origin makes a browser ask for nothing', async (t) => {
  const { port } = await started(t, null, () => true);
  const host = `127.0.0.1:${port}`;
  const table: [Record<string, string>, number][] = [
    [{}, 200],
    [{ origin: `http://${host}` }, 200],
    [{ origin: `http://${host}`, 'sec-fetch-site': 'same-origin' }, 200],
    [{ 'sec-fetch-site': 'none' }, 200],
    [{ origin: 'https://evil.example' }, 403],
    [{ origin: 'null' }, 403],
    [{ origin: 'http://127.0.0.1:3000' }, 403],
    [{ origin: `https://${host}` }, 403],
    [{ 'sec-fetch-site': 'cross-site' }, 403],
    [{ 'sec-fetch-site': 'same-site' }, 403],
  ];
  for (const [headers, status] of table) {
    const asked = { path: '/v1/fault?lane=0', method: 'POST', headers: { host, ...headers } };
    assert.equal((await raw(port, asked)).status, status, JSON.stringify(headers));
  }
});

test('it does not start open to others without a token, or with a short one', async (t) => {
  const { admin } = givenAdmin(t);
  const start = (address: string, token: string | null) =>
    admin.listen({ probes: { address: '127.0.0.1', port: 0 }, admin: { address, port: 0, token } });
  for (const address of ['0.0.0.0', '::', '10.0.0.1']) {
    await assert.rejects(start(address, null), /set admin\.tokenFile/u, address);
  }
  await assert.rejects(start('127.0.0.1', 'short'), /at least 16 characters/u);
  for (const [address, is] of [
    ['127.0.0.1', true],
    ['127.255.0.1', true],
    ['::1', true],
    ['localhost', true],
    ['::ffff:127.0.0.1', true],
    ['0.0.0.0', false],
    ['::', false],
    ['192.168.0.1', false],
    ['example.com', false],
    ['', false],
  ] as const) {
    assert.equal(isLoopback(address), is, address);
  }
});

test('only GET and HEAD, no bodies, no long targets', async (t) => {
  const { port } = await started(t, null);
  for (const method of ['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS']) {
    assert.equal((await raw(port, { path: '/v1/status', method })).status, 405, method);
  }
  assert.deepEqual(await raw(port, { path: '/v1/status', method: 'HEAD' }), { status: 200, body: '' });
  assert.equal((await raw(port, { path: '/v1/status', headers: { 'content-length': '1' }, body: 'x' })).status, 413);
  assert.equal(
    (await raw(port, { path: '/v1/status', headers: { 'transfer-encoding': 'chunked' }, body: 'x' })).status,
    413,
  );
  assert.equal((await raw(port, { path: `/v1/status?${'x'.repeat(3000)}` })).status, 400);
  assert.equal((await raw(port, { path: '/v1/status', headers: { x: 'y'.repeat(20_000) } })).status, 431);
  assert.equal((await raw(port, { path: '*', method: 'OPTIONS' })).status, 400);
  assert.equal((await raw(port, { path: '/v1/nothing' })).status, 404);
  assert.equal((await raw(port, { path: '/v1/fault?lane=0', method: 'POST' })).status, 405, 'faults are not allowed');
});

test('a request is explained as JSON and as text', async (t) => {
  const { url, observers } = await started(t, null);
  observers[1]?.ended(givenExchange());
  const json = await get(`${url}/v1/explain/3f2a1b-01-0000002a`);
  const told = JSON.parse(json.body) as Explanation;
  assert.deepEqual([told.id, told.lane, told.route, told.stages.length], ['3f2a1b-01-0000002a', 1, 'orders', 11]);
  assert.equal(json.headers.get('cache-control'), 'no-store');
  const plain = await get(`${url}/v1/explain/3f2a1b-01-0000002a?format=text`);
  assert.match(plain.body, /^3f2a1b-01-0000002a: answered with 200\.\n/u);
  for (const id of ['3f2a1b-00-0000002a', 'x', '', '../status', '%2e%2e']) {
    assert.equal((await get(`${url}/v1/explain/${id}`.replace('../', '..%2f'))).status, 404, id);
  }
});

test('a record that is written just after the answer is waited for', async (t) => {
  const { url, observers } = await started(t, null);
  const asked = get(`${url}/v1/explain/3f2a1b-00-0000002a`);
  // A look at another id comes back at once, so that by then the first one has been asked.
  assert.equal((await get(`${url}/v1/explain/ffffff-00-0000002a`)).status, 404);
  observers[0]?.ended(givenExchange());
  assert.equal((await asked).status, 200);
});

test('status, endpoints and routes tell what runs, without secrets of routes', async (t) => {
  const { url, columns, admin, control } = await started(t, null);
  columns.ejected[3] = 1;
  const status = JSON.parse((await get(`${url}/v1/status`)).body) as Status;
  assert.deepEqual(
    [status.state, status.bundle?.seq, status.rejections[0]?.reason],
    ['serving', 41, 'no signature by a trusted key'],
  );
  assert.deepEqual(status.endpoints, {
    total: 1,
    out: [{ identity: 'eu-1/127.0.0.1:9003', why: 'ejected by probes' }],
    notCurrent: [
      {
        cell: 'eu-1',
        source: 'dns orders.internal:8080',
        state: 'stale',
        endpoints: 2,
        reason: 'no server has answered in time',
        at: '2026-11-21T00:00:00.000Z',
      },
    ],
  });
  const endpoints = JSON.parse((await get(`${url}/v1/endpoints`)).body) as {
    endpoints: { health: number; ejected: boolean }[];
  };
  assert.deepEqual([endpoints.endpoints[0]?.health, endpoints.endpoints[0]?.ejected], [1, true]);
  const routes = Array.from({ length: ROUTES_PAGE_MAX + 3 }, (_, i) => givenRoute(`route-${i}`, i));
  const secret = givenRoute('secret', routes.length);
  const respond = { ...secret.respond, request: { set: ['authorization', 'Basic c2VjcmV0'], add: [], remove: [] } };
  admin.learn(givenSnapshot({ revision: 9 }, [...routes, { ...secret, respond }]));
  interface Page {
    readonly revision: number;
    readonly total: number;
    readonly next: number;
    readonly routes: unknown[];
  }
  const page = async (): Promise<Page> => JSON.parse((await get(`${url}/v1/routes`)).body) as Page;
  const before = await page();
  assert.deepEqual([before.revision, before.total], [7, 1], 'a candidate does not serve yet');
  control.active = { ...(control.active as ActiveBundle), revision: 9 };
  const first = await page();
  assert.deepEqual(
    [first.total, first.next, first.routes.length],
    [ROUTES_PAGE_MAX + 4, ROUTES_PAGE_MAX, ROUTES_PAGE_MAX],
  );
  const last = (await get(`${url}/v1/routes?from=${ROUTES_PAGE_MAX}`)).body;
  assert.match(last, /"secret"/u);
  assert.doesNotMatch(last, /c2VjcmV0/u);
  for (const from of ['-1', 'x', '1.5']) assert.equal((await get(`${url}/v1/routes?from=${from}`)).status, 400, from);
  assert.equal((await get(`${url}/v1/routes?from=999999`)).status, 200);
});

test('a poll is asked for by POST, with the token, and answered with the status after it', async (t) => {
  const { url, control } = await started(t, TOKEN);
  assert.equal((await get(`${url}/v1/poll`, {}, 'POST')).status, 401);
  const headers = { authorization: `Bearer ${TOKEN}` };
  assert.equal((await get(`${url}/v1/poll`, headers)).status, 405);
  assert.equal(control.polls, 0);
  const answer = await get(`${url}/v1/poll`, headers, 'POST');
  assert.equal(answer.status, 200);
  assert.equal((JSON.parse(answer.body) as Status).source.state, 'current');
  assert.equal(control.polls, 1);
});

test('faults are thrown only where they are allowed, and only by POST', async (t) => {
  const thrown: number[] = [];
  const { url } = await started(t, null, (lane) => lane < 2 && thrown.push(lane) > 0);
  assert.equal((await get(`${url}/v1/fault?lane=1`, {}, 'POST')).status, 200);
  assert.equal((await get(`${url}/v1/fault?lane=7`, {}, 'POST')).status, 404);
  assert.equal((await get(`${url}/v1/fault?lane=1`)).status, 405);
  assert.deepEqual(thrown, [1]);
});

test('ready only while a snapshot serves; alive as long as no lane is silent', async (t) => {
  const { probes, control, laneColumns } = await started(t, null);
  const ready = async (): Promise<number> => (await get(`${probes}/readyz`)).status;
  assert.equal(await ready(), 200);
  control.state = 'draining';
  assert.equal(await ready(), 503);
  assert.match((await get(`${probes}/readyz`)).body, /"state": "draining"/u);
  control.state = 'starting';
  assert.equal(await ready(), 503);
  control.state = 'serving';
  control.active = null;
  assert.equal(await ready(), 503);
  const alive = async (): Promise<{ status: number; body: string }> => await get(`${probes}/healthz`);
  assert.deepEqual([(await alive()).status, (await alive()).body], [200, 'ok\n']);
  const lane = new LaneColumns(laneColumns[1] as SharedArrayBuffer);
  lane.gauges[Gauge.TickedAt] = sharedTick();
  assert.equal((await alive()).status, 200);
  lane.gauges[Gauge.TickedAt] = sharedTick() - LANE_SILENT_MS_MAX - 1000;
  assert.equal((await alive()).status, 503);
  assert.match((await alive()).body, /^lane 1 has not answered/u);
  assert.equal((await get(`${probes}/metrics`, {}, 'POST')).status, 405);
  assert.equal((await get(`${probes}/v1/status`)).status, 404);
});

test('who holds all connections open cannot keep a probe out', async () => {
  const server = await listen({
    address: '127.0.0.1',
    port: 0,
    answer: () => text('ok', 'here'),
    onError: () => assert.fail('nothing throws'),
  });
  const held = Array.from({ length: CONNECTIONS_MAX + 8 }, () => connect(server.port, '127.0.0.1'));
  try {
    for (const socket of held) socket.on('error', () => socket.destroy());
    await Promise.all(held.map((socket) => once(socket, 'connect')));
    assert.equal((await raw(server.port, {})).body, 'here');
  } finally {
    for (const socket of held) socket.destroy();
    await server.close();
  }
});

test('what throws is reported inside and not outside', async (t) => {
  const seen: unknown[] = [];
  const server = await listen({
    address: '127.0.0.1',
    port: 0,
    answer: (asked) => {
      if (asked.path === '/ok') return text('ok', 'fine\n');
      throw new Error('secret place');
    },
    onError: (error) => seen.push(error),
  });
  t.after(() => server.close());
  const answer = await get(`http://127.0.0.1:${server.port}/x`);
  assert.deepEqual([answer.status, answer.body], [500, '{\n  "error": "internal error"\n}\n']);
  assert.equal(seen.length, 1);
  assert.equal((await get(`http://127.0.0.1:${server.port}/ok`)).body, 'fine\n');
});

test('a port that is taken is an error, not a crash', async (t) => {
  const { port, admin } = await started(t, null);
  await assert.rejects(
    admin.listen({
      probes: { address: '127.0.0.1', port: 0 },
      admin: { address: '127.0.0.1', port, token: null },
    }),
    /EADDRINUSE/u,
  );
});
