/** A judge that cannot fail is a defect: good and bad behaviour, recorded and live, meets every judge here. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { CompactSign, exportJWK, type JWK } from 'jose';
import { listening } from '../harness/ports.ts';
import { DataDirectory } from './data.ts';
import { happened, judge, type Seen, type Wish } from './http1/judge.ts';
import type { StepSeen } from './http1/observe.ts';
import { RecordingUpstream, type UpstreamRecord } from './http1/recording-upstream.ts';
import { readMessage, readStream } from './http1/reference.ts';
import { readResponses } from './http1/responses.ts';
import { judgeEntry } from './http1/sets/http11probe.ts';
import { withEnd } from './http1/sets/llhttp.ts';
import { bodyFor, withHost } from './http1/complete-request.ts';
import { runHttp1 } from './http1/suite.ts';
import { judgeVector, pinnedFor } from './jwt/suite.ts';
import { gatewayVerifier, type Verifier } from './jwt/verifier.ts';
import { type CaseResult, markOf, reportOf } from './result.ts';

const GOOD = 'GET / HTTP/1.1\r\nHost: a.test\r\n\r\n';
const BAD = 'GET / HTTP/1.1\r\nHost: a.test\r\nX : y\r\n\r\n';
const CL_TE = 'POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n';
const OK_FROM_UPSTREAM = 'HTTP/1.1 200 OK\r\nX-Recorded: 1\r\nContent-Length: 2\r\n\r\nOK';
const REFUSED = 'HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n';

/** What a client saw that sent `sent` and got `received`, and what the upstream got. */
function seenOf(sent: string, received: string, ending: StepSeen['ending'], upstream: readonly string[] = []): Seen {
  const bytes = Buffer.from(sent, 'latin1');
  const messages = readStream(bytes);
  const { responses, garbage } = readResponses(
    Buffer.from(received, 'latin1'),
    messages.map((message) => message.method),
    ending !== 'open',
  );
  const stalled = received === '' && ending === 'open' && messages[0]?.outcome !== 'incomplete';
  const step = {
    executed: true,
    sent: bytes,
    messages,
    responses,
    garbage,
    receivedBytes: received.length,
    ending,
    stalled,
  };
  const records = upstream.map((text, n): UpstreamRecord => {
    const message = readMessage(Buffer.from(text, 'latin1'));
    const outcome =
      message.outcome === 'complete' ? 'complete' : message.outcome === 'invalid' ? 'malformed' : 'partial';
    return { id: n + 1, connection: 1, client: '', outcome, faults: [...message.findings], message, excerpt: text };
  });
  return { steps: [step], records };
}

test('each behaviour of a gateway has its outcome, and each wish its verdict on it', () => {
  const rows: readonly (readonly [
    behaviour: string,
    seen: Seen,
    outcome: string,
    marks: Readonly<Partial<Record<Wish, string>>>,
  ])[] = [
    [
      'a good request served',
      seenOf(GOOD, OK_FROM_UPSTREAM, 'open', [GOOD]),
      'served',
      { serve: 'pass', refuse: 'pass', either: 'pass', ambiguous: 'pass' },
    ],
    ['a good request refused', seenOf(GOOD, REFUSED, 'end'), 'refused', { serve: 'fail', either: 'pass' }],
    ['a good request closed upon', seenOf(GOOD, '', 'end'), 'refused', { serve: 'fail' }],
    ['a good request met with silence', seenOf(GOOD, '', 'open'), 'stalled', { serve: 'fail', either: 'fail' }],
    [
      'an answer of the gateway’s own',
      seenOf(GOOD, OK_FROM_UPSTREAM, 'open'),
      'answered',
      { serve: 'fail', either: 'pass' },
    ],
    [
      'another request’s answer',
      seenOf(GOOD, OK_FROM_UPSTREAM.replace('Recorded: 1', 'Recorded: 9'), 'open', [GOOD]),
      'served',
      { serve: 'fail' },
    ],
    ['forwarded, then closed upon', seenOf(GOOD, '', 'end', [GOOD]), 'dropped', { serve: 'fail', either: 'fail' }],
    ['an answer cut short', seenOf(GOOD, OK_FROM_UPSTREAM.slice(0, -1), 'end', [GOOD]), 'dropped', { serve: 'fail' }],
    ['an answer that is not HTTP', seenOf(GOOD, '<html>', 'end'), 'garbled', { serve: 'fail', refuse: 'fail' }],
    [
      'another method upstream',
      seenOf(GOOD, OK_FROM_UPSTREAM, 'open', [GOOD.replace('GET', 'PUT')]),
      'altered',
      { serve: 'fail' },
    ],
    [
      'a bad request refused',
      seenOf(BAD, REFUSED, 'end'),
      'refused',
      { serve: 'pass', refuse: 'pass', ambiguous: 'pass', either: 'pass' },
    ],
    ['a bad request closed upon', seenOf(BAD, '', 'reset'), 'refused', { refuse: 'pass' }],
    ['a bad request met with silence', seenOf(BAD, '', 'open'), 'stalled', { refuse: 'fail', either: 'fail' }],
    [
      'a bad request repaired',
      seenOf(BAD, OK_FROM_UPSTREAM, 'open', [GOOD]),
      'served',
      { refuse: 'fail', either: 'warn', ambiguous: 'fail' },
    ],
    [
      'a bad request repaired, then closed',
      seenOf(BAD, OK_FROM_UPSTREAM, 'end', [GOOD]),
      'served',
      { refuse: 'fail', ambiguous: 'warn' },
    ],
    [
      'a bad request passed on as it is',
      seenOf(BAD, REFUSED, 'end', [BAD]),
      'malformed',
      { refuse: 'fail', either: 'fail', ambiguous: 'fail' },
    ],
    [
      'two requests made of one',
      seenOf(CL_TE, OK_FROM_UPSTREAM, 'end', [GOOD, GOOD]),
      'smuggled',
      { refuse: 'fail', either: 'fail', ambiguous: 'fail' },
    ],
    ['half a request waited for', seenOf(GOOD.slice(0, -2), '', 'open'), 'waiting', { serve: 'pass', refuse: 'pass' }],
    [
      'half a request passed on',
      seenOf(GOOD.slice(0, -2), '', 'open', [GOOD.slice(0, -2)]),
      'waiting',
      { refuse: 'pass' },
    ],
  ];
  for (const [behaviour, seen, outcome, marks] of rows) {
    assert.equal(happened(seen).outcome, outcome, behaviour);
    for (const [wish, mark] of Object.entries(marks))
      assert.equal(markOf(judge(wish as Wish, seen)), mark, `${behaviour}, ${wish}`);
  }
});

test('content that changes on its way is seen', () => {
  const sent = 'POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello';
  assert.equal(happened(seenOf(sent, OK_FROM_UPSTREAM, 'open', [sent])).outcome, 'served');
  assert.equal(happened(seenOf(sent, OK_FROM_UPSTREAM, 'open', [sent.replace('hello', 'hullo')])).outcome, 'altered');
});

test('http11probe: the table decides, above it stalls and the upstream, and the text where the table cannot see', () => {
  const only400 = {
    Open: { Pass: [400], Warn: [204], Fail: [null, 200, 404] },
    ClosedByServer: { Pass: [null, 400], Fail: [200] },
    TimedOut: { Pass: [null, 400], Fail: [200] },
  };
  const entry = { expected_text: '400 or close', scored: true, verdict_table: only400 };
  const mark = (seen: Seen, more: Record<string, unknown> = {}): string =>
    markOf(judgeEntry({ ...entry, ...more }, seen));
  assert.equal(mark(seenOf(BAD, REFUSED, 'end')), 'pass');
  assert.equal(mark(seenOf(BAD, '', 'end')), 'pass');
  assert.equal(mark(seenOf(BAD, OK_FROM_UPSTREAM, 'open', [GOOD])), 'fail');
  assert.equal(mark(seenOf(BAD, OK_FROM_UPSTREAM, 'open', [GOOD]), { scored: false }), 'warn');
  assert.equal(
    mark(seenOf(BAD, 'HTTP/1.1 451 No\r\nContent-Length: 0\r\n\r\n', 'open')),
    'fail',
    'an unknown 4xx is not 400',
  );
  assert.equal(mark(seenOf(BAD, '', 'open')), 'fail', 'a table passes silence, this suite does not');
  assert.equal(mark(seenOf(BAD, REFUSED, 'end', [GOOD, GOOD])), 'fail', 'what reaches the upstream counts');
  assert.equal(mark(seenOf(BAD, REFUSED, 'end', [GOOD, GOOD]), { scored: false }), 'fail', 'even unscored');

  const depends = (text: string, sent: string, received: string): string =>
    markOf(
      judgeEntry(
        {
          expected_text: text,
          verdict_depends_on_body_or_headers: true,
          verdict_table: { Open: { Fail: [200, 204, 405] } },
        },
        seenOf(sent, received, 'open', [sent]),
      ),
    );
  const post = 'POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello';
  const answer = (body: string, fields = '', status = '200 OK'): string =>
    `HTTP/1.1 ${status}\r\n${fields}Content-Length: ${body.length}\r\n\r\n${body}`;
  assert.equal(depends('2xx + echo', post, answer('hello')), 'pass');
  assert.equal(depends('2xx + echo', post, answer('OK')), 'fail');
  assert.equal(depends('405 + Allow header', GOOD, answer('', 'Allow: GET\r\n', '405 No')), 'pass');
  assert.equal(depends('405 + Allow header', GOOD, answer('', '', '405 No')), 'fail');
  assert.equal(depends('2xx with a=1, b=2 in body', GOOD, answer('a=1\nb=2')), 'pass');
  assert.equal(depends('2xx with a=1, b=2 in body', GOOD, answer('a=1')), 'fail');
  assert.equal(depends('400 (rejected) or 2xx without control chars', GOOD, answer('a\u0001')), 'fail');
  assert.equal(depends('400 (rejected) or 2xx without control chars', GOOD, answer('a')), 'pass');
  const odd = 'POST /echo HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1\r\nContent_Length: 99\r\n\r\nx';
  const text = 'Reject/drop (pass), normalize (fail), preserve (warn)';
  assert.equal(depends(text, odd, answer('Content-Length: 1\n')), 'pass');
  assert.equal(depends(text, odd, answer('Content-Length: 99\n')), 'fail');
  assert.equal(depends(text, odd, answer('content_length: 99\n')), 'warn');
});

test('what header-level suites leave out is added so that it fits', () => {
  const lines = (bytes: Buffer): string[] => bytes.toString('latin1').split('\r\n');
  assert.deepEqual(lines(withHost(Buffer.from('GET / HTTP/1.1\r\nA: b\r\n\r\n'), 'h')).slice(0, 2), [
    'GET / HTTP/1.1',
    'Host: h',
  ]);
  const two = withHost(Buffer.from('GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\n'), 'h');
  assert.equal(readStream(two).filter((message) => message.outcome === 'complete').length, 2);
  assert.equal(withHost(Buffer.from(GOOD), 'h').toString(), GOOD);

  const both = Buffer.from('POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 200\r\n Transfer-Encoding: chunked\r\n\r\n');
  const body = bodyFor(both, 'h');
  assert.equal(body.length, 200);
  assert.ok(body.toString().startsWith('0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n'));
  assert.equal(readMessage(body.subarray(5)).outcome, 'complete', 'what is left over is a request');

  assert.equal(withEnd(Buffer.from('GET / HTTP/1.1\r\nHost: a\r\n'), 27, false).toString().slice(-4), '\r\n\r\n');
  assert.equal(withEnd(Buffer.from('GET / HTTP/1.1\r\nX : a'), 18, true).toString().slice(-4), '\r\n\r\n');
});

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

async function runThrough(name: string): Promise<CaseResult[]> {
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
  const results = await runThrough('silent');
  const report = reportOf('http1', results);
  assert.equal(report.stalls, 8);
  assert.equal(report.failed.length, 8);
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
