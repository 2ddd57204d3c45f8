/** `openssl s_client` against a running gateway of two lanes: versions, resumption by tickets, names, stapling. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { Given } from '../e2e/given.ts';
import { plainBundle } from '../harness/bundle.ts';
import { type Leaf, testAuthority } from '../harness/certs.ts';
import type { TestGateway } from '../harness/gateway.ts';
import type { TestUpstream } from '../harness/upstream.ts';
import { type Ran, runTool, words } from './tool.ts';

const authority = testAuthority();
const first = authority.leaf(['first.example']);
const second = authority.leaf(['second.example']);
const REQUEST = 'GET /status/200 HTTP/1.1\r\nHost: first.example\r\nConnection: close\r\n\r\n';
/** Old versions are switched off in the client, too, unless it is told so. */
const OLD = ['-cipher', 'ALL@SECLEVEL=0'];
/** Connections that resume one session: the system deals them to the lanes, all to the same one once in half a million runs. */
const RESUMPTIONS = 20;

/** An OCSP response that says `good`, as the authority would sign it. */
async function stapleFor(leaf: Leaf, directory: string): Promise<string> {
  const path = (name: string): string => join(directory, name);
  const done = async (args: readonly string[]): Promise<string> => {
    const { code, stdout, said } = await runTool('openssl', args);
    assert.equal(code, 0, said);
    return stdout;
  };
  const serial = (await done(['x509', '-in', leaf.certificateFile, '-noout', '-serial'])).trim().replace('serial=', '');
  writeFileSync(path('index'), `V\t491231235959Z\t\t${serial}\tunknown\t/CN=first.example\n`);
  const ca = authority.certificateFile;
  const key = join(dirname(ca), 'ca.key');
  await done(['ocsp', '-issuer', ca, '-cert', leaf.certificateFile, '-no_nonce', '-reqout', path('request')]);
  await done([
    ...words(`ocsp -index ${path('index')} -CA ${ca} -rsigner ${ca} -rkey ${key} -ndays 2`),
    ...words(`-reqin ${path('request')} -respout ${path('staple')}`),
  ]);
  return path('staple');
}

describe('openssl s_client', () => {
  const given = new Given();
  const directory = mkdtempSync(join(tmpdir(), 'cnx-clients-openssl-'));
  let upstream: TestUpstream;
  let gateway: TestGateway;

  before(async () => {
    upstream = await given.upstream();
    gateway = await given.gateway({
      bundle: plainBundle([upstream.address]),
      bootstrap: { transport: 'native', lanes: 2 },
      tls: {
        certificates: [
          {
            certificateFile: first.certificateFile,
            keyFile: first.keyFile,
            ocspFile: await stapleFor(first, directory),
          },
          { certificateFile: second.certificateFile, keyFile: second.keyFile },
        ],
      },
    });
  });
  after(async () => {
    await given.end();
    rmSync(directory, { recursive: true, force: true });
  });

  /** One connection with one request, to its end. */
  const client = (args: readonly string[], to = gateway): Promise<Ran> =>
    runTool(
      'openssl',
      [
        's_client',
        '-connect',
        `127.0.0.1:${to.ports.https}`,
        '-CAfile',
        authority.certificateFile,
        '-ign_eof',
        ...args,
      ],
      REQUEST,
    );

  it('is served by TLS 1.3 and 1.2, and by nothing older', async () => {
    for (const [option, version] of [
      ['-tls1_3', 'TLSv1.3'],
      ['-tls1_2', 'TLSv1.2'],
    ] as const) {
      const { stdout, said } = await client([option, '-servername', 'first.example', '-verify_return_error']);
      assert.match(stdout, new RegExp(`New, ${version}, Cipher is TLS_|New, ${version}, Cipher is ECDHE-`), said);
      assert.match(stdout, /Verify return code: 0 \(ok\)/);
      assert.match(stdout, /\nHTTP\/1\.1 200 OK\r\n/);
    }
    for (const option of ['-tls1_1', '-tls1']) {
      const { code, stdout, stderr, said } = await client([option, ...OLD]);
      assert.equal(code, 1, said);
      assert.match(stderr, /alert protocol version/, said);
      assert.doesNotMatch(stdout, /HTTP\/1\.1/);
    }
  });

  it('is served by every suite of ours that suits the key, and by none with CBC or without forward secrecy', async () => {
    for (const suite of ['TLS_AES_256_GCM_SHA384', 'TLS_AES_128_GCM_SHA256', 'TLS_CHACHA20_POLY1305_SHA256']) {
      const { stdout, said } = await client(['-tls1_3', '-ciphersuites', suite]);
      assert.match(stdout, new RegExp(`Cipher is ${suite}\n`), said);
    }
    for (const suite of ['AES256-GCM-SHA384', 'AES128-GCM-SHA256', 'CHACHA20-POLY1305']) {
      const { stdout, said } = await client(['-tls1_2', '-cipher', `ECDHE-ECDSA-${suite}`]);
      assert.match(stdout, new RegExp(`Cipher is ECDHE-ECDSA-${suite}\n`), said);
    }
    for (const suite of ['ECDHE-ECDSA-AES256-SHA384', 'AES128-GCM-SHA256']) {
      const { code, stderr, said } = await client(['-tls1_2', '-cipher', suite]);
      assert.equal(code, 1, said);
      assert.match(stderr, /alert handshake failure/);
    }
  });

  it('gets AES-128 though it would rather have AES-256, and ChaCha20 where it puts that first', async () => {
    const usual = await client(['-tls1_3']);
    assert.match(usual.stdout, /Cipher is TLS_AES_128_GCM_SHA256\n/, usual.said);
    const phone = await client(['-tls1_3', '-ciphersuites', 'TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384']);
    assert.match(phone.stdout, /Cipher is TLS_CHACHA20_POLY1305_SHA256\n/, phone.said);
  });

  it('resumes a session in whichever lane takes the connection', async () => {
    for (const option of ['-tls1_3', '-tls1_2']) {
      const session = join(directory, `session${option}`);
      const made = await client([option, '-servername', 'first.example', '-sess_out', session]);
      assert.match(made.stdout, /\nNew, TLSv1/, made.said);
      for (let n = 0; n < RESUMPTIONS; n++) {
        const { stdout, said } = await client([option, '-servername', 'first.example', '-sess_in', session]);
        assert.match(stdout, /\nReused, TLSv1/, said);
        assert.match(stdout, /\nHTTP\/1\.1 200 OK\r\n/);
      }
    }
  });

  it('is shown the certificate of the name that it asks for, with the staple of that one', async () => {
    for (const option of ['-tls1_3', '-tls1_2']) {
      const one = await client([option, '-servername', 'first.example', '-status']);
      assert.match(one.stdout, /subject=CN = first\.example/, one.said);
      assert.match(one.stdout, /OCSP Response Status: successful[\s\S]*Cert Status: good/);
      const other = await client([option, '-servername', 'second.example', '-status']);
      assert.match(other.stdout, /subject=CN = second\.example/, other.said);
      assert.match(other.stdout, /OCSP response: no response sent/);
      const unknown = await client([option, '-servername', 'unknown.example']);
      assert.match(unknown.stdout, /subject=CN = first\.example/, unknown.said);
      const none = await client([option, '-noservername']);
      assert.match(none.stdout, /subject=CN = first\.example/, none.said);
    }
  });

  it('is told the protocol that was agreed on, and refused when there is none in common', async () => {
    for (const [offered, agreed] of [
      ['h2,http/1.1', 'h2'],
      ['http/1.1,h2', 'h2'],
      ['http/1.1', 'http/1.1'],
      ['http/1.0', 'http/1.0'],
    ] as const) {
      // An HTTP/1.1 request is no preface: an h2 connection says so and closes.
      const { stdout, said } = await client(['-alpn', offered]);
      assert.match(stdout, new RegExp(`ALPN protocol: ${agreed}\n`), said);
    }
    const { stderr, said } = await client(['-alpn', 'gopher']);
    assert.match(stderr, /alert no application protocol/, said);
  });

  it('of TLS 1.2 is refused where 1.3 is the lowest, and there it gets the suites of the bootstrap only', async () => {
    const strict = await given.gateway({
      bundle: plainBundle([upstream.address]),
      bootstrap: { transport: 'native' },
      tls: {
        certificateFile: first.certificateFile,
        keyFile: first.keyFile,
        minVersion: '1.3',
        cipherSuites: ['TLS_CHACHA20_POLY1305_SHA256'],
      },
    });
    const old = await client(['-tls1_2'], strict);
    assert.equal(old.code, 1, old.said);
    assert.match(old.stderr, /alert protocol version/);
    const { stdout, said } = await client(['-tls1_3'], strict);
    assert.match(stdout, /Cipher is TLS_CHACHA20_POLY1305_SHA256\n/, said);
    const without = await client(['-tls1_3', '-ciphersuites', 'TLS_AES_128_GCM_SHA256'], strict);
    assert.equal(without.code, 1, without.said);
    await strict.stop();
  });
});
