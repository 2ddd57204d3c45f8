import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import fc from 'fast-check';
import { EndpointColumns, ENDPOINT_SLOTS } from '../../snapshot/endpoint-columns.ts';
import { allowed, RetryBudget } from './retry-budget.ts';

const SLOT = 9;
const LANES = 3;

test('so many further attempts are allowed: a share of what is in flight, and a few always', () => {
  for (const [active, percent, least, expected] of [
    [0, 20, 3, 3],
    [15, 20, 3, 3],
    [20, 20, 3, 4],
    [1_000, 20, 3, 200],
    [1_000, 0, 0, 0],
    [7, 100, 0, 7],
  ] as const)
    assert.equal(allowed(active, percent, least), expected, `${percent} % of ${active}, at least ${least}`);
});

test('the budget is never exceeded, whatever comes and goes in whichever lane', () => {
  const step = fc.record({
    lane: fc.integer({ min: 0, max: LANES - 1 }),
    does: fc.constantFrom('take' as const, 'take' as const, 'give' as const, 'arrive' as const, 'leave' as const),
  });
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 200 }),
      fc.integer({ min: 0, max: 100 }),
      fc.integer({ min: 0, max: 5 }),
      (steps, budgetPercent, minRetryConcurrency) => {
        const columns = new EndpointColumns(EndpointColumns.create());
        const guards = { slot: SLOT, retryBudget: { budgetPercent, minRetryConcurrency } };
        const lanes = Array.from({ length: LANES }, (_, lane) => new RetryBudget(columns, lane, LANES));
        const held = new Int32Array(LANES);
        for (const { lane, does } of steps) {
          const row = lane * ENDPOINT_SLOTS + SLOT;
          if (does === 'arrive') columns.inflight[row] = (columns.inflight[row] ?? 0) + 1;
          if (does === 'leave') columns.inflight[row] = Math.max(0, (columns.inflight[row] ?? 0) - 1);
          if (does === 'give' && (held[lane] ?? 0) > 0) {
            held[lane] = (held[lane] ?? 0) - 1;
            columns.faults.retrying[row] = (columns.faults.retrying[row] ?? 0) - 1;
          }
          if (does !== 'take') continue;
          const before = held.reduce((sum, n) => sum + n, 0);
          const room = allowed(columns.inflightOf(SLOT, LANES) + 1, budgetPercent, minRetryConcurrency) - before;
          const taken = (lanes[lane] as RetryBudget).take(guards);
          assert.equal(taken, room > 0);
          if (taken) held[lane] = (held[lane] ?? 0) + 1;
        }
        assert.deepEqual(
          Array.from({ length: LANES }, (_, lane) => columns.faults.retrying[lane * ENDPOINT_SLOTS + SLOT]),
          [...held],
        );
      },
    ),
    { numRuns: 200 },
  );
});

test('lanes that take at the same time do not exceed it either, and a dead lane leaves its places', async () => {
  const memory = EndpointColumns.create();
  const columns = new EndpointColumns(memory);
  const guards = { slot: SLOT, retryBudget: { budgetPercent: 0, minRetryConcurrency: 50 } };
  const code = `
    const { workerData, parentPort } = require('node:worker_threads');
    import(workerData.budget).then(async ({ RetryBudget }) => {
      const { EndpointColumns } = await import(workerData.columns);
      const budget = new RetryBudget(new EndpointColumns(workerData.memory), workerData.lane, 2);
      let taken = 0;
      for (let i = 0; i < 10000; i++) if (budget.take(workerData.guards)) taken++;
      parentPort.postMessage(taken);
    });`;
  const here = (name: string): string => new URL(name, import.meta.url).href;
  const takes = [0, 1].map(async (lane) => {
    const worker = new Worker(code, {
      eval: true,
      workerData: {
        memory,
        lane,
        guards,
        budget: here('./retry-budget.ts'),
        columns: here('../../snapshot/endpoint-columns.ts'),
      },
    });
    const taken = await new Promise<number>((resolve, reject) => {
      worker.once('message', resolve);
      worker.once('error', reject);
    });
    await worker.terminate();
    return taken;
  });
  const [first = 0, second = 0] = await Promise.all(takes);
  assert.ok(first + second <= 50 && first + second >= 49, `${first} + ${second}`);
  columns.forgetLane(0);
  assert.equal(columns.faults.retrying[SLOT], 0);
  assert.equal(columns.faults.retrying[ENDPOINT_SLOTS + SLOT], second);
});
