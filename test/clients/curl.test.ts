/** curl against a running gateway: HTTP/1.0, 1.1 and 2, client certificates, uploads that wait for 100, trailers. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { Given } from '../e2e/given.ts';
import { plainBundle } from '../harness/bundle.ts';
import { TestAuthority, testAuthority } from '../harness/certs.ts';
import type { TestGateway } from '../harness/gateway.ts';
import { type Ran, runTool, words } from './tool.ts';

const UPLOAD_BYTES = 2 * 1024 * 1024;

describe('curl', () => {
  const given = new Given();
  const authority = testAuthority();
  const alice = authority.leaf(['alice.example']);
  let upload = '';
  let gateway: TestGateway;

  before(async () => {
    const directory = mkdtempSync(join(tmpdir(), 'cnx-clients-curl-'));
    given.ends(() => rmSync(directory, { recursive: true, force: true }));
    upload = join(directory, 'upload');
    writeFileSync(upload, Buffer.alloc(UPLOAD_BYTES, 'abcdefghij'));
    const upstream = await given.upstream({
      behaviours: {
        trailers: (_request, response) => {
          response.writeHead(200, { trailer: 'x-sum' });
          response.write('content');
          response.addTrailers({ 'x-sum': 'of content' });
          response.end();
        },
      },
    });
    const open = { access: 'public', reason: 'everything, for a test' };
    const server = authority.leaf();
    gateway = await given.gateway({
      bundle: plainBundle([upstream.address], {
        routes: {
          routes: [
            { id: 'small', match: { path: { prefix: '/sink/small' } }, ...open, bodyBytesMax: 1_000_000 },
            { id: 'all', match: { path: { prefix: '/' } }, ...open, forwardClientCertificate: true },
          ],
        },
      }),
      bootstrap: { transport: 'native' },
      listener: { http2: true },
      tls: {
        certificateFile: server.certificateFile,
        keyFile: server.keyFile,
        clientCertificates: { mode: 'required', caFile: authority.certificateFile },
      },
    });
  });
  after(() => given.end());

  const curl = (...args: string[]): Promise<Ran> =>
    runTool('curl', ['--silent', '--show-error', '--max-time', '40', ...args]);
  const plain = (path: string): string => `http://127.0.0.1:${gateway.ports.http}${path}`;
  const secure = (path: string): string[] => [
    ...words(`--cacert ${authority.certificateFile} --cert ${alice.certificateFile} --key ${alice.keyFile}`),
    `https://localhost:${gateway.ports.https}${path}`,
  ];
  /** The version that was spoken, after the content. */
  const VERSION = ['--write-out', '\n%{http_version} %{http_code}'];

  it('is served in every version, plain and by TLS with its certificate', async () => {
    for (const [option, version] of [
      ['--http1.0', '1.0'],
      ['--http1.1', '1.1'],
      ['--http2-prior-knowledge', '2'],
    ] as const) {
      const { stdout, said } = await curl(...VERSION, option, plain('/echo'));
      // To HTTP/1.0, too, we say what we speak ourselves (RFC 9110 §6.2).
      assert.match(stdout, new RegExp(`\n${version === '1.0' ? '1.1' : version} 200$`), said);
      assert.match(stdout, /"x-forwarded-for":"127\.0\.0\.1"/);
    }
    for (const [option, version] of [
      ['--http1.0', '1.1'],
      ['--http1.1', '1.1'],
      ['--http2', '2'],
    ] as const) {
      for (const tls of ['1.2', '1.3']) {
        const { stdout, said } = await curl(...VERSION, option, '--tlsv1.2', '--tls-max', tls, ...secure('/echo'));
        assert.match(stdout, new RegExp(`\n${version} 200$`), said);
        assert.match(stdout, /"x-forwarded-client-cert":"Hash=[0-9a-f]{64};Subject=\\"CN=alice\.example\\"/);
      }
    }
  });

  it('is served nothing without a certificate, or with that of another authority', async () => {
    const url = `https://localhost:${gateway.ports.https}/echo`;
    const stranger = new TestAuthority().leaf(['alice.example']);
    for (const certificate of [[], ['--cert', stranger.certificateFile, '--key', stranger.keyFile]]) {
      for (const version of ['--http1.1', '--http2']) {
        const { code, stdout, stderr } = await curl(
          '--cacert',
          authority.certificateFile,
          ...certificate,
          version,
          url,
        );
        assert.notEqual(code, 0);
        assert.match(stderr, /alert/);
        assert.equal(stdout, '');
      }
    }
  });

  it('uploads 2 MiB in every version; in HTTP/1.1 after a 100 that it waits for', async () => {
    for (const [option, url] of [
      ['--http1.0', [plain('/sink')]],
      ['--http1.1', [plain('/sink')]],
      ['--http1.1', secure('/sink')],
      ['--http2-prior-knowledge', [plain('/sink')]],
      ['--http2', secure('/sink')],
    ] as const) {
      const expecting = option === '--http1.1';
      const expect = expecting ? ['--header', 'Expect: 100-continue', '--expect100-timeout', '30'] : [];
      const sent = await curl('--verbose', option, ...expect, '--data-binary', `@${upload}`, ...url);
      assert.equal(sent.stdout, String(UPLOAD_BYTES), sent.said);
      if (expecting) assert.match(sent.stderr, /< HTTP\/1\.1 100 Continue/);
    }
  });

  it('whose upload is refused hears so instead of a 100', async () => {
    const expect = ['--header', 'Expect: 100-continue', '--expect100-timeout', '30'];
    const { stdout, stderr, said } = await curl(
      '--verbose',
      '--http1.1',
      ...expect,
      '--data-binary',
      `@${upload}`,
      plain('/sink/small'),
    );
    assert.match(stdout, /"code":"body_too_large"/, said);
    assert.doesNotMatch(stderr, /100 Continue/);
  });

  it('whose upload is refused within it hears why, in every version', async () => {
    for (const [option, url] of [
      ['--http1.1', [plain('/sink/small')]],
      ['--http2-prior-knowledge', [plain('/sink/small')]],
      ['--http2', secure('/sink/small')],
    ] as const) {
      // Without a length the gateway has taken a part of it before it knows.
      for (const [form, header] of [
        ['whole', 'Expect:'],
        ['of unknown length', 'Transfer-Encoding: chunked'],
      ] as const) {
        const { stdout, said } = await curl(option, '--header', header, '--data-binary', `@${upload}`, ...url);
        assert.match(stdout, /"code":"body_too_large"/, `${option} ${form}: ${said}`);
      }
    }
  });

  it('sees trailers', async () => {
    for (const [option, url] of [
      ['--http1.1', [plain('/trailers')]],
      ['--http2', secure('/trailers')],
    ] as const) {
      const { stdout, said } = await curl(option, '--header', 'TE: trailers', '--include', ...url);
      assert.match(stdout, /\r\n\r\n(content)?x-sum: of content\r\n/i, said);
    }
  });

  it('uses a connection again, also after an answer without content', async () => {
    const paths = ['/status/204', '/status/304', '/stream/100000', '/chunked/100000', '/echo'];
    for (const option of ['--http1.1', '--http2-prior-knowledge']) {
      const { stderr, said } = await curl('--verbose', option, '--output', '/dev/null', ...paths.map(plain));
      assert.equal([...stderr.matchAll(/Connected to /g)].length, 1, said);
    }
  });
});
