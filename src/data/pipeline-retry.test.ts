import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { EndpointColumns } from '../snapshot/endpoint-columns.ts';
import { RetryOn } from '../snapshot/guards.ts';
import type { EndpointPlan } from '../snapshot/cell-plans.ts';
import { endpointPlan, Given, LANE, OK } from '../../test/harness/pipeline.ts';
import { TestWire, testExchange, testRoute } from '../../test/harness/wire.ts';
import type { Exchange } from './exchange.ts';
import type { UpstreamAnswer } from './transport/transport.ts';
import { REFUSALS } from './refusal.ts';
import { Bulkheads } from './upstream/bulkheads.ts';
import { EndpointUse } from './upstream/endpoint-use.ts';
import { Retries } from './upstream/retries.ts';
import { RetryBudget } from './upstream/retry-budget.ts';
import { Verdict } from './verdict.ts';

/** Whose budget is spent. */
class NoRetries extends Retries {
  override take(): boolean {
    return false;
  }
}

describe('an answer that is shown', () => {
  const first = endpointPlan(1);
  const second = endpointPlan(2);
  const retry = { on: RetryOn.GatewayError, statuses: [], perTryTimeoutMs: 0 };
  const upstream = { status: 503, header: () => undefined } as unknown as UpstreamAnswer;
  const shown = (given: Given, endpoints: readonly EndpointPlan[], whole: boolean): { x: Exchange; wire: TestWire } => {
    given.balances(1, endpoints);
    const { match } = given.does;
    given.does.match = (x) => {
      const verdict = match?.(x) ?? Verdict.Next;
      const route = x.route ?? testRoute();
      x.route = { ...route, forward: { ...route.forward, retry } };
      return verdict;
    };
    const wire = new TestWire();
    wire.upstream = upstream;
    const { x } = given.begin(wire);
    given.entered.length = 0;
    given.pipeline.head(x, 503);
    given.pipeline.shown(x, whole);
    return { x, wire };
  };

  it('and that its route does not want makes room for another attempt', () => {
    const given = new Given();
    const { x, wire } = shown(given, [first, second], true);
    assert.deepEqual(given.entered, ['balance', 'respond', 'forward']);
    assert.deepEqual([x.endpoint, x.attempts, x.upstreamStatus, wire.passed], [second, 2, 0, 0]);
    assert.deepEqual([given.inflight(1), given.inflight(2)], [0, 1]);
    assert.match(x.detail, /^tried again after one\/10\.0\.0\.1:80: 503/);
    given.pipeline.head(x, 503);
    given.pipeline.shown(x, true);
    assert.equal(wire.passed, 1, 'the last one passes, whatever it says');
  });

  it('passes when there is nobody else, and says so', () => {
    const given = new Given();
    const { x, wire } = shown(given, [first], true);
    assert.deepEqual([x.endpoint, x.attempts, x.refusal, wire.passed, wire.refusal], [first, 1, null, 1, null]);
    assert.match(x.detail, /not tried again, none/);
    assert.equal(given.inflight(1), 1);
    given.pipeline.finished(x, { ...OK, status: 503 });
    assert.equal(given.inflight(1), 0);
  });

  it('that passes after all has its tenant’s place in the bulkhead for as long as it passes', () => {
    const columns = new EndpointColumns(EndpointColumns.create());
    const bulkheads = new Bulkheads(columns, LANE, LANE + 1, 7);
    const use = new EndpointUse(columns, LANE, bulkheads);
    const guards = {
      slot: 5,
      retryBudget: { budgetPercent: 20, minRetryConcurrency: 3 },
      bulkhead: { maxRequests: 0, maxRequestsPerTenant: 1 },
    };
    const room = (): boolean => {
      const x = testExchange(new TestWire(), {});
      x.tenant = 'acme';
      const taken = bulkheads.take(x, 'one', guards);
      bulkheads.release(x);
      return taken;
    };
    for (const why of ['nobody else', 'no budget']) {
      const given = new Given(why === 'no budget' ? { use, retries: new NoRetries() } : { use });
      given.does.balance = (x) => {
        x.tenant = 'acme';
        if (x.failed.has(first.slot)) return x.refuse(REFUSALS.no_endpoint, 'none');
        assert.ok(bulkheads.take(x, 'one', guards));
        use.take(x, first);
        return Verdict.Next;
      };
      const { balance } = given.does;
      given.balances = (retries, endpoints) => {
        Given.prototype.balances.call(given, retries, endpoints);
        given.does.balance = balance;
      };
      const { x, wire } = shown(given, [first], true);
      assert.equal(wire.passed, 1, why);
      assert.equal(room(), false, why);
      given.pipeline.finished(x, { ...OK, status: 503 });
      assert.equal(room(), true, why);
      assert.ok(
        columns.faults.tenants.every((n) => n === 0),
        why,
      );
    }
  });

  it('passes when a part of the request is gone', () => {
    const given = new Given();
    const { x, wire } = shown(given, [first, second], false);
    assert.deepEqual([x.endpoint, wire.passed, x.detail], [first, 1, '']);
  });

  it('passes when the budget is spent, and says so', () => {
    const retries = new Retries(new RetryBudget(new EndpointColumns(EndpointColumns.create()), LANE, LANE + 1));
    const given = new Given({ retries });
    const guards = { slot: 40, retryBudget: { budgetPercent: 0, minRetryConcurrency: 0 } };
    const cells = [{ id: 'one', region: '', endpoints: [], health: {} as never, probe: null, guards }];
    Object.assign(given.revision.snapshot, { cells });
    given.does.route = (x) => {
      x.cell = 0;
      return Verdict.Next;
    };
    const { x, wire } = shown(given, [first, second], true);
    assert.deepEqual([x.endpoint, wire.passed], [first, 1]);
    assert.match(x.detail, /retry budget spent$/);
    assert.equal(given.inflight(1), 1);
  });
});
