/** The runner of `h2`, checked against a server that keeps the rules, and against some that do not. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createHttp2, createSecureServer, type Http2SecureServer, type Http2Server } from 'node:http2';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { testAuthority } from '../../harness/certs.ts';
import { listening } from '../../harness/ports.ts';
import { DataDirectory } from '../data.ts';
import { type CaseResult, markOf, reportOf } from '../result.ts';
import { BUSY, runBusy } from './busy.ts';
import type { H2Target } from './connection.ts';
import { runFlood } from './flooding.ts';
import { FLOODS } from './floods.ts';
import { data, frame, headerOf, headers, requestBlock, settings, statusOf, TYPE } from './frames.ts';
import { readJunit } from './h2spec.ts';
import { observe } from './observe.ts';
import { runH2 } from './suite.ts';
import { plansOf, readVectors, type Vector } from './vectors.ts';

const VECTORS: Readonly<Record<string, { wire: string; error: number[] | null }>> = {
  'data/normal': { wire: '0000140008000000020648656C6C6F2C20776F726C6421486F77647921', error: null },
  'headers/priority': {
    wire: '000023012C00000003108000001409746869732069732064756D6D79546869732069732070616464696E672E',
    error: null,
  },
  'continuation/header': { wire: '00000D090000000032746869732069732064756D6D79', error: null },
  'ping/normal': { wire: '0000080600000000006465616462656566', error: null },
  'settings/normal': { wire: '00000C040000000000000100002000000300001388', error: null },
  'goaway/normal': { wire: '0000170700000000000000001E00000009687061636B2069732062726F6B656E', error: null },
  'rst_stream/normal': { wire: '00000403000000000500000008', error: null },
  'window_update/normal': { wire: '000004080000000032000003E8', error: null },
  'push_promise/normal': {
    wire: '000018050C0000000A060000000C746869732069732064756D6D79486F77647921',
    error: null,
  },
  'error/ping-frame-size': { wire: '000004060000000000AAAAAAAA', error: [6] },
  'error/data-frame-padding': { wire: '00000400080000000104AAAAAA', error: [1] },
  'error/window_update-frame-increment': { wire: '00000408000000000100000000', error: [1] },
};

function tinyData(vectors = VECTORS): string {
  const directory = mkdtempSync(join(tmpdir(), 'cnx-h2-data-'));
  for (const [id, value] of Object.entries(vectors)) {
    const file = join(directory, 'h2-frame-test-case', `${id}.json`);
    mkdirSync(join(file, '..'), { recursive: true });
    writeFileSync(file, JSON.stringify({ ...value, frame: null, description: id }));
  }
  return directory;
}

/** Node's own HTTP/2, which answers whatever is asked. */
async function withNode<T>(secure: boolean, run: (target: H2Target) => Promise<T>): Promise<T> {
  const leaf = testAuthority().leaf();
  const server: Http2Server | Http2SecureServer = secure
    ? createSecureServer({ cert: leaf.certificate, key: leaf.key })
    : createHttp2();
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => sockets.add(socket));
  server.on('sessionError', () => undefined);
  server.on('stream', (stream) => {
    stream.on('error', () => undefined);
    stream.resume();
    stream.on('end', () => {
      if (stream.destroyed) return;
      stream.respond({ ':status': 200 });
      stream.end('answer');
    });
  });
  const port = await listening(server);
  const tls = secure ? { tls: { ca: testAuthority().certificate, servername: 'localhost' } } : {};
  try {
    return await run({ name: secure ? 'tls' : 'plain', host: '127.0.0.1', port, ...tls });
  } finally {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  }
}

/** Shakes hands, and then does with what came what a test says; nothing if it says so. */
async function withServer<T>(
  said: (socket: Socket, chunk: Buffer) => void,
  run: (target: H2Target) => Promise<T>,
): Promise<T> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.once('data', () => {
      socket.write(Buffer.concat([settings([]), frame(TYPE.settings, 1, 0)]));
      socket.on('data', (chunk: Buffer) => {
        said(socket, chunk);
      });
    });
  });
  const port = await listening(server);
  try {
    return await run({ name: 'plain', host: '127.0.0.1', port });
  } finally {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  }
}

function vectorsOf(): Vector[] {
  const directory = tinyData();
  try {
    return readVectors(new DataDirectory(directory));
  } finally {
    rmSync(directory, { recursive: true });
  }
}

async function marksOf(target: H2Target, stallMs: number): Promise<Record<string, string>> {
  const marks: Record<string, string> = {};
  const plans = vectorsOf().flatMap((vector) => plansOf(vector, 'http'));
  await Promise.all(
    plans.map(async (plan) => {
      const verdict = await observe(target, plan, stallMs);
      marks[plan.id] = `${markOf(verdict)} ${verdict.outcome}`;
    }),
  );
  return marks;
}

test('every vector has its two forms as the first frame, and one in a legal place where there is one', () => {
  const plans = vectorsOf().flatMap((vector) => plansOf(vector, 'http'));
  const of = (id: string): string[] =>
    plans.filter((plan) => plan.id.startsWith(`${id}/`)).map((plan) => plan.id.slice(id.length + 1));
  assert.deepEqual(of('data/normal'), ['first', 'bytewise', 'placed']);
  assert.deepEqual(of('push_promise/normal'), ['first', 'bytewise']);
  const placed = plans.find((plan) => plan.id === 'headers/priority/placed');
  assert.ok(placed);
  const header = headerOf(placed.wire);
  assert.equal(header.stream, 1);
  assert.equal(header.length, placed.wire.length - 9);
  assert.equal(placed.wire.subarray(-16).toString('latin1'), 'This is padding.');
});

test('a response’s status is read behind changes of the table’s size', () => {
  assert.equal(statusOf(Buffer.from([0x20, 0x3f, 0xe1, 0x3f, 0x88])), 200);
  assert.equal(statusOf(Buffer.from([0x8d])), 404);
  assert.equal(statusOf(Buffer.from([0x48])), 0);
});

describe('through live servers', { concurrency: true }, () => {
  for (const secure of [false, true])
    test(`a server that keeps the rules passes, ${secure ? 'over TLS' : 'in plain text'}`, async () => {
      const directory = tinyData();
      const notes: string[] = [];
      try {
        const results: CaseResult[] = await withNode(secure, (target) =>
          runH2({
            data: new DataDirectory(directory),
            targets: [target],
            progress: () => undefined,
            note: (line) => notes.push(line),
            floods: FLOODS.filter(({ id }) => id === 'settings' || id === 'hpack-bomb'),
            floodConnections: 4,
            busy: BUSY.map((row) => ({ ...row, requests: Math.min(row.requests, 50) })),
            h2spec: false,
          }),
        );
        const report = reportOf('h2', results);
        // nghttp2 names another code for a frame where it may not stand, and keeps a connection whose client leaves.
        const safe = report.failed.filter(({ got }) => !got.startsWith('GOAWAY '));
        assert.deepEqual(safe, []);
        assert.equal(report.stalls, 0);
        assert.ok(report.total > 30);
        assert.deepEqual(notes, ['left out: h2spec (it was not asked for)']);
      } finally {
        rmSync(directory, { recursive: true });
      }
    });

  test('a server that says nothing after the handshake stalls in every case', async () => {
    const marks = await withServer(
      () => undefined,
      (target) => marksOf(target, 400),
    );
    assert.deepEqual([...new Set(Object.values(marks))], ['fail stalled']);
  });

  test('a server that takes every frame is caught at the wrong ones', async () => {
    // It answers PING and what it takes for a request, and is content with the rest.
    const marks = await withServer(
      (socket, chunk) => {
        for (let at = 0; at + 9 <= chunk.length; at += 9 + headerOf(chunk.subarray(at)).length) {
          const one = headerOf(chunk.subarray(at));
          if (one.type === TYPE.ping) socket.write(frame(TYPE.ping, 1, 0, chunk.subarray(at + 9, at + 9 + one.length)));
        }
      },
      (target) => marksOf(target, 400),
    );
    assert.equal(marks['error/ping-frame-size/first'], 'fail accepted');
    assert.equal(marks['error/data-frame-padding/placed'], 'fail accepted');
    assert.equal(marks['push_promise/normal/first'], 'fail accepted');
    assert.equal(marks['rst_stream/normal/placed'], 'pass served');
    assert.equal(marks['settings/normal/first'], 'fail stalled');
    assert.equal(marks['ping/normal/first'], 'pass served');
  });

  test('a server that closes whatever it is told breaks valid frames, and is only warned of for wrong ones', async () => {
    const marks = await withServer(
      (socket) => socket.end(),
      (target) => marksOf(target, 400),
    );
    assert.equal(marks['ping/normal/first'], 'fail broken');
    assert.equal(marks['error/ping-frame-size/first'], 'warn closed');
  });

  test('a server that takes busy clients for attackers, or stops to answer them, is found out', async () => {
    const row = BUSY.find(({ id }) => id === 'requests');
    assert.ok(row);
    const calm = frame(TYPE.goaway, 0, 0, Buffer.from([0, 0, 0, 0, 0, 0, 0, 11]));
    const refused = await withServer(
      (socket) => socket.write(calm),
      (target) => runBusy(target, row),
    );
    assert.equal(refused.got, 'GOAWAY ENHANCE_YOUR_CALM after 0');
    const closed = await withServer(
      (socket) => socket.destroy(),
      (target) => runBusy(target, row),
    );
    assert.equal(closed.mark, 'fail');
  });

  test('a server that serves nobody while it is flooded is found out', async () => {
    const flood = FLOODS.find(({ id }) => id === 'ping');
    assert.ok(flood);
    const result = await withServer(
      (socket) => socket.destroy(),
      (target) => runFlood(target, { ...flood, repetitions: 10 }, 2),
    );
    assert.equal(`${result.mark} ${result.outcome}`, 'fail starved');
    assert.equal(result.set, 'h2-floods-plain');
  });
});

test('h2spec’s report: passed, skipped, failed and timed out', () => {
  const results = readJunit(
    'h2spec-plain',
    `<testsuites><testsuite>
      <testcase package="http2/3.5" classname="Sends &lt;this&gt;" time="0.1"></testcase>
      <testcase package="http2/3.5" classname="two" time="0.1"><skipped></skipped></testcase>
      <testcase package="http2/4" classname="three" time="0.1"><error>Connection closed
Stream closed
Timeout</error></testcase>
      <testcase package="http2/4" classname="four" time="0.1"><failure>GOAWAY Frame (Error Code: &#39;1&#39;)
DATA Frame</failure></testcase>
    </testsuite></testsuites>`,
  );
  assert.deepEqual(
    results.map((result) => [result.id, markOf(result), result.stall, result.outcome]),
    [
      ['h2spec-plain/http2/3.5/1', 'pass', false, 'passed'],
      ['h2spec-plain/http2/3.5/2', 'warn', false, 'skipped'],
      ['h2spec-plain/http2/4/1', 'fail', true, 'stalled'],
      ['h2spec-plain/http2/4/2', 'fail', false, 'failed'],
    ],
  );
  assert.equal(results[0]?.expected, 'Sends <this>');
  assert.equal(results[3]?.expected, "four: GOAWAY Frame (Error Code: '1')");
  assert.throws(() => readJunit('x', '<testsuites/>'), /no cases/);
});

test('a request of the floods is one that a server answers', async () => {
  await withNode(false, async (target) => {
    const plan = {
      id: 'x',
      description: 'x',
      before: headers(1, requestBlock('POST', '/', 'http'), false),
      wire: data(1, Buffer.from('x'), true),
      after: Buffer.alloc(0),
      bytewise: false,
      due: { answer: 1 },
    };
    assert.equal((await observe(target, plan)).outcome, 'served');
  });
});
