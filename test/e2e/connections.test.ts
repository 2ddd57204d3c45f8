/** Connections of a running gateway with the native transport: endpoints over HTTP/2 and mutual TLS, the PROXY protocol, bounds and deadlines. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createSecureServer, createServer, type Http2Server } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { after, describe, it } from 'node:test';
import type { TLSSocket } from 'node:tls';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { plainBundle } from '../harness/bundle.ts';
import { testAuthority } from '../harness/certs.ts';
import { RawConnection } from '../harness/raw-client.ts';
import { ask, PATIENCE_MS } from './client.ts';
import { Given } from './given.ts';

/** Shortest of the deadlines that a bootstrap has which says nothing. */
const DEFAULTS_MS_MIN = 10_000;

describe('connections', () => {
  const given = new Given();
  after(() => given.end());

  /** An endpoint that speaks HTTP/2 only, and says who asked. */
  async function http2Endpoint(server: Http2Server): Promise<number> {
    server.on('stream', (stream) => {
      const socket = stream.session?.socket as TLSSocket | undefined;
      const peer =
        typeof socket?.getPeerCertificate === 'function' ? String(socket.getPeerCertificate().subject.CN) : 'plain';
      stream.respond({ ':status': 200 });
      stream.end(`HTTP/2 for ${peer}`);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    given.ends(() => server.close());
    return (server.address() as AddressInfo).port;
  }

  it('endpoints are asked over HTTP/2, with our certificate where they want one', async () => {
    const authority = testAuthority();
    const leaf = authority.leaf();
    const ours = authority.leaf(['gateway.example']);
    const secrets = mkdtempSync(join(tmpdir(), 'cnx-e2e-secrets-'));
    given.ends(() => rmSync(secrets, { recursive: true, force: true }));
    writeFileSync(join(secrets, 'cert'), ours.certificate);
    writeFileSync(join(secrets, 'key'), ours.key);
    const plain = await http2Endpoint(createServer());
    const mutual = await http2Endpoint(
      createSecureServer({
        cert: leaf.certificate,
        key: leaf.key,
        ca: authority.certificate,
        requestCert: true,
        rejectUnauthorized: true,
        allowHTTP1: false,
      }),
    );
    const route = (cell: string): object => ({
      id: cell,
      match: { path: { prefix: `/${cell}` } },
      access: 'public',
      reason: 'everything, for a test',
      cell,
    });
    const tls = {
      serverName: 'localhost',
      ca: authority.certificate,
      clientCertificate: { certificateSecret: 'edge-cert', keySecret: 'edge-key' },
    };
    const gateway = await given.gateway({
      bundle: plainBundle([], {
        routes: { routes: [route('plain'), route('mutual')] },
        cells: {
          cells: [
            { id: 'plain', endpoints: [{ address: `127.0.0.1:${plain}`, protocol: 'http2' }] },
            { id: 'mutual', endpoints: [{ address: `127.0.0.1:${mutual}`, protocol: 'http2', tls }] },
          ],
        },
      }),
      bootstrap: {
        transport: 'native',
        secrets: { 'edge-cert': `file:${join(secrets, 'cert')}`, 'edge-key': `file:${join(secrets, 'key')}` },
      },
    });
    for (const [cell, said] of [
      ['plain', 'HTTP/2 for plain'],
      ['mutual', 'HTTP/2 for gateway.example'],
    ] as const) {
      const answer = await ask(gateway.ports.http, `/${cell}`);
      assert.deepEqual([answer.status, answer.body], [200, said]);
    }
    await gateway.stop();
  });

  it('a load balancer tells of the client by a PROXY header; from elsewhere such a header is no request', async () => {
    const upstream = await given.upstream();
    const echo = 'GET /echo HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n';
    const said = async (port: number, first: string): Promise<string> => {
      const connection = await RawConnection.open({ port });
      connection.send(first + echo);
      assert.ok(await connection.untilClosed(PATIENCE_MS));
      return connection.received().toString('latin1');
    };
    const header = 'PROXY TCP4 203.0.113.7 192.0.2.1 4711 443\r\n';
    const behind = await given.gateway({
      bundle: plainBundle([upstream.address]),
      bootstrap: { transport: 'native' },
      listener: { proxyProtocolFrom: ['127.0.0.0/8'] },
    });
    assert.match(await said(behind.ports.http, header), /"x-forwarded-for":"203\.0\.113\.7"/);
    await behind.stop();
    const open = await given.gateway({
      bundle: plainBundle([upstream.address]),
      bootstrap: { transport: 'native' },
      listener: { proxyProtocolFrom: ['10.0.0.0/8'] },
    });
    assert.match(await said(open.ports.http, header), /^HTTP\/1\.1 400 /);
    assert.match(await said(open.ports.http, ''), /"x-forwarded-for":"127\.0\.0\.1"/);
    await open.stop();
  });

  it('bounds are those of the bootstrap', async () => {
    const upstream = await given.upstream();
    const gateway = await given.gateway({
      bundle: plainBundle([upstream.address]),
      bootstrap: { transport: 'native', downstream: { connectionsPerAddressMax: 2 } },
    });
    const { http } = gateway.ports;
    const two = [await RawConnection.open({ port: http }), await RawConnection.open({ port: http })];
    const third = await RawConnection.open({ port: http });
    assert.ok(await third.untilClosed(PATIENCE_MS));
    assert.equal(third.received().length, 0, 'the third of one address is closed');
    for (const one of two) {
      one.send('GET /status/200 HTTP/1.1\r\nHost: a\r\n\r\n');
      assert.ok(await one.until((got) => got.includes('HTTP/1.1 200 '), PATIENCE_MS));
      one.destroy();
    }
    await gateway.stop();
  });

  it('deadlines are those of the bootstrap', async () => {
    const upstream = await given.upstream();
    const gateway = await given.gateway({
      bundle: plainBundle([upstream.address]),
      bootstrap: {
        transport: 'native',
        downstream: { headTimeoutMs: 300, idleTimeoutMs: 300, handshakeTimeoutMs: 300 },
      },
    });
    const { http, https } = gateway.ports;
    /** What was said to these bytes until the gateway closed; null: it did not within what is far from the defaults. */
    const heard = async (port: number, bytes = ''): Promise<string | null> => {
      const connection = await RawConnection.open({ port });
      connection.send(bytes);
      const closed = await connection.untilClosed(DEFAULTS_MS_MIN / 2);
      connection.destroy();
      return closed ? connection.received().toString('latin1') : null;
    };
    // Whoever is held up between connecting and asking has been idle for too long: then once more.
    await gateway.until(
      'a slow head is refused',
      async () => (await heard(http, 'GET / HTTP/1.1\r\nHost: a'))?.startsWith('HTTP/1.1 408 ') === true,
    );
    await gateway.until(
      'a connection is closed that was idle after its answer',
      async () =>
        (await heard(http, 'GET /status/200 HTTP/1.1\r\nHost: a\r\n\r\n'))?.startsWith('HTTP/1.1 200 ') === true,
    );
    await gateway.until('a silent one has had no handshake in time', async () => (await heard(https)) !== null);
    await gateway.stop();
  });

  it('the transport uws serves TLS, and takes no bundle whose endpoints it cannot ask', async () => {
    const upstream = await given.upstream();
    const gateway = await given.gateway({ bundle: plainBundle([upstream.address]), bootstrap: { transport: 'uws' } });
    assert.equal((await ask(gateway.ports.https, '/status/200', { tls: true })).status, 200);
    await gateway.publish(plainBundle([{ address: upstream.address, protocol: 'http2' }]));
    await gateway.untilPrinted(
      /"bundle rejected".*\/cells\/0\/endpoints\/0\/protocol: the transport uws speaks HTTP\/1\.1 only to endpoints; say `transport: native`/,
    );
    assert.equal((await ask(gateway.ports.https, '/status/200', { tls: true })).status, 200);
    await gateway.stop();
  });
});
