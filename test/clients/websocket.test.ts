/** WebSockets by HTTP/1.1 and by HTTP/2 (RFC 8441), with messages of a megabyte both ways: the clients are `ws`, on a connection of its own and on streams of `node:http2`, and undici. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { connect, type ClientHttp2Session, type ClientHttp2Stream } from 'node:http2';
import type { Duplex } from 'node:stream';
import { after, before, describe, it } from 'node:test';
import { Agent, WebSocket as UndiciSocket } from 'undici';
import { WebSocket, WebSocketServer } from 'ws';
import { PATIENCE_MS } from '../e2e/client.ts';
import { Given, inflight, untilIdle } from '../e2e/given.ts';
import { plainBundle } from '../harness/bundle.ts';
import { testAuthority } from '../harness/certs.ts';
import type { TestGateway } from '../harness/gateway.ts';
import { listening } from '../harness/ports.ts';

const LARGE_BYTES = 1024 * 1024;
const MESSAGES = [Buffer.alloc(0), Buffer.from('small'), Buffer.alloc(70_000, 'm'), Buffer.alloc(LARGE_BYTES, 'large')];

/** What `ws` does with a connection after its own handshake; its types do not tell. */
interface Framed extends WebSocket {
  _isServer: boolean;
  setSocket: (socket: Duplex, head: Buffer, options: { maxPayload: number }) => void;
}
type FramedClass = new (
  address: null,
  protocols: undefined,
  options: { autoPong: boolean; closeTimeout: number },
) => Framed;

describe('WebSocket clients', () => {
  const given = new Given();
  const ca = testAuthority().certificate;
  let gateway: TestGateway;

  before(async () => {
    const http = createServer((_, response) => response.end('no socket'));
    const sockets = new WebSocketServer({ server: http, perMessageDeflate: true });
    sockets.on('connection', (socket) => {
      socket.on('error', () => socket.terminate());
      socket.on('message', (data, binary) => socket.send(data as Buffer, { binary }));
    });
    const port = await listening(http);
    given.ends(() => {
      for (const client of sockets.clients) client.terminate();
      sockets.close();
      http.close();
    });
    const open = { access: 'public', reason: 'for a test of WebSockets' };
    gateway = await given.gateway({
      bundle: plainBundle([`127.0.0.1:${port}`], {
        routes: {
          routes: [
            { id: 'socket', match: { path: { prefix: '/socket' } }, ...open, websocket: true },
            { id: 'plain', match: { path: { prefix: '/plain' } }, ...open },
          ],
        },
      }),
      bootstrap: { transport: 'native' },
      listener: { http2: true },
    });
  });
  after(() => given.end());

  /** Each message comes back as it went; all of them under way at once. */
  async function echoed(socket: WebSocket): Promise<void> {
    const got: Buffer[] = [];
    const all = new Promise<void>((resolve, reject) => {
      socket.on('message', (data) => {
        got.push(data as Buffer);
        if (got.length === MESSAGES.length) resolve();
      });
      socket.once('error', reject);
      socket.once('close', (code) => reject(new Error(`closed with ${code} after ${got.length} messages`)));
    });
    for (const message of MESSAGES) socket.send(message);
    await all;
    for (const [n, message] of MESSAGES.entries()) assert.ok(got[n]?.equals(message), `message ${n}`);
    socket.removeAllListeners('close');
    const closed = once(socket, 'close');
    socket.close(4000, 'done');
    assert.equal((await closed)[0], 4000);
  }

  it('ws by HTTP/1.1, plain and by TLS, with and without compression', async () => {
    for (const url of [`ws://127.0.0.1:${gateway.ports.http}`, `wss://localhost:${gateway.ports.https}`]) {
      for (const perMessageDeflate of [true, false]) {
        const socket = new WebSocket(`${url}/socket`, { ca, perMessageDeflate, handshakeTimeout: PATIENCE_MS });
        await once(socket, 'open');
        assert.equal(socket.extensions, perMessageDeflate ? 'permessage-deflate' : '');
        await echoed(socket);
      }
    }
    await untilIdle(gateway);
  });

  async function session(tls: boolean): Promise<ClientHttp2Session> {
    const made = tls
      ? connect(`https://localhost:${gateway.ports.https}`, { ca })
      : connect(`http://127.0.0.1:${gateway.ports.http}`);
    given.ends(() => made.destroy());
    const [settings] = (await once(made, 'remoteSettings')) as [{ enableConnectProtocol?: boolean }];
    assert.equal(settings.enableConnectProtocol, true);
    return made;
  }

  const opened = (on: ClientHttp2Session, path: string): ClientHttp2Stream =>
    on.request(
      { ':method': 'CONNECT', ':protocol': 'websocket', ':path': path, 'sec-websocket-version': '13' },
      { endStream: false },
    );

  it('ws on streams of one HTTP/2 connection, beside requests', async () => {
    for (const tls of [false, true]) {
      const one = await session(tls);
      const streams = Array.from({ length: 3 }, () => opened(one, '/socket'));
      const sockets = await Promise.all(
        streams.map(async (stream) => {
          const [head] = (await once(stream, 'response')) as [Record<string, unknown>];
          assert.equal(head[':status'], 200);
          const socket = new (WebSocket as unknown as FramedClass)(null, undefined, {
            autoPong: true,
            closeTimeout: PATIENCE_MS,
          });
          socket._isServer = false;
          socket.setSocket(stream, Buffer.alloc(0), { maxPayload: 2 * LARGE_BYTES });
          return socket;
        }),
      );
      assert.equal(await inflight(gateway), 3);
      const beside = one.request({ ':path': '/plain' });
      const [head] = (await once(beside.resume(), 'response')) as [Record<string, unknown>];
      assert.equal(head[':status'], 200);
      await Promise.all(sockets.map((socket) => echoed(socket)));
      await untilIdle(gateway);
      one.close();
    }
  });

  it('is refused where the route does not allow it, and the connection goes on', async () => {
    const one = await session(true);
    for (const [path, status] of [
      ['/plain', 403],
      ['/elsewhere', 404],
    ] as const) {
      const stream = opened(one, path);
      const [head] = (await once(stream.resume(), 'response')) as [Record<string, unknown>];
      assert.equal(head[':status'], status);
    }
    // A stream that is cut off frees its upstream.
    const cut = opened(one, '/socket');
    await once(cut, 'response');
    assert.equal(await inflight(gateway), 1);
    cut.close(8);
    await untilIdle(gateway);
    assert.equal(one.closed, false);
    one.close();
  });

  it('undici by HTTP/2, which sends a key although it means nothing there', async () => {
    const dispatcher = new Agent({ allowH2: true, connect: { ca } });
    given.ends(() => dispatcher.destroy());
    const socket = new UndiciSocket(`wss://localhost:${gateway.ports.https}/socket`, { dispatcher });
    socket.binaryType = 'arraybuffer';
    await once(socket, 'open', { signal: AbortSignal.timeout(PATIENCE_MS) });
    for (const message of MESSAGES) {
      const back = once(socket, 'message', { signal: AbortSignal.timeout(PATIENCE_MS) });
      socket.send(message);
      const [event] = (await back) as [{ data: ArrayBuffer }];
      assert.ok(Buffer.from(event.data).equals(message));
    }
    const closed = once(socket, 'close', { signal: AbortSignal.timeout(PATIENCE_MS) });
    socket.close(4000, 'done');
    assert.equal(((await closed) as [{ code: number }])[0].code, 4000);
    await untilIdle(gateway);
  });
});
