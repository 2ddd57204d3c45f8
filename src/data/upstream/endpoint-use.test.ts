import assert from 'node:assert/strict';
import { test } from 'node:test';
import { present } from '../../base/assert.ts';
import { EndpointColumns, ENDPOINT_SLOTS, SUSPECTED } from '../../snapshot/endpoint-columns.ts';
import type { EndpointPlan } from '../../snapshot/cell-plans.ts';
import type { CellGuards } from '../../snapshot/guards.ts';
import { TestWire, testExchange } from '../../../test/harness/wire.ts';
import type { Exchange } from '../exchange.ts';
import { FailReason } from '../transport/transport.ts';
import { Bulkheads } from './bulkheads.ts';
import { DOWN_SECONDS, EndpointUse } from './endpoint-use.ts';

const endpoint: EndpointPlan = {
  slot: 3,
  identity: 'c/h:1',
  cell: 0,
  host: 'h',
  port: 1,
  tls: null,
  capacity: 10,
  connectionsMax: 8,
  http2: false,
};
const NOW = 1_800_000_000_250;
const ROW = ENDPOINT_SLOTS + endpoint.slot;

function given(): { columns: EndpointColumns; use: EndpointUse; x: Exchange } {
  const columns = new EndpointColumns(EndpointColumns.create());
  const health = { alpha: 0.3, latencyGoodMs: 50, latencyBadMs: 500, errorBad: 0.05 };
  const cells = [{ id: 'c', region: '', endpoints: [0], health, probe: null }];
  const x = testExchange(new TestWire(), { snapshot: { cells, endpoints: [endpoint] } as never });
  x.now = NOW;
  return { columns, use: new EndpointUse(columns, 1), x };
}

test('an exchange is in flight from its taking to its release, counted in its lane once', () => {
  const { columns, use, x } = given();
  use.take(x, endpoint);
  assert.equal(columns.inflight[ROW], 1);
  assert.equal(columns.inflightOf(endpoint.slot, 2), 1);
  use.release(x);
  use.release(x);
  assert.equal(columns.inflight[ROW], 0);
  assert.equal(x.attempts, 1);
});

test('an answer counts with its latency, a 5xx as a failure too', () => {
  const { columns, use, x } = given();
  use.take(x, endpoint);
  x.upstreamMs = 12.5;
  use.answered(x, 404);
  use.answered(x, 503);
  assert.equal(columns.answers[ROW], 2);
  assert.equal(columns.failures[ROW], 1);
  assert.equal(columns.latencyMs[ROW], 25);
});

const outcomes: readonly [name: string, reason: FailReason, down: number, counted: number][] = [
  ['a refused connection takes it out until the time', FailReason.Connect, 1_800_000_001 + DOWN_SECONDS, 1],
  ['a reset connection makes it suspected', FailReason.Reset, SUSPECTED, 1],
  ['a timeout is a failure only', FailReason.Timeout, 0, 1],
  ['a malformed answer is a failure only', FailReason.Invalid, 0, 1],
  ['a full pool says nothing of the endpoint', FailReason.Busy, 0, 0],
];
for (const [name, reason, down, counted] of outcomes) {
  test(name, () => {
    const { columns, use, x } = given();
    use.take(x, endpoint);
    use.failed(x, reason);
    assert.equal(columns.downUntil[endpoint.slot], down);
    assert.equal(columns.answers[ROW], counted);
    assert.equal(columns.failures[ROW], counted);
    assert.equal(columns.latencyMs[ROW], counted * 500, 'no answer is the slowest');
    assert.equal(columns.inflight[ROW], 0);
  });
}

test('a reset does not shorten what a refused connection said', () => {
  const { columns, use, x } = given();
  use.take(x, endpoint);
  use.failed(x, FailReason.Connect);
  use.take(x, endpoint);
  use.failed(x, FailReason.Reset);
  assert.equal(columns.downUntil[endpoint.slot], 1_800_000_001 + DOWN_SECONDS);
});

test('an answer below 500 brings it back, another one does not', () => {
  const { columns, use, x } = given();
  use.take(x, endpoint);
  use.failed(x, FailReason.Reset);
  use.take(x, endpoint);
  use.answered(x, 500);
  assert.equal(columns.downUntil[endpoint.slot], SUSPECTED);
  use.answered(x, 204);
  assert.equal(columns.downUntil[endpoint.slot], 0);
});

/** An exchange whose cell has an adaptive bulkhead, and that bulkhead. */
function adaptivelyBound() {
  const { columns, x } = given();
  const adaptive = { minRequests: 8, maxRequests: 1_000, tolerancePercent: 50 };
  const bulkhead = { maxRequests: 0, maxRequestsPerTenant: 0, adaptive };
  const cell = present(x.revision.snapshot.cells[0], 'cell') as { guards?: CellGuards };
  cell.guards = { slot: 5, retryBudget: { budgetPercent: 20, minRetryConcurrency: 3 }, bulkhead };
  return { columns, x, bulkheads: new Bulkheads(columns, 1, 2, 7) };
}

test('an adaptive bulkhead hears how long heads took that came, or came not in time, and nothing of what failed at once', () => {
  const { columns, x, bulkheads } = adaptivelyBound();
  const heard: number[] = [];
  bulkheads.answered = (_, ms) => void heard.push(ms);
  const use = new EndpointUse(columns, 1, bulkheads);
  x.startedAt = NOW - 40;
  const attempt = (end: () => void): void => {
    use.take(x, endpoint);
    end();
  };
  x.upstreamMs = 7;
  attempt(() => use.answered(x, 200));
  attempt(() => use.answered(x, 503));
  for (const reason of [FailReason.Connect, FailReason.Reset, FailReason.Invalid, FailReason.Busy])
    attempt(() => use.failed(x, reason));
  attempt(() => use.failed(x, FailReason.Timeout));
  // Its head had come: the answer stood still.
  x.upstreamStatus = 200;
  attempt(() => use.failed(x, FailReason.Timeout));
  assert.deepEqual(heard, [7, 40]);
});

test('what a head says of a cell was seen when it came, however long ago it was asked for', () => {
  const { columns, x, bulkheads } = adaptivelyBound();
  const heard: (readonly [ms: number, at: number])[] = [];
  bulkheads.answered = (_, ms, at) => void heard.push([ms, at]);
  const use = new EndpointUse(columns, 1, bulkheads);
  // A body came for 40 s before the request was handed on; then its head took 70 s.
  Object.assign(x, { startedAt: NOW - 110_000, now: NOW - 70_000, startedTick: 5_000, handedTick: 45_000 });
  x.upstreamMs = 70_000;
  use.take(x, endpoint);
  use.answered(x, 200);
  assert.deepEqual(heard, [[70_000, NOW]]);
  assert.equal(use.latency.of(5, NOW + 50_000), 70_000);
  x.now = NOW + 1;
  use.take(x, endpoint);
  use.failed(x, FailReason.Timeout);
  assert.deepEqual(heard[1], [110_001, NOW + 1]);
});
