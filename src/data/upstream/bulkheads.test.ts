import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { EndpointColumns, ENDPOINT_SLOTS } from '../../snapshot/endpoint-columns.ts';
import type { CellGuards } from '../../snapshot/guards.ts';
import { TestWire, testExchange } from '../../../test/harness/wire.ts';
import type { Exchange } from '../exchange.ts';
import { Bulkheads } from './bulkheads.ts';

const LANES = 2;
const guards = (maxRequests: number, maxRequestsPerTenant: number, slot = 5): CellGuards => ({
  slot,
  retryBudget: { budgetPercent: 20, minRetryConcurrency: 3 },
  bulkhead: { maxRequests, maxRequestsPerTenant },
});
const of = (tenant: string): Exchange => {
  const x = testExchange(new TestWire(), {});
  x.tenant = tenant;
  return x;
};
const lanesOf = (columns: EndpointColumns): Bulkheads[] =>
  Array.from({ length: LANES }, (_, lane) => new Bulkheads(columns, lane, LANES, 7));

test('a cell takes no more than it may, over all lanes', () => {
  const columns = new EndpointColumns(EndpointColumns.create());
  const [bulkheads] = lanesOf(columns) as [Bulkheads];
  columns.inflight[5] = 3;
  columns.inflight[ENDPOINT_SLOTS + 5] = 4;
  assert.ok(bulkheads.take(of(''), 'eu', guards(8, 0)));
  const x = of('');
  assert.equal(bulkheads.take(x, 'eu', guards(7, 0)), false);
  assert.equal(x.refusal?.code, 'bulkhead_full');
  assert.equal(x.detail, 'bulkhead full: 7 requests are under way in cell eu');
});

test('a tenant has no more than it may, whatever comes and goes in whichever lane, and nobody else is counted with it', () => {
  const step = fc.record({
    lane: fc.integer({ min: 0, max: LANES - 1 }),
    tenant: fc.constantFrom('acme', 'beta'),
    takes: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 150 }), fc.integer({ min: 1, max: 6 }), (steps, most) => {
      const columns = new EndpointColumns(EndpointColumns.create());
      const lanes = lanesOf(columns);
      const held = new Map<string, { x: Exchange; lane: number }[]>([
        ['acme', []],
        ['beta', []],
      ]);
      for (const { lane, tenant, takes } of steps) {
        const its = held.get(tenant) ?? [];
        if (takes) {
          const x = of(tenant);
          const taken = (lanes[lane] as Bulkheads).take(x, 'eu', guards(0, most));
          assert.equal(taken, its.length < most);
          if (taken) its.push({ x, lane });
        } else {
          const gone = its.pop();
          if (gone !== undefined) (lanes[gone.lane] as Bulkheads).release(gone.x);
        }
      }
      for (const its of held.values()) for (const { x, lane } of its) (lanes[lane] as Bulkheads).release(x);
      assert.ok(columns.faults.tenants.every((n) => n === 0));
    }),
    { numRuns: 100 },
  );
});

test('cells count apart, and a dead lane leaves nothing', () => {
  const columns = new EndpointColumns(EndpointColumns.create());
  const [first, second] = lanesOf(columns) as [Bulkheads, Bulkheads];
  assert.ok(first.take(of('acme'), 'eu', guards(0, 1)));
  assert.equal(second.take(of('acme'), 'eu', guards(0, 1)), false);
  assert.ok(second.take(of('acme'), 'us', guards(0, 1, 6)));
  columns.forgetLane(0);
  assert.ok(second.take(of('acme'), 'eu', guards(0, 1)));
});
