import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { EndpointColumns } from '../../snapshot/endpoint-columns.ts';
import type { OutlierPlan } from '../../snapshot/guards.ts';
import type { EndpointPlan } from '../../snapshot/cell-plans.ts';
import type { FaultEvent } from './faults.ts';
import { ceilingOf, Outliers } from './outliers.ts';

const NOW = 1_800_000_000_000;
const plan: OutlierPlan = {
  consecutive5xx: 5,
  consecutiveGatewayFailure: 0,
  intervalMs: 10_000,
  baseEjectionTimeMs: 30_000,
  maxEjectionTimeMs: 300_000,
  maxEjectionPercent: 10,
  successRateMinimumHosts: 5,
  successRateRequestVolume: 100,
  successRateStdevFactor: 1_900,
};

class Given {
  readonly columns = new EndpointColumns(EndpointColumns.create());
  readonly events: FaultEvent[] = [];
  readonly outliers = new Outliers({
    columns: this.columns,
    laneCount: 1,
    changed: (event) => this.events.push(event),
  });
  now = NOW;

  constructor(endpoints: number, more: Partial<OutlierPlan> = {}) {
    this.members(endpoints, more);
  }

  members(endpoints: number, more: Partial<OutlierPlan> = {}): void {
    const plans = Array.from({ length: endpoints }, (_, slot) => ({ slot, identity: `c/h:${slot}` }) as EndpointPlan);
    this.outliers.activate([{ id: 'c', plan: { ...plan, ...more }, endpoints: plans }]);
  }

  fails(row: number, times = 5): void {
    this.columns.faults.consecutive5xx[row] = times;
  }

  tick(ms = 100): void {
    this.now += ms;
    this.outliers.tick(this.now);
  }

  counted(row: number, answers: number, failures: number): void {
    this.columns.answers[row] = (this.columns.answers[row] ?? 0) + answers;
    this.columns.failures[row] = (this.columns.failures[row] ?? 0) + failures;
  }

  out(): number[] {
    return [...this.columns.faults.outlier.subarray(0, 64)].flatMap((n, row) => (n === 0 ? [] : [row]));
  }
}

test('the ceiling is a share, one at least, and never all', () => {
  for (const [endpoints, percent, most] of [
    [1, 100, 0],
    [2, 10, 1],
    [4, 10, 1],
    [10, 10, 1],
    [20, 10, 2],
    [4, 50, 2],
    [4, 100, 3],
    [4, 0, 0],
  ] as const)
    assert.equal(ceilingOf(endpoints, percent), most, `${percent} % of ${endpoints}`);
});

test('failures in a row eject, for longer each time, and back to less by good intervals', () => {
  const given = new Given(4);
  given.fails(2, 4);
  given.tick();
  assert.deepEqual(given.out(), []);
  given.fails(2);
  given.tick();
  assert.deepEqual(given.out(), [2]);
  assert.equal(given.columns.faults.consecutive5xx[2], 0);
  given.tick(29_900);
  assert.deepEqual(given.out(), [2]);
  given.tick();
  assert.deepEqual(given.out(), []);
  assert.equal(given.columns.returnedAt[2], given.now, 'it begins slowly');
  assert.equal(given.columns.returnedAt[1], 0);
  given.fails(2);
  given.tick();
  given.tick(59_900);
  assert.deepEqual(given.out(), [2], 'twice as long');
  given.tick(100);
  assert.deepEqual(given.out(), []);
  for (let i = 0; i < 3; i++) given.tick(plan.intervalMs);
  given.fails(2);
  given.tick();
  given.tick(30_000);
  assert.deepEqual(given.out(), [], 'good intervals count it down');
  assert.deepEqual(
    given.events.map((e) => e.state),
    ['ejected', 'admitted', 'ejected', 'admitted', 'ejected', 'admitted'],
  );
});

test('gateway failures in a row have a count of their own', () => {
  const given = new Given(4, { consecutive5xx: 0, consecutiveGatewayFailure: 3 });
  given.fails(1, 50);
  given.tick();
  assert.deepEqual(given.out(), []);
  given.columns.faults.consecutiveGatewayFailures[1] = 3;
  given.tick();
  assert.deepEqual(given.out(), [1]);
});

test('a success rate far below the others ejects, with enough endpoints and requests only', () => {
  const rates = (given: Given, worst: number, calls = 200): void => {
    given.tick(plan.intervalMs);
    for (let row = 0; row < 8; row++) given.counted(row, calls, row === 3 ? worst : 1);
    given.tick(plan.intervalMs);
  };
  const far = new Given(8);
  rates(far, 100);
  assert.deepEqual(far.out(), [3]);
  assert.match(far.events[0]?.reason ?? '', /^success rate 50\.0 %, below /);
  const few = new Given(8);
  rates(few, 50, 99);
  assert.deepEqual(few.out(), []);
  const alike = new Given(8);
  rates(alike, 1);
  assert.deepEqual(alike.out(), []);
  const small = new Given(4);
  small.tick(plan.intervalMs);
  for (let row = 0; row < 4; row++) small.counted(row, 200, row === 3 ? 200 : 0);
  small.tick(plan.intervalMs);
  assert.deepEqual(small.out(), [], 'fewer than successRateMinimumHosts');
});

test('what is over the ceiling is counted, and once', () => {
  const given = new Given(3);
  given.fails(0);
  given.fails(1);
  given.tick();
  given.tick();
  assert.equal(given.out().length, 1);
  assert.deepEqual([given.outliers.ejections, given.outliers.overflows], [1, 1]);
});

test('whatever fails, whoever comes and goes: never more are ejected than the ceiling', () => {
  const step = fc.record({
    fails: fc.array(fc.integer({ min: 0, max: 11 }), { maxLength: 12 }),
    ms: fc.integer({ min: 0, max: 50_000 }),
    members: fc.option(fc.integer({ min: 1, max: 12 }), { freq: 5 }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), fc.integer({ min: 0, max: 100 }), (steps, maxEjectionPercent) => {
      const given = new Given(12, { maxEjectionPercent });
      let count = 12;
      for (const { fails, ms, members } of steps) {
        if (members !== null) {
          count = members;
          given.members(count, { maxEjectionPercent });
        }
        for (const row of fails) given.fails(row);
        given.tick(ms);
        const out = given.out().filter((row) => row < count);
        assert.ok(out.length <= ceilingOf(count, maxEjectionPercent), `${out.length} of ${count}`);
      }
    }),
    { numRuns: 200 },
  );
});
