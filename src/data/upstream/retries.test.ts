import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RetryOn } from '../../snapshot/guards.ts';
import { TestWire, testExchange, testRoute } from '../../../test/harness/wire.ts';
import { type Exchange, METHODS } from '../exchange.ts';
import { FailReason, type UpstreamAnswer } from '../transport/transport.ts';
import { setDeadlines } from './deadlines.ts';
import { conditionsOf, looksAtAnswers, Retries } from './retries.ts';

const NOW = 1_800_000_000_000;
const retries = new Retries();

interface Asked {
  readonly method?: string;
  readonly on?: number;
  readonly statuses?: readonly number[];
  readonly attempts?: number;
  readonly totalMs?: number;
  readonly sinceMs?: number;
}

function exchange(asked: Asked = {}): Exchange {
  const method = asked.method ?? 'GET';
  const x = testExchange(new TestWire({ method }), {});
  const retry =
    asked.on === undefined ? {} : { retry: { on: asked.on, statuses: asked.statuses ?? [], perTryTimeoutMs: 0 } };
  x.route = testRoute({
    forward: { ...testRoute().forward, retries: 2, ...retry, totalTimeoutMs: asked.totalMs ?? 0 },
  });
  x.methodCode = METHODS.indexOf(method as 'GET');
  x.attempts = asked.attempts ?? 1;
  x.now = NOW;
  x.startedAt = NOW - (asked.sinceMs ?? 0);
  return x;
}

const failures: readonly [
  name: string,
  asked: Asked,
  reason: FailReason,
  safe: boolean,
  whole: boolean,
  again: boolean,
][] = [
  ['nothing was sent', {}, FailReason.Connect, true, true, true],
  ['nothing was sent of a POST', { method: 'POST' }, FailReason.Connect, true, true, true],
  ['a part of its body is gone', {}, FailReason.Connect, false, false, false],
  ['a reset, idempotent', {}, FailReason.Reset, true, true, true],
  ['a reset, not idempotent', { method: 'POST' }, FailReason.Reset, false, true, false],
  ['no place in the queue', {}, FailReason.Busy, true, true, true],
  ['a timeout, which is not asked for', {}, FailReason.Timeout, false, true, false],
  ['a timeout', { on: RetryOn.GatewayError }, FailReason.Timeout, false, true, true],
  ['a timeout as 5xx', { on: RetryOn.ServerError }, FailReason.Timeout, false, true, true],
  ['a timeout of a POST', { on: RetryOn.ServerError, method: 'POST' }, FailReason.Timeout, false, true, false],
  ['a timeout after a part of its body', { on: RetryOn.ServerError }, FailReason.Timeout, false, false, false],
  ['a malformed answer', { on: RetryOn.ServerError }, FailReason.Invalid, false, true, true],
  ['a malformed answer, which is not asked for', { on: RetryOn.GatewayError }, FailReason.Invalid, false, true, false],
  ['connections only', { on: RetryOn.ConnectFailure }, FailReason.Reset, true, true, false],
  ['nothing at all', { on: 0 }, FailReason.Connect, true, true, false],
  ['the last attempt', { attempts: 3 }, FailReason.Connect, true, true, false],
  ['time is left', { totalMs: 100, sinceMs: 99 }, FailReason.Connect, true, true, true],
  ['no time is left', { totalMs: 100, sinceMs: 100 }, FailReason.Connect, true, true, false],
];
for (const [name, asked, reason, safe, whole, again] of failures) {
  test(`after a failed attempt: ${name}: ${again ? 'again' : 'not again'}`, () => {
    assert.equal(retries.afterFailure(exchange(asked), reason, safe, whole), again);
  });
}

const answers: readonly [
  name: string,
  asked: Asked,
  status: number,
  grpc: string | undefined,
  whole: boolean,
  again: boolean,
][] = [
  ['a route that says nothing', {}, 503, undefined, true, false],
  ['503', { on: RetryOn.GatewayError }, 503, undefined, true, true],
  ['500 is no gateway error', { on: RetryOn.GatewayError }, 500, undefined, true, false],
  ['500', { on: RetryOn.ServerError }, 500, undefined, true, true],
  ['409', { on: RetryOn.Retriable4xx }, 409, undefined, true, true],
  ['429 of a list', { on: RetryOn.Statuses, statuses: [429] }, 429, undefined, true, true],
  ['430 of no list', { on: RetryOn.Statuses, statuses: [429] }, 430, undefined, true, false],
  ['200', { on: RetryOn.ServerError }, 200, undefined, true, false],
  ['POST', { on: RetryOn.ServerError, method: 'POST' }, 503, undefined, true, false],
  ['DELETE', { on: RetryOn.ServerError, method: 'DELETE' }, 503, undefined, true, true],
  ['a part of its body is gone', { on: RetryOn.ServerError, method: 'PUT' }, 503, undefined, false, false],
  ['gRPC unavailable', { on: RetryOn.GrpcUnavailable, method: 'POST' }, 200, '14', true, true],
  ['gRPC internal, which is not asked for', { on: RetryOn.GrpcUnavailable, method: 'POST' }, 200, '13', true, false],
  ['gRPC fine', { on: RetryOn.GrpcUnavailable, method: 'POST' }, 200, '0', true, false],
  ['the last attempt', { on: RetryOn.ServerError, attempts: 3 }, 503, undefined, true, false],
];
for (const [name, asked, status, grpc, whole, again] of answers) {
  test(`after an answer: ${name}: ${again ? 'again' : 'it passes'}`, () => {
    const x = exchange(asked);
    const header = (field: string): string | undefined => (field === 'grpc-status' ? grpc : undefined);
    (x.wire as TestWire).upstream = { status, header } as unknown as UpstreamAnswer;
    assert.equal(retries.afterAnswer(x, whole), again);
  });
}

test('an answer is looked at only where it can matter', () => {
  const looks = (asked: Asked): boolean => {
    const x = exchange(asked);
    return x.route !== null && looksAtAnswers(x, x.route.forward);
  };
  assert.equal(looks({}), false);
  assert.equal(looks({ on: RetryOn.ConnectFailure | RetryOn.Reset }), false);
  assert.equal(looks({ on: RetryOn.GatewayError }), true);
  assert.equal(looks({ on: RetryOn.GatewayError, method: 'POST' }), false);
  assert.equal(looks({ on: RetryOn.GrpcUnavailable, method: 'POST' }), true);
  assert.equal(looks({ on: RetryOn.GatewayError, attempts: 3 }), false, 'nothing could follow');
});

test('statuses meet the conditions that are named after them', () => {
  assert.equal(conditionsOf(504, []), RetryOn.ServerError | RetryOn.GatewayError);
  assert.equal(conditionsOf(501, []), RetryOn.ServerError);
  assert.equal(conditionsOf(409, [409]), RetryOn.Retriable4xx | RetryOn.Statuses);
  assert.equal(conditionsOf(404, []), 0);
});

test('an attempt has what is left of all of them together, and its own', () => {
  const x = exchange({ totalMs: 1_000, sinceMs: 400 });
  const limits = { ...testRoute().forward, headTimeoutMs: 700, totalTimeoutMs: 1_000 };
  setDeadlines(x, limits, x.plan);
  assert.deepEqual([x.plan.headTimeoutMs, x.plan.totalTimeoutMs], [700, 600]);
  setDeadlines(x, { ...limits, retry: { on: 0, statuses: [], perTryTimeoutMs: 250 } }, x.plan);
  assert.equal(x.plan.headTimeoutMs, 250);
  x.now = NOW + 10_000;
  setDeadlines(x, limits, x.plan);
  assert.equal(x.plan.totalTimeoutMs, 1, 'never 0, which is none');
  x.now = NOW - 10_000;
  setDeadlines(x, limits, x.plan);
  assert.equal(x.plan.totalTimeoutMs, 1_000, 'a clock that was set back gives no more');
});
