import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { present } from '../base/assert.ts';
import { Prng } from '../base/prng.ts';
import type { RoutePlan } from '../snapshot/route-plans.ts';
import { STAGE_INDEX, STAGES, type StageName } from '../snapshot/stages.ts';
import { endpointPlan, Given, LANE, OK } from '../../test/harness/pipeline.ts';
import { TestWire, testRoute, testWafPlan } from '../../test/harness/wire.ts';
import type { Exchange } from './exchange.ts';
import type { Revision } from './lane/revision.ts';
import { Pipeline, STAGE_TIMING_SAMPLE } from './pipeline.ts';
import { REFUSALS, type RefusalRow } from './refusal.ts';
import type { Stage } from './stage.ts';
import { FailReason } from './transport/transport.ts';
import { FailedSlots } from './upstream/failed-slots.ts';
import { Verdict } from './verdict.ts';

/** Of a route with rules, tokens and a policy. */
const WORK: Partial<RoutePlan> = {
  public: false,
  policy: 0,
  waf: testWafPlan({ mode: 'block', profile: 0 }),
};

describe('a request', () => {
  it('passes the stages in the order of STAGES, and is handed over', () => {
    const given = new Given();
    const { x, wire } = given.begin();
    assert.deepEqual(given.entered, [...STAGES]);
    assert.equal(wire.refusal, null);
    assert.equal(given.pipeline.open, 1);
    given.pipeline.head(x, 204);
    assert.equal(x.upstreamStatus, 204);
    given.pipeline.finished(x, { ...OK, status: 204 });
    assert.deepEqual(given.ended, [{ id: 'abcdef-03-00000001', status: 204, refusal: '', aborted: false }]);
    assert.equal(given.pipeline.open, 0);
  });

  for (const [i, name] of STAGES.entries()) {
    it(`that ${name} refuses goes no further`, () => {
      const given = new Given();
      given.does[name] = (x) => x.refuse(REFUSALS.policy_denied, 'because');
      const { x, wire } = given.begin();
      assert.deepEqual(given.entered, STAGES.slice(0, i + 1));
      assert.equal(wire.refusal, REFUSALS.policy_denied);
      assert.equal(x.refusedAt, i);
      assert.equal(x.detail, 'because');
      assert.equal(given.ended.length, 0, 'it ends when its answer is out');
      given.pipeline.finished(x, { ...OK, status: 403 });
      assert.deepEqual(
        given.ended.map((e) => [e.status, e.refusal]),
        [[403, 'policy_denied']],
      );
    });

    it(`on which ${name} throws is answered 500, told once and ended once`, () => {
      const given = new Given();
      const error = new Error('a bug');
      given.does[name] = () => {
        throw error;
      };
      const { x, wire } = given.begin();
      assert.deepEqual(given.bugs, [{ stage: name, error }]);
      assert.equal(wire.refusal, REFUSALS.internal_error);
      given.pipeline.finished(x, { ...OK, status: 500 });
      given.pipeline.finished(x, OK);
      given.pipeline.aborted(x, OK, true);
      assert.deepEqual(
        given.ended.map((e) => e.refusal),
        ['internal_error'],
      );
      assert.equal(given.revision.open, 0);
      given.begin();
      assert.equal(given.bugs.length, 2, 'the next one is served by the same pipeline');
    });

    it(`waits in ${name} and goes on from its top`, () => {
      const given = new Given();
      let ready = false;
      given.does[name] = () => (ready ? (name === 'forward' ? Verdict.Handed : Verdict.Next) : Verdict.Wait);
      const { x } = given.begin();
      assert.deepEqual(given.entered, STAGES.slice(0, i + 1));
      const { ticket, random } = x;
      x.phase = 1;
      given.now += 50;
      ready = true;
      given.pipeline.wake(x, ticket);
      assert.deepEqual(given.entered, [...STAGES.slice(0, i + 1), ...STAGES.slice(i)]);
      assert.equal(x.now, given.now, 'time goes on while it waits');
      assert.equal(x.startedAt, given.now - 50);
      assert.notEqual(x.random, random, 'chance is drawn anew');
      assert.equal(x.phase, name === 'forward' ? 1 : 0, 'a stage’s memory is its own');
    });
  }

  it('that refuses without saying why is a bug of ours', () => {
    const given = new Given();
    given.does.match = () => Verdict.Refuse;
    assert.equal(given.begin().wire.refusal, REFUSALS.internal_error);
  });

  it('is timed in waf, authenticate and authorize where the route has work for them, and everywhere once in a sample', () => {
    const given = new Given({ exchangesMax: 1 });
    for (const name of STAGES)
      given.does[name] = (x) => {
        given.tick += 0.5;
        if (name === 'match') x.route = testRoute({ ...WORK, policy: working ? 0 : -1 });
        return name === 'forward' ? Verdict.Handed : Verdict.Next;
      };
    let working = true;
    const timed: boolean[] = [];
    for (let i = 1; i <= STAGE_TIMING_SAMPLE; i++) {
      working = i % 2 === 0;
      const { x } = given.begin();
      timed.push(x.timed);
      const always = new Set<StageName>(working ? ['waf', 'authenticate', 'authorize'] : ['waf', 'authenticate']);
      assert.deepEqual(
        [...x.stageUs],
        STAGES.map((name) => (x.timed || always.has(name) ? 500 : 0)),
      );
      given.pipeline.finished(x, OK);
    }
    assert.deepEqual([timed.indexOf(true), timed.filter(Boolean).length], [STAGE_TIMING_SAMPLE - 1, 1]);
  });

  it('whose stage waits twice has both times counted', () => {
    const given = new Given();
    let entries = 0;
    given.does.match = (x) => {
      x.route = testRoute(WORK);
      return Verdict.Next;
    };
    given.does.waf = () => {
      given.tick += 2;
      return ++entries < 3 ? Verdict.Wait : Verdict.Next;
    };
    const { x } = given.begin();
    given.pipeline.wake(x, x.ticket);
    given.pipeline.wake(x, x.ticket);
    assert.equal(x.stageUs[STAGE_INDEX.waf], 6_000);
  });
});

describe('a wake', () => {
  function waiting(): { given: Given; x: Exchange; ticket: number } {
    const given = new Given();
    let asked = false;
    given.does.authenticate = () => {
      if (asked) return Verdict.Next;
      asked = true;
      return Verdict.Wait;
    };
    const { x } = given.begin();
    return { given, x, ticket: x.ticket };
  }

  it('counts once', () => {
    const { given, x, ticket } = waiting();
    given.pipeline.wake(x, ticket);
    const entered = given.entered.length;
    given.pipeline.wake(x, ticket);
    assert.equal(given.entered.length, entered);
  });

  it('for a request whose client has left is dropped', () => {
    const { given, x, ticket } = waiting();
    given.pipeline.aborted(x, { status: 0, bytesIn: 0, bytesOut: 0 }, false);
    assert.deepEqual(
      given.ended.map((e) => e.aborted),
      [true],
    );
    given.pipeline.wake(x, ticket);
    assert.equal(given.entered.at(-1), 'authenticate');
    assert.equal(given.ended.length, 1);
  });

  it('for a request that the transport has refused meanwhile is dropped', () => {
    const { given, x, ticket } = waiting();
    given.pipeline.refused(x, REFUSALS.request_timeout);
    assert.equal((x.wire as TestWire).refusal, REFUSALS.request_timeout);
    given.pipeline.wake(x, ticket);
    assert.equal(given.entered.at(-1), 'authenticate');
  });

  it('does not reach the next request in the same exchange', () => {
    const { given, x, ticket } = waiting();
    given.pipeline.aborted(x, OK, false);
    given.does.authenticate = () => Verdict.Wait;
    const next = given.begin();
    assert.equal(next.x, x, 'exchanges are used again');
    const entered = given.entered.length;
    given.pipeline.wake(x, ticket);
    assert.equal(given.entered.length, entered);
    given.pipeline.wake(x, x.ticket);
    assert.equal(given.entered.length, entered + 1);
  });
});

describe('an attempt that failed', () => {
  const first = endpointPlan(1);
  const second = endpointPlan(2);

  it('is repeated at another endpoint from balance on, as often as the route allows', () => {
    const given = new Given();
    given.balances(1, [first, second]);
    const { x, wire } = given.begin();
    assert.equal(x.endpoint, first);
    given.entered.length = 0;
    given.now += 7;
    given.pipeline.failed(x, FailReason.Connect, true);
    assert.deepEqual(given.entered, ['balance', 'respond', 'forward']);
    assert.equal(x.endpoint, second);
    assert.equal(x.failed.last, 1);
    assert.equal(x.attempts, 2);
    assert.deepEqual([given.inflight(1), given.inflight(2)], [0, 1]);
    assert.ok((given.columns.downUntil[1] ?? 0) > 0, 'the first is out of rotation');
    given.pipeline.failed(x, FailReason.Reset, true);
    assert.equal(wire.refusal, REFUSALS.upstream_reset, 'no third attempt');
    assert.match(x.detail, /^one\/10\.0\.0\.2:80: /);
    assert.equal(given.inflight(2), 0);
  });

  it('that cannot be sent again is refused', () => {
    const given = new Given();
    given.balances(1, [first, second]);
    const { x, wire } = given.begin();
    given.pipeline.failed(x, FailReason.Timeout, false);
    assert.equal(wire.refusal, REFUSALS.upstream_timeout);
    assert.equal(x.attempts, 1);
  });

  it('on a route without retries is refused', () => {
    const given = new Given();
    given.balances(0, [first, second]);
    assert.equal(given.begin().x.attempts, 1);
    const { x, wire } = given.begin();
    given.pipeline.failed(x, FailReason.Busy, true);
    assert.equal(wire.refusal, REFUSALS.upstream_busy);
  });

  it('where no other endpoint is, is refused by balance', () => {
    const given = new Given();
    given.balances(1, [first]);
    const { x, wire } = given.begin();
    given.pipeline.failed(x, FailReason.Connect, true);
    assert.equal(wire.refusal, REFUSALS.no_endpoint);
    assert.equal(x.refusedAt, STAGE_INDEX.balance);
    assert.equal(given.inflight(1), 0);
  });

  for (const [name, row] of Object.entries({
    Connect: REFUSALS.upstream_unreachable,
    Reset: REFUSALS.upstream_reset,
    Invalid: REFUSALS.upstream_invalid,
    Timeout: REFUSALS.upstream_timeout,
    Busy: REFUSALS.upstream_busy,
  })) {
    it(`as ${name} is told as ${row.code}`, () => {
      const given = new Given();
      given.balances(0, [first]);
      const { x, wire } = given.begin();
      given.pipeline.failed(x, FailReason[name as keyof typeof FailReason], false);
      assert.equal(wire.refusal, row);
    });
  }

  it('after the end, or after a refusal, changes nothing', () => {
    const given = new Given();
    given.balances(1, [first, second]);
    const { x } = given.begin();
    given.pipeline.refused(x, REFUSALS.body_too_large);
    const entered = given.entered.length;
    given.pipeline.failed(x, FailReason.Connect, true);
    assert.equal(given.entered.length, entered, 'a refused request is not sent again');
    given.pipeline.refused(x, REFUSALS.request_timeout);
    assert.equal(x.refusal, REFUSALS.body_too_large, 'the first refusal was answered');
    given.pipeline.finished(x, { ...OK, status: 413 });
    given.pipeline.failed(x, FailReason.Connect, true);
    given.pipeline.refused(x, REFUSALS.request_timeout);
    assert.equal(given.entered.length, entered);
    assert.deepEqual([given.inflight(1), given.inflight(2)], [0, 0]);
  });
});

describe('what is in flight', () => {
  const endpoint = endpointPlan(5);
  const ways: Readonly<Record<string, (given: Given, x: Exchange) => void>> = {
    finished: (given, x) => given.pipeline.finished(x, OK),
    'aborted by the client': (given, x) => given.pipeline.aborted(x, OK, false),
    'broken off by the endpoint': (given, x) => given.pipeline.aborted(x, OK, true),
    refused: (given, x) => given.pipeline.refused(x, REFUSALS.body_too_large),
    failed: (given, x) => given.pipeline.failed(x, FailReason.Reset, false),
  };
  for (const [way, end] of Object.entries(ways)) {
    it(`is released when an exchange is ${way}, once`, () => {
      const given = new Given();
      given.balances(0, [endpoint]);
      const { x } = given.begin();
      assert.equal(given.inflight(5), 1);
      end(given, x);
      assert.equal(given.inflight(5), 0);
      given.pipeline.finished(x, OK);
      given.pipeline.finished(x, OK);
      assert.equal(given.inflight(5), 0);
    });
  }

  it('is released when a stage throws after it was taken', () => {
    const given = new Given();
    given.balances(0, [endpoint]);
    given.does.forward = () => {
      throw new Error('a bug');
    };
    given.begin();
    assert.equal(given.inflight(5), 0);
  });

  it('an answer that breaks off counts against its endpoint, a client that leaves does not', () => {
    const given = new Given();
    given.balances(0, [endpoint]);
    given.pipeline.aborted(given.begin().x, OK, false);
    const row = LANE * (given.columns.failures.length / 64) + 5;
    assert.equal(given.columns.failures[row], 0);
    given.pipeline.aborted(given.begin().x, OK, true);
    assert.equal(given.columns.failures[row], 1);
  });
});

describe('a lane', () => {
  it('that has no revision yet turns requests away', () => {
    const given = new Given();
    const pipeline = new Pipeline({
      use: given.use,
      laneIndex: 0,
      instance: '000000',
      exchangesMax: 1,
      stages: {} as never,
      observer: { ended: () => {}, bug: () => {}, turnedAway: (row) => given.turnedAway.push(row.code) },
      prng: new Prng(1),
      now: () => 0,
      tick: () => 0,
    });
    const wire = new TestWire();
    assert.equal(pipeline.begin(wire), null);
    assert.equal(wire.refusal, REFUSALS.not_ready);
    assert.deepEqual(given.turnedAway, ['not_ready']);
    assert.equal(pipeline.open, 0);
  });

  it('has room for so many requests and turns further ones away', () => {
    const given = new Given();
    const open = [1, 2, 3, 4].map(() => given.begin().x);
    assert.deepEqual(
      open.map((x) => x.slot),
      [0, 1, 2, 3],
    );
    const wire = new TestWire();
    assert.equal(given.pipeline.begin(wire), null);
    assert.equal(wire.refusal, REFUSALS.overloaded);
    assert.deepEqual(given.turnedAway, ['overloaded']);
    assert.equal(given.pipeline.open, 4);
    given.pipeline.finished(present(open[2], 'x'), OK);
    assert.equal(given.begin().x.slot, 2);
  });

  it('counts the open exchanges of each revision, and running ones keep theirs', () => {
    const given = new Given();
    const { x: old } = given.begin();
    const next = { open: 0, snapshot: { cells: [] } } as unknown as Revision;
    given.pipeline.activate(next);
    const { x } = given.begin();
    assert.deepEqual([given.revision.open, next.open], [1, 1]);
    assert.deepEqual([old.revision, x.revision], [given.revision, next]);
    given.pipeline.refused(old, REFUSALS.request_timeout);
    assert.equal(given.revision.open, 1, 'until its answer is out');
    given.pipeline.finished(old, OK);
    given.pipeline.aborted(x, OK, true);
    assert.deepEqual([given.revision.open, next.open], [0, 0]);
  });

  it('gives every request an id of its own, also those turned away', () => {
    const given = new Given({ seqBefore: 0xfffe });
    const ids: string[] = [];
    const wire = new (class extends TestWire {
      override refuse(row: RefusalRow, id = ''): void {
        super.refuse(row);
        ids.push(id);
      }
    })();
    for (let i = 0; i < 4; i++) ids.push(given.begin().x.id);
    given.pipeline.begin(wire);
    assert.deepEqual(ids, [
      'abcdef-03-0000ffff',
      'abcdef-03-00010000',
      'abcdef-03-00010001',
      'abcdef-03-00010002',
      'abcdef-03-00010003',
    ]);
    assert.equal(given.ended.length, 0);
  });
});

describe('an exchange', () => {
  /** A value of the same kind that no fresh exchange has. */
  function garbage(value: unknown): unknown {
    if (typeof value === 'number') return 4711;
    if (typeof value === 'string') return 'garbage';
    if (typeof value === 'boolean') return !value;
    return { garbage: true };
  }

  it('is the same at its second use as at its first, whatever the first left behind', () => {
    const fresh = new Given();
    const used = new Given();
    const { x } = used.begin();
    used.pipeline.finished(x, OK);
    const kept = new Set<keyof Exchange>(['slot', 'ticket', 'live']);
    const record = x as unknown as Record<string, unknown>;
    for (const [key, value] of Object.entries(x)) {
      if (kept.has(key as keyof Exchange)) continue;
      if (value instanceof Float64Array) value.fill(4711);
      else if (value instanceof FailedSlots) value.add(4711);
      else if (key === 'plan') continue;
      else record[key] = garbage(value);
    }
    const { x: first } = fresh.begin();
    fresh.pipeline.finished(first, OK);
    // Compared inside a stage, before anything has been decided.
    const seen: Record<string, unknown>[] = [];
    const wire = new TestWire();
    for (const given of [fresh, used]) {
      given.does.normalize = (y) => {
        seen.push(Object.fromEntries(Object.entries(y).filter(([key]) => key !== 'revision' && key !== 'plan')));
        assert.equal(y.failed.count, 0);
        return Verdict.Next;
      };
      assert.equal(given.begin(wire).x, given === fresh ? first : x);
    }
    assert.deepEqual(seen[1], seen[0]);
    assert.ok(!JSON.stringify(seen[1]).includes('4711') && !JSON.stringify(seen[1]).includes('garbage'));
  });

  it('lets go of its request, its revision and its identity in the pool', () => {
    const given = new Given();
    given.balances(0, [endpointPlan(1)]);
    const { x } = given.begin();
    given.pipeline.finished(x, OK);
    const held = Object.values(x).filter(
      (v) => typeof v === 'object' && v !== null && !(v instanceof Float64Array) && v !== x.plan && v !== x.failed,
    );
    assert.deepEqual(held, [], 'an idle exchange would keep a whole old snapshot alive');
  });
});

describe('an answer that is shown', () => {
  /** A lane whose `respond` judges answers so, and an exchange that was handed over. */
  function judged(answered: (x: Exchange) => Verdict) {
    const stages = Object.fromEntries(
      STAGES.map((name): [StageName, Stage] => [
        name,
        name === 'respond'
          ? { enter: () => Verdict.Next, answered }
          : { enter: () => (name === 'forward' ? Verdict.Handed : Verdict.Next) },
      ]),
    ) as Record<StageName, Stage>;
    const given = new Given({ stages });
    return { given, ...given.begin() };
  }

  it('passes when respond says Next', () => {
    const { given, x, wire } = judged(() => Verdict.Next);
    given.pipeline.head(x, 200);
    given.pipeline.shown(x);
    assert.deepEqual([wire.passed, wire.refusal], [1, null]);
  });

  it('waits, and is judged again when it is woken; late wakes are dropped', () => {
    let asked = 0;
    const { given, x, wire } = judged(() => (asked++ === 0 ? Verdict.Wait : Verdict.Next));
    given.pipeline.shown(x);
    const { ticket } = x;
    assert.equal(wire.passed, 0);
    given.pipeline.wake(x, ticket - 1);
    assert.equal(asked, 1);
    given.pipeline.wake(x, ticket);
    given.pipeline.wake(x, ticket);
    assert.deepEqual([asked, wire.passed], [2, 1]);
  });

  it('is replaced by a refusal, which counts for respond', () => {
    const { given, x, wire } = judged((one) => one.refuse(REFUSALS.waf_answer_blocked, 'because'));
    given.pipeline.shown(x);
    assert.deepEqual([wire.passed, wire.refusal], [0, REFUSALS.waf_answer_blocked]);
    assert.deepEqual([x.refusedAt, x.detail], [STAGE_INDEX.respond, 'because']);
  });

  it('is answered 500 when respond throws', () => {
    const error = new Error('a bug');
    const { given, x, wire } = judged(() => {
      throw error;
    });
    given.pipeline.shown(x);
    assert.deepEqual([wire.passed, wire.refusal], [0, REFUSALS.internal_error]);
    assert.deepEqual(given.bugs, [{ stage: 'respond', error }]);
  });

  it('is not looked at when the exchange was refused meanwhile, nor replayed when it breaks', () => {
    let asked = 0;
    const { given, x, wire } = judged(() => {
      asked++;
      return Verdict.Wait;
    });
    given.pipeline.shown(x);
    given.pipeline.failed(x, FailReason.Reset, false);
    given.pipeline.shown(x);
    assert.deepEqual([asked, wire.refusal], [1, REFUSALS.upstream_reset]);
  });
});
