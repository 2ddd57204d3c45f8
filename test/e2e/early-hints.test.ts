/** Interim answers of upstreams (RFC 9110 §15.2, RFC 8297) on their way to clients. */
import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { plainBundle } from '../harness/bundle.ts';
import type { TestGateway } from '../harness/gateway.ts';
import { listening } from '../harness/ports.ts';
import { RawConnection } from '../harness/raw-client.ts';
import { PATIENCE_MS } from './client.ts';
import { Given } from './given.ts';

describe('an interim answer', { timeout: 60_000 }, () => {
  const given = new Given();
  let gateway: TestGateway;

  before(async () => {
    const upstream = createServer((socket) => {
      socket.on('error', () => undefined);
      socket.on('data', () => {
        const early = 'HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nX-Secret: early\r\nServer: inner/1.2\r\n\r\n';
        socket.write(`${early}HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Secret: late\r\nServer: inner/1.2\r\n\r\nok`);
      });
    });
    const port = await listening(upstream, 0);
    given.ends(() => upstream.close());
    const respond = { answerHeaders: { remove: ['X-Secret'], set: { Server: 'edge' } } };
    gateway = await given.gateway({
      bundle: plainBundle([`127.0.0.1:${port}`], {
        routes: {
          routes: [{ id: 'all', match: { path: { prefix: '/' } }, access: 'public', reason: 'for a test', respond }],
        },
      }),
    });
  });
  after(() => given.end());

  it('passes without what the route takes out of answers', async () => {
    const connection = await RawConnection.open({ port: gateway.ports.http });
    connection.send('GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n');
    assert.ok(await connection.untilClosed(PATIENCE_MS));
    const text = connection.received().toString('latin1');
    assert.match(text, /^HTTP\/1\.1 103 Early Hints\r\nlink: <\/a\.css>\r\n\r\nHTTP\/1\.1 200 OK\r\n/i);
    assert.match(text, /\r\nserver: edge\r\n/i);
    assert.doesNotMatch(text, /secret|inner/i);
  });
});
