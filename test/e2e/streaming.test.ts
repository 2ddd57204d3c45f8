/** Bodies through the whole gateway: much of them with little memory, and clients and upstreams that are slow or leave. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { request } from 'node:http';
import { after, afterEach, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { plainBundle } from '../harness/bundle.ts';
import type { TestGateway } from '../harness/gateway.ts';
import { RawConnection } from '../harness/raw-client.ts';
import type { TestUpstream } from '../harness/upstream.ts';
import { ask, askRaw, codeOf, keepAlive, PATIENCE_MS } from './client.ts';
import { Given, inflight, untilIdle } from './given.ts';

const MIB = 1024 * 1024;
/** 1 GB, once each way. */
const GIGABYTE = 1_000_000_000;
/** How much more memory the process may use while a gigabyte passes: buffers, and what the collector has not seen yet. Whoever holds the body needs four times as much. */
const GROWTH_MIB_MAX = 240;
/** How far an upload may be ahead of the upstream. */
const WINDOW_BYTES = 8 * 1024 * 1024;
const SAMPLE_MS = 100;

describe('streaming', () => {
  const given = new Given();
  let upstream: TestUpstream;
  let gateway: TestGateway;

  before(async () => {
    const route = { access: 'public', reason: 'everything, for a test' };
    upstream = await given.upstream({
      behaviours: {
        'break-chunked': (asked, response) => {
          response.write('begun', () => setTimeout(() => asked.socket.resetAndDestroy(), 30));
        },
        silent: (_, response) => {
          response.writeHead(200, { 'content-length': '10' });
          response.write('begun');
        },
      },
    });
    gateway = await given.gateway({
      bundle: plainBundle([upstream.address], {
        routes: {
          routes: [
            { ...route, id: 'all', match: { path: { prefix: '/' } } },
            // All others have the time that a busy machine may stand still.
            { ...route, id: 'silent', match: { path: { prefix: '/silent' } }, timeouts: { idleMs: 1_000 } },
          ],
        },
        defaults: { bodyBytesMax: 2 * GIGABYTE },
      }),
      bootstrap: { lanes: 2 },
    });
  });
  after(async () => {
    try {
      await gateway.stop();
    } finally {
      await given.end();
    }
  });
  afterEach(async () => {
    await untilIdle(gateway);
    const good = await ask(gateway.ports.http, '/body', { method: 'POST', body: 'still here' });
    assert.deepEqual([good.status, good.body], [200, 'still here']);
  });

  const rssMib = (): number =>
    Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${gateway.pid}/status`, 'utf8'))?.[1]) / 1024;

  /** Greatest growth of the gateway's memory while something runs. */
  async function growthMib(run: () => Promise<void>): Promise<number> {
    const before = rssMib();
    let most = before;
    const sampler = setInterval(() => (most = Math.max(most, rssMib())), SAMPLE_MS);
    try {
      await run();
    } finally {
      clearInterval(sampler);
    }
    return Math.max(most, rssMib()) - before;
  }

  function download(path: string): Promise<number> {
    return new Promise((resolve, reject) => {
      const asked = request(
        { host: '127.0.0.1', port: gateway.ports.http, path, agent: false, timeout: PATIENCE_MS },
        (response) => {
          let bytes = 0;
          response.on('data', (chunk: Buffer) => (bytes += chunk.length));
          response.on('end', () => resolve(bytes));
          response.on('error', reject);
        },
      );
      asked.on('timeout', () => asked.destroy(new Error('the body stopped')));
      asked.on('error', reject);
      asked.end();
    });
  }

  /** Sends so many bytes, with a length or in chunks; resolves with the answer's body. */
  function upload(path: string, bytes: number, chunked: boolean): Promise<string> {
    return new Promise((resolve, reject) => {
      const asked = request(
        {
          host: '127.0.0.1',
          port: gateway.ports.http,
          path,
          method: 'PUT',
          agent: false,
          timeout: PATIENCE_MS,
          headers: chunked ? { 'transfer-encoding': 'chunked' } : { 'content-length': bytes },
        },
        (response) => {
          let body = '';
          response.setEncoding('utf8');
          response.on('data', (text: string) => (body += text));
          response.on('end', () => resolve(body));
          response.on('error', reject);
        },
      );
      asked.on('timeout', () => asked.destroy(new Error('the upload stopped')));
      asked.on('error', reject);
      // uWebSockets.js reads on, paused or not, as long as every read fills its 512 KiB: a sender that fills the socket faster than it is read, as
      // only loopback can, is never held back. So this one is no more than a window ahead of the upstream.
      const piece = Buffer.alloc(64 * 1024, 'x');
      const from = upstream.sunkBytes;
      let sent = 0;
      const write = (): void => {
        if (sent === bytes) {
          asked.end();
          return;
        }
        if (sent - (upstream.sunkBytes - from) >= WINDOW_BYTES) {
          setTimeout(write, 1);
          return;
        }
        const chunk = bytes - sent < piece.length ? piece.subarray(0, bytes - sent) : piece;
        sent += chunk.length;
        if (asked.write(chunk)) setImmediate(write);
        else asked.once('drain', write);
      };
      write();
    });
  }

  it('1 GB passes each way with flat memory', async () => {
    // What is allocated once is allocated now.
    assert.equal(await download(`/stream/${32 * MIB}`), 32 * MIB);
    assert.equal(await upload('/sink', 32 * MIB, false), String(32 * MIB));
    const down = await growthMib(async () => assert.equal(await download(`/stream/${GIGABYTE}`), GIGABYTE));
    assert.ok(down < GROWTH_MIB_MAX, `down: ${down.toFixed(0)} MiB more`);
    const up = await growthMib(async () => assert.equal(await upload('/sink', GIGABYTE, false), String(GIGABYTE)));
    assert.ok(up < GROWTH_MIB_MAX, `up: ${up.toFixed(0)} MiB more`);
  });

  it('bodies without a length pass both ways', async () => {
    assert.equal(await download(`/chunked/${64 * MIB}`), 64 * MIB);
    assert.equal(await upload('/sink', 64 * MIB, true), String(64 * MIB));
    const growth = await growthMib(async () => assert.equal(await upload('/body', MIB, true), 'x'.repeat(MIB)));
    assert.ok(growth < GROWTH_MIB_MAX);
  });

  it('a client that reads nothing holds back the upstream, and costs no memory', async () => {
    const before = upstream.streamedBytes;
    const connection = await RawConnection.open({ port: gateway.ports.http });
    connection.socket.pause();
    const growth = await growthMib(async () => {
      connection.send(`GET /stream/${256 * MIB} HTTP/1.1\r\nHost: a\r\n\r\n`);
      let written = -1;
      await gateway.until('the upstream is held back', async () => {
        const same = upstream.streamedBytes === written && written > before;
        written = upstream.streamedBytes;
        await sleep(300);
        return same;
      });
    });
    assert.ok(upstream.streamedBytes - before < 64 * MIB, `${upstream.streamedBytes - before} bytes were taken`);
    assert.ok(growth < GROWTH_MIB_MAX, `${growth} MiB`);
    assert.equal(await inflight(gateway), 1);
    connection.destroy();
    await gateway.until('the upstream is let go', () => upstream.requests.at(-1)?.aborted === true);
  });

  it('a slow client gets all of it', async () => {
    const bytes = 2 * MIB;
    const connection = await RawConnection.open({ port: gateway.ports.http });
    connection.send(`GET /stream/${bytes} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`);
    while (!connection.closed && connection.receivedBytes < bytes) {
      connection.socket.pause();
      await sleep(10);
      connection.socket.resume();
      await sleep(5);
    }
    assert.ok(await connection.until((got) => got.length - got.indexOf('\r\n\r\n') - 4 >= bytes, PATIENCE_MS));
    connection.destroy();
  });

  it('clients that leave, in every phase, free their upstream', async () => {
    const starts = [
      'GET /hang HTTP/1.1\r\nHost: a\r\n\r\n',
      `GET /stream/${256 * MIB} HTTP/1.1\r\nHost: a\r\n\r\n`,
      'GET /drip/1000/20 HTTP/1.1\r\nHost: a\r\n\r\n',
      'POST /sink HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nabc',
      'POST /sink HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n',
    ];
    const seen = upstream.requests.length;
    const connections = await Promise.all(
      starts.map(async (bytes) => {
        const connection = await RawConnection.open({ port: gateway.ports.http });
        // Nothing is read, for a stream that is read may be whole before all of them are seen under way.
        connection.socket.pause();
        connection.send(bytes);
        return connection;
      }),
    );
    await gateway.until('all are under way', async () => (await inflight(gateway)) === starts.length);
    for (const [n, connection] of connections.entries()) {
      if (n % 2 === 0) connection.socket.resetAndDestroy();
      else connection.destroy();
    }
    await gateway.until('all are let go', () => {
      const mine = upstream.requests.slice(seen);
      return mine.length === starts.length && mine.every((r) => r.aborted);
    });
  });

  it('upstreams that break off cut the client, so that half an answer is never taken for a whole', async () => {
    for (const path of ['/reset-body', '/break-chunked']) {
      const connection = await RawConnection.open({ port: gateway.ports.http });
      connection.send(`GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`);
      assert.ok(await connection.untilClosed(PATIENCE_MS), path);
      const text = connection.received().toString('latin1');
      assert.match(text, /^HTTP\/1\.1 200 /, path);
      assert.doesNotMatch(text, /\r\n0\r\n\r\n$/, path);
      if (path === '/reset-body') assert.match(text, /content-length: 1000\r\n/i);
      assert.ok(text.length < 1_000);
    }
  });

  it('an upstream that falls silent in the middle is given up', async () => {
    const connection = await RawConnection.open({ port: gateway.ports.http });
    connection.send('GET /silent HTTP/1.1\r\nHost: a\r\n\r\n');
    assert.ok(await connection.untilClosed(PATIENCE_MS));
    assert.match(connection.received().toString('latin1'), /^HTTP\/1\.1 200 [^]*begun$/);
  });

  it('a body beyond its limit is refused, with a length at once, in chunks when it has come', async () => {
    const own = await given.gateway({
      bundle: plainBundle([upstream.address], { defaults: { bodyBytesMax: 100_000 } }),
    });
    const declared = await askRaw(
      { port: own.ports.http },
      'POST /sink HTTP/1.1\r\nHost: a\r\nContent-Length: 100001\r\n\r\n',
    );
    assert.equal(codeOf({ body: declared.body.toString() }), 'body_too_large');
    declared.connection.destroy();
    const chunk = `${(10_000).toString(16)}\r\n${'x'.repeat(10_000)}\r\n`;
    const chunked = await askRaw(
      { port: own.ports.http },
      `POST /sink HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${chunk.repeat(11)}`,
    );
    assert.equal(codeOf({ body: chunked.body.toString() }), 'body_too_large');
    chunked.connection.destroy();
    const fits = await ask(own.ports.http, '/sink', { method: 'POST', body: 'x'.repeat(100_000) });
    assert.equal(fits.body, '100000');
    await untilIdle(own);
    await own.stop();
  });

  it('connections are used again, whatever came before on them', async () => {
    const agent = keepAlive(1);
    try {
      for (let n = 0; n < 20; n++) {
        const body = 'x'.repeat(n * 5_000);
        const heard = await ask(gateway.ports.http, '/body', { agent, method: 'POST', body });
        assert.equal(heard.body, body);
        assert.equal((await ask(gateway.ports.http, '/status/404', { agent })).status, 404);
        assert.equal((await ask(gateway.ports.http, '/status/204', { agent })).body, '');
        assert.equal((await ask(gateway.ports.http, '/stream/1000', { agent, method: 'HEAD' })).body, '');
      }
    } finally {
      agent.destroy();
    }
  });
});
