import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import fc from 'fast-check';
import { noGlance, Read, RecordCopy, RecordReader } from './record-reader.ts';
import { createRecords, Int, RECORD_SLOTS_MIN, RECORDS_MARGIN, RecordWriter, Span, TEXTS, Wide } from './records.ts';
import { STAGE_INDEX } from './stages.ts';

/** Writes a record whose every field follows from `seq`. */
function write(w: RecordWriter, seq: number): void {
  w.open();
  w.wide(Wide.StartedAt, seq);
  w.wide(Wide.BytesIn, seq);
  w.wide(Wide.BytesOut, seq);
  w.wide(Wide.TotalUs, seq);
  for (const field of Object.values(Int)) w.int(field, seq | 0);
  for (const [name] of TEXTS) w.text(`${name} ${seq}`.slice(0, 16));
  w.commit(seq);
}

test('what is written is what is read, cut at the bounds and never within a character', () => {
  const memory = createRecords(RECORD_SLOTS_MIN);
  const writer = new RecordWriter(memory);
  const reader = new RecordReader(memory);
  const copy = new RecordCopy();
  const glance = noGlance();
  const i32 = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
  const latin1 = fc.string({
    unit: fc.integer({ min: 0, max: 255 }).map((c) => String.fromCharCode(c)),
    maxLength: 500,
  });
  const unicode = fc.string({ unit: 'binary', maxLength: 500 });
  const record = fc.record({
    seq: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
    wides: fc.array(fc.double({ noNaN: true }), { minLength: 4, maxLength: 4 }),
    spans: fc.array(fc.float({ noNaN: true }), { minLength: 12, maxLength: 12 }),
    ints: fc.array(i32, { minLength: 22, maxLength: 22 }),
    texts: fc.tuple(...TEXTS.map(([, encoding]) => (encoding === 'utf8' ? unicode : latin1))),
  });
  fc.assert(
    fc.property(record, (r) => {
      const position = reader.written;
      writer.open();
      r.wides.forEach((v, i) => writer.wide((i + 1) as Wide, v));
      r.spans.forEach((v, i) => writer.span(Span.UpstreamUs + i, v));
      r.ints.forEach((v, i) => writer.int(i as Int, v));
      for (const text of r.texts) writer.text(text);
      writer.commit(r.seq);
      assert.equal(reader.read(position, copy), Read.Ok);
      assert.equal(copy.wide(Wide.Seq), r.seq);
      assert.deepEqual(
        r.wides.map((_, i) => copy.wide((i + 1) as Wide)),
        r.wides,
      );
      assert.deepEqual(
        r.spans.map((_, i) => copy.span(i)),
        r.spans,
      );
      assert.deepEqual(
        r.ints.map((_, i) => copy.int(i as Int)),
        r.ints,
      );
      TEXTS.forEach(([name, , max], i) => {
        // What is kept of broken surrogate pairs is the replacement character, as UTF-8 has no form of them.
        const given = (r.texts[i] ?? '').toWellFormed();
        const kept = copy.text(name);
        assert.ok(given.startsWith(kept), name);
        assert.ok(Buffer.byteLength(kept) <= max * 2, name);
        assert.equal(copy.cut(name), kept.length < given.length, name);
      });
      assert.equal(reader.glance(position, glance), Read.Ok);
      assert.deepEqual(glance, {
        seq: copy.wide(Wide.Seq),
        totalUs: copy.wide(Wide.TotalUs),
        upstreamUs: copy.span(Span.UpstreamUs),
        wafUs: copy.span(Span.Stage + STAGE_INDEX.waf),
        policyUs: copy.span(Span.Stage + STAGE_INDEX.authorize),
        revision: copy.int(Int.Revision),
        refusal: copy.int(Int.Refusal),
        upstreamStatus: copy.int(Int.UpstreamStatus),
        waf: copy.int(Int.Waf),
        policyOutcome: copy.int(Int.PolicyOutcome),
        flags: copy.int(Int.Flags),
      });
      assert.ok(reader.find(r.seq, copy));
    }),
  );
});

test('a long target cannot crowd out why a request was refused', () => {
  const memory = createRecords(RECORD_SLOTS_MIN);
  const writer = new RecordWriter(memory);
  const long = 'x'.repeat(100_000);
  writer.open();
  for (const [name] of TEXTS) writer.text(name === 'detail' || name === 'wafMatches' ? name : long);
  writer.commit(1);
  const copy = new RecordCopy();
  assert.equal(new RecordReader(memory).read(0, copy), Read.Ok);
  assert.equal(copy.text('detail'), 'detail');
  assert.equal(copy.text('wafMatches'), 'wafMatches');
  for (const [name, , max] of TEXTS.slice(2)) {
    assert.equal(copy.cut(name), true, name);
    assert.equal(copy.text(name).length <= max, true, name);
  }
  assert.ok(copy.text('path').length >= 100);
});

test('the ring keeps the newest records and says of older ones that they are gone', () => {
  const memory = createRecords(RECORD_SLOTS_MIN);
  const writer = new RecordWriter(memory);
  const reader = new RecordReader(memory);
  const copy = new RecordCopy();
  const glance = noGlance();
  assert.equal(reader.oldest, 0);
  assert.equal(reader.read(0, copy), Read.Ahead);
  assert.equal(reader.find(1, copy), false);
  const total = RECORD_SLOTS_MIN * 3 + 17;
  for (let seq = 1; seq <= total; seq++) {
    write(writer, seq);
    assert.equal(reader.read(seq - 1, copy), Read.Ok);
    assert.equal(copy.text('path'), `path ${seq}`);
  }
  assert.equal(reader.oldest, total - RECORD_SLOTS_MIN + RECORDS_MARGIN);
  for (let position = 0; position < total; position++) {
    const outcome = reader.read(position, copy);
    assert.equal(outcome, position < reader.oldest ? Read.Gone : Read.Ok, `position ${position}`);
    assert.equal(reader.find(position + 1, copy), outcome === Read.Ok);
    assert.equal(reader.glance(position, glance), outcome);
  }
  assert.equal(reader.read(total, copy), Read.Ahead);
  assert.equal(reader.glance(total, glance), Read.Ahead);
});

test('long records leave room for fewer, and the reader goes on at the oldest that is whole', () => {
  const memory = createRecords(RECORD_SLOTS_MIN);
  const writer = new RecordWriter(memory);
  const reader = new RecordReader(memory);
  const copy = new RecordCopy();
  const total = RECORD_SLOTS_MIN * 5;
  for (let seq = 1; seq <= total; seq++) {
    writer.open();
    for (const [name, , max] of TEXTS)
      writer.text((seq % 3 === 0 ? name : `${name} ${seq} `.repeat(max)).slice(0, max));
    writer.commit(seq);
    const { oldest } = reader;
    assert.ok(oldest < seq && seq - oldest >= Math.min(seq, 16), `${seq}: ${oldest}`);
    for (let position = Math.max(0, oldest - 3); position < seq; position++) {
      const outcome = reader.read(position, copy);
      assert.equal(outcome, position < oldest ? Read.Gone : Read.Ok, `${position} of ${seq}`);
      if (outcome !== Read.Ok) continue;
      assert.equal(copy.wide(Wide.Seq), position + 1);
      assert.ok(copy.text('detail').startsWith((position + 1) % 3 === 0 ? 'detail' : `detail ${position + 1} `));
    }
  }
});

test('positions go on beyond 2^32', () => {
  const memory = createRecords(RECORD_SLOTS_MIN);
  // As if the ring had been written almost 2^32 times.
  new Int32Array(memory, 8, 1)[0] = -3;
  new Int32Array(memory, 64, RECORD_SLOTS_MIN).fill(2);
  new Int32Array(memory, 24, 2).fill(-200);
  const writer = new RecordWriter(memory);
  const reader = new RecordReader(memory);
  const copy = new RecordCopy();
  const first = reader.written;
  for (let i = 0; i < 8; i++) write(writer, 2 ** 32 - 2 + i);
  assert.equal(reader.written, 5);
  for (let i = 0; i < 8; i++) {
    assert.equal(reader.read((first + i) >>> 0, copy), Read.Ok);
    assert.equal(copy.wide(Wide.Seq), 2 ** 32 - 2 + i);
    assert.ok(reader.find(2 ** 32 - 2 + i, copy));
  }
  assert.equal(reader.find(5, copy), false, 'equal in the low 32 bits only');
});

test('a record that is being written is torn, not read', () => {
  const memory = createRecords(RECORD_SLOTS_MIN);
  const writer = new RecordWriter(memory);
  const reader = new RecordReader(memory);
  const copy = new RecordCopy();
  for (let seq = 1; seq <= RECORD_SLOTS_MIN; seq++) write(writer, seq);
  writer.open();
  assert.equal(reader.read(0, copy), Read.Gone);
  writer.int(Int.Status, 200);
  writer.commit(RECORD_SLOTS_MIN + 1);
  assert.equal(reader.read(RECORD_SLOTS_MIN, copy), Read.Ok);
  // A writer that died in the middle of a record: the guard stays odd.
  new Int32Array(memory, 64, RECORD_SLOTS_MIN)[10] = 3;
  assert.equal(reader.read(10, copy), Read.Torn);
  assert.equal(reader.glance(10, noGlance()), Read.Torn);
});

test('a restarted writer goes on where the dead one stopped', () => {
  const memory = createRecords(RECORD_SLOTS_MIN);
  const first = new RecordWriter(memory);
  write(first, 1);
  write(first, 2);
  first.open();
  const second = new RecordWriter(memory);
  assert.equal(second.seqHigh, 2);
  write(second, 900);
  const reader = new RecordReader(memory);
  const copy = new RecordCopy();
  assert.equal(reader.written, 3);
  assert.ok(reader.find(2, copy) && reader.find(900, copy));
});

test('no torn record passes for a whole one while another thread writes as fast as it can', async (t) => {
  const memory = createRecords(RECORD_SLOTS_MIN);
  const stop = new Int32Array(new SharedArrayBuffer(4));
  const worker = new Worker(new URL('../../test/observe/record-writer.ts', import.meta.url), {
    workerData: { memory, stop },
  });
  t.after(() => worker.terminate());
  const reader = new RecordReader(memory);
  const copy = new RecordCopy();
  const glance = noGlance();
  const seen = { [Read.Ok]: 0, [Read.Ahead]: 0, [Read.Gone]: 0, [Read.Torn]: 0 };
  await once(worker, 'message');
  // On a busy machine the writer may not run for a while: it goes on until the threads have met, which the runner's own time limit bounds.
  while (seen[Read.Ok] < 20_000 || seen[Read.Gone] + seen[Read.Torn] === 0) {
    // The oldest that may be read: where the writer is about to be.
    const { oldest } = reader;
    if (reader.glance(oldest, glance) === Read.Ok) {
      const { seq, totalUs, revision, refusal, upstreamStatus, waf, policyOutcome, flags } = glance;
      assert.equal(totalUs, seq);
      for (const value of [revision, refusal, upstreamStatus, waf, policyOutcome, flags]) assert.equal(value, seq | 0);
    }
    const outcome = reader.read(oldest, copy);
    seen[outcome]++;
    if (outcome !== Read.Ok) continue;
    const seq = copy.wide(Wide.Seq);
    for (const field of Object.values(Wide)) assert.equal(copy.wide(field), seq);
    for (const field of Object.values(Int)) assert.equal(copy.int(field), seq | 0);
    for (const [name] of TEXTS) assert.equal(copy.text(name), `${name} ${seq}`.slice(0, 16));
  }
  Atomics.store(stop, 0, 1);
  await once(worker, 'exit');
});
