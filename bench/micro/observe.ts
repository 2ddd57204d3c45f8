/**
 * What `observe` costs per exchange: `node bench/micro/observe.ts`. The bar is 1.5 µs and no garbage.
 * Prints one JSON row per case; the row of the heap is bytes allocated per exchange (0 but for noise).
 */
import assert from 'node:assert/strict';
import { openSync } from 'node:fs';
import { performance } from 'node:perf_hooks';
import { pathToFileURL } from 'node:url';
import { accountOf } from '../../src/admin/account.ts';
import { Drain } from '../../src/admin/drain.ts';
import { LogSink } from '../../src/admin/log-sink.ts';
import { Names } from '../../src/admin/names.ts';
import { Percentiles } from '../../src/admin/percentiles.ts';
import { Observe } from '../../src/data/observe.ts';
import { LaneColumns } from '../../src/snapshot/lane-columns.ts';
import { RecordCopy, RecordReader } from '../../src/snapshot/record-reader.ts';
import { createRecords } from '../../src/snapshot/records.ts';
import { givenExchange, givenSnapshot } from '../../test/observe/given.ts';

export interface MicroRow {
  readonly name: string;
  readonly metric: string;
  readonly unit: string;
  readonly ours: number;
}

const ROUNDS = 5;

/** Best of some rounds, ns per call: the least disturbed one. */
function best(rounds: number, calls: number, body: (i: number) => void): number {
  let least = Number.POSITIVE_INFINITY;
  for (let r = 0; r < rounds; r++) {
    const from = performance.now();
    for (let i = 0; i < calls; i++) body(i);
    least = Math.min(least, ((performance.now() - from) * 1e6) / calls);
  }
  return least;
}

/** Calls that leave less garbage than a young generation holds, so that no collection hides it. */
const HEAP_CALLS = 20_000;

/** Median of the bytes that a call leaves on the heap. */
function heapPerCall(body: () => void): number {
  const each: number[] = [];
  for (let r = 0; r < ROUNDS * 2 + 1; r++) {
    const before = process.memoryUsage().heapUsed;
    for (let i = 0; i < HEAP_CALLS; i++) body();
    each.push((process.memoryUsage().heapUsed - before) / HEAP_CALLS);
  }
  return Math.max(0, Math.round(each.sort((a, b) => a - b)[ROUNDS] ?? 0));
}

export function run(calls = 300_000): MicroRow[] {
  const rows: MicroRow[] = [];
  const records = createRecords();
  const observe = new Observe({
    laneColumns: LaneColumns.create(),
    records,
    tick: () => performance.now(),
    onBug: () => undefined,
  });
  const x = givenExchange(givenSnapshot());
  let seq = 0;
  const ended = (): void => {
    x.seq = ++seq;
    observe.ended(x);
  };
  best(1, calls, ended);
  rows.push({ name: 'observe', metric: 'ended, answered', unit: 'ns', ours: best(ROUNDS, calls, ended) });
  rows.push({ name: 'observe', metric: 'ended, heap', unit: 'bytes', ours: heapPerCall(ended) });
  const reader = new RecordReader(records);
  const copy = new RecordCopy();
  let position = reader.oldest;
  const read = (): void => {
    reader.read(position, copy);
    position = position + 1 === reader.written ? reader.oldest : position + 1;
  };
  rows.push({ name: 'observe', metric: 'record read', unit: 'ns', ours: best(ROUNDS, calls, read) });
  rows.push({
    name: 'observe',
    metric: 'record found by request id',
    unit: 'ns',
    ours: best(ROUNDS, Math.ceil(calls / 100), (i) => void reader.find(seq - 10 - (i % 8000), copy)),
  });
  rows.push(...inMain(observe, records, ended, Math.ceil(calls / 100)));
  observe.close();
  return rows;
}

/** What main pays for a record: percentiles always, a line of the log where it is due. */
function inMain(observe: Observe, records: SharedArrayBuffer, ended: () => void, calls: number): MicroRow[] {
  const rows: MicroRow[] = [];
  // Stays open: the lines are written after this function has returned.
  const fd = openSync('/dev/null', 'w');
  const per = (accessLogSample: number): number => {
    const names = new Names();
    names.learn(givenSnapshot({ observe: { accessLogSample, maskedQuery: [] } }));
    let second = 0;
    const drain = new Drain({
      instance: '3f2a1b',
      records: [records],
      names,
      percentiles: new Percentiles(0),
      log: new LogSink({ fd, now: () => 0, queueBytesMax: Number.MAX_SAFE_INTEGER }),
      // Every turn is in a second of its own, so that the bound on lines does not help.
      tick: () => second++ * 1000,
    });
    const batch = Math.min(calls, 1000);
    while (drain.turn());
    let least = Number.POSITIVE_INFINITY;
    for (let r = 0; r < ROUNDS * 4; r++) {
      for (let i = 0; i < batch; i++) ended();
      const before = drain.read(0);
      const from = performance.now();
      while (drain.turn());
      least = Math.min(least, ((performance.now() - from) * 1e6) / batch);
      assert.equal(drain.read(0) - before, batch, 'every record was read');
      assert.equal(drain.skipped, 0);
    }
    return least;
  };
  rows.push({ name: 'observe', metric: 'main, a record not logged', unit: 'ns', ours: per(0) });
  rows.push({ name: 'observe', metric: 'main, a record logged', unit: 'ns', ours: per(1) });
  const copy = new RecordCopy();
  const reader = new RecordReader(records);
  reader.read((reader.written - 1) >>> 0, copy);
  assert.equal(accountOf(copy, null, '3f2a1b', 0).status, 200);
  assert.ok(observe.columns.requestUs.count > 0);
  return rows;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  for (const row of run()) console.log(JSON.stringify(row));
}
