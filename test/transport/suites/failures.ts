/** What must hold when clients leave and upstreams fail: everything is freed, told once, and the next request is served. */
import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import type { Server } from 'node:net';
import { after, before, beforeEach, describe, it } from 'node:test';
import { Verdict } from '../../../src/data/verdict.ts';
import { freePorts, listening } from '../../harness/ports.ts';
import { RawConnection } from '../../harness/raw-client.ts';
import { TestUpstream } from '../../harness/upstream.ts';
import {
  endpointAt,
  eventually,
  LaneUnderTest,
  type Seen,
  SUITE_TIMEOUT_MS,
  type TransportName,
} from '../lane-under-test.ts';

const PATIENCE_MS = 15_000;

/** Sends a request and waits for the whole of an answer with a short body; its first line. */
async function statusOf(port: number, request: string): Promise<string> {
  const connection = await RawConnection.open({ port });
  connection.send(request);
  await connection.until((got) => got.includes('\r\n\r\n'), PATIENCE_MS);
  const line = connection.received().toString('latin1').split('\r\n')[0] ?? '';
  connection.destroy();
  return line;
}

const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`;

export function failures(transport: TransportName): void {
  describe(`${transport}: failures`, { timeout: SUITE_TIMEOUT_MS }, () => {
    let upstream: TestUpstream;
    /** What `/gated` waits for. */
    let gate: PromiseWithResolvers<void>;
    before(async () => {
      upstream = await TestUpstream.start({
        behaviours: {
          silence: (_, response) => {
            response.writeHead(200, { 'content-length': '2' });
            response.write('.');
          },
          gated: (_, response) => {
            void gate.promise.then(() => response.end('gated'));
          },
        },
      });
    });
    beforeEach(() => {
      gate = Promise.withResolvers();
    });
    after(() => upstream.stop());

    /** One request to these endpoints; how its exchange ended. */
    async function one(endpoints: readonly number[], request: string, limits = {}): Promise<Seen & { line: string }> {
      const lane = await LaneUnderTest.start({
        transport,
        endpoints: endpoints.map((port) => endpointAt(port)),
        limits,
      });
      const line = await statusOf(lane.port, request);
      const [seen] = await lane.ended(1);
      assert.deepEqual(lane.bugs, []);
      assert.equal(
        lane.columns.inflight.reduce((sum, n) => sum + n, 0),
        0,
      );
      lane.close();
      return { ...(seen as Seen), line };
    }

    it('a refused connection is told as such, and another endpoint is tried', async () => {
      const [dead = 0] = await freePorts(1);
      const alone = await one([dead], get('/'), { retries: 0 });
      assert.equal(alone.refusal, 'upstream_unreachable');
      assert.match(alone.line, / 502 /);
      const helped = await one([dead, upstream.port], get('/'));
      assert.deepEqual([helped.status, helped.attempts], [200, 2]);
      // Nothing was sent, so that even what is not idempotent is tried again, with its body.
      const posted = await one(
        [dead, upstream.port],
        'POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello',
      );
      assert.deepEqual([posted.status, posted.attempts, posted.bytesOut], [200, 2, 5]);
    });

    it("an endpoint's name is looked up", async () => {
      const lane = await LaneUnderTest.start({
        transport,
        endpoints: [endpointAt(upstream.port, { host: 'localhost', identity: 'cell/named' })],
      });
      for (let i = 0; i < 3; i++) assert.match(await statusOf(lane.port, get('/status/200')), / 200 /);
      lane.close();
    });

    it('a streamed body goes to the second endpoint whole when the first cannot be reached', async () => {
      const [dead = 0] = await freePorts(1);
      const body = 'x'.repeat(100_000);
      const seen = await one(
        [dead, upstream.port],
        `POST /sink HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n${body}`,
      );
      assert.deepEqual([seen.status, seen.attempts], [200, 2]);
      assert.equal(upstream.requests.at(-1)?.bodyBytes, 100_000);
    });

    it('a reset before the head is tried again for what is idempotent, and only for that', async () => {
      const retried = await one([upstream.port, upstream.port], get('/reset'));
      assert.deepEqual([retried.refusal, retried.attempts], ['upstream_reset', 2]);
      const post = 'POST /reset HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx';
      const once = await one([upstream.port, upstream.port], post);
      assert.deepEqual([once.refusal, once.attempts], ['upstream_reset', 1]);
      const put = await one([upstream.port, upstream.port], post.replace('POST', 'PUT'));
      assert.deepEqual([put.refusal, put.attempts], ['upstream_reset', 2]);
    });

    it('a reset in the body cuts the client off: half an answer never looks whole', async () => {
      const lane = await LaneUnderTest.start({ transport, endpoints: [endpointAt(upstream.port)] });
      const connection = await RawConnection.open({ port: lane.port });
      connection.send(get('/reset-body'));
      assert.ok(await connection.untilClosed(PATIENCE_MS));
      const text = connection.received().toString('latin1');
      assert.match(text, /content-length: 1000/i);
      assert.ok(text.length < 1000);
      const [seen] = await lane.ended(1);
      assert.deepEqual([seen?.status, seen?.aborted, seen?.upstreamStatus], [200, true, 200]);
      assert.match(seen?.detail ?? '', /broke off/);
      lane.close();
    });

    it('an upstream that never answers is given up after the deadline, and the connection with it', async () => {
      const seen = await one([upstream.port], get('/hang'), { headTimeoutMs: 300, retries: 1 });
      assert.deepEqual([seen.refusal, seen.attempts], ['upstream_timeout', 1]);
      assert.match(seen.line, / 504 /);
      await eventually(() => upstream.requests.at(-1)?.aborted === true, 'the upstream was let go');
    });

    it('silence in the body is given up after the deadline', async () => {
      const lane = await LaneUnderTest.start({
        transport,
        endpoints: [endpointAt(upstream.port)],
        limits: { idleTimeoutMs: 300 },
      });
      const connection = await RawConnection.open({ port: lane.port });
      connection.send(get('/silence'));
      assert.ok(await connection.untilClosed(PATIENCE_MS));
      const [seen] = await lane.ended(1);
      assert.equal(seen?.aborted, true);
      lane.close();
    });

    it('more requests than connections and places are refused, the others served', async () => {
      const lane = await LaneUnderTest.start({
        transport,
        endpoints: [endpointAt(upstream.port, { connectionsMax: 1, identity: 'cell/narrow' })],
        limits: { retries: 0 },
      });
      const clients = await Promise.all(Array.from({ length: 80 }, () => RawConnection.open({ port: lane.port })));
      clients[0]?.send(get('/gated'));
      await eventually(() => upstream.requests.at(-1)?.url === '/gated', 'the only connection is taken');
      for (const client of clients.slice(1)) client.send(get('/status/200'));
      await eventually(() => lane.seen.length + lane.transport.openExchanges === 80, 'all of them arrived');
      gate.resolve();
      for (const client of clients) await client.until((got) => got.includes('\r\n\r\n'), PATIENCE_MS);
      const seen = await lane.ended(80);
      const busy = seen.filter((one) => one.refusal === 'upstream_busy').length;
      assert.equal(busy, 80 - 1 - 64);
      assert.equal(seen.filter((one) => one.status === 200).length, 80 - busy);
      for (const client of clients) client.destroy();
      lane.close();
    });

    it('a client that leaves frees the upstream, before the head, in the body, and while it still sends', async () => {
      const requests = [
        get('/hang'),
        get('/drip/1000/20'),
        'POST /hang HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nabc',
      ];
      const lane = await LaneUnderTest.start({ transport, endpoints: [endpointAt(upstream.port)] });
      for (const [i, request] of requests.entries()) {
        const from = upstream.requests.length;
        const connection = await RawConnection.open({ port: lane.port });
        connection.send(request);
        await eventually(() => upstream.requests.length > from, 'the upstream has the request');
        if (i === 1) await connection.until((got) => got.includes('..'), PATIENCE_MS);
        connection.destroy();
        await eventually(() => upstream.requests.at(-1)?.aborted === true, 'the upstream was let go');
        const seen = await lane.ended(i + 1);
        assert.equal(seen[i]?.aborted, true);
      }
      assert.match(await statusOf(lane.port, get('/status/200')), / 200 /);
      lane.close();
    });

    it('a client that leaves while a stage waits ends its exchange, and a late wake finds nobody', async () => {
      const waiting: (() => void)[] = [];
      const lane: LaneUnderTest = await LaneUnderTest.start({
        transport,
        endpoints: [endpointAt(upstream.port)],
        authorize: (x) => {
          if (x.phase === 1) return Verdict.Next;
          x.phase = 1;
          const { ticket } = x;
          waiting.push(() => lane.pipeline.wake(x, ticket));
          return Verdict.Wait;
        },
      });
      const gone = await RawConnection.open({ port: lane.port });
      gone.send(get('/status/200'));
      await eventually(() => waiting.length === 1, 'the stage waits');
      gone.destroy();
      const [first] = await lane.ended(1);
      assert.equal(first?.aborted, true);
      const stays = await RawConnection.open({ port: lane.port });
      stays.send(get('/status/200'));
      await eventually(() => waiting.length === 2, 'the stage waits again');
      const from = upstream.requests.length;
      waiting[0]?.();
      assert.equal(upstream.requests.length, from);
      waiting[1]?.();
      assert.ok(await stays.until((got) => got.includes('status'), PATIENCE_MS));
      stays.destroy();
      assert.equal((await lane.ended(2)).length, 2);
      lane.close();
    });

    it('clients that leave while their requests wait for a connection cost the endpoint nothing', async () => {
      const lane = await LaneUnderTest.start({
        transport,
        endpoints: [endpointAt(upstream.port, { connectionsMax: 1, identity: 'cell/queue' })],
      });
      const first = await RawConnection.open({ port: lane.port });
      first.send(get('/gated'));
      const before = upstream.requests.length;
      const others = await Promise.all(Array.from({ length: 20 }, () => RawConnection.open({ port: lane.port })));
      for (const other of others) other.send(get('/status/200'));
      await eventually(() => lane.transport.openExchanges === 21, 'all of them arrived');
      for (const other of others) other.destroy();
      await eventually(() => lane.transport.openExchanges === 1, 'all of them left');
      gate.resolve();
      assert.ok(await first.until((got) => got.includes('gated'), PATIENCE_MS));
      await lane.ended(21);
      assert.ok(upstream.requests.length <= before + 1);
      assert.match(await statusOf(lane.port, get('/status/200')), / 200 /);
      first.destroy();
      lane.close();
    });

    it('an answer before the request is complete reaches the client', async () => {
      const early: Server = createServer((socket) => {
        socket.on('error', () => socket.destroy());
        socket.once('data', () => socket.write('HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno'));
      });
      const port = await listening(early);
      const lane = await LaneUnderTest.start({ transport, endpoints: [endpointAt(port)] });
      const line = await statusOf(
        lane.port,
        `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n${'x'.repeat(50_000)}`,
      );
      assert.match(line, / 403 /);
      const [seen] = await lane.ended(1);
      assert.equal(seen?.status, 403);
      lane.close();
      early.close();
    });

    it('invalid requests cost the endpoint no connection: undici loses one for good with each', async () => {
      const lane = await LaneUnderTest.start({
        transport,
        endpoints: [endpointAt(upstream.port, { connectionsMax: 2, identity: 'cell/few' })],
      });
      const bad = [
        'GET / HTTP/1.1\r\nHost: a\r\nX: a\u007fb\r\n\r\n',
        'GE(T / HTTP/1.1\r\nHost: a\r\n\r\n',
        'GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n',
        'GET /\u00e9 HTTP/1.1\r\nHost: a\r\n\r\n',
        'POST / HTTP/1.1\r\nHost: a\r\nExpect: nonsense\r\nContent-Length: 1\r\n\r\nx',
        'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n',
        'GET / HTTP/1.1\r\nHost: a b\r\n\r\n',
        'GET / HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\nConnection: upgrade, close\r\nKeep-Alive: 1\r\n\r\n',
        'POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx',
      ];
      for (let i = 0; i < 4; i++) for (const request of bad) await statusOf(lane.port, request);
      for (let i = 0; i < 4; i++) assert.match(await statusOf(lane.port, get('/status/200')), / 200 /);
      lane.close();
    });

    it('endpoints that are in no snapshot any more lose their connections once idle', async () => {
      const own = await TestUpstream.start();
      const plan = endpointAt(own.port);
      const lane = await LaneUnderTest.start({ transport, endpoints: [plan] });
      await statusOf(lane.port, get('/status/200'));
      assert.equal(own.openConnections, 1);
      lane.transport.retain([{ ...plan }]);
      await statusOf(lane.port, get('/status/200'));
      assert.equal(own.connections, 1);
      lane.transport.retain([]);
      await eventually(() => own.openConnections === 0, 'the connection is closed');
      assert.match(await statusOf(lane.port, get('/status/200')), / 200 /);
      lane.close();
      await own.stop();
    });

    it('draining finishes what runs, tells clients to leave, and accepts nothing new', async () => {
      const lane = await LaneUnderTest.start({ transport, endpoints: [endpointAt(upstream.port)] });
      const idle = await RawConnection.open({ port: lane.port });
      const running = await RawConnection.open({ port: lane.port });
      running.send(get('/slow/200'));
      await eventually(() => lane.transport.openExchanges === 1, 'it runs');
      const drained = lane.transport.drain(PATIENCE_MS);
      await assert.rejects(RawConnection.open({ port: lane.port, connectTimeoutMs: 1_000 }));
      idle.send(get('/status/200'));
      assert.ok(await idle.until((got) => /\r\nconnection: close\r\n/i.test(got.toString('latin1')), PATIENCE_MS));
      await drained;
      assert.ok(await running.until((got) => got.includes('slow'), PATIENCE_MS));
      assert.equal(lane.transport.openExchanges, 0);
      idle.destroy();
      running.destroy();
      lane.close();
    });

    it('closing ends every exchange as aborted', async () => {
      const lane = await LaneUnderTest.start({ transport, endpoints: [endpointAt(upstream.port)] });
      const connection = await RawConnection.open({ port: lane.port });
      connection.send(get('/hang'));
      await eventually(() => lane.transport.openExchanges === 1, 'it runs');
      lane.close();
      const [seen] = await lane.ended(1);
      assert.equal(seen?.aborted, true);
      assert.ok(await connection.untilClosed(PATIENCE_MS));
    });
  });
}
