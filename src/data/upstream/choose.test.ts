import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import fc from 'fast-check';
import { Prng } from '../../base/prng.ts';
import { EndpointColumns, ENDPOINT_SLOTS, SUSPECTED } from '../../snapshot/endpoint-columns.ts';
import type { EndpointPlan } from '../../snapshot/cell-plans.ts';
import { CellMembers } from './cell-members.ts';
import { Chooser, NoChoice, TRIAL_INTERVAL_MS } from './choose.ts';
import { DOWN_SECONDS } from './endpoint-use.ts';
import { FailedSlots, NONE_FAILED } from './failed-slots.ts';

const NOW = 1_800_000_000_000;
const SECOND = NOW / 1000;
/** Health is published as 0 or as no less than this. */
const HEALTH_LEAST = 0.01;

function endpoint(slot: number, capacity = 100): EndpointPlan {
  const port = 9000 + slot;
  return {
    slot,
    identity: `c/h:${port}`,
    cell: 0,
    host: 'h',
    port,
    tls: null,
    capacity,
    connectionsMax: 8,
    http2: false,
  };
}

/** A cell of `capacities.length` endpoints, two lanes, fixed chance. */
class Cell {
  readonly columns = new EndpointColumns(EndpointColumns.create());
  readonly endpoints: EndpointPlan[];
  readonly chooser = new Chooser(this.columns, 2);
  readonly #members: number[];
  readonly #prng = new Prng(7);

  constructor(...capacities: number[]) {
    this.endpoints = capacities.map((capacity, slot) => endpoint(slot, capacity));
    this.#members = this.endpoints.map((_, i) => i);
  }

  choose(
    o: { now?: number; failedSlot?: number; failedSlots?: readonly number[]; retry?: boolean; members?: number[] } = {},
  ): number {
    const members = o.members ?? this.#members;
    const chosen = this.chooser.choose(
      new CellMembers(members.map((i) => this.endpoints[i] as EndpointPlan)),
      o.now ?? NOW,
      this.#prng.uint32(),
      failedOf(...(o.failedSlots ?? [o.failedSlot ?? -1])),
      o.retry ?? false,
    );
    return chosen === null ? -1 : chosen.slot;
  }

  inflight(slot: number, count: number, lane = 0): void {
    this.columns.inflight[lane * ENDPOINT_SLOTS + slot] = count;
  }

  /** Choices by slot over `count` requests that all end at once. */
  counts(count: number): number[] {
    const seen = this.endpoints.map(() => 0);
    for (let i = 0; i < count; i++) {
      const slot = this.choose();
      if (slot >= 0) seen[slot] = (seen[slot] as number) + 1;
    }
    return seen;
  }
}

test('the greatest health × (capacity − inflight) / capacity gets the request, over all lanes', () => {
  const cell = new Cell(100, 100, 200);
  cell.inflight(0, 10);
  cell.inflight(1, 4);
  cell.inflight(1, 5, 1);
  cell.inflight(2, 19);
  // 0.90, 0.91, 0.905
  assert.equal(cell.choose(), 1);
  cell.inflight(1, 6, 1);
  assert.equal(cell.choose(), 2);
  cell.columns.health[2] = 0.99;
  // 0.90, 0.90 and 0.896
  assert.ok([0, 1].includes(cell.choose()));
  cell.columns.health[0] = 0.95;
  assert.equal(cell.choose(), 1);
});

test('equal weights draw lots fairly', () => {
  const cell = new Cell(10, 10, 10, 10);
  for (const n of cell.counts(8_000)) assert.ok(n > 1_800 && n < 2_200, `${n} of 8000`);
});

test('under steady load requests in flight settle in proportion to health × capacity', () => {
  const cell = new Cell(100, 300);
  for (let i = 0; i < 200; i++) {
    const slot = cell.choose();
    cell.inflight(slot, cell.columns.inflightOf(slot, 2) + 1);
  }
  assert.equal(cell.columns.inflightOf(0, 2), 50);
  assert.equal(cell.columns.inflightOf(1, 2), 150);
});

test('what is ejected, down or full is never chosen, whatever else holds', () => {
  const one = fc.record({
    health: fc.oneof(fc.constant(0), fc.double({ min: HEALTH_LEAST, max: 1, noNaN: true })),
    ejected: fc.integer({ min: 0, max: 1 }),
    down: fc.constantFrom(0, SUSPECTED, SECOND - 5, SECOND, SECOND + 1, SECOND + 1 + DOWN_SECONDS),
    capacity: fc.integer({ min: 1, max: 50 }),
    inflight: fc.integer({ min: 0, max: 60 }),
  });
  fc.assert(
    fc.property(fc.array(one, { minLength: 1, maxLength: 8 }), fc.integer(), fc.boolean(), (all, random, retry) => {
      const cell = new Cell(...all.map((e) => e.capacity));
      all.forEach((e, slot) => {
        cell.columns.health[slot] = e.health;
        cell.columns.ejected[slot] = e.ejected;
        cell.columns.downUntil[slot] = e.down;
        cell.inflight(slot, e.inflight);
      });
      const chosen = cell.chooser.choose(new CellMembers(cell.endpoints), NOW, random >>> 0, NONE_FAILED, retry);
      const usable = (e: (typeof all)[number]): boolean =>
        e.ejected === 0 &&
        e.down <= SECOND &&
        e.inflight < e.capacity &&
        (e.down === 0 || !retry || e.down === SUSPECTED);
      if (chosen !== null) assert.ok(usable(all[chosen.slot] as (typeof all)[number]), JSON.stringify(all));
      else assert.ok(!all.some((e) => usable(e) && e.down === 0 && e.health > 0), JSON.stringify(all));
    }),
    { numRuns: 500 },
  );
});

test('all weights at or below 0 mean a refusal, with the reason', () => {
  const cell = new Cell(1, 1);
  cell.columns.ejected.fill(1, 0, 2);
  assert.equal(cell.choose(), -1);
  assert.equal(cell.chooser.reason, NoChoice.Down);
  cell.columns.ejected[1] = 0;
  cell.inflight(1, 1);
  assert.equal(cell.choose(), -1);
  assert.equal(cell.chooser.reason, NoChoice.Full);
  cell.inflight(1, 0);
  cell.columns.health[1] = 0;
  assert.equal(cell.choose(), 1, 'a trial');
  assert.equal(cell.choose(), -1);
  assert.equal(cell.chooser.reason, NoChoice.Unhealthy);
  cell.columns.health[1] = 1;
  assert.equal(cell.choose({ failedSlot: 1, retry: true }), -1);
  assert.equal(cell.chooser.reason, NoChoice.Failed);
});

test('a retry goes to another endpoint', () => {
  const cell = new Cell(10, 10);
  cell.inflight(1, 9);
  for (let i = 0; i < 50; i++) assert.equal(cell.choose({ failedSlot: 0, retry: true }), 1);
});

test('of several that failed none is chosen again while there is another, then any but the last', () => {
  const cell = new Cell(10, 10, 10);
  for (let i = 0; i < 50; i++) assert.equal(cell.choose({ failedSlots: [0, 2], retry: true }), 1);
  const again = new Set(Array.from({ length: 200 }, () => cell.choose({ failedSlots: [0, 1, 2], retry: true })));
  assert.deepEqual(
    [...again].sort((a, b) => a - b),
    [0, 1],
  );
  cell.columns.downUntil[0] = cell.columns.downUntil[1] = SUSPECTED;
  assert.notEqual(
    cell.choose({ failedSlots: [0, 1, 2], retry: true }),
    2,
    'merely suspected is better than just failed',
  );
});

test('what has failed is remembered up to a bound, the latest longest', () => {
  const failed = new FailedSlots();
  for (let slot = 0; slot < 20; slot++) failed.add(slot);
  assert.deepEqual([failed.last, failed.count, failed.has(19), failed.has(0)], [19, 8, true, false]);
  failed.drop();
  assert.deepEqual([failed.last, failed.has(19)], [18, false]);
  failed.clear();
  assert.deepEqual([failed.last, failed.count, failed.has(18)], [-1, 0, false]);
});

test('a refused endpoint is left alone for DOWN_SECONDS, then tried once a second until it answers', () => {
  const cell = new Cell(10, 10);
  cell.columns.downUntil[0] = SECOND + 1 + DOWN_SECONDS;
  for (let ms = 0; ms <= DOWN_SECONDS * 1000; ms += 100) assert.equal(cell.choose({ now: NOW + ms }), 1);
  const later = NOW + (1 + DOWN_SECONDS) * 1000;
  assert.equal(cell.choose({ now: later }), 0, 'the trial');
  for (let ms = 0; ms < TRIAL_INTERVAL_MS; ms += 50) assert.equal(cell.choose({ now: later + ms }), 1);
  assert.equal(cell.choose({ now: later + TRIAL_INTERVAL_MS }), 0);
  assert.equal(cell.choose({ now: later + 5 * TRIAL_INTERVAL_MS, retry: true }), 1, 'no trial with a retried request');
  cell.columns.downUntil[0] = 0;
  const seen = cell.counts(200);
  assert.ok((seen[0] as number) > 50, 'back in rotation');
});

test('a suspected endpoint is out of rotation while there are others, and used when there are none', () => {
  const cell = new Cell(10, 10);
  cell.columns.downUntil[0] = SUSPECTED;
  assert.equal(cell.choose(), 0, 'the trial');
  for (let i = 0; i < 20; i++) assert.equal(cell.choose(), 1);
  cell.columns.ejected[1] = 1;
  for (let i = 0; i < 20; i++) assert.equal(cell.choose(), 0);
  assert.equal(cell.choose({ failedSlot: 0, retry: true }), 0, 'also for the request whose connection was reset');
  // Refused, it is down for everybody.
  cell.columns.downUntil[0] = SECOND + 1 + DOWN_SECONDS;
  assert.equal(cell.choose({ failedSlot: 0, retry: true }), -1);
});

test('an endpoint of poor health gets a trickle: about one request in a hundred, at most one a second', () => {
  const cell = new Cell(1000, 1000);
  cell.columns.health[0] = 0;
  let trials = 0;
  // 20 requests a second for 1000 seconds.
  for (let i = 0; i < 20_000; i++) if (cell.choose({ now: NOW + i * 50 }) === 0) trials++;
  assert.ok(trials > 120 && trials < 240, `${trials} of 20000`);
  trials = 0;
  // 2000 a second for 10 seconds.
  for (let i = 0; i < 20_000; i++) if (cell.choose({ now: NOW + 2e9 + i * 0.5 }) === 0) trials++;
  assert.ok(trials >= 5 && trials <= 10, `${trials} in 10 s`);
});

test('a clock that is set back keeps nobody out of rotation', () => {
  const cell = new Cell(10);
  cell.columns.downUntil[0] = SECOND + 3600;
  assert.equal(cell.choose(), 0);
  assert.equal(cell.choose({ now: NOW - 3_600_000 }), 0);
});

test('a cell sees nothing but its own members', () => {
  const cell = new Cell(10, 10, 10);
  for (let i = 0; i < 50; i++) assert.notEqual(cell.choose({ members: [0, 2] }), 1);
});

test('what another thread writes is seen at the next choice', async () => {
  const cell = new Cell(10, 10);
  const memory = cell.columns.downUntil.buffer as SharedArrayBuffer;
  const code = `
    const { workerData, parentPort } = require('node:worker_threads');
    new Int32Array(workerData.memory, workerData.at, 1)[0] = workerData.value;
    parentPort.postMessage('written');`;
  const value = SECOND + 1 + DOWN_SECONDS;
  const worker = new Worker(code, { eval: true, workerData: { memory, at: cell.columns.downUntil.byteOffset, value } });
  await new Promise((resolve) => worker.once('message', resolve));
  for (let i = 0; i < 50; i++) assert.equal(cell.choose(), 1);
  await worker.terminate();
});

function failedOf(...slots: readonly number[]): FailedSlots {
  const failed = new FailedSlots();
  for (const slot of slots) if (slot >= 0) failed.add(slot);
  return failed;
}
