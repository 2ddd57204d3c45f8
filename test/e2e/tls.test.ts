/** TLS of a running gateway: certificates by server name, their renewal, client certificates, HTTP/2 by ALPN. */
import assert from 'node:assert/strict';
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { connect as connectHttp2 } from 'node:http2';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls';
import { plainBundle } from '../harness/bundle.ts';
import { type Leaf, TestAuthority, testAuthority } from '../harness/certs.ts';
import type { TestGateway } from '../harness/gateway.ts';
import type { TestUpstream } from '../harness/upstream.ts';
import { Given } from './given.ts';

const authority = testAuthority();
const first = authority.leaf(['first.example']);
const renewed = authority.leaf(['first.example', 'renewed.example']);
const second = authority.leaf(['second.example', '*.second.example']);
const alice = authority.leaf(['alice.example', 'spiffe://example/alice']);

/** A connection, and what it said of itself. */
class Connection {
  readonly socket: TLSSocket;
  #got = '';

  private constructor(socket: TLSSocket) {
    this.socket = socket;
    socket.setEncoding('latin1');
    socket.on('data', (text: string) => (this.#got += text));
  }

  static open(port: number, servername: string, more: ConnectionOptions = {}): Promise<Connection> {
    return new Promise((resolve, reject) => {
      const socket: TLSSocket = connect(
        {
          host: '127.0.0.1',
          port,
          servername,
          ca: authority.certificate,
          checkServerIdentity: () => undefined,
          ...more,
        },
        () => resolve(new Connection(socket)),
      );
      socket.once('error', reject);
    });
  }

  /** Names in the certificate that it was shown. */
  get names(): string {
    return this.socket.getPeerCertificate().subjectaltname ?? '';
  }

  /** One request of `/echo` on this connection, and what the upstream saw of it. */
  async echo(headers = ''): Promise<Record<string, string>> {
    this.#got = '';
    this.socket.write(`GET /echo HTTP/1.1\r\nHost: first.example\r\n${headers}\r\n`);
    const ended = new Promise((_, reject) => {
      this.socket.once('close', () => reject(new Error(`closed after ${this.#got}`)));
    });
    for (;;) {
      const body = /\r\n\r\n(.*\})(\r\n0\r\n\r\n)?$/s.exec(this.#got)?.[1];
      if (body !== undefined) {
        assert.match(this.#got, /^HTTP\/1\.1 200 /);
        return (JSON.parse(body.slice(body.indexOf('{'))) as { headers: Record<string, string> }).headers;
      }
      await Promise.race([new Promise((resolve) => this.socket.once('data', resolve)), ended]);
    }
  }

  close(): void {
    this.socket.destroy();
  }
}

describe('TLS', () => {
  const given = new Given();
  const directory = mkdtempSync(join(tmpdir(), 'cnx-e2e-tls-'));
  const certificateFile = join(directory, 'edge.pem');
  const keyFile = join(directory, 'edge.key');
  let upstream: TestUpstream;
  let gateway: TestGateway;
  after(async () => {
    await given.end();
    rmSync(directory, { recursive: true, force: true });
  });

  function put(leaf: Leaf): void {
    copyFileSync(leaf.certificateFile, certificateFile);
    copyFileSync(leaf.keyFile, keyFile);
  }

  /** Names of the certificate that a new connection is shown. */
  async function shown(servername: string): Promise<string> {
    const connection = await Connection.open(gateway.ports.https, servername);
    const { names } = connection;
    connection.close();
    return names;
  }

  before(async () => {
    upstream = await given.upstream();
    put(first);
    gateway = await given.gateway({
      bundle: plainBundle([upstream.address], {
        routes: {
          routes: [
            {
              id: 'all',
              match: { path: { prefix: '/' } },
              access: 'public',
              reason: 'everything, for a test',
              forwardClientCertificate: true,
            },
            {
              id: 'tenant',
              match: { path: { prefix: '/tenant' } },
              access: 'public',
              reason: 'everything, for a test',
              tenant: { sniLabel: 0 },
              respond: { stripPrefix: '/tenant', requestHeaders: { set: { 'x-tenant': '${tenant}' } } },
            },
          ],
        },
      }),
      bootstrap: { transport: 'native', lanes: 2, allowFaults: true },
      tls: {
        certificates: [
          { certificateFile, keyFile },
          { certificateFile: second.certificateFile, keyFile: second.keyFile },
        ],
        clientCertificates: { mode: 'optional', caFile: authority.certificateFile },
      },
    });
  });

  it('the certificate is that of the name that is asked for; the first for whoever asks for another', async () => {
    assert.match(await shown('first.example'), /first\.example/);
    assert.match(await shown('second.example'), /second\.example/);
    assert.match(await shown('a.second.example'), /second\.example/);
    assert.match(await shown('unknown.example'), /first\.example/);
  });

  it('a client certificate is told to the endpoint, and nobody can claim one', async () => {
    const known = await Connection.open(gateway.ports.https, 'first.example', {
      cert: alice.certificate,
      key: alice.key,
    });
    const claim = 'X-Forwarded-Client-Cert: Hash=00;Subject="CN=root"\r\n';
    const field = (await known.echo(claim))['x-forwarded-client-cert'];
    assert.match(
      field ?? '',
      /^Hash=[0-9a-f]{64};Subject="CN=alice\.example";URI=spiffe:\/\/example\/alice;DNS=alice\.example$/,
    );
    assert.equal((await known.echo())['x-forwarded-client-cert'], field, 'also for the next request');
    known.close();
    const nobody = await Connection.open(gateway.ports.https, 'first.example');
    assert.equal((await nobody.echo(claim))['x-forwarded-client-cert'], undefined);
    nobody.close();
  });

  it('HTTP/2 is spoken with whoever offers it', async () => {
    const session = connectHttp2(`https://127.0.0.1:${gateway.ports.https}`, {
      ca: authority.certificate,
      servername: 'first.example',
      cert: alice.certificate,
      key: alice.key,
    });
    const asked = session.request({ ':path': '/echo', ':authority': 'first.example' });
    let body = '';
    asked.setEncoding('utf8');
    asked.on('data', (text: string) => (body += text));
    const status = await new Promise((resolve, reject) => {
      session.once('error', reject);
      asked.once('error', reject);
      asked.once('response', (head) => asked.once('end', () => resolve(head[':status'])));
    });
    session.destroy();
    assert.equal(status, 200);
    assert.match(body, /"x-forwarded-client-cert":"Hash=[0-9a-f]{64};Subject=/);
  });

  it('over a connection to one name nothing is asked as the tenant of it that is for another', async () => {
    const session = connectHttp2(`https://127.0.0.1:${gateway.ports.https}`, {
      ca: authority.certificate,
      servername: 'acme.second.example',
    });
    const asked = (host: string): Promise<{ status: unknown; body: string }> =>
      new Promise((resolve, reject) => {
        const stream = session.request({ ':path': '/tenant/echo', ':authority': host });
        let [status, body]: [unknown, string] = [0, ''];
        stream.setEncoding('utf8');
        stream.on('response', (head) => (status = head[':status']));
        stream.on('data', (text: string) => (body += text));
        stream.on('end', () => resolve({ status, body }));
        stream.on('error', reject);
      });
    try {
      for (const host of ['acme.second.example', 'ACME.second.example:443', 'acme.second.example.']) {
        const { status, body } = await asked(host);
        assert.equal(status, 200, host);
        assert.match(body, /"x-tenant":"acme"/, host);
      }
      const other = await asked('globex.second.example');
      assert.equal(other.status, 421);
      assert.match(other.body, /"code":"misdirected"/);
      assert.equal((await asked('acme.second.example')).status, 200, 'the connection goes on');
    } finally {
      session.destroy();
    }
  });

  it('renewed files serve new connections, and open ones go on; broken ones are refused, and the former ones serve', async () => {
    const open = await Connection.open(gateway.ports.https, 'first.example');
    await open.echo();
    put(renewed);
    await gateway.untilPrinted(/"certificates taken".*"listener":"tls"/);
    assert.match(await shown('first.example'), /renewed\.example/);
    assert.match(await shown('second.example'), /second\.example/);
    await open.echo();
    writeFileSync(keyFile, 'no key');
    await gateway.untilPrinted(
      /"certificates refused; the former ones serve".*edge\.key cannot be used \(the key cannot be read/,
    );
    assert.match(await shown('first.example'), /renewed\.example/);
    await open.echo();
    open.close();
  });

  it('a lane that starts anew has the last good ones', async () => {
    const asked = request({
      host: '127.0.0.1',
      port: gateway.ports.admin,
      path: '/v1/fault?lane=0',
      method: 'POST',
      agent: false,
    });
    asked.end();
    await new Promise((resolve, reject) => asked.once('response', resolve).once('error', reject));
    await gateway.until('it serves again', async () => {
      const { lanes } = (await gateway.admin('/v1/status')) as { lanes: { state: string; restarts: number }[] };
      return lanes[0]?.state === 'serving' && lanes[0].restarts === 1;
    });
    // Enough that both lanes have some.
    for (let i = 0; i < 16; i++) assert.match(await shown('first.example'), /renewed\.example/);
  });

  it('ends in order', () => gateway.stop());
});

describe('a gateway whose clients must show a certificate', () => {
  const given = new Given();
  after(() => given.end());

  it('serves nobody without, and nobody with that of another authority', async () => {
    const upstream = await given.upstream();
    const gateway = await given.gateway({
      bundle: plainBundle([upstream.address]),
      bootstrap: { transport: 'native' },
      tls: {
        certificateFile: first.certificateFile,
        keyFile: first.keyFile,
        clientCertificates: { mode: 'required', caFile: authority.certificateFile },
      },
    });
    const served = async (more: ConnectionOptions): Promise<boolean> => {
      const connection = await Connection.open(gateway.ports.https, 'first.example', more);
      try {
        await connection.echo();
        return true;
      } catch {
        return false;
      } finally {
        connection.close();
      }
    };
    assert.equal(await served({ cert: alice.certificate, key: alice.key }), true);
    assert.equal(await served({}), false);
    // Of another authority.
    const stranger = new TestAuthority().leaf(['alice.example']);
    assert.equal(await served({ cert: stranger.certificate, key: stranger.key }), false);
    await gateway.stop();
  });
});
