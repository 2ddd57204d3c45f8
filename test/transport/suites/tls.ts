/** What must hold for TLS: versions, ciphers, certificates that cannot be used, upstream verification. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { ConnectionOptions, TLSSocket } from 'node:tls';
import { type Leaf, testAuthority } from '../../harness/certs.ts';
import { RawConnection } from '../../harness/raw-client.ts';
import { TestUpstream } from '../../harness/upstream.ts';
import { endpointAt, eventually, LaneUnderTest, SUITE_TIMEOUT_MS, type TransportName } from '../lane-under-test.ts';

const PATIENCE_MS = 10_000;

export function tls(transport: TransportName): void {
  describe(`${transport}: TLS`, { timeout: SUITE_TIMEOUT_MS }, () => {
    let upstream: TestUpstream;
    let leaf: Leaf;
    let ca: string;
    before(async () => {
      const authority = testAuthority();
      ca = authority.certificate;
      leaf = authority.leaf();
      upstream = await TestUpstream.start({ tls: leaf });
    });
    after(() => upstream.stop());

    const lane = (minVersion: '1.2' | '1.3', over = {}): Promise<LaneUnderTest> =>
      LaneUnderTest.start({
        transport,
        endpoints: [endpointAt(upstream.port, { tls: { serverName: 'localhost', ca }, ...over })],
        listener: { tls: { certificateFile: leaf.certificateFile, keyFile: leaf.keyFile, minVersion } },
      });

    /** Status line of one request with these options, or why there was no handshake. */
    async function ask(
      port: number,
      options: ConnectionOptions,
    ): Promise<{ line: string; version: string | null; cipher: string }> {
      const connection = await RawConnection.open({ port, tls: { ca, servername: 'localhost', ...options } });
      connection.send('GET /status/200 HTTP/1.1\r\nHost: localhost\r\n\r\n');
      await connection.until((got) => got.includes('\r\n\r\n'), PATIENCE_MS);
      const socket = connection.socket as TLSSocket;
      const said = { version: socket.getProtocol(), cipher: socket.getCipher().name };
      connection.destroy();
      return { line: connection.received().toString('latin1').split('\r\n')[0] ?? '', ...said };
    }

    it('1.2 and 1.3 are spoken, with forward secrecy and authenticated ciphers only', async () => {
      const own = await lane('1.2');
      const modern = await ask(own.port, {});
      assert.deepEqual([modern.line, modern.version], ['HTTP/1.1 200 OK', 'TLSv1.3']);
      const older = await ask(own.port, { maxVersion: 'TLSv1.2' });
      assert.deepEqual([older.line, older.version], ['HTTP/1.1 200 OK', 'TLSv1.2']);
      assert.match(older.cipher, /^ECDHE-.*(GCM|POLY1305)/);
      for (const ciphers of ['AES128-SHA', 'AES128-GCM-SHA256', 'DES-CBC3-SHA:@SECLEVEL=0', 'ECDHE-ECDSA-AES128-SHA']) {
        await assert.rejects(ask(own.port, { maxVersion: 'TLSv1.2', ciphers }), ciphers);
      }
      await assert.rejects(ask(own.port, { minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1', ciphers: 'ALL:@SECLEVEL=0' }));
      own.close();
    });

    it('1.2 is refused where 1.3 is asked for', async () => {
      const own = await lane('1.3');
      assert.equal((await ask(own.port, {})).version, 'TLSv1.3');
      await assert.rejects(ask(own.port, { maxVersion: 'TLSv1.2' }));
      own.close();
    });

    it('a plain request on a TLS port gets no answer and harms nobody', async () => {
      const own = await lane('1.2');
      const plain = await RawConnection.open({ port: own.port });
      plain.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
      assert.ok(await plain.untilClosed(PATIENCE_MS));
      assert.doesNotMatch(plain.received().toString('latin1'), /HTTP\/1\.1 200/);
      assert.equal((await ask(own.port, {})).line, 'HTTP/1.1 200 OK');
      own.close();
    });

    it('large bodies pass through it', async () => {
      const own = await lane('1.2');
      const connection = await RawConnection.open({
        port: own.port,
        tls: { ca, servername: 'localhost' },
        receivedBytesMax: 30_000_000,
      });
      connection.send('GET /stream/20000000 HTTP/1.1\r\nHost: localhost\r\n\r\n');
      await eventually(() => connection.receivedBytes > 20_000_000, 'the whole body arrived');
      connection.destroy();
      own.close();
    });

    it('files that cannot be used are an error that names them', async () => {
      const start = (certificateFile: string, keyFile: string): Promise<LaneUnderTest> =>
        LaneUnderTest.start({
          transport,
          endpoints: [],
          listener: { id: 'edge', tls: { certificateFile, keyFile, minVersion: '1.2' } },
        });
      await assert.rejects(
        start('/nowhere/cert.pem', leaf.keyFile),
        /listener edge: \/nowhere\/cert\.pem cannot be read/,
      );
      await assert.rejects(start(leaf.keyFile, leaf.keyFile), /listener edge: .* cannot be used/);
      const other = testAuthority().leaf(['other.example']);
      await assert.rejects(start(leaf.certificateFile, other.keyFile), /listener edge: .* cannot be used/);
    });

    it('a port that is taken is an error that names it', async () => {
      const plain = await TestUpstream.start();
      await assert.rejects(
        LaneUnderTest.start({ transport, endpoints: [], listener: { id: 'edge', port: plain.port } }),
        new RegExp(`listener edge: cannot listen on 127\\.0\\.0\\.1:${plain.port}`),
      );
      await plain.stop();
    });

    it('an upstream with the wrong name or an unknown authority is not believed', async () => {
      for (const [i, tls] of [
        { serverName: 'wrong.example', ca },
        { serverName: 'localhost', ca: null },
      ].entries()) {
        const own = await lane('1.2', { tls, identity: `cell/unbelieved-${i}` });
        const { line } = await ask(own.port, {});
        assert.match(line, / 502 /);
        assert.equal((await own.ended(1))[0]?.refusal, 'upstream_unreachable');
        own.close();
      }
    });

    it('the name that the upstream hears is the configured one, whatever Host the client sends', async () => {
      const own = await lane('1.2', { identity: 'cell/sni' });
      const connection = await RawConnection.open({ port: own.port, tls: { ca, servername: 'localhost' } });
      connection.send('GET /status/200 HTTP/1.1\r\nHost: elsewhere.example\r\n\r\n');
      assert.ok(await connection.until((got) => got.includes('status'), PATIENCE_MS));
      connection.destroy();
      own.close();
    });
  });
}
