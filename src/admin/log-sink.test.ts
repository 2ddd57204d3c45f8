import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, readFileSync, readSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { LOG_BATCH_BYTES_MAX, LogSink } from './log-sink.ts';

const now = (): number => Date.UTC(2026, 10, 21);
const FLUSH_MS = 20_000;

function directory(t: { after(f: () => void): void }): string {
  const dir = mkdtempSync(join(tmpdir(), 'cnx-log-'));
  t.after(() => rmSync(dir, { recursive: true }));
  return dir;
}

test('lines arrive whole and in order, in few writes', async (t) => {
  const file = join(directory(t), 'log');
  const fd = openSync(file, 'a');
  const sink = new LogSink({ fd, now });
  const lines = Array.from({ length: 5000 }, (_, i) => `line ${i} ä ${'x'.repeat(i % 50)}`);
  for (const line of lines) assert.ok(sink.write(line));
  assert.ok(sink.write('y'.repeat(LOG_BATCH_BYTES_MAX * 2)), 'a line longer than a batch');
  sink.event('info', 'started', { seq: 3, kind: 'circuit', level: 'none' });
  await sink.flush(FLUSH_MS);
  closeSync(fd);
  const read = readFileSync(file, 'utf8').split('\n');
  assert.deepEqual(read.slice(0, 5000), lines);
  assert.equal(
    read[5001],
    '{"kind":"event","time":"2026-11-21T00:00:00.000Z","level":"info","message":"started","seq":3}',
  );
  assert.deepEqual([sink.lines, sink.dropped, sink.queuedBytes], [5002, 0, 0]);
});

test('nothing in a line can move a terminal, and the line stays the same JSON', async (t) => {
  const file = join(directory(t), 'log');
  const fd = openSync(file, 'a');
  const sink = new LogSink({ fd, now });
  const value = { path: '/\u009b31mä\u202e\u2028\u001b[2J日本\u2066' };
  sink.write(JSON.stringify(value));
  await sink.flush(FLUSH_MS);
  closeSync(fd);
  const text = readFileSync(file, 'utf8');
  assert.equal(text, '{"path":"/\\u009b31mä\\u202e\\u2028\\u001b[2J日本\\u2066"}\n');
  assert.deepEqual(JSON.parse(text), value);
});

for (const [kind, flags] of [
  ['blocks', 0],
  ['says that there is no room', constants.O_NONBLOCK],
] as const) {
  test(`a reader that ${kind} costs lines, not the loop; the drops are counted and said`, async (t) => {
    const fifo = join(directory(t), 'fifo');
    execFileSync('mkfifo', [fifo]);
    const reader = openSync(fifo, constants.O_RDONLY | constants.O_NONBLOCK);
    const writer = openSync(fifo, constants.O_WRONLY | flags);
    const sink = new LogSink({ fd: writer, now, queueBytesMax: 300_000 });
    const total = 5000;
    let taken = 0;
    for (let i = 0; i < total; i++) {
      if (sink.write(`${i} ${'x'.repeat(200)}`)) taken++;
      // Gives the writes their turns: the pipe fills, then the queue.
      if (i % 100 === 0) await sleep(1);
    }
    assert.ok(taken < total);
    assert.equal(sink.dropped, total - taken);
    assert.ok(sink.queuedBytes <= 300_000);
    assert.ok(sink.event('error', 'events have room of their own'));
    // Now somebody reads.
    let text = '';
    const chunk = Buffer.alloc(65_536);
    const read = (): void => {
      try {
        for (let n = 1; n > 0; ) text += chunk.toString('utf8', 0, (n = readSync(reader, chunk)));
      } catch (error) {
        assert.equal((error as NodeJS.ErrnoException).code, 'EAGAIN');
      }
    };
    while (sink.queuedBytes > 0) {
      read();
      await sleep(1);
    }
    assert.ok(sink.write('after'));
    await sink.flush(FLUSH_MS);
    read();
    closeSync(writer);
    closeSync(reader);
    const lines = text.trimEnd().split('\n');
    assert.equal(lines.length, taken + 3);
    assert.equal(sink.lines, taken + 3);
    const said = JSON.parse(lines.at(-2) ?? '') as { message: string; dropped: number };
    assert.equal(said.dropped, total - taken);
    assert.equal(lines.at(-1), 'after');
  });
}

test('a line whose end could not be written spoils no other', async (t) => {
  const fifo = join(directory(t), 'fifo');
  execFileSync('mkfifo', [fifo]);
  const nonblocking = constants.O_NONBLOCK;
  const gone = openSync(fifo, constants.O_RDONLY | nonblocking);
  const writer = openSync(fifo, constants.O_WRONLY | nonblocking);
  const sink = new LogSink({ fd: writer, now });
  // More than a pipe holds: its beginning is written, and then there is nobody to read the rest.
  sink.write('x'.repeat(1 << 20));
  const chunk = Buffer.alloc(4096);
  const begun = (): boolean => {
    try {
      return readSync(gone, chunk) > 0;
    } catch {
      return false;
    }
  };
  while (!begun()) await sleep(1);
  closeSync(gone);
  while (sink.dropped === 0) await sleep(1);
  sink.write('dropped whole');
  while (sink.dropped === 1) await sleep(1);
  const reader = openSync(fifo, constants.O_RDONLY | nonblocking);
  sink.write('good');
  sink.write('as well');
  let text = '';
  while (!text.endsWith('as well\n')) {
    try {
      text += chunk.toString('utf8', 0, readSync(reader, chunk));
    } catch {
      await sleep(1);
    }
  }
  sink.write('last');
  await sink.flush(FLUSH_MS);
  text += chunk.toString('utf8', 0, readSync(reader, chunk));
  closeSync(writer);
  closeSync(reader);
  const [torn = '', ...lines] = text.split('\n');
  assert.equal(torn.replaceAll('x', ''), '');
  assert.deepEqual(lines, ['good', 'as well', 'last', '']);
  assert.deepEqual([sink.lines, sink.dropped, sink.queuedBytes], [3, 2, 0]);
});

test('a log that cannot be written is counted, not thrown', async (t) => {
  const file = join(directory(t), 'log');
  closeSync(openSync(file, 'a'));
  const fd = openSync(file, 'r');
  const sink = new LogSink({ fd, now });
  sink.write('a');
  sink.write('b');
  await sink.flush(FLUSH_MS);
  closeSync(fd);
  assert.deepEqual([sink.lines, sink.dropped, sink.queuedBytes], [0, 2, 0]);
});
