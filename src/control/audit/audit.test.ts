import assert from 'node:assert/strict';
import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import {
  appendFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { FILE_BYTES_MAX } from './files.ts';
import { AuditLog, WAITING_MAX } from './log.ts';
import { type AuditVerdict, verifyAudit } from './verify.ts';

const root = mkdtempSync(join(tmpdir(), 'cnx-audit-'));
after(() => rmSync(root, { recursive: true }));
let directories = 0;
const fresh = (): string => join(root, String(++directories));
const events: string[] = [];

function open(directory: string, more: { fileBytesMax?: number; filesMax?: number } = {}): Promise<AuditLog> {
  return AuditLog.open(directory, {
    now: () => Date.UTC(2026, 10, 21),
    event: (_, message) => events.push(message),
    ...more,
  });
}

const keyOf = (directory: string) => createPublicKey(readFileSync(join(directory, 'key.pem'), 'utf8'));
const verdict = (directory: string): Promise<AuditVerdict> => verifyAudit(directory, keyOf(directory));

async function written(entries: number, more: { fileBytesMax?: number; filesMax?: number } = {}): Promise<string> {
  const directory = fresh();
  const log = await open(directory, more);
  for (let i = 0; i < entries; i++) {
    log.append('activated', { digest: `sha256:${i}`, seq: i });
    // Fewer than may wait at once.
    if (i % 50 === 49) await log.settled();
  }
  await log.close();
  return directory;
}

const filesOf = (directory: string): string[] =>
  readdirSync(directory)
    .filter((name) => name.endsWith('.jsonl'))
    .sort((a, b) => (a < b ? -1 : 1));

test('what was appended is there, in order, over restarts and rotation', async () => {
  const directory = await written(40, { fileBytesMax: 2_000 });
  assert.ok(filesOf(directory).length > 2);
  const again = await open(directory, { fileBytesMax: 2_000 });
  again.append('admin', { action: 'purge' });
  await again.close();
  const { faults, entries, first, last } = await verdict(directory);
  assert.deepEqual(faults, []);
  assert.equal(first, 1);
  assert.equal(last, entries);
  assert.equal(again.recent()[0]?.kind, 'admin');
});

test('the oldest files go beyond the bound, and the rest is whole', async () => {
  const directory = await written(80, { fileBytesMax: 1_000, filesMax: 3 });
  assert.equal(filesOf(directory).length, 3);
  const { faults, first } = await verdict(directory);
  assert.deepEqual(faults, []);
  assert.ok(first > 1);
  unlinkSync(join(directory, filesOf(directory)[0] ?? ''));
  assert.match((await verdict(directory)).faults.join(), /the beginning: entries \d+ to \d+ are missing/);
});

test('a file that cannot be taken up is told, and nothing ends', async () => {
  const directory = await written(3);
  const path = join(directory, '000001.jsonl');
  const whole = readFileSync(path);
  writeFileSync(path, Buffer.alloc(FILE_BYTES_MAX * 2 + 1, 10));
  const log = await open(directory);
  assert.equal(events.at(-1), 'the audit log cannot be written');
  assert.match(log.fault ?? '', /larger than any file/);
  log.append('activated', { seq: 4 });
  await log.settled();
  assert.notEqual(log.fault, null);
  // Repaired: what waited is written after what was there.
  writeFileSync(path, whole);
  log.append('activated', { seq: 5 });
  await log.close();
  assert.equal(events.at(-1), 'the audit log is written again');
  assert.deepEqual((await verdict(directory)).faults, []);
  assert.equal((await verdict(directory)).last, 5);
});

test('any change, cut or reordering is found', async () => {
  const original = await written(20, { fileBytesMax: 2_000 });
  assert.deepEqual((await verdict(original)).faults, []);
  const names = filesOf(original);
  const change = fc.oneof(
    fc.record({ kind: fc.constant('flip' as const), file: fc.nat(), at: fc.nat(), bit: fc.nat(7) }),
    fc.record({ kind: fc.constant('remove' as const), file: fc.nat(), at: fc.nat() }),
    fc.record({ kind: fc.constant('swap' as const), file: fc.nat(), at: fc.nat() }),
    fc.record({ kind: fc.constant('twice' as const), file: fc.nat(), at: fc.nat() }),
    fc.record({ kind: fc.constant('truncate' as const), file: fc.nat(), at: fc.nat() }),
    fc.record({ kind: fc.constant('unlink' as const), file: fc.nat() }),
    fc.record({ kind: fc.constant('head' as const), at: fc.nat(), bit: fc.nat(7) }),
  );
  await fc.assert(
    fc.asyncProperty(change, async (what) => {
      const directory = fresh();
      cpSync(original, directory, { recursive: true });
      const path = join(directory, what.kind === 'head' ? 'head.json' : (names[what.file % names.length] ?? ''));
      const bytes = readFileSync(path);
      const lines = bytes.toString('utf8').split('\n').slice(0, -1);
      if (what.kind === 'flip' || what.kind === 'head') {
        const i = what.at % bytes.length;
        // A line break at the very end of a file, or the one of the head, says nothing.
        if (i === bytes.length - 1) return;
        bytes[i] = (bytes[i] ?? 0) ^ (1 << what.bit);
        writeFileSync(path, bytes);
      } else if (what.kind === 'unlink') unlinkSync(path);
      else if (what.kind === 'truncate') {
        const length = what.at % (bytes.length - 1);
        truncateSync(path, length);
      } else {
        const i = what.at % lines.length;
        const [line = ''] = lines.splice(i, 1);
        if (what.kind === 'swap') lines.splice((i + 1) % (lines.length + 1), 0, line);
        if (what.kind === 'twice') lines.splice(i, 0, line, line);
        writeFileSync(path, lines.map((l) => `${l}\n`).join(''));
        if (readFileSync(path).equals(bytes)) return;
      }
      assert.notDeepEqual((await verdict(directory)).faults, [], JSON.stringify(what));
      rmSync(directory, { recursive: true });
    }),
    { numRuns: 300 },
  );
});

test('a start does not cover up what was changed before it', async () => {
  for (const change of [
    (file: string, text: string) => writeFileSync(file, `${text.split('\n').slice(0, 5).join('\n')}\n`),
    (file: string) =>
      appendFileSync(file, '{"n":21,"at":"","kind":"activated","prev":"","fields":{},"signature":""}\n'),
    (file: string) => unlinkSync(join(file, '../head.json')),
  ]) {
    const directory = await written(20);
    const file = join(directory, filesOf(directory)[0] ?? '');
    change(file, readFileSync(file, 'utf8'));
    const log = await open(directory);
    log.append('activated', {});
    await log.close();
    assert.notDeepEqual((await verdict(directory)).faults, []);
    assert.equal(log.recent()[1]?.kind, 'broken');
  }
});

test('a line that a crash left unfinished is cut off, and the log says so', async () => {
  const directory = await written(5);
  appendFileSync(join(directory, '000001.jsonl'), '{"n":6,"at":"2026');
  const log = await open(directory);
  await log.close();
  assert.equal(log.recent()[0]?.kind, 'recovered');
  assert.deepEqual((await verdict(directory)).faults, []);
});

test('a crash, or a full disk, as a new file was begun says nothing of the one before', async () => {
  for (const begun of ['', '{"n":21,"at":"2026']) {
    const directory = await written(20);
    writeFileSync(join(directory, '000002.jsonl'), begun);
    const log = await open(directory, { fileBytesMax: 2_000, filesMax: 1 });
    log.append('activated', {});
    await log.close();
    assert.equal(
      log.recent().some(({ kind }) => kind === 'broken'),
      false,
      begun,
    );
    assert.deepEqual((await verdict(directory)).faults, [], begun);
  }
});

test('an entry is written once, though its end could not be signed at first', async () => {
  const directory = await written(3);
  const head = join(directory, 'head.json');
  const before = readFileSync(head);
  const log = await open(directory);
  // Nothing can be put in the place of a directory.
  unlinkSync(head);
  mkdirSync(head);
  log.append('activated', { seq: 4 });
  await log.settled();
  assert.notEqual(log.fault, null);
  rmSync(head, { recursive: true });
  writeFileSync(head, before);
  log.append('activated', { seq: 5 });
  await log.close();
  assert.equal(log.fault, null);
  const { faults, last } = await verdict(directory);
  assert.deepEqual([faults, last], [[], 5]);
});

test('another key is not believed', async () => {
  const directory = await written(3);
  const { publicKey } = generateKeyPairSync('ed25519');
  assert.match((await verifyAudit(directory, publicKey)).faults.join(), /is not what was signed/);
});

test('what waits for the disk is bounded, and what was dropped is said', async () => {
  const directory = fresh();
  const log = await open(directory);
  for (let i = 0; i < WAITING_MAX + 50; i++) log.append('activated', { i });
  await log.settled();
  log.append('activated', { text: 'x'.repeat(100_000) });
  await log.close();
  const lines = readFileSync(join(directory, '000001.jsonl'), 'utf8');
  assert.match(lines, /"kind":"dropped","prev":"[0-9a-f]{64}","fields":\{"entries":50\}/);
  assert.deepEqual((await verdict(directory)).faults, []);
});
