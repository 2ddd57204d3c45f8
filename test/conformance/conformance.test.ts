/** The suites run as a whole: through live gateways of known manners, with verifiers of known manners, and from the command line. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, test } from 'node:test';
import { CompactSign, exportJWK, type JWK } from 'jose';
import { listening } from '../harness/ports.ts';
import { DataDirectory } from './data.ts';
import { RecordingUpstream } from './http1/recording-upstream.ts';
import { readStream } from './http1/reference.ts';
import { runHttp1 } from './http1/suite.ts';
import { judgeVector, pinnedFor } from './jwt/suite.ts';
import { gatewayVerifier, type Verifier } from './jwt/verifier.ts';
import { type CaseResult, markOf, reportOf } from './result.ts';

const BAD = 'GET / HTTP/1.1\r\nHost: a.test\r\nX : y\r\n\r\n';
const REFUSED = 'HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n';

type Proxy = (client: Socket, upstreamPort: number) => void;

const proxies: Readonly<Record<string, Proxy>> = {
  /** Passes every byte, telling only the client's address. */
  transparent: (client, upstreamPort) => {
    const upstream = connect(upstreamPort, '127.0.0.1');
    client.on('error', () => upstream.destroy());
    upstream.on('error', () => client.destroy());
    client.once('data', (first: Buffer) => {
      const at = first.indexOf('\r\n') + 2;
      upstream.write(
        Buffer.concat([
          first.subarray(0, at),
          Buffer.from(`X-Forwarded-For: ${client.remoteAddress ?? ''}\r\n`),
          first.subarray(at),
        ]),
      );
      client.pipe(upstream);
    });
    upstream.pipe(client);
  },
  /** Lets good requests through and refuses all others, as a strict gateway does. */
  strict: (client, upstreamPort) => {
    client.on('error', () => client.destroy());
    client.once('data', (first: Buffer) => {
      const [message] = readStream(first);
      if (message?.outcome !== 'complete') {
        client.end(REFUSED);
        return;
      }
      client.unshift(first.subarray(0, message.end));
      proxies['transparent']?.(client, upstreamPort);
    });
  },
  /** Lets the suite's own good requests through, and says nothing to all others. */
  silent: (client, upstreamPort) => {
    client.on('error', () => client.destroy());
    client.once('data', (first: Buffer) => {
      if (!first.includes('good.test')) return;
      client.unshift(first);
      proxies['transparent']?.(client, upstreamPort);
    });
  },
};

/** A data directory with a few cases of each set, written for this test. */
function tinyData(): string {
  const directory = mkdtempSync(join(tmpdir(), 'cnx-conformance-'));
  const write = (path: string, cases: readonly unknown[]): void => {
    const file = join(directory, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, JSON.stringify({ cases }));
  };
  const table = {
    Open: { Pass: [400], Fail: [null, 200] },
    ClosedByServer: { Pass: [400], Fail: [200] },
    TimedOut: { Fail: [null, 200] },
  };
  write('http11probe/cases.json', [
    {
      id: 'BAD',
      kind: 'single',
      scored: true,
      expected_text: '400',
      request: { template_latin1: BAD.replace('a.test', '@@HOST@@') },
      verdict_table: table,
    },
  ]);
  write('h1-gunicorn/cases.json', [
    {
      id: 'valid/1',
      verdict: 'gunicorn accepts',
      gunicorn_config: [],
      missing_host: true,
      raw_latin1: 'GET /x HTTP/1.1\r\n\r\n',
    },
    { id: 'invalid/1', verdict: 'gunicorn rejects', gunicorn_config: [], missing_host: false, raw_latin1: BAD },
  ]);
  write('h1-desync-guardian/cases.json', [
    {
      id: 'severe/1',
      expected_tier: 'Severe',
      has_host: false,
      raw_latin1: 'POST / HTTP/1.1\r\nContent-Length: 1 2\r\n\r\n',
    },
    {
      id: 'compliant/1',
      expected_tier: 'Compliant',
      has_host: false,
      raw_latin1: 'POST / HTTP/1.1\r\nContent-Length: 12\r\n\r\n',
    },
  ]);
  const b64 = (text: string): string => Buffer.from(text).toString('base64');
  write('h1-llhttp/cases.json', [
    {
      id: 'request/1',
      strict: true,
      outcome: 'accepted',
      log: ['off=18 message complete'],
      bytes_b64: b64('GET / HTTP/1.1\r\n'),
    },
    {
      id: 'request/2',
      strict: true,
      outcome: 'error',
      log: ['off=18 error code=10 reason="x"'],
      bytes_b64: b64('GET / HTTP/1.1\r\nX : y\r\n'),
    },
    { id: 'request/3', strict: false, outcome: 'accepted', log: [], bytes_b64: b64('x') },
    { id: 'response/1', strict: true, outcome: 'accepted', log: [], bytes_b64: b64('x') },
  ]);
  write('h1-smuggler/gadgets.json', [{ id: 'space', gadget_latin1: 'Transfer-Encoding : chunked' }]);
  return directory;
}

/** `stallMs`: of gateways that answer or close always, longer than a busy machine takes. */
async function runThrough(name: string, stallMs = 20_000): Promise<CaseResult[]> {
  const directory = tinyData();
  const upstream = new RecordingUpstream();
  const upstreamPort = await upstream.listen();
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    sockets.add(client);
    proxies[name]?.(client, upstreamPort);
  });
  const port = await listening(server);
  try {
    return await runHttp1({
      data: new DataDirectory(directory),
      target: { host: '127.0.0.1', port },
      upstream,
      progress: () => undefined,
      stallMs,
    });
  } finally {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
    await upstream.close();
    rmSync(directory, { recursive: true });
  }
}

function marksOf(results: readonly CaseResult[]): Record<string, string> {
  return Object.fromEntries(
    results
      .filter(({ id }) => !id.endsWith('/afterwards'))
      .map((result) => [result.id, `${markOf(result)} ${result.outcome}`]),
  );
}

describe('through live gateways', { concurrency: true }, () => {
  test('a strict gateway passes every case of every set, and the good requests after each', async () => {
    const results = await runThrough('strict');
    const report = reportOf('http1', results);
    assert.deepEqual(report.failed, []);
    assert.equal(report.total, 8 + 5);
    assert.equal(report.passed, 13);
  });

  test('a gateway that passes every byte on is caught at the upstream', async () => {
    assert.deepEqual(marksOf(await runThrough('transparent')), {
      'http11probe/BAD': 'fail malformed',
      'h1-gunicorn/valid/1': 'pass served',
      'h1-gunicorn/invalid/1': 'fail malformed',
      'h1-desync-guardian/severe/1': 'fail malformed',
      'h1-desync-guardian/compliant/1': 'pass served',
      'h1-llhttp/request/1': 'pass served',
      'h1-llhttp/request/2': 'fail malformed',
      'h1-smuggler/space': 'fail malformed',
    });
  });

  test('a gateway that says nothing stalls in every case, and each stall is a failure', async () => {
    const results = await runThrough('silent', 500);
    const report = reportOf('http1', results);
    assert.equal(report.stalls, 8);
    assert.equal(report.failed.length, 8);
  });
});

test('JWT vectors: a verifier that believes everything fails, one that believes nothing fails, the gateway’s passes', async () => {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const jwk: JWK = { ...(await exportJWK(publicKey)), kid: 'k', use: 'sig', alg: 'ES256' };
  const jws = await new CompactSign(Buffer.from('text'))
    .setProtectedHeader({ alg: 'ES256', kid: 'k' })
    .sign(privateKey);
  const keys = { keys: [jwk] };
  assert.deepEqual(pinnedFor(keys), ['ES256']);
  const tampered = `${jws.slice(0, jws.indexOf('.'))}.AAAA${jws.slice(jws.lastIndexOf('.'))}`;
  const vectors = [
    { id: 'good', jws, keys, verdict: 'valid' as const, comment: '' },
    { id: 'tampered', jws: tampered, keys, verdict: 'invalid' as const, comment: '' },
    { id: 'json', jws: '{"payload":""}', keys, verdict: 'valid' as const, comment: '' },
  ];
  const marks = async (verify: Verifier): Promise<string[]> => {
    const results = [];
    for (const vector of vectors) results.push(await judgeVector('set', vector, verify));
    return results.map((result) => markOf(result));
  };
  assert.deepEqual(await marks(async () => ({ verdict: 'valid', why: '' })), ['pass', 'fail', 'fail']);
  assert.deepEqual(await marks(async () => ({ verdict: 'invalid', why: '' })), ['fail', 'pass', 'pass']);
  assert.deepEqual(await marks(gatewayVerifier), ['pass', 'pass', 'pass']);
});

test('missing data is said; under CI it is a failure; the report is written either way', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'cnx-conformance-'));
  const json = join(directory, 'report.json');
  const run = (ci: string): Promise<{ code: number; out: string }> =>
    new Promise((resolve) => {
      const args = [join(import.meta.dirname, 'run.ts'), 'jwt', '--data', directory, '--json', json];
      execFile(process.execPath, args, { env: { ...process.env, CI: ci } }, (error, out) => {
        resolve({ code: typeof error?.code === 'number' ? error.code : 0, out });
      });
    });
  try {
    const [relaxed, strict] = await Promise.all([run(''), run('true')]);
    assert.equal(relaxed.code, 0);
    assert.match(relaxed.out, /missing: jwt-wycheproof/);
    assert.equal(strict.code, 1);
    assert.deepEqual(JSON.parse(readFileSync(json, 'utf8')), {
      suite: 'jwt',
      total: 0,
      passed: 0,
      warned: 0,
      stalls: 0,
      failed: [],
    });
  } finally {
    rmSync(directory, { recursive: true });
  }
});
