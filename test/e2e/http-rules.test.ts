/** What RFC 9110, 9112, 9113 and 6455 ask of whoever stands between a client and an upstream, beyond what the conformance suites send. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { connect, type OutgoingHttpHeaders } from 'node:http2';
import { createServer, type Socket } from 'node:net';
import { after, before, describe, it } from 'node:test';
import {
  data,
  field,
  FLAG,
  frame,
  HEADER_BYTES,
  headerOf,
  headers,
  PREFACE,
  settings,
  TYPE,
} from '../conformance/h2/frames.ts';
import { plainBundle } from '../harness/bundle.ts';
import type { TestGateway } from '../harness/gateway.ts';
import { listening } from '../harness/ports.ts';
import { RawConnection } from '../harness/raw-client.ts';
import { PATIENCE_MS } from './client.ts';
import { Given } from './given.ts';

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
const SWITCHED = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n';

/** What the HTTP/1.1 upstream says to a handshake, by path. */
const HANDSHAKES: Readonly<Record<string, (accept: string) => string>> = {
  '/ws': (accept) => `Upgrade: websocket\r\nSec-WebSocket-Accept: ${accept}\r\n`,
  '/ws/other-protocol': (accept) => `Upgrade: h2c\r\nSec-WebSocket-Accept: ${accept}\r\n`,
  '/ws/two-protocols': (accept) => `Upgrade: websocket, h2c\r\nSec-WebSocket-Accept: ${accept}\r\n`,
  '/ws/no-accept': () => 'Upgrade: websocket\r\n',
  '/ws/other-accept': () => 'Upgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n',
  '/ws/two-accepts': (accept) =>
    `Upgrade: websocket\r\nSec-WebSocket-Accept: ${accept}\r\nSec-WebSocket-Accept: ${accept}\r\n`,
};

/** What the HTTP/2 upstream says to a stream. */
type Says = (id: number) => readonly Buffer[];

/** The end comes in a frame of its own, as several servers send it. */
const NOT_MODIFIED: Says = (id) => [
  headers(id, Buffer.concat([field(':status', '304'), field('content-length', '42')]), false),
  data(id, Buffer.alloc(0), true),
];

function withTrailers(...trailers: Buffer[]): Says {
  return (id) => [
    headers(id, field(':status', '200'), false),
    data(id, Buffer.from('ok'), false),
    headers(id, Buffer.concat(trailers), true),
  ];
}

describe('between a client and an upstream', { timeout: 60_000 }, () => {
  const given = new Given();
  let gateway: TestGateway;
  /** Heads that the HTTP/1.1 upstream got. */
  const heads: string[] = [];
  let says: Says = NOT_MODIFIED;

  before(async () => {
    const one = createServer((socket) => serveHttp1(socket, heads));
    const two = createServer((socket) => serveHttp2(socket, (id) => says(id)));
    given.ends(() => one.close());
    given.ends(() => two.close());
    const addresses = [`127.0.0.1:${await listening(one, 0)}`, `127.0.0.1:${await listening(two, 0)}`];
    const open = { access: 'public', reason: 'for a test' };
    gateway = await given.gateway({
      bundle: plainBundle([], {
        routes: {
          routes: [
            { id: 'ws', match: { path: { prefix: '/ws' } }, cell: 'one', websocket: true, ...open },
            { id: 'h2', match: { path: { prefix: '/h2' } }, cell: 'two', ...open },
            { id: 'all', match: { path: { prefix: '/' } }, cell: 'one', ...open },
          ],
        },
        cells: {
          cells: [
            { id: 'one', endpoints: [{ address: addresses[0] }] },
            { id: 'two', endpoints: [{ address: addresses[1], protocol: 'http2' }] },
          ],
        },
      }),
      bootstrap: { transport: 'native' },
      listener: { http2: true },
    });
  });
  after(() => given.end());

  it('OPTIONS of an absolute-form without a path asks about the server (RFC 9112 §3.2.4)', async () => {
    const asterisk = await ask(gateway, 'OPTIONS * HTTP/1.1\r\nHost: a.test\r\n');
    assert.match(asterisk, /^HTTP\/1\.1 204 /);
    const same = (text: string): string => text.replace(/\r\n(x-request-id|date): [^\r]*/gi, '');
    for (const target of ['http://a.test', 'HTTPS://a.test', 'http://a.test:80'])
      assert.equal(same(await ask(gateway, `OPTIONS ${target} HTTP/1.1\r\nHost: a.test\r\n`)), same(asterisk), target);
    heads.length = 0;
    for (const target of ['http://a.test/', 'http://a.test?', 'http://a.test?a'])
      assert.match(await ask(gateway, `OPTIONS ${target} HTTP/1.1\r\nHost: a.test\r\n`), /^HTTP\/1\.1 200 /, target);
    assert.deepEqual(
      heads.map((head) => head.split('\r\n', 1)[0]),
      ['OPTIONS / HTTP/1.1', 'OPTIONS / HTTP/1.1', 'OPTIONS /?a HTTP/1.1'],
    );
    assert.match(await ask(gateway, 'OPTIONS http://b.test HTTP/1.1\r\nHost: a.test\r\n'), /^HTTP\/1\.1 400 /);
  });

  it('Via names the protocol in which a request was received (RFC 9110 §7.6.3)', async () => {
    heads.length = 0;
    await ask(gateway, 'GET / HTTP/1.0\r\nHost: a.test\r\n');
    await ask(gateway, 'GET / HTTP/1.1\r\nHost: a.test\r\nVia: 1.0 before\r\n');
    await over2(gateway, { ':path': '/' });
    assert.deepEqual(
      heads.map((head) => [...head.matchAll(/^via: (.*)\r$/gim)].map((one) => one[1])),
      [['1.0 cloudnexus'], ['1.0 before', '1.1 cloudnexus'], ['2 cloudnexus']],
    );
  });

  it('a 304 with a length passes when its stream ends later than its head (RFC 9113 §8.1.1)', async () => {
    says = NOT_MODIFIED;
    const text = await ask(gateway, 'GET /h2 HTTP/1.1\r\nHost: a.test\r\n');
    assert.match(text, /^HTTP\/1\.1 304 [^]*\r\ncontent-length: 42\r\n/);
    assert.deepEqual(await over2(gateway, { ':path': '/h2' }), { status: 304, body: '', whole: true });
  });

  it('trailers of an upstream with pseudo-header fields are malformed (RFC 9113 §8.1)', async () => {
    says = withTrailers(field('x-sum', '1'));
    assert.match(await ask(gateway, 'GET /h2 HTTP/1.1\r\nHost: a.test\r\n'), /\r\n2\r\nok\r\n0\r\nx-sum: 1\r\n\r\n$/);
    assert.deepEqual(await over2(gateway, { ':path': '/h2' }), { status: 200, body: 'ok', whole: true });
    says = withTrailers(field(':status', '200'), field('x-sum', '1'));
    assert.doesNotMatch(await ask(gateway, 'GET /h2 HTTP/1.1\r\nHost: a.test\r\n'), /\r\n0\r\n/);
    assert.equal((await over2(gateway, { ':path': '/h2' })).whole, false);
  });

  it('101 is an agreement to a WebSocket and to nothing else (RFC 9110 §7.8)', async () => {
    const handshake = (path: string): string =>
      `GET ${path} HTTP/1.1\r\nHost: a.test\r\nUpgrade: websocket\r\nConnection: upgrade\r\n` +
      'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n';
    assert.match(await ask(gateway, handshake('/ws'), /hello$/), /^HTTP\/1\.1 101 /);
    for (const path of ['/ws/other-protocol', '/ws/two-protocols'])
      assert.match(await ask(gateway, handshake(path), /\}\n$/), /^HTTP\/1\.1 502 /, path);
  });

  it('a WebSocket of an HTTP/2 client opens only when the upstream has answered our key (RFC 6455 §4.1)', async () => {
    assert.equal((await over2(gateway, tunnel('/ws'))).status, 200);
    for (const path of Object.keys(HANDSHAKES).slice(1))
      assert.equal((await over2(gateway, tunnel(path))).status, 502, path);
  });
});

/** Answers 200, or 101 to a handshake. */
function serveHttp1(socket: Socket, heads: string[]): void {
  let text = '';
  socket.on('error', () => undefined);
  socket.on('data', (bytes: Buffer) => {
    text += bytes.toString('latin1');
    for (let end = text.indexOf('\r\n\r\n'); end >= 0; end = text.indexOf('\r\n\r\n')) {
      const head = text.slice(0, end + 2);
      text = text.slice(end + 4);
      heads.push(head);
      const key = /^sec-websocket-key: (.*)\r$/im.exec(head)?.[1];
      const says = HANDSHAKES[head.split(' ', 2)[1] ?? ''];
      if (key === undefined || says === undefined) {
        socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
      } else {
        const accept = createHash('sha1')
          .update(key + GUID)
          .digest('base64');
        socket.write(`${SWITCHED}${says(accept)}\r\nhello`);
      }
    }
  });
}

/** HTTP/2 by prior knowledge: says the same to every stream. */
function serveHttp2(socket: Socket, says: Says): void {
  let bytes: Buffer = Buffer.alloc(0);
  let skip = PREFACE.length;
  socket.on('error', () => undefined);
  socket.write(settings([]));
  socket.on('data', (more: Buffer) => {
    bytes = Buffer.concat([bytes, more]);
    for (;;) {
      const rest = bytes.subarray(skip);
      if (rest.length < HEADER_BYTES) return;
      const { type, flags, stream, length } = headerOf(rest);
      const end = HEADER_BYTES + length;
      if (rest.length < end) return;
      bytes = rest.subarray(end);
      skip = 0;
      if (type === TYPE.settings && (flags & FLAG.ack) === 0) socket.write(frame(TYPE.settings, FLAG.ack, 0));
      if (type === TYPE.headers) socket.write(Buffer.concat(says(stream)));
    }
  });
}

/** Sends a head without its last line end; resolves with all that came until the gateway closed, or until `enough` was there. */
async function ask(gateway: TestGateway, head: string, enough?: RegExp): Promise<string> {
  const connection = await RawConnection.open({ port: gateway.ports.http });
  const text = (): string => connection.received().toString('latin1');
  try {
    connection.send(enough === undefined ? `${head}Connection: close\r\n\r\n` : `${head}\r\n`);
    if (enough === undefined) assert.ok(await connection.untilClosed(PATIENCE_MS), 'the gateway does not close');
    else assert.ok(await connection.until(() => enough.test(text()), PATIENCE_MS), text());
    return text();
  } finally {
    connection.destroy();
  }
}

const tunnel = (path: string): OutgoingHttpHeaders => ({
  ':method': 'CONNECT',
  ':protocol': 'websocket',
  ':path': path,
  'sec-websocket-version': '13',
});

/** One request over a connection of its own; of a tunnel only the beginning. */
async function over2(
  gateway: TestGateway,
  fields: OutgoingHttpHeaders,
): Promise<{ status: number; body: string; whole: boolean }> {
  const session = connect(`http://127.0.0.1:${gateway.ports.http}`);
  try {
    await once(session, 'remoteSettings');
    return await new Promise((resolve) => {
      const stream = session.request({ ':authority': 'a.test', ...fields });
      let [status, body, whole] = [0, '', false];
      stream.setEncoding('latin1');
      stream.on('response', (head) => {
        status = head[':status'] ?? 0;
        if (fields[':protocol'] !== undefined) stream.close();
      });
      stream.on('data', (text: string) => (body += text));
      stream.on('end', () => (whole = stream.rstCode === 0));
      stream.on('error', () => undefined);
      stream.on('close', () => {
        resolve({ status, body, whole });
      });
    });
  } finally {
    session.destroy();
  }
}
