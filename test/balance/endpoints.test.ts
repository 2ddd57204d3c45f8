/** Choice of cell and endpoint, and what the upstream is told, through a real gateway with two lanes on real sockets. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Agent, type Dispatcher } from 'undici';
import { Ring, buildRing } from '../../src/snapshot/ring.ts';
import { plainBundle, type BundleParts } from '../harness/bundle.ts';
import { testAuthority } from '../harness/certs.ts';
import { TestGateway } from '../harness/gateway.ts';
import { RawConnection } from '../harness/raw-client.ts';
import { TestUpstream, type SeenRequest } from '../harness/upstream.ts';

/** Requests under way at once while an endpoint is killed. */
const AT_ONCE = 16;

let a: TestUpstream;
let b: TestUpstream;
let gateway: TestGateway;
const agent = new Agent({
  connections: AT_ONCE,
  connect: { ca: testAuthority().certificate, servername: 'localhost' },
});

const route = { access: 'public', reason: 'everything, for a test' };

function bundle(): BundleParts {
  return plainBundle([], {
    routes: {
      routes: [
        { ...route, id: 'both', match: { path: { prefix: '/' } }, cell: 'both' },
        { ...route, id: 'tenant', match: { path: { prefix: '/by-tenant' } }, tenant: { header: 'X-Tenant' } },
        {
          ...route,
          id: 'api',
          match: { path: { prefix: '/api' } },
          cell: 'cell-a',
          respond: {
            stripPrefix: '/api',
            addPrefix: '/echo',
            host: 'internal.example',
            requestHeaders: { set: { 'X-Stage': 'test' }, remove: ['User-Agent'] },
            answerHeaders: { remove: ['X-Upstream'], set: { 'X-Answer': 'yes' } },
          },
        },
        {
          ...route,
          id: 'moved',
          match: { path: { prefix: '/moved' } },
          respond: { redirect: { to: 'https:8443' } },
          cell: 'both',
        },
        {
          ...route,
          id: 'only',
          match: { path: { prefix: '/only' } },
          cell: 'cell-b',
          respond: { stripPrefix: '/only' },
        },
        { ...route, id: 'sick', match: { path: { prefix: '/sick' } }, cell: 'sick' },
      ],
    },
    cells: {
      cells: [
        {
          id: 'both',
          tenants: false,
          endpoints: [{ address: a.address }, { address: b.address }],
          // All that are asked at once may wait for the one that is killed, on a machine that has just held it up.
          retryBudget: { minRetryConcurrency: AT_ONCE },
        },
        { id: 'cell-a', endpoints: [{ address: a.address }] },
        { id: 'cell-b', endpoints: [{ address: b.address }] },
        {
          id: 'sick',
          tenants: false,
          endpoints: [{ address: a.address }],
          probe: { path: '/status/503', intervalMs: 100, timeoutMs: 100, failures: 3 },
          // Else all that probes have ejected would be used as well.
          balance: { panicThreshold: 0 },
        },
      ],
      pins: { pinned: 'cell-b' },
    },
    defaults: { securityHeaders: true },
  });
}

before(async () => {
  [a, b] = await Promise.all([TestUpstream.start({ name: 'a' }), TestUpstream.start({ name: 'b' })]);
  gateway = await TestGateway.start({
    bundle: bundle(),
    bootstrap: { lanes: 2 },
    listener: { forwardedFrom: ['127.0.0.0/8'] },
  });
});
after(async () => {
  await agent.close();
  await gateway.stop();
  await Promise.all([a.stop(), b.stop()]);
});

interface Answer {
  readonly status: number;
  readonly headers: Dispatcher.ResponseData['headers'];
  readonly body: string;
}

async function ask(path: string, headers: Record<string, string> = {}, tls = false): Promise<Answer> {
  const origin = tls ? `https://127.0.0.1:${gateway.ports.https}` : `http://127.0.0.1:${gateway.ports.http}`;
  const response = await agent.request({ origin, path, method: 'GET', headers });
  return { status: response.statusCode, headers: response.headers, body: await response.body.text() };
}

/** What the upstream saw of a request to a path below `/echo`. */
async function seen(path: string, headers: Record<string, string> = {}): Promise<SeenRequest> {
  const { status, body } = await ask(path, headers);
  assert.equal(status, 200, body);
  return JSON.parse(body) as SeenRequest;
}

test('a tenant goes to its pin, or where the ring says, and nowhere without an id', async () => {
  // `cell-a` and `cell-b` are the only cells with tenants.
  const ring = new Ring(buildRing(['cell-a', 'cell-b'].map((id, index) => ({ id, index }))));
  for (let i = 0; i < 20; i++) {
    const { headers } = await ask('/by-tenant', { 'x-tenant': `tenant-${i}` });
    assert.equal(headers['x-upstream'], ['a', 'b'][ring.cellOf(`tenant-${i}`)], `tenant-${i}`);
  }
  assert.equal((await ask('/by-tenant', { 'x-tenant': 'pinned' })).headers['x-upstream'], 'b');
  const without = await ask('/by-tenant');
  assert.equal(without.status, 403);
  assert.equal((JSON.parse(without.body) as { code: string }).code, 'tenant_unknown');
});

test('path, Host and fields are what the route says', async () => {
  const request = await seen('/api/x%20y?q=1', { 'user-agent': 'test' });
  assert.equal(request.url, '/echo/x%20y?q=1');
  assert.equal(request.headers.host, 'internal.example');
  assert.equal(request.headers['x-stage'], 'test');
  assert.equal(request.headers['user-agent'], undefined);
  const answer = await ask('/api');
  assert.equal(answer.headers['x-answer'], 'yes');
  assert.equal(answer.headers['x-upstream'], undefined);
  assert.equal(answer.headers['x-content-type-options'], 'nosniff');
  assert.equal(answer.headers['strict-transport-security'], undefined, 'not over plain HTTP');
  assert.equal((await ask('/api', {}, true)).headers['strict-transport-security'], 'max-age=31536000');
});

test('the upstream is asked for what was received, where nothing changes it', async () => {
  for (const [target, host, url, toHost] of [
    ['/echo', 'a.test', '/echo', 'a.test'],
    ['/echo?q=1&q=2', 'a.test', '/echo?q=1&q=2', 'a.test'],
    ['/echo/%41?x', 'A.Test:80', '/echo/A?x', 'A.Test:80'],
    ['/echo/./b/', 'a.test', '/echo/b/', 'a.test'],
    ['http://b.test/echo', 'b.test', '/echo', 'b.test'],
    ['http://b.test:81/echo?', 'b.test:81', '/echo', 'b.test:81'],
    ['/api/x', 'a.test', '/echo/x', 'internal.example'],
    ['/api', 'internal.example', '/echo', 'internal.example'],
  ]) {
    const connection = await RawConnection.open({ port: gateway.ports.http });
    connection.send(`GET ${target} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
    assert.ok(await connection.untilClosed(30_000), target);
    const answer = connection.received().toString('latin1');
    const request = JSON.parse(answer.slice(answer.indexOf('\r\n\r\n'))) as SeenRequest;
    assert.deepEqual([request.url, request.headers.host], [url, toHost], target);
  }
});

test('the upstream can believe what it is told of the client', async () => {
  const own = await seen('/echo', { 'x-request-id': 'theirs' });
  assert.equal(own.headers['x-forwarded-for'], '127.0.0.1');
  assert.equal(own.headers['x-forwarded-proto'], 'http');
  assert.equal(own.headers['x-forwarded-host'], `127.0.0.1:${gateway.ports.http}`);
  assert.equal(own.headers.forwarded, `for=127.0.0.1;host="127.0.0.1:${gateway.ports.http}";proto=http`);
  assert.equal(own.headers.via, '1.1 cloudnexus');
  assert.match(String(own.headers['x-request-id']), /^[0-9a-f]{6}-0[01]-[0-9a-f]{8}$/);
  assert.equal(own.headers['x-client-request-id'], 'theirs');
  assert.match(String(own.headers['traceparent']), /^00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]$/);

  // The harness trusts loopback: the address before the rightmost trusted one is the client's, and nothing left of it passes.
  const behind = await seen('/echo', { 'x-forwarded-for': '6.6.6.6, 203.0.113.9', 'x-forwarded-proto': 'https' });
  assert.equal(behind.headers['x-forwarded-for'], '203.0.113.9, 127.0.0.1');
  assert.equal(behind.headers['x-forwarded-proto'], 'https');
});

test('the request id comes back with the answer and is the one that the upstream got', async () => {
  const { headers, body } = await ask('/echo');
  assert.equal(headers['x-request-id'], (JSON.parse(body) as SeenRequest).headers['x-request-id']);
});

test('plain HTTP is sent to HTTPS with path and query, and HTTPS goes on', async () => {
  const plain = await ask('/moved/x?y=1');
  assert.equal(plain.status, 308);
  assert.equal(plain.headers.location, 'https://127.0.0.1:8443/moved/x?y=1');
  assert.equal((await ask('/moved/x', {}, true)).status, 200);
});

test('an upgrade to a route that relays none is refused', async () => {
  const connection = await RawConnection.open({ port: gateway.ports.http });
  connection.send(
    'GET / HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n' +
      'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
  );
  await gateway.until('an answer', () => connection.received().includes('\r\n\r\n'));
  assert.match(connection.received().toString('latin1'), /^HTTP\/1\.1 403 .*"code":"upgrade_not_allowed"/s);
  connection.destroy();
});

test('an endpoint whose probes fail is out, and its cell refuses', async () => {
  await gateway.until('the cell refuses', async () => (await ask('/sick')).status === 503);
  const { body } = await ask('/sick');
  assert.equal((JSON.parse(body) as { code: string }).code, 'no_endpoint');
  await gateway.untilPrinted(/endpoint ejected/);
});

test('a reset connection does not put the only endpoint of a cell out', async () => {
  for (let i = 0; i < 3; i++) {
    assert.equal((await ask('/only/reset')).status, 502);
    assert.equal((await ask('/only/echo')).status, 200);
  }
});

test('a cell whose only endpoint is dead refuses at once, and serves again soon after it lives', async () => {
  await b.kill();
  await gateway.until('the cell refuses', async () => (await ask('/only/echo')).status === 503);
  await b.restart();
  await gateway.until('the cell serves', async () => (await ask('/only/echo')).status === 200);
  // Both lanes have learned it: nobody is turned away any more.
  for (let i = 0; i < 50; i++) assert.equal((await ask('/only/echo')).status, 200);
});

test('an endpoint that is killed under load costs no request, and comes back when it lives', async () => {
  const running = { on: true };
  const failed: string[] = [];
  let asked = 0;
  const client = async (): Promise<void> => {
    while (running.on) {
      const { status, body } = await ask('/load');
      asked++;
      if (status !== 200) failed.push(`${status} ${body}`);
    }
  };
  const clients = Array.from({ length: AT_ONCE }, client);
  const load = async (n: number): Promise<void> => {
    const target = asked + n;
    await gateway.until(`${n} requests`, () => asked >= target);
  };
  await load(500);
  assert.ok(a.requests.length > 0 && b.requests.length > 0);
  await a.kill();
  await load(2_000);
  assert.deepEqual(failed, []);
  await a.restart();
  const before = a.requests.length;
  await gateway.until('the endpoint is asked again', () => a.requests.length > before + 50);
  running.on = false;
  await Promise.all(clients);
  assert.deepEqual(failed, []);
});
