/** What `cnx rollout run` does next, by the index and by what gateways say. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { Status } from '../../src/admin/admin-server.ts';
import { canaryRule } from '../../src/cli/bundle/rules.ts';
import {
  type Act,
  type CanaryRule,
  decide,
  type Heard,
  rulesAt,
  type RunPlan,
  type Standing,
  stepOf,
} from '../../src/cli/rollout/decide.ts';
import { run as rolloutCommand } from '../../src/cli/rollout/rollout.ts';
import { standingOf } from '../../src/cli/rollout/group.ts';
import type { ChannelIndex } from '../../src/control/channel/document.ts';
import { digestOf } from '../../src/control/oci/digest.ts';

const digest = (text: string) => digestOf(new TextEncoder().encode(text));
const [OLD, NEW, OTHER] = [digest('old'), digest('new'), digest('other')];
const NOW = Date.parse('2026-11-21T12:00:00Z');
const SOAK = 60_000;
const steps = (text: string): CanaryRule[] => text.split(',').map(canaryRule);
const plan = (more: Partial<RunPlan> = {}): RunPlan => ({
  candidate: NEW,
  steps: steps('ring=first,10,100'),
  soakMs: SOAK,
  servingMin: 1,
  ...more,
});

/** Made a soak ago. */
function index(
  rules: readonly CanaryRule[],
  more: Partial<ChannelIndex> & { canary?: typeof NEW; stable?: typeof NEW } = {},
): ChannelIndex {
  const { canary = NEW, stable = OLD, ...rest } = more;
  return {
    product: 'edge',
    channel: 'prod',
    seq: 5,
    epoch: 1,
    madeMs: NOW - SOAK,
    expiresMs: NOW + 86_400_000,
    entries: [
      ...rules.map((rule) => ({ digest: canary, size: 1, rule })),
      { digest: stable, size: 1, rule: { role: 'stable' as const } },
    ],
    ...rest,
  };
}

const heard = (...standings: Standing[]): Heard[] =>
  standings.map((standing, i) => ({ url: `http://edge-${i}`, id: `edge-${i}`, standing }));
const served: Standing = { state: 'serving', forMs: SOAK };
const others: Standing = { state: 'others' };
const act = (
  at: ChannelIndex | null,
  standings: Heard[],
  more: Partial<RunPlan> = {},
  again = false,
  stable = at === null ? undefined : (at.entries.at(-1)?.digest ?? OLD),
) => decide({ index: at, stable, again }, standings, plan(more), NOW);

describe('cnx rollout run decides', () => {
  it('to make the first bundle of a channel stable at once: there is nothing to compare with', () => {
    assert.equal(act(null, []).act, 'promote');
    assert.equal(act(null, heard(others), {}, false, NEW).act, 'promote', 'the tag names it already');
  });

  it('to begin with the first step, beside what the tag names', () => {
    for (const one of [act(null, heard(others), {}, false, OLD), act(index([]), heard(others))])
      assert.deepEqual(one, { act: 'step', step: 0, entries: steps('ring=first') });
  });

  it('to go a step further only when all that are to run it have served it for the soak', () => {
    const at = index(steps('ring=first'));
    assert.deepEqual(act(at, heard(served, others)), { act: 'step', step: 1, entries: steps('ring=first,10') });
    for (const [standing, why] of [
      [{ state: 'serving', forMs: SOAK - 1 }, /the soak, 1 s more/],
      [{ state: 'waiting', detail: 'it does not run it yet' }, /edge-1: it does not run it yet/],
      [{ state: 'trying', detail: '1 %' }, /edge-1: 1 %/],
      [{ state: 'behind', detail: 'not yet' }, /edge-1: not yet/],
      [{ state: 'unheard', detail: 'no answer' }, /edge-1: no answer/],
    ] as [Standing, RegExp][]) {
      const waits = act(at, heard(served, standing));
      assert.ok(waits.act === 'wait');
      assert.match(waits.why, why);
    }
    const young = act({ ...at, madeMs: NOW - SOAK / 2 }, heard(served));
    assert.match(young.act === 'wait' ? young.why : '', /the soak, 30 s more/);
  });

  it('to soak a step that nobody of the group is assigned by, but not to make stable what nobody has served', () => {
    assert.equal(act(index(steps('ring=first')), heard(others)).act, 'step');
    const last = index(rulesAt(plan().steps, 2));
    assert.match(JSON.stringify(act(last, heard(others))), /1 gateways of the group to serve it, 0 do/);
    assert.equal(act(last, heard(others), { servingMin: 0 }).act, 'promote');
    assert.equal(act(last, heard(served, others)).act, 'promote');
    assert.equal(act(last, heard(served, others), { servingMin: 2 }).act, 'wait');
  });

  it('to take it back from all when one refused it, at any step, and after it became stable', () => {
    const refused: Standing = { state: 'refused', detail: 'rollout: failed answers: 9 of 30' };
    for (const rules of ['ring=first', 'ring=first,10', 'ring=first,100']) {
      const back = act(index(steps(rules)), heard(served, refused, { state: 'unheard', detail: 'x' }));
      assert.deepEqual(back, { act: 'roll-back', to: OLD, reason: 'edge-1: rollout: failed answers: 9 of 30' });
    }
    assert.deepEqual(act(index([], { stable: NEW, former: OLD }), heard(served, refused)).act, 'roll-back');
    assert.equal(act(index([], { stable: NEW }), heard(refused)).act, 'stuck', 'there is nothing to go back to');
  });

  it('that it is over when all have left it, and does not begin again by itself', () => {
    const at = index([], { rolledBack: { digest: NEW, reason: 'it failed' } });
    assert.equal(act(at, heard(others, { state: 'leaving' })).act, 'wait');
    assert.equal(act(at, heard(others, { state: 'behind', detail: '' })).act, 'wait');
    assert.deepEqual(act(at, heard(others, { state: 'unheard', detail: '' })), {
      act: 'rolled-back',
      reason: 'it failed',
    });
    assert.equal(act(at, heard(others), {}, true).act, 'step');
    // Another bundle is another matter.
    assert.equal(act(at, heard(others), { candidate: OTHER }).act, 'step');
  });

  it('that it is done when it is stable and all serve it', () => {
    const at = index([], { stable: NEW, former: OLD });
    assert.equal(act(at, heard(served, { state: 'waiting', detail: '' })).act, 'wait');
    assert.equal(act(at, heard({ state: 'serving', forMs: 0 }, served)).act, 'done');
  });

  it('to take the place of another canary', () => {
    assert.deepEqual(act(index(steps('50'), { canary: OTHER }), heard(others)), {
      act: 'step',
      step: 0,
      entries: steps('ring=first'),
    });
  });

  it('to go on where the index is, also with other steps than it was made by', () => {
    const at = (rules: string, of: string) => stepOf(index(steps(rules)), { candidate: NEW, steps: steps(of) });
    assert.equal(at('ring=first', 'ring=first,10,100'), 0);
    assert.equal(at('ring=first,10', 'ring=first,10,100'), 1);
    assert.equal(at('10', '1,5,10,50'), 2);
    assert.equal(at('10', '1,5,20'), 1);
    assert.equal(at('10', '20,50'), -1);
    assert.equal(at('ring=first', '1,10'), -1);
    assert.deepEqual(rulesAt(steps('1,10,ring=a@5,ring=a,50'), 4), steps('50,ring=a'));
  });
});

describe('whatever gateways say', () => {
  const standing = fc.oneof(
    fc.record({ state: fc.constant('serving' as const), forMs: fc.nat(2 * SOAK) }),
    fc.constantFrom<Standing>(
      others,
      { state: 'leaving' },
      { state: 'waiting', detail: 'w' },
      { state: 'trying', detail: 't' },
      { state: 'behind', detail: 'b' },
      { state: 'unheard', detail: 'u' },
      { state: 'refused', detail: 'r' },
    ),
  );

  it('nothing goes further past one that refuses, is late or has not soaked, and the share never shrinks', () => {
    const all = steps('ring=first@50,1,10,ring=first,50,100');
    fc.assert(
      fc.property(
        fc.array(standing, { maxLength: 6 }),
        fc.nat(all.length - 1),
        fc.nat(2 * SOAK),
        (standings, at, age) => {
          const now = index(rulesAt(all, at), { madeMs: NOW - age });
          const next = act(now, heard(...standings), { steps: all });
          const has = (...states: Standing['state'][]) => standings.some(({ state }) => states.includes(state));
          if (has('refused')) return assert.equal(next.act, 'roll-back');
          if (next.act !== 'step' && next.act !== 'promote') return assert.equal(next.act, 'wait');
          assert.ok(!has('waiting', 'trying', 'behind', 'unheard'));
          assert.ok(age >= SOAK);
          for (const one of standings) assert.ok(one.state !== 'serving' || one.forMs >= SOAK);
          if (next.act === 'promote') assert.ok(has('serving'));
          const share = (rules: readonly CanaryRule[]) =>
            Math.max(0, ...rules.map((rule) => (Object.keys(rule.selector).length === 0 ? (rule.percent ?? 100) : 0)));
          if (next.act === 'step') assert.ok(share(next.entries) >= share(rulesAt(all, at)));
        },
      ),
    );
  });

  it('a run that is followed ends with the bundle at all, after as many indexes as there are steps and one', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.integer({ min: 1, max: 99 }), { minLength: 1, maxLength: 6 }), (shares) => {
        const all = steps([...shares.sort((a, b) => a - b), 100].join(','));
        let now: ChannelIndex | null = null;
        let made = 0;
        for (; made <= all.length + 1; made += 1) {
          const next: Act = act(now, heard(served, served), { steps: all }, false, now === null ? OLD : undefined);
          if (next.act === 'done') break;
          assert.ok(next.act === 'step' || next.act === 'promote');
          now = next.act === 'step' ? index(next.entries) : index([], { stable: NEW, former: OLD });
        }
        assert.equal(made, all.length + 1);
      }),
    );
  });
});

describe('how a gateway stands to a candidate', () => {
  const at = (seconds: number) => new Date(NOW + seconds * 1000).toISOString();
  const INDEX = digest('index');
  function status(more: object): Status {
    return {
      startedAt: at(-1000),
      uptimeSeconds: 1000,
      bundle: { digest: OLD, activatedAt: at(-500) },
      source: { state: 'current', lastError: null, seen: NEW },
      channel: { digest: INDEX, bundle: NEW, takenAt: at(-60) },
      rollout: null,
      pin: null,
      rejections: [],
      ...more,
    } as unknown as Status;
  }
  const state = (more: object) => standingOf(status(more), INDEX, NEW);
  const rejection = (step: string, reason: string, seconds = -10) => ({
    rejections: [{ digest: NEW, step, reason, at: at(seconds) }],
  });

  it('is told by its status', () => {
    assert.equal(state({ channel: null }).state, 'behind');
    assert.equal(state({ channel: { digest: digest('older'), bundle: NEW, takenAt: at(0) } }).state, 'behind');
    assert.equal(state({}).state, 'waiting');
    assert.equal(
      state({ rollout: { digest: NEW, step: 1, steps: [1, 100], share: 0.01, waitsFor: null } }).state,
      'trying',
    );
    assert.deepEqual(state({ bundle: { digest: NEW, activatedAt: at(-42) } }), { state: 'serving', forMs: 42_000 });
    assert.equal(state({ pin: { digest: OLD, until: at(60) } }).state, 'waiting');
    const stable = { channel: { digest: INDEX, bundle: OLD, takenAt: at(-60) } };
    assert.equal(state(stable).state, 'others');
    assert.equal(state({ ...stable, bundle: { digest: NEW, activatedAt: at(-42) } }).state, 'leaving');
  });

  it('is refused by what happened under this index, and by what is final', () => {
    assert.equal(state(rejection('rollout', 'failed answers')).state, 'refused');
    assert.equal(state(rejection('compile', 'no such secret')).state, 'refused');
    assert.equal(state(rejection('verify', 'below_floor: 4 is below 5')).state, 'refused');
    assert.equal(state(rejection('verify', 'quarantined: it was taken back')).state, 'refused');
    assert.equal(
      state({ ...rejection('rollout', 'x'), bundle: { digest: NEW, activatedAt: at(-20) } }).state,
      'refused',
    );
    // Before this index, by an operator, by a signature that is on its way, by lanes that are asked again.
    assert.equal(state(rejection('rollout', 'failed answers', -120)).state, 'waiting');
    assert.equal(state(rejection('verify', 'pinned: until tomorrow')).state, 'waiting');
    assert.equal(state(rejection('verify', 'unsigned: none')).state, 'waiting');
    assert.equal(state(rejection('activate', 'a lane is late')).state, 'waiting');
    assert.equal(state({ rejections: [{ digest: OTHER, step: 'compile', reason: 'x', at: at(-1) }] }).state, 'waiting');
  });
});

describe('cnx rollout run', () => {
  const GIVEN = [
    'oci:nowhere:prod',
    '--candidate',
    'r2',
    '--trust',
    'trust.yaml',
    '--gateway',
    'http://127.0.0.1:9902',
  ];
  for (const [args, message] of [
    [[], /<ref> is missing/],
    [['oci:nowhere:prod'], /--candidate BUNDLE is missing/],
    [['oci:nowhere:prod', '--candidate', 'r2'], /--trust FILE is missing/],
    [GIVEN.slice(0, 5), /--gateway URL is missing/],
    [[...GIVEN, '--steps', '10,1'], /1 % is no more than before/],
    [[...GIVEN, '--steps', 'ring=a,10,ring=a@50'], /50 % of ring=a is no more/],
    [[...GIVEN, '--steps', '10,'], /no rule like/],
    [[...GIVEN, '--steps', Array.from({ length: 17 }, (_, i) => i + 1).join(',')], /at most 16/],
    [[...GIVEN, '--soak', 'long'], /no time like/],
    [[...GIVEN, '--late', 'panic'], /hold or roll-back/],
    [[...GIVEN, '--serving-min', '-1'], /--serving-min/],
  ] as [string[], RegExp][])
    it(`says what is wrong with ${args.slice(GIVEN.length).join(' ') || `${args.length} words`}`, async () => {
      let err = '';
      const io = { stdout: () => undefined, stderr: (text: string) => void (err += text), env: {} };
      assert.equal(await rolloutCommand(['run', ...args], io), 2);
      assert.match(err, message);
    });
});
