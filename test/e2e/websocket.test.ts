/** WebSockets through the whole gateway, with a real client and a real server. */
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { after, before, describe, it } from 'node:test';
import { WebSocket, WebSocketServer } from 'ws';
import { plainBundle } from '../harness/bundle.ts';
import { testAuthority } from '../harness/certs.ts';
import type { TestGateway } from '../harness/gateway.ts';
import { listening } from '../harness/ports.ts';
import { PATIENCE_MS } from './client.ts';
import { Given, inflight, untilIdle } from './given.ts';

describe('websockets', () => {
  const given = new Given();
  let gateway: TestGateway;
  let sockets: WebSocketServer;

  before(async () => {
    const http = createServer((_, response) => response.end('no socket'));
    sockets = new WebSocketServer({ server: http });
    sockets.on('connection', (socket, asked) => {
      socket.on('error', () => socket.terminate());
      if (asked.url === '/socket/leave') socket.close(4001, 'go away');
      socket.on('message', (data, binary) => socket.send(data as Buffer, { binary }));
    });
    const port = await listening(http);
    given.ends(() => {
      for (const client of sockets.clients) client.terminate();
      sockets.close();
      http.close();
    });
    const route = (id: string, websocket: boolean): object => ({
      id,
      match: { path: { prefix: `/${id}` } },
      access: 'public',
      reason: 'for a test of WebSockets',
      websocket,
    });
    gateway = await given.gateway({
      bundle: plainBundle([`127.0.0.1:${port}`], {
        routes: { routes: [route('socket', true), route('plain', false)] },
      }),
      bootstrap: { lanes: 2, drainDeadlineMs: 5_000 },
    });
  });
  after(() => given.end());

  function open(path: string, tls = false): Promise<WebSocket> {
    return new Promise((resolve, reject) => {
      const url = tls ? `wss://localhost:${gateway.ports.https}` : `ws://127.0.0.1:${gateway.ports.http}`;
      const ca = testAuthority().certificate;
      const socket = new WebSocket(`${url}${path}`, { handshakeTimeout: PATIENCE_MS, ...(tls ? { ca } : {}) });
      socket.once('open', () => resolve(socket));
      socket.once('error', reject);
    });
  }

  const next = (socket: WebSocket): Promise<{ data: Buffer; binary: boolean }> =>
    new Promise((resolve) => {
      socket.once('message', (data, binary) => resolve({ data: data as Buffer, binary }));
    });

  const closed = (socket: WebSocket): Promise<{ code: number; reason: string }> =>
    new Promise((resolve) => {
      socket.once('close', (code, reason) => resolve({ code, reason: reason.toString() }));
    });

  it('text and binary messages pass both ways, plain and by TLS, and the close passes too', async () => {
    for (const tls of [false, true]) {
      const socket = await open('/socket', tls);
      assert.equal(await inflight(gateway), 1, `one is open, tls: ${tls}`);
      for (const message of ['', 'hello', 'ä€😀', 'x'.repeat(500_000)]) {
        socket.send(message);
        const { data, binary } = await next(socket);
        assert.deepEqual([data.toString('utf8'), binary], [message, false]);
      }
      const bytes = Buffer.from(Array.from({ length: 256 }, (_, n) => n));
      socket.send(bytes);
      const { data, binary } = await next(socket);
      assert.deepEqual([data, binary], [bytes, true]);
      const gone = closed(socket);
      socket.close(4000, 'done');
      assert.equal((await gone).code, 4000);
      await untilIdle(gateway);
    }
  });

  it("the upstream's close reaches the client with its code", async () => {
    const socket = await open('/socket/leave');
    assert.deepEqual(await closed(socket), { code: 4001, reason: 'go away' });
    await untilIdle(gateway);
  });

  it('a handshake is refused where the route does not allow it, and never reaches the upstream', async () => {
    const before = sockets.clients.size;
    await assert.rejects(open('/plain'), /Unexpected server response: 403/);
    await assert.rejects(open('/elsewhere'), /Unexpected server response: 404/);
    assert.equal(sockets.clients.size, before);
  });

  it('a client that is cut off frees its upstream', async () => {
    const socket = await open('/socket');
    socket.terminate();
    await untilIdle(gateway);
    await gateway.until('the upstream is told', () => sockets.clients.size === 0);
  });

  it('SIGTERM leaves open ones until the deadline, and the end is orderly', async () => {
    const socket = await open('/socket');
    const gone = closed(socket);
    const stopping = gateway.stop();
    socket.send('still there');
    assert.equal((await next(socket)).data.toString(), 'still there');
    // Cut: whoever tunnels bytes has no word of its own in the conversation.
    assert.equal((await gone).code, 1006);
    await stopping;
  });
});
