import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readResponses } from '../conformance/http1/responses.ts';
import { testAuthority } from './certs.ts';
import { freePorts } from './ports.ts';
import { RawConnection } from './raw-client.ts';
import { TestUpstream, type UpstreamOptions } from './upstream.ts';

const TIMEOUT_MS = 10_000;

async function withUpstream(options: UpstreamOptions, use: (upstream: TestUpstream) => Promise<void>): Promise<void> {
  const upstream = await TestUpstream.start(options);
  try {
    await use(upstream);
  } finally {
    await upstream.stop();
  }
}

function request(path: string, body = ''): string {
  const length = body === '' ? '' : `Content-Length: ${body.length}\r\n`;
  return `${body === '' ? 'GET' : 'POST'} ${path} HTTP/1.1\r\nHost: a.test\r\n${length}Connection: close\r\n\r\n${body}`;
}

async function answerTo(
  upstream: TestUpstream,
  path: string,
  body?: string,
): Promise<{ status: number; body: string; ending: string }> {
  const connection = await RawConnection.open({ port: upstream.port });
  connection.send(request(path, body));
  await connection.untilClosed(TIMEOUT_MS);
  const [response] = readResponses(connection.received(), ['GET'], true).responses;
  return { status: response?.status ?? 0, body: response?.body.toString('latin1') ?? '', ending: connection.ending };
}

test('an upstream does what the path asks, and remembers what came', async () => {
  await withUpstream({ name: 'one' }, async (upstream) => {
    assert.deepEqual(await answerTo(upstream, '/'), { status: 200, body: 'one', ending: 'end' });
    assert.equal((await answerTo(upstream, '/status/503')).status, 503);
    assert.equal((await answerTo(upstream, '/body', 'content')).body, 'content');
    assert.equal((await answerTo(upstream, '/sink', 'content')).body, '7');
    assert.match((await answerTo(upstream, '/echo?q', 'text')).body, /"url":"\/echo\?q".*"body":"text"/);
    assert.equal((await answerTo(upstream, '/slow/5')).body, 'slow');
    assert.equal((await answerTo(upstream, '/drip/3/1')).body, '...');
    assert.equal((await answerTo(upstream, '/stream/100000')).body.length, 100_000);
    assert.equal((await answerTo(upstream, '/chunked/100000')).body.length, 100_000);
    assert.deepEqual(await answerTo(upstream, '/reset'), { status: 0, body: '', ending: 'reset' });
    const cut = await answerTo(upstream, '/reset-body');
    assert.deepEqual({ status: cut.status, bytes: cut.body.length }, { status: 200, bytes: 500 });
    assert.equal(upstream.requests.length, 11);
    assert.equal(upstream.requests[2]?.body.toString(), 'content');
  });
});

test('an upstream writes no faster than it is read, and sees its peer go', async () => {
  await withUpstream({}, async (upstream) => {
    const bytes = 256 * 1024 * 1024;
    const connection = await RawConnection.open({ port: upstream.port });
    connection.socket.pause();
    connection.send(request(`/stream/${bytes}`));
    let before = -1;
    // It stops writing when the socket buffers are full; wait until nothing moves any more.
    while (upstream.streamedBytes !== before || upstream.streamedBytes === 0) {
      before = upstream.streamedBytes;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    assert.ok(upstream.streamedBytes < bytes / 4, `${upstream.streamedBytes} bytes were written unread`);
    const gone = new Promise((resolve) => connection.socket.once('close', resolve));
    connection.destroy();
    await gone;
    while (upstream.requests[0]?.aborted !== true) await new Promise((resolve) => setTimeout(resolve, 10));
  });
});

test('an upstream can be killed and comes back on its port', async () => {
  await withUpstream({}, async (upstream) => {
    const open = await RawConnection.open({ port: upstream.port });
    open.send('GET /hang HTTP/1.1\r\nHost: a.test\r\n\r\n');
    while (upstream.requests.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    await upstream.kill();
    assert.ok(await open.untilClosed(TIMEOUT_MS));
    assert.equal(open.ending, 'reset');
    await assert.rejects(RawConnection.open({ port: upstream.port }));
    await upstream.restart();
    assert.equal((await answerTo(upstream, '/')).status, 200);
  });
});

test('an upstream speaks TLS with a leaf of the test authority, and only who trusts that gets through', async () => {
  const authority = testAuthority();
  await withUpstream({ tls: authority.leaf(['one.test']) }, async (upstream) => {
    const connection = await RawConnection.open({
      port: upstream.port,
      tls: { ca: authority.certificate, servername: 'one.test' },
    });
    connection.send(request('/'));
    await connection.untilClosed(TIMEOUT_MS);
    assert.match(connection.received().toString(), /^HTTP\/1.1 200 OK/);
    await assert.rejects(
      RawConnection.open({ port: upstream.port, tls: { ca: authority.certificate, servername: 'two.test' } }),
    );
    await assert.rejects(RawConnection.open({ port: upstream.port, tls: { servername: 'one.test' } }));
    assert.equal(authority.leaf(['one.test']), authority.leaf(['one.test']));
  });
});

test('free ports are different ones', async () => {
  const ports = await freePorts(8);
  assert.equal(new Set(ports).size, 8);
});
