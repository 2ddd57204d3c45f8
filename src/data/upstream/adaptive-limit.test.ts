import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Prng } from '../../base/prng.ts';
import { EndpointColumns } from '../../snapshot/endpoint-columns.ts';
import type { CellGuards } from '../../snapshot/guards.ts';
import { TestWire, testExchange, testRoute } from '../../../test/harness/wire.ts';
import { AdaptiveLimit } from './adaptive-limit.ts';
import { Bulkheads } from './bulkheads.ts';

const NOW = 1_800_000_000_000;
const plan = { minRequests: 8, maxRequests: 1_000, tolerancePercent: 50 };

/** A cell that serves so many at once, each in `serviceMs`; clients that always want more than it may have. What was served per second, and the median time. */
class Cell {
  readonly limit: AdaptiveLimit;
  readonly #prng = new Prng(9);
  now = NOW;
  served = 0;
  times: number[] = [];

  constructor(limit = new AdaptiveLimit(plan)) {
    this.limit = limit;
  }

  /** With `wanted` requests that would be under way, for so long. */
  run(wanted: number, seconds: number, servers: number, serviceMs: number): void {
    this.served = 0;
    this.times = [];
    const until = this.now + seconds * 1000;
    while (this.now < until) {
      const underWay = Math.min(wanted, this.limit.limit);
      this.limit.began(underWay);
      // Little's law: beyond its servers the time grows with what is under way.
      const ms = serviceMs * Math.max(1, underWay / servers) * (0.9 + (0.2 * this.#prng.uint32()) / 0x1_0000_0000);
      this.now += ms / underWay;
      this.limit.answered(ms, Math.floor(this.now));
      this.served += 1 / seconds;
      this.times.push(ms);
    }
  }

  get medianMs(): number {
    return this.times.sort((a, b) => a - b)[this.times.length >> 1] ?? 0;
  }
}

test('a cell that is asked for too much gets what it can serve, in little more than its own time, for hours', () => {
  const cell = new Cell();
  cell.run(5, 5, 40, 10);
  for (let minute = 0; minute < 6; minute++) {
    cell.run(1_000, 60, 40, 10);
    assert.ok(cell.served > 0.95 * 4_000, `${cell.served}`);
    assert.ok(cell.medianMs < 22, `${cell.medianMs}`);
  }
});

test('also when it was asked for too much from the beginning', () => {
  const cell = new Cell();
  cell.run(1_000, 300, 40, 10);
  cell.run(1_000, 60, 40, 10);
  assert.ok(cell.served > 0.95 * 4_000, `${cell.served}`);
  assert.ok(cell.medianMs < 40, `${cell.medianMs}`);
});

test('a cell that has become slower for good is not held back for longer than a minute', () => {
  const cell = new Cell();
  cell.run(200, 60, 400, 10);
  cell.run(200, 20, 400, 100);
  cell.run(200, 60, 400, 100);
  cell.run(200, 60, 400, 100);
  assert.ok(cell.limit.limit >= 190, `${cell.limit.limit}`);
});

test('what is not made use of changes nothing', () => {
  const cell = new Cell();
  cell.run(20, 120, 400, 10);
  assert.equal(cell.limit.limit, plan.maxRequests);
});

test('whatever times come, it stays within its bounds', () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.record({ ms: fc.double({ min: 0, max: 1e6, noNaN: true }), underWay: fc.nat(5_000), pause: fc.nat(90_000) }),
        {
          maxLength: 400,
        },
      ),
      (answers) => {
        const limit = new AdaptiveLimit(plan);
        let now = NOW;
        for (const { ms, underWay, pause } of answers) {
          now += pause;
          limit.began(underWay);
          for (let i = 0; i < 16; i++) limit.answered(ms, now);
          assert.ok(limit.limit >= plan.minRequests && limit.limit <= plan.maxRequests);
        }
      },
    ),
  );
});

test('beyond the bound a lane refuses, sheddable requests before default ones and these before critical ones', () => {
  const columns = new EndpointColumns(EndpointColumns.create());
  const bulkheads = new Bulkheads(columns, 0, 1, 7);
  const adaptive = { minRequests: 10, maxRequests: 10, tolerancePercent: 50 };
  const guards: CellGuards = {
    slot: 5,
    retryBudget: { budgetPercent: 20, minRetryConcurrency: 3 },
    bulkhead: { maxRequests: 0, maxRequestsPerTenant: 0, adaptive },
  };
  const takes = (priority: number): boolean => {
    const x = testExchange(new TestWire(), {}, { ...testRoute(), priority: { class: priority, header: '' } });
    const taken = bulkheads.take(x, 'eu', guards);
    if (!taken)
      assert.match(`${x.refusal?.code} ${x.detail}`, /^bulkhead_full bulkhead full: \d+ requests of the lane/);
    return taken;
  };
  const of = (underWay: number): boolean[] => {
    columns.inflight[5] = underWay;
    return [0, 1, 2].map(takes);
  };
  assert.deepEqual(of(6), [true, true, true]);
  assert.deepEqual(of(8), [true, true, false]);
  assert.deepEqual(of(9), [true, false, false]);
  assert.deepEqual(of(10), [false, false, false]);
});

test('answers in no time at all leave a limit that more requests may be under way by', () => {
  const limit = new AdaptiveLimit(plan);
  for (let i = 0; i < 10_000; i++) limit.answered(i % 3 === 0 ? 1 : 0, NOW + i);
  assert.equal(limit.limit, plan.maxRequests);
});

test('answers that come out of order do not make it forget the least time of the last minute', () => {
  const limit = new AdaptiveLimit(plan);
  const windows = (n: number, ms: number, at: (i: number) => number): void => {
    for (let i = 0; i < n * 64; i++) {
      limit.began(limit.limit);
      limit.answered(ms, at(i));
    }
  };
  windows(2, 10, () => NOW);
  const at = NOW + 31_000;
  // A queue: each window was begun before or after the one before it.
  windows(40, 40, (i) => at + (Math.floor(i / 64) % 2 === 0 ? 0 : -200));
  assert.ok(limit.limit < 40, `${limit.limit}`);
});
