/** What must hold for plain exchanges: methods, heads, framing of answers, keep-alive. */
import assert from 'node:assert/strict';
import { request as httpRequest } from 'node:http';
import type { IncomingMessage, OutgoingHttpHeaders } from 'node:http';
import { Agent } from 'node:http';
import { createServer } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { listening } from '../../harness/ports.ts';
import { RawConnection } from '../../harness/raw-client.ts';
import { TestUpstream } from '../../harness/upstream.ts';
import { CLIENT_CLAIMS } from '../../../src/data/transport/claims.ts';
import { REFUSALS } from '../../../src/data/refusal.ts';
import { endpointAt, LaneUnderTest, SUITE_TIMEOUT_MS, type TransportName } from '../lane-under-test.ts';

/** Longest that a test waits for what only a broken build does not do. */
const PATIENCE_MS = 10_000;

interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

function ask(
  port: number,
  method: string,
  path: string,
  headers: OutgoingHttpHeaders = {},
  body = '',
  agent?: Agent,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = httpRequest(
      { host: '127.0.0.1', port, method, path, headers, ...(agent === undefined ? {} : { agent }) },
      (answer) => {
        let text = '';
        answer.setEncoding('latin1');
        answer.on('data', (chunk: string) => (text += chunk));
        answer.on('end', () => resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body: text }));
        answer.on('error', reject);
      },
    );
    request.on('error', reject);
    request.end(body);
  });
}

/** An upstream that answers every request with these bytes; `close` ends the connection after them. */
async function literal(bytes: string, close = false): Promise<{ port: number; stop: () => void }> {
  const server = createServer((socket) => {
    socket.on('error', () => socket.destroy());
    socket.on('data', () => {
      if (close) socket.end(bytes, 'latin1');
      else socket.write(bytes, 'latin1');
    });
  });
  const port = await listening(server);
  return { port, stop: () => server.close() };
}

export function exchanges(transport: TransportName): void {
  describe(`${transport}: exchanges`, { timeout: SUITE_TIMEOUT_MS }, () => {
    let upstream: TestUpstream;
    let lane: LaneUnderTest;
    before(async () => {
      upstream = await TestUpstream.start();
      lane = await LaneUnderTest.start({
        transport,
        endpoints: [endpointAt(upstream.port)],
        authorize: (x) => {
          if (x.path === '/refused') return x.refuse(REFUSALS.policy_denied, 'asked for');
          if (x.path === '/edited') {
            assert.ok(x.wire.setUpstreamHeader('x-set', 'new'));
            assert.ok(x.wire.addUpstreamHeader('x-twice', 'b'));
            assert.ok(x.wire.setUpstreamHeader('x-real-ip', '192.0.2.1'));
            x.wire.removeUpstreamHeader('x-gone');
            assert.ok(x.wire.setAnswerHeader('x-upstream', 'hidden'));
            assert.ok(x.wire.addAnswerHeader('x-more', 'caf\u00e9'));
            x.wire.removeAnswerHeader('content-type');
            for (const name of ['connection', 'Transfer-Encoding', 'content-length', 'host', 'a b', '']) {
              assert.equal(x.wire.setUpstreamHeader(name, 'x'), false, name);
            }
            assert.equal(x.wire.setUpstreamHeader('x-bad', 'a\r\nb: c'), false);
            assert.equal(x.wire.setAnswerHeader('x-bad', 'a\nb'), false);
          }
          if (x.path === '/aliases') {
            const names = ['x-tenant', 'x_tenant', 'x-own', 'content-type', 'content_type', 'cookie', 'x-absent'];
            x.wire.setAnswerHeader('x-aliased', names.filter((name) => x.wire.hasAlias(name)).join());
          }
          return 0;
        },
      });
    });
    after(async () => {
      lane.close();
      await upstream.stop();
    });

    it('pass method, target and fields, and come back with status, fields and body', async () => {
      const answer = await ask(lane.port, 'GET', '/echo/a%20b?x=%2F', { 'x-one': '1', cookie: 'a=b' });
      const seen = JSON.parse(answer.body) as { method: string; url: string; headers: Record<string, string> };
      assert.equal(answer.status, 200);
      assert.equal(answer.headers['x-upstream'], 'upstream');
      assert.equal(answer.headers.via, '1.1 cloudnexus');
      assert.equal(seen.method, 'GET');
      assert.equal(seen.url, '/echo/a%20b?x=%2F');
      assert.equal(seen.headers['x-one'], '1');
      assert.equal(seen.headers['via'], '1.1 cloudnexus');
      assert.equal(seen.headers['host'], `127.0.0.1:${lane.port}`);
      // Who we are is nobody's business.
      assert.equal(answer.headers['server'], undefined);
      assert.equal(answer.headers['uwebsockets'], undefined);
    });

    it('keep what belongs to a connection on that connection', async () => {
      const answer = await ask(lane.port, 'GET', '/echo', {
        connection: 'keep-alive, x-private',
        'x-private': '1',
        'keep-alive': 'timeout=5',
        te: 'trailers',
        'proxy-authorization': 'Basic x',
        'proxy-connection': 'keep-alive',
        upgrade: 'h2c',
        'http2-settings': 'AAAA',
        'x-kept': '1',
      });
      const { headers } = JSON.parse(answer.body) as { headers: Record<string, string> };
      for (const name of [
        'x-private',
        'keep-alive',
        'te',
        'proxy-authorization',
        'proxy-connection',
        'upgrade',
        'http2-settings',
      ]) {
        assert.equal(headers[name], undefined, name);
      }
      assert.equal(headers['x-kept'], '1');
    });

    it('carry the edits of stages, and none that would break a head', async () => {
      const answer = await ask(lane.port, 'GET', '/edited', { 'x-set': 'old', 'x-twice': 'a', 'x-gone': '1' });
      const seen = upstream.requests.at(-1);
      assert.equal(seen?.headers['x-set'], 'new');
      assert.equal(seen?.headers['x-twice'], 'a, b');
      assert.equal(seen?.headers['x-gone'], undefined);
      assert.equal(answer.headers['x-upstream'], 'hidden');
      assert.equal(Buffer.from(answer.headers['x-more'] as string, 'latin1').toString('latin1'), 'caf\u00e9');
      assert.equal(answer.headers['content-type'], undefined);
    });

    it('tell stages which names stand there with underscores too', async () => {
      const aliased = async (headers: OutgoingHttpHeaders): Promise<unknown> =>
        (await ask(lane.port, 'GET', '/aliases', headers)).headers['x-aliased'];
      assert.equal(
        await aliased({ 'X-Tenant': 'a', X_Tenant: 'b', Content_Type: 'text/plain' }),
        'x-tenant,x_tenant,content-type',
      );
      assert.equal(
        await aliased({ 'content-type': 'text/plain', X_Tenant: 'b', cookie: 'a=b' }),
        'x-tenant,content_type',
      );
      assert.equal(
        await aliased({ 'X-Tenant': 'a', X_Tenanu: 'b', 'x-own': '1', X_Own_: '2', 'X-Ow': '3', X_: '4' }),
        'x_tenant',
      );
    });

    it('keep from the upstream what a client claims of itself, and bring it what a stage says', async () => {
      const claims = { 'x-real-ip': '10.0.0.1', X_Original_Url: '/admin', 'true-client-ip': '10.0.0.1', 'x-own': '1' };
      await ask(lane.port, 'GET', '/claims', claims);
      const plain = upstream.requests.at(-1)?.headers ?? {};
      for (const name of Object.keys(claims).slice(0, 3)) assert.equal(plain[name.toLowerCase()], undefined, name);
      assert.equal(plain['x-own'], '1');
      const all = [...CLIENT_CLAIMS].flatMap((name) => [name, name.replaceAll('-', '_')]);
      await ask(lane.port, 'GET', '/all-claims', Object.fromEntries(all.map((name) => [name, 'on'])));
      const seen = upstream.requests.at(-1);
      assert.equal(seen?.url, '/all-claims');
      assert.deepEqual(
        all.filter((name) => seen?.headers[name] !== undefined),
        [],
      );
      await ask(lane.port, 'GET', '/edited', claims);
      assert.equal(upstream.requests.at(-1)?.headers['x-real-ip'], '192.0.2.1');
    });

    it('carry bodies of both framings, empty ones too', async () => {
      assert.equal((await ask(lane.port, 'POST', '/body', {}, 'hello')).body, 'hello');
      assert.equal((await ask(lane.port, 'PUT', '/body', { 'transfer-encoding': 'chunked' }, 'hello')).body, 'hello');
      assert.equal((await ask(lane.port, 'POST', '/body', { 'content-length': '0' })).body, '');
      assert.equal((await ask(lane.port, 'DELETE', '/body', { 'content-length': '3' }, 'abc')).body, 'abc');
      assert.equal((await ask(lane.port, 'GET', '/chunked/70000')).body.length, 70_000);
      assert.equal((await ask(lane.port, 'GET', '/stream/0')).headers['content-length'], '0');
      const big = 'b'.repeat(300_000);
      assert.equal((await ask(lane.port, 'POST', '/body', {}, big)).body, big);
    });

    it('keep the length that the upstream declares, and chunk what has none', async () => {
      const declared = await ask(lane.port, 'GET', '/stream/1234');
      assert.equal(declared.headers['content-length'], '1234');
      assert.equal(declared.headers['transfer-encoding'], undefined);
      const open = await ask(lane.port, 'GET', '/chunked/10');
      assert.equal(open.headers['content-length'], undefined);
      assert.equal(open.headers['transfer-encoding'], 'chunked');
    });

    it('answer HEAD, 204 and 304 without a body, and the connection goes on', async () => {
      const connection = await RawConnection.open({ port: lane.port });
      const next = async (text: string, marker: string): Promise<string> => {
        const from = connection.receivedBytes;
        connection.send(text);
        assert.ok(await connection.until((got) => got.subarray(from).includes(marker), PATIENCE_MS), text);
        return connection.received().subarray(from).toString('latin1');
      };
      const end = '\r\n\r\n';
      const head = await next('HEAD /stream/1234 HTTP/1.1\r\nHost: a\r\n\r\n', end);
      assert.match(head, /^HTTP\/1\.1 200 OK\r\n/);
      assert.match(head, /content-length: 1234\r\n/i);
      assert.ok(head.endsWith(end));
      const refused = await next('HEAD /refused HTTP/1.1\r\nHost: a\r\n\r\n', end);
      assert.match(refused, /^HTTP\/1\.1 403 /);
      assert.ok(refused.endsWith(end));
      for (const status of [204, 304]) {
        const empty = await next(`GET /status/${status} HTTP/1.1\r\nHost: a\r\n\r\n`, end);
        assert.match(empty, new RegExp(`^HTTP/1\\.1 ${status} `));
        assert.doesNotMatch(empty, /transfer-encoding/i);
        assert.ok(empty.endsWith(end));
      }
      const last = await next('GET /status/200 HTTP/1.1\r\nHost: a\r\n\r\n', 'status\r\n0\r\n\r\n');
      assert.match(last, /^HTTP\/1\.1 200 OK\r\n/);
      connection.destroy();
    });

    it('share a connection on both sides when they come one after another', async () => {
      const fresh = await TestUpstream.start();
      const own = await LaneUnderTest.start({ transport, endpoints: [endpointAt(fresh.port)] });
      const agent = new Agent({ keepAlive: true, maxSockets: 1 });
      for (let i = 0; i < 20; i++) assert.equal((await ask(own.port, 'GET', '/stream/100', {}, '', agent)).status, 200);
      assert.equal(fresh.connections, 1);
      agent.destroy();
      own.close();
      await fresh.stop();
    });

    it('tell their ending once each, with the bytes that moved', async () => {
      const fresh = await LaneUnderTest.start({ transport, endpoints: [endpointAt(upstream.port)] });
      await ask(fresh.port, 'POST', '/sink', {}, 'x'.repeat(50_000));
      await ask(fresh.port, 'GET', '/stream/5000');
      const [sink, stream] = await fresh.ended(2);
      assert.deepEqual([sink?.status, sink?.bytesIn, sink?.bytesOut, sink?.aborted], [200, 50_000, 5, false]);
      assert.deepEqual([stream?.status, stream?.bytesIn, stream?.bytesOut], [200, 0, 5_000]);
      assert.equal(fresh.seen.length, 2);
      fresh.close();
    });

    it('that a client ends with Connection: close end the connection', async () => {
      const connection = await RawConnection.open({ port: lane.port });
      connection.send('GET /stream/10 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
      assert.ok(await connection.untilClosed(PATIENCE_MS));
      const text = connection.received().toString('latin1');
      assert.match(text, /^HTTP\/1\.1 200 OK\r\n/);
      assert.match(text, /\r\nconnection: close\r\n/i);
      assert.ok(text.endsWith('x'.repeat(10)));
    });

    it('are refused as problem documents, and the connection goes on where the refusal allows it', async () => {
      const agent = new Agent({ keepAlive: true, maxSockets: 1 });
      const refused = await ask(lane.port, 'GET', '/refused', {}, '', agent);
      assert.equal(refused.status, 403);
      assert.equal(refused.headers['content-type'], 'application/problem+json');
      assert.equal((JSON.parse(refused.body) as { code: string }).code, 'policy_denied');
      assert.notEqual(refused.headers.connection, 'close');
      assert.equal((await ask(lane.port, 'POST', '/refused', {}, 'short', agent)).status, 403);
      assert.equal((await ask(lane.port, 'GET', '/fine', {}, '', agent)).status, 200);
      agent.destroy();
    });

    it('whose answers have fields that cannot be passed on are refused, and interim answers are left out', async () => {
      const table: readonly [string, number, boolean][] = [
        ['HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: a\u0001b\r\n\r\nok', 502, false],
        ['HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!', 502, false],
        ['HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n', 502, false],
        ['HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nok', 502, false],
        ['HTTP/1.1 200 OK\r\nX : a\r\nContent-Length: 2\r\n\r\nok', 502, false],
        ['HTTP/1.1 999 Odd\r\nContent-Length: 2\r\n\r\nok', 502, false],
        ['SSH-2.0-OpenSSH_9\r\n', 502, false],
        [`HTTP/1.1 200 OK\r\n${'X-Y: z\r\n'.repeat(300)}Content-Length: 2\r\n\r\nok`, 502, false],
        [`HTTP/1.1 200 OK\r\nX: ${'y'.repeat(70_000)}\r\nContent-Length: 2\r\n\r\nok`, 502, false],
        ['HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok', 200, false],
        [
          'HTTP/1.1 200 OK\r\nConnection: x-private\r\nX-Private: 1\r\nKeep-Alive: timeout=9\r\nContent-Length: 2\r\n\r\nok',
          200,
          false,
        ],
        ['HTTP/1.1 200 OK\r\n\r\nok', 200, true],
      ];
      for (const [bytes, status, close] of table) {
        const odd = await literal(bytes, close);
        const own = await LaneUnderTest.start({ transport, endpoints: [endpointAt(odd.port)] });
        const answer = await ask(own.port, 'GET', '/');
        assert.equal(answer.status, status, JSON.stringify(bytes.slice(0, 80)));
        if (status === 200) {
          assert.equal(answer.body, 'ok');
          assert.equal(answer.headers['x-private'], undefined);
        } else {
          const [seen] = await own.ended(1);
          assert.ok(['upstream_invalid', 'upstream_reset'].includes(seen?.refusal ?? ''), `${seen?.refusal}`);
        }
        own.close();
        odd.stop();
      }
    });

    it('pass bytes above ASCII in fields unchanged, both ways', async () => {
      const odd = await literal('HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Raw: \u00e9\u00ff\r\n\r\nok');
      const own = await LaneUnderTest.start({ transport, endpoints: [endpointAt(odd.port)] });
      assert.equal((await ask(own.port, 'GET', '/')).headers['x-raw'], '\u00e9\u00ff');
      own.close();
      odd.stop();
      const utf8 = `(${Buffer.from('\u00fc').toString('latin1')})`;
      await ask(lane.port, 'GET', '/', { 'x-utf8': utf8 });
      assert.equal(upstream.requests.at(-1)?.headers['x-utf8'], utf8);
    });

    it('ran without a stage having thrown', () => assert.deepEqual(lane.bugs, []));
  });
}
