/**
 * What `observe` costs per exchange: `node bench/micro/observe.ts`. The bar is 1.5 µs and no garbage.
 * Prints one JSON row per case; the row of the heap is bytes allocated per exchange (0 but for noise).
 */
import { performance } from 'node:perf_hooks';
import { pathToFileURL } from 'node:url';
import { Observe } from '../../src/data/observe.ts';
import { LaneColumns } from '../../src/snapshot/lane-columns.ts';
import { createRecords, RecordCopy, RecordReader } from '../../src/snapshot/records.ts';
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
  observe.close();
  return rows;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  for (const row of run()) console.log(JSON.stringify(row));
}
