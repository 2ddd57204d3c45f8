import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Given, LANE, OK } from '../../../test/harness/pipeline.ts';
import { TestWire, testRoute } from '../../../test/harness/wire.ts';
import { ENDPOINT_SLOTS, EndpointColumns } from '../../snapshot/endpoint-columns.ts';
import type { CellGuards, RetryBudgetPlan } from '../../snapshot/guards.ts';
import { RetryOn } from '../../snapshot/guards.ts';
import type { CellPlan, EndpointPlan } from '../../snapshot/cell-plans.ts';
import { STAGES, type StageName } from '../../snapshot/stages.ts';
import type { Exchange } from '../exchange.ts';
import { Hedged, METHODS } from '../exchange.ts';
import { REFUSALS } from '../refusal.ts';
import type { Stage } from '../stage.ts';
import { Balance } from '../stages/balance.ts';
import { Forward } from '../stages/forward.ts';
import { FailReason, type ForwardPlan } from '../transport/transport.ts';
import { Verdict } from '../verdict.ts';
import { Bulkheads } from './bulkheads.ts';
import { CellMembers } from './cell-members.ts';
import { Chooser } from './choose.ts';
import { EndpointUse } from './endpoint-use.ts';
import { hedgeAfterMs } from './hedging.ts';
import { Retries } from './retries.ts';
import { RetryBudget } from './retry-budget.ts';

/** A wire of a transport that can have two attempts under way. */
class TwoWire extends TestWire {
  readonly hedges: string[] = [];
  hedge(plan: ForwardPlan): void {
    this.hedges.push(plan.endpoint.identity);
  }
}

const SLOTS = [1, 2, 3];
const CELL = 40;

interface Ready {
  readonly given: Given;
  readonly columns: EndpointColumns;
  readonly guards: CellGuards;
  readonly begin: () => { x: Exchange; wire: TwoWire };
  /** All that is counted of requests that are under way. */
  readonly left: () => number;
}

function ready(retryBudget: RetryBudgetPlan = { budgetPercent: 100, minRetryConcurrency: 3 }, sheds = false): Ready {
  const columns = new EndpointColumns(EndpointColumns.create());
  columns.health.fill(1);
  const use = new EndpointUse(columns, LANE, new Bulkheads(columns, LANE, LANE + 1, 7));
  const retries = new Retries(new RetryBudget(columns, LANE, LANE + 1));
  const guards: CellGuards = { slot: CELL, retryBudget, bulkhead: { maxRequests: 50, maxRequestsPerTenant: 20 } };
  const endpoints = SLOTS.map(
    (slot): EndpointPlan => ({
      slot,
      identity: `c/${slot}`,
      cell: 0,
      host: 'h',
      port: slot,
      tls: null,
      capacity: 50,
      connectionsMax: 50,
      http2: false,
    }),
  );
  const health = { alpha: 0.3, latencyGoodMs: 50, latencyBadMs: 500, errorBad: 0.05 };
  const cells: CellPlan[] = [{ id: 'c', region: '', endpoints: [0, 1, 2], health, probe: null, guards }];
  const retry = { on: RetryOn.ConnectFailure | RetryOn.Reset, statuses: [], perTryTimeoutMs: 0 };
  const route = testRoute({
    forward: { ...testRoute().forward, retries: 1, retry, hedge: { delayMs: 10, idempotent: false } },
  });
  const next: Stage = { enter: () => Verdict.Next };
  const stages = Object.fromEntries(STAGES.map((name) => [name, next])) as Record<StageName, Stage>;
  stages.route = {
    enter: (x) => {
      x.route = route;
      x.cell = 0;
      x.tenant = 'acme';
      return Verdict.Next;
    },
  };
  stages.balance = new Balance(new Chooser(columns, LANE + 1), use, null, undefined, () => sheds);
  stages.respond = { enter: () => Verdict.Next, hedge: () => Verdict.Next };
  stages.forward = new Forward();
  const given = new Given({ stages, use, retries, exchangesMax: 64 });
  Object.assign(given.revision.snapshot, { cells, endpoints });
  Object.assign(given.revision, { members: [new CellMembers(endpoints)] });
  const begin = (): { x: Exchange; wire: TwoWire } => {
    const wire = new TwoWire();
    return { x: given.begin(wire).x, wire };
  };
  const left = (): number => {
    let sum = 0;
    for (const slot of [...SLOTS, CELL]) sum += Math.abs(columns.inflightOf(slot, LANE + 1));
    for (const counts of [columns.faults.retrying, columns.faults.tenants]) for (const n of counts) sum += Math.abs(n);
    return sum;
  };
  return { given, columns, guards, begin, left };
}

const places = (x: Exchange): [string | undefined, string | undefined] => [
  x.endpoint?.identity,
  x.hedge?.endpoint.identity,
];

describe('a hedge', () => {
  it('goes to another endpoint of the cell, and counts there until the first has answered', () => {
    const { given, columns, begin, left } = ready();
    const { x, wire } = begin();
    given.pipeline.hedgeDue(x);
    const [first, hedge] = places(x);
    assert.deepEqual(wire.hedges, [hedge]);
    assert.notEqual(first, hedge);
    assert.deepEqual([x.attempts, x.hedges, columns.inflightOf(CELL, LANE + 1)], [2, 1, 2]);
    given.pipeline.head(x, 200, false);
    assert.deepEqual(places(x), [first, undefined]);
    assert.equal(x.hedged, Hedged.Lost);
    assert.match(x.detail, /^hedge lost: c\/\d had not answered$/);
    assert.equal(columns.inflightOf(CELL, LANE + 1), 1);
    given.pipeline.finished(x, OK);
    assert.equal(left(), 0);
  });

  it('that answers first has the exchange, with its own time, and the first is neither answered nor failed', () => {
    const { given, columns, begin, left } = ready();
    const { x } = begin();
    const slow = x.endpoint?.slot ?? 0;
    given.tick = 100;
    given.pipeline.hedgeDue(x);
    const quick = x.hedge?.endpoint.slot ?? 0;
    given.tick = 107;
    given.pipeline.head(x, 200, true);
    assert.deepEqual([x.endpoint?.slot, x.hedge, x.hedged, x.upstreamMs], [quick, null, Hedged.Won, 7]);
    assert.match(x.detail, /^hedge c\/\d answered before c\/\d$/);
    const row = (slot: number): number[] => {
      const at = LANE * ENDPOINT_SLOTS + slot;
      const { answers, failures, faults } = columns;
      return [
        columns.inflightOf(slot, LANE + 1),
        answers[at] ?? -1,
        failures[at] ?? -1,
        faults.consecutive5xx[slot] ?? -1,
      ];
    };
    assert.deepEqual(
      [row(slow), row(quick)],
      [
        [0, 0, 0, 0],
        [1, 1, 0, 0],
      ],
    );
    given.pipeline.finished(x, OK);
    assert.equal(left(), 0);
  });

  it('goes on when the first fails, which is counted and not asked again', () => {
    const { given, columns, begin, left } = ready();
    const { x, wire } = begin();
    const first = x.endpoint?.slot ?? 0;
    given.pipeline.hedgeDue(x);
    const hedge = x.hedge?.endpoint.slot;
    given.pipeline.attemptFailed(x, false, FailReason.Connect, 0);
    assert.deepEqual([x.endpoint?.slot, x.hedge, x.refusal, wire.refusal], [hedge, null, null, null]);
    assert.ok((columns.downUntil[first] ?? 0) > 0, 'out of rotation');
    assert.match(x.detail, /^hedge c\/\d goes on after c\/\d: connection refused/);
    // The retry that is left is not spent.
    given.pipeline.failed(x, FailReason.Reset, true, true);
    assert.equal(x.attempts, 3);
    assert.ok(![first, hedge].includes(x.endpoint?.slot));
    given.pipeline.hedgeDue(x);
    assert.equal(x.hedge, null, 'once a request');
    given.pipeline.head(x, 200);
    given.pipeline.finished(x, OK);
    assert.equal(left(), 0);
  });

  it('that fails, or is answered with what is passed over, leaves the first as it was', () => {
    for (const status of [0, 503]) {
      const { given, columns, begin, left } = ready();
      const { x } = begin();
      given.pipeline.hedgeDue(x);
      const [first] = places(x);
      const its = x.hedge?.endpoint.slot ?? 0;
      given.pipeline.attemptFailed(x, true, status === 0 ? FailReason.Reset : FailReason.Invalid, status);
      assert.deepEqual(places(x), [first, undefined]);
      assert.equal(columns.faults.consecutive5xx[its], 1, 'its own endpoint is blamed');
      assert.match(x.detail, status === 0 ? /connection closed/ : /: 503$/);
      given.pipeline.head(x, 200);
      given.pipeline.finished(x, OK);
      assert.equal(left(), 0);
    }
  });

  it('is not made beyond the budget, under load, nor where no other endpoint is up, and the record says why', () => {
    const cases: [Ready, (r: Ready) => void, RegExp][] = [
      [ready({ budgetPercent: 0, minRetryConcurrency: 0 }), () => undefined, /^not hedged: retry budget spent$/],
      [ready(undefined, true), () => undefined, /^not hedged: the gateway sheds load$/],
      [ready(), ({ columns }) => columns.faults.outlier.fill(1), /^not hedged: no other endpoint of cell c is up$/],
      [ready(), ({ columns }) => columns.downUntil.fill(-1), /^not hedged: no other endpoint of cell c is up$/],
      [ready(), ({ columns }) => void (columns.faults.circuit[CELL] = 1), /^not hedged: cell c bears no more$/],
    ];
    for (const [made, change, why] of cases) {
      const { given, begin, left } = made;
      const { x, wire } = begin();
      const first = x.endpoint;
      change(made);
      given.pipeline.hedgeDue(x);
      assert.deepEqual([wire.hedges, x.hedge, x.hedged, x.attempts, x.refusal], [[], null, Hedged.Denied, 1, null]);
      assert.equal(x.endpoint, first);
      assert.match(x.detail, why);
      given.pipeline.finished(x, OK);
      assert.equal(left(), 0);
    }
  });

  it('is for methods that are safe, or idempotent where the route says so, and no WebSocket', () => {
    const { begin } = ready();
    const { x } = begin();
    const after = (idempotent: boolean): string[] =>
      METHODS.filter((_, code) => {
        x.methodCode = code;
        return hedgeAfterMs(x, { delayMs: 7, idempotent }) === 7;
      });
    assert.deepEqual(after(false), ['GET', 'HEAD', 'OPTIONS', 'TRACE']);
    assert.deepEqual(after(true), ['GET', 'HEAD', 'PUT', 'DELETE', 'OPTIONS', 'TRACE']);
    x.methodCode = METHODS.length;
    assert.equal(hedgeAfterMs(x, { delayMs: 7, idempotent: true }), 0);
  });
});

describe('whatever becomes of two attempts', () => {
  const Step = [
    'due',
    'first fails',
    'hedge fails',
    'first passed',
    'hedge passed',
    'first',
    'hedge',
    'fails',
    'refused',
  ];
  it('nothing is left of them in any count', () => {
    fc.assert(
      fc.property(
        fc.array(fc.array(fc.constantFrom(...Step), { maxLength: 8 }), { minLength: 1, maxLength: 12 }),
        fc.array(fc.constantFrom(...Object.values(FailReason)), { minLength: 1, maxLength: 5 }),
        fc.boolean(),
        (lives, reasons, abort) => {
          const { given, begin, left } = ready({ budgetPercent: 20, minRetryConcurrency: 1 });
          const { pipeline } = given;
          const open = lives.map((steps) => ({ ...begin(), steps: [...steps], head: false }));
          let turn = 0;
          // One step of each in turn, as a transport would tell them.
          for (let moved = true; moved; ) {
            moved = false;
            for (const o of open) {
              const step = o.steps.shift();
              if (step === undefined) continue;
              moved = true;
              const { x } = o;
              const reason = reasons[turn++ % reasons.length] ?? FailReason.Reset;
              if (o.head || x.refusedAt >= 0) continue;
              const two = x.hedge !== null;
              if (step === 'due') {
                if (!two) pipeline.hedgeDue(x);
              } else if (step === 'refused') pipeline.refused(x, REFUSALS.request_timeout);
              else if (step === 'fails') pipeline.failed(x, reason, true, true);
              else if (step === 'first' || step === 'hedge') {
                pipeline.head(x, 200, two && step === 'hedge');
                o.head = true;
              } else if (two) {
                const passed = step.endsWith('passed');
                pipeline.attemptFailed(
                  x,
                  step.startsWith('hedge'),
                  passed ? FailReason.Invalid : reason,
                  passed ? 503 : 0,
                );
              }
              given.tick++;
              assert.equal(x.live, true);
              assert.ok(x.refusedAt >= 0 || x.inflight);
              assert.notEqual(x.endpoint, x.hedge?.endpoint);
            }
          }
          for (const { x } of open) {
            if (abort) pipeline.aborted(x, OK, false);
            else pipeline.finished(x, OK);
          }
          assert.deepEqual(given.bugs, []);
          assert.equal(left(), 0);
          assert.equal(pipeline.open, 0);
        },
      ),
      { numRuns: 100 },
    );
  });
});
