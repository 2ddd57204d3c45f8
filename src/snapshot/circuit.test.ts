import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  CIRCUIT_STATES,
  circuitState,
  isBad,
  judgeCircuit,
  mayPass,
  openCircuit,
  Passage,
  passCircuit,
  restMs,
  returnPermit,
} from './circuit.ts';
import { EndpointColumns } from './endpoint-columns.ts';
import type { FaultColumns } from './fault-columns.ts';
import type { CircuitPlan } from './guards.ts';

const ROW = 11;
const NOW = 1_800_000_000_000;
const plan: CircuitPlan = {
  failureRateThreshold: 50,
  slowCallRateThreshold: 100,
  slowCallDurationThresholdMs: 1_000,
  slidingWindowMs: 10_000,
  minimumNumberOfCalls: 10,
  waitDurationInOpenStateMs: 5_000,
  permittedNumberOfCallsInHalfOpenState: 4,
};
const fresh = (): FaultColumns => new EndpointColumns(EndpointColumns.create()).faults;
const state = (columns: FaultColumns): string => CIRCUIT_STATES[circuitState(columns, ROW)];

/** What is done: `pass` at a time, an outcome, a returned permit; and what must come of it. */
type Step =
  | readonly ['pass', atMs: number, Passage]
  | readonly ['good' | 'bad' | 'slow', atMs: number, state: string]
  | readonly ['return', atMs: number, state: string];

const { Free, Permit, Denied } = Passage;
const tables: Readonly<Record<string, readonly Step[]>> = {
  'an open circuit lets nobody pass for its time': [
    ['pass', 0, Denied],
    ['pass', 4_999, Denied],
    ['pass', 5_000, Permit],
  ],
  'a half-open one gives so many permits and no more': [
    ['pass', 5_000, Permit],
    ['pass', 5_001, Permit],
    ['pass', 5_002, Permit],
    ['pass', 5_003, Permit],
    ['pass', 5_004, Denied],
  ],
  'good outcomes of all of them close it': [
    ['pass', 5_000, Permit],
    ['good', 5_010, 'half-open'],
    ['pass', 5_020, Permit],
    ['pass', 5_020, Permit],
    ['pass', 5_020, Permit],
    ['good', 5_030, 'half-open'],
    ['bad', 5_030, 'half-open'],
    ['good', 5_040, 'closed'],
    ['pass', 5_050, Free],
  ],
  'the threshold opens it again, for its time from then on': [
    ['pass', 5_000, Permit],
    ['pass', 5_000, Permit],
    ['pass', 5_000, Permit],
    ['pass', 5_000, Permit],
    ['bad', 5_100, 'half-open'],
    ['good', 5_100, 'half-open'],
    ['good', 5_100, 'half-open'],
    ['bad', 6_000, 'open'],
    ['pass', 10_999, Denied],
    ['pass', 11_000, Permit],
  ],
  'slow outcomes count by a threshold of their own': [
    ['pass', 5_000, Permit],
    ['pass', 5_000, Permit],
    ['pass', 5_000, Permit],
    ['pass', 5_000, Permit],
    ['slow', 5_100, 'half-open'],
    ['slow', 5_100, 'half-open'],
    ['slow', 5_100, 'half-open'],
    ['slow', 5_100, 'open'],
  ],
  'a permit that led to nothing is there again': [
    ['pass', 5_000, Permit],
    ['pass', 5_000, Permit],
    ['pass', 5_000, Permit],
    ['pass', 5_000, Permit],
    ['return', 5_001, 'half-open'],
    ['pass', 5_002, Permit],
    ['pass', 5_003, Denied],
  ],
  'permits that nobody heard of again do not hold it for ever': [
    ['pass', 5_000, Permit],
    ['pass', 5_000, Permit],
    ['pass', 5_000, Permit],
    ['pass', 5_000, Permit],
    ['pass', 9_999, Denied],
    ['pass', 10_000, Permit],
    ['pass', 10_000, Permit],
  ],
  'a clock that is set back holds nobody out': [['pass', -10_000_000, Permit]],
};
for (const [name, steps] of Object.entries(tables)) {
  test(name, () => {
    const columns = fresh();
    assert.ok(openCircuit(columns, ROW, plan, NOW));
    for (const [what, at, expected] of steps) {
      const now = NOW + at;
      if (what === 'pass') {
        assert.equal(mayPass(columns, ROW, now), expected !== Denied, `may pass at ${at}`);
        assert.equal(passCircuit(columns, ROW, plan, now), expected, `pass at ${at}`);
        continue;
      }
      if (what === 'return') returnPermit(columns, ROW, plan);
      else judgeCircuit(columns, ROW, plan, what === 'bad', what === 'slow', now);
      assert.equal(state(columns), expected, `${what} at ${at}`);
    }
  });
}

test('a closed circuit is left alone by outcomes and returned permits, and opens once', () => {
  const columns = fresh();
  judgeCircuit(columns, ROW, plan, true, true, NOW);
  returnPermit(columns, ROW, plan);
  assert.equal(columns.circuit[ROW], 0);
  assert.equal(passCircuit(columns, ROW, plan, NOW), Free);
  assert.ok(openCircuit(columns, ROW, plan, NOW));
  assert.equal(openCircuit(columns, ROW, plan, NOW), false);
  assert.equal(columns.circuitChanges[ROW], 1);
  assert.equal(restMs(columns, ROW, NOW + 1_000), 4_000);
});

test('rates reach their thresholds', () => {
  assert.equal(isBad(plan, 10, 4, 0), false);
  assert.equal(isBad(plan, 10, 5, 0), true);
  assert.equal(isBad(plan, 10, 0, 9), false);
  assert.equal(isBad(plan, 10, 0, 10), true);
});

test('whatever happens, no round gives more permits than it may, and every word is a state', () => {
  const step = fc.record({
    does: fc.constantFrom('pass' as const, 'good' as const, 'bad' as const, 'return' as const),
    ms: fc.integer({ min: 0, max: 1_500 }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300 }), fc.integer({ min: 1, max: 100 }), (steps, permits) => {
      const columns = fresh();
      const its = { ...plan, permittedNumberOfCallsInHalfOpenState: permits };
      openCircuit(columns, ROW, its, NOW);
      let now = NOW;
      let out = 0;
      let round = columns.circuitUntil[ROW];
      for (const { does, ms } of steps) {
        now += ms;
        if (does === 'pass') {
          const passage = passCircuit(columns, ROW, its, now);
          if (columns.circuitUntil[ROW] !== round) out = 0;
          round = columns.circuitUntil[ROW];
          if (passage === Permit) out++;
          assert.ok(out <= permits, `${out} of ${permits}`);
        } else if (out > 0 && does === 'return') {
          returnPermit(columns, ROW, its);
          out--;
        } else if (out > 0 && does !== 'return') {
          judgeCircuit(columns, ROW, its, does === 'bad', false, now);
        }
        assert.ok(circuitState(columns, ROW) <= 2);
        if (state(columns) !== 'half-open') out = 0;
      }
    }),
    { numRuns: 300 },
  );
});
