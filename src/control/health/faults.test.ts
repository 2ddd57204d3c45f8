import assert from 'node:assert/strict';
import { test } from 'node:test';
import { judgeCircuit, passCircuit } from '../../snapshot/circuit.ts';
import { EndpointColumns, ENDPOINT_SLOTS } from '../../snapshot/endpoint-columns.ts';
import type { CircuitPlan } from '../../snapshot/guards.ts';
import type { CellPlan, EndpointPlan } from '../../snapshot/cell-plans.ts';
import { type FaultEvent, FaultWatch } from './faults.ts';
import { CallWindow } from './window.ts';

const plan: CircuitPlan = {
  failureRateThreshold: 50,
  slowCallRateThreshold: 80,
  slowCallDurationThresholdMs: 1_000,
  slidingWindowMs: 10_000,
  minimumNumberOfCalls: 20,
  waitDurationInOpenStateMs: 5_000,
  permittedNumberOfCallsInHalfOpenState: 2,
};
const CELL_ROW = 30;
const endpoint = (slot: number): EndpointPlan => ({ slot, identity: `c/h:${slot}`, cell: 0 }) as EndpointPlan;
const cell = (more: object): CellPlan =>
  ({
    id: 'c',
    guards: { slot: CELL_ROW, retryBudget: { budgetPercent: 20, minRetryConcurrency: 3 }, ...more },
  }) as unknown as CellPlan;

class Given {
  readonly columns = new EndpointColumns(EndpointColumns.create());
  readonly events: FaultEvent[] = [];
  now = 1_800_000_000_000;
  readonly watch = new FaultWatch({
    columns: this.columns,
    laneCount: 2,
    now: () => this.now,
    changed: (event) => this.events.push(event),
  });

  constructor(more: object = { endpointCircuit: plan }) {
    this.watch.activate({ cells: [cell(more)], endpoints: [endpoint(1), endpoint(2)] });
    this.watch.tick();
  }

  counted(lane: number, slot: number, calls: number, failed: number, slow = 0): void {
    const row = lane * ENDPOINT_SLOTS + slot;
    this.columns.answers[row] = ((this.columns.answers[row] ?? 0) + calls) | 0;
    this.columns.failures[row] = ((this.columns.failures[row] ?? 0) + failed) | 0;
    this.columns.faults.slow[row] = ((this.columns.faults.slow[row] ?? 0) + slow) | 0;
  }

  tick(ms = 100): string[] {
    this.now += ms;
    this.events.length = 0;
    this.watch.tick();
    return this.events.map((e) => `${e.identity} ${e.state}`);
  }
}

test('failures over all lanes open the circuit of the endpoint that has them, with enough calls only', () => {
  const given = new Given();
  given.counted(0, 1, 10, 10);
  given.counted(0, 2, 30, 14);
  assert.deepEqual(given.tick(), []);
  given.counted(1, 1, 10, 0);
  assert.deepEqual(given.tick(), ['c/h:1 open']);
  assert.match(given.events[0]?.reason ?? '', /^of 20 calls 10 failed and 0 were slow$/);
});

test('slow calls open it, too', () => {
  const given = new Given();
  given.counted(0, 1, 20, 0, 15);
  assert.deepEqual(given.tick(), []);
  given.counted(0, 1, 5, 0, 5);
  assert.deepEqual(given.tick(), ['c/h:1 open']);
});

test('what is older than the window does not count, and what was before a change neither', () => {
  const given = new Given();
  given.counted(0, 1, 19, 19);
  given.tick();
  given.tick(10_000);
  given.counted(0, 1, 19, 0);
  assert.deepEqual(given.tick(), []);
  given.counted(0, 1, 40, 40);
  assert.deepEqual(given.tick(), ['c/h:1 open']);
  given.now += 5_000;
  passCircuit(given.columns.faults, 1, plan, given.now);
  passCircuit(given.columns.faults, 1, plan, given.now);
  assert.deepEqual(given.tick(), ['c/h:1 half-open']);
  for (let i = 0; i < 2; i++) judgeCircuit(given.columns.faults, 1, plan, false, false, given.now);
  assert.deepEqual(given.tick(), ['c/h:1 closed']);
  assert.deepEqual(given.tick(), [], 'the failures of before do not open it again');
});

test('a cell opens by the calls of all its endpoints, and by nothing else', () => {
  const given = new Given({ cellCircuit: plan });
  given.counted(0, 1, 15, 15);
  given.counted(1, 2, 15, 0);
  assert.deepEqual(given.tick(), ['c open']);
  assert.equal(given.columns.faults.circuit[1], 0);
});

test('a circuit without a breaker any more is closed', () => {
  const given = new Given();
  given.counted(0, 1, 40, 40);
  given.tick();
  assert.equal(given.columns.faults.circuit[1], 1);
  given.watch.activate({ cells: [cell({})], endpoints: [endpoint(1)] });
  assert.equal(given.columns.faults.circuit[1], 0);
});

test('a cell that stands in two bundles at once is watched once', () => {
  const given = new Given();
  const other = { ...endpoint(3), cell: 1 };
  given.watch.activate({
    cells: [cell({ endpointCircuit: plan }), cell({})],
    endpoints: [endpoint(1), endpoint(2), other],
  });
  given.counted(0, 3, 40, 40);
  assert.deepEqual(given.tick(), ['c/h:3 open']);
});

test('a window is the sum of what came in it, over wraps and clocks that are set back', () => {
  const window = new CallWindow(1_000, [0x7fff_fff0, 0, 0]);
  window.add(10_000, [0x7fff_fff0 + 10, 4, 1]);
  window.add(10_500, [(0x7fff_fff0 + 30) | 0, 5, 1]);
  assert.deepEqual([window.calls, window.failed, window.slow], [30, 5, 1]);
  window.add(11_050, [(0x7fff_fff0 + 30) | 0, 5, 1]);
  assert.deepEqual([window.calls, window.failed, window.slow], [20, 1, 0]);
  window.add(5_000, [(0x7fff_fff0 + 31) | 0, 5, 1]);
  assert.deepEqual([window.calls, window.failed, window.slow], [1, 0, 0]);
});
