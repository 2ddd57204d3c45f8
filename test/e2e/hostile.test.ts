/** What an adversarial review found: clients and upstreams that use the rules of HTTP against the gateway. */
import assert from 'node:assert/strict';
import { createServer, type Server, type Socket } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { plainBundle } from '../harness/bundle.ts';
import { TestGateway } from '../harness/gateway.ts';
import { listening } from '../harness/ports.ts';
import { askRaw } from './client.ts';

const HANDSHAKE =
  'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n';

/** What a route that says nothing has. */
const HEAD_MS_DEFAULT = 30_000;

describe('a hostile peer', () => {
  let upstream: Server;
  let gateway: TestGateway;
  const heads: string[] = [];
  /** Connections on which a WebSocket handshake was begun. */
  const late: Socket[] = [];
  const open = new Set<Socket>();

  before(async () => {
    // Answers requests at once; of a WebSocket handshake it says the begin, and the rest when its deadline has passed.
    upstream = createServer((socket) => {
      open.add(socket);
      socket.on('close', () => open.delete(socket));
      socket.on('error', () => socket.destroy());
      socket.on('data', (data) => {
        const head = data.toString('latin1');
        heads.push(head);
        if (/upgrade: websocket/i.test(head)) {
          late.push(socket);
          socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n');
        } else socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
      });
    });
    const port = await listening(upstream);
    const bundle = plainBundle([`127.0.0.1:${port}`]);
    const all = {
      id: 'all',
      match: { path: { prefix: '/' } },
      access: 'public',
      reason: 'everything, for a test',
      websocket: true,
      retries: 0,
    };
    const routes = [all, { ...all, id: 'late', match: { path: { prefix: '/late' } }, timeouts: { headMs: 300 } }];
    gateway = await TestGateway.start({ bundle: { ...bundle, routes: { routes } } });
  });

  after(async () => {
    await gateway.stop();
    for (const socket of open) socket.destroy();
    upstream.close();
  });

  const ask = (fields: string, path = '/'): Promise<{ readonly status: number }> =>
    askRaw({ port: gateway.ports.http }, `GET ${path} HTTP/1.1\r\nHost: a.example\r\n${fields}\r\n`);

  it('that completes a WebSocket handshake after its deadline gets nothing, and no lane dies of it', async () => {
    const from = performance.now();
    const answers = await Promise.all(Array.from({ length: 4 }, () => ask(HANDSHAKE, '/late')));
    assert.deepEqual(
      answers.map((a) => a.status),
      [504, 504, 504, 504],
    );
    assert.ok(performance.now() - from < HEAD_MS_DEFAULT / 2, 'by the deadline of the route');
    // All have their answer: now each of the handshakes is completed on what is still open of its connection.
    assert.equal(late.length, answers.length);
    for (const socket of late) if (socket.writable) socket.write('Sec-WebSocket-Accept: late\r\n\r\n');
    await gateway.until('they are cut off', () => late.every((socket) => !open.has(socket)));
    assert.equal((await ask('')).status, 200);
    const status = (await gateway.admin('/v1/status')) as { lanes: { restarts: number }[] };
    assert.deepEqual(
      status.lanes.map((l) => l.restarts),
      [0],
    );
  });

  it('cannot have the fields end here that decisions were made by', async () => {
    for (const name of ['authorization', 'Cookie', 'content-type', 'Content-Encoding']) {
      assert.equal((await ask(`Connection: close, ${name}\r\n`)).status, 400, name);
    }
  });

  it('cannot bring in by an underscore what the gateway says itself', async () => {
    heads.length = 0;
    assert.equal(
      (await ask('X_Forwarded_For: 10.0.0.1\r\nX_Own: 1\r\nX-Real-IP: 10.0.0.1\r\nX-Original-URL: /admin\r\n')).status,
      200,
    );
    const head = heads.join('').toLowerCase();
    assert.match(head, /x-forwarded-for: 127\.0\.0\.1/);
    assert.match(head, /x_own: 1/);
    assert.doesNotMatch(head, /x_forwarded_for|x-real-ip|x-original-url/);
  });

  it('that repeats a subprotocol is told that it is wrong', async () => {
    assert.equal((await ask(`${HANDSHAKE}Sec-WebSocket-Protocol: a, a\r\n`)).status, 400);
    assert.equal((await ask(`${HANDSHAKE}Sec-WebSocket-Protocol: a b\r\n`)).status, 400);
  });
});
