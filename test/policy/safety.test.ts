/** What a module, or the input of a client, can do wrong: each ends in a failure, never in an allow, and the next request is decided as usual. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { EvaluationBudget, REST_MS } from '../../src/policy/budget.ts';
import { INPUT_BYTES_MAX, INPUT_DEPTH_MAX, Outcome } from '../../src/policy/outcome.ts';
import { asking, made, specOf } from './fixtures.ts';
import { oracle } from './oracle.ts';
import { makeModule, OP } from './wasm-builder.ts';

const nested = (depth: number): string => `${'['.repeat(depth)}${']'.repeat(depth)}`;

describe('input that does not parse', () => {
  it('is a failure, also where the policy allows unless something forbids it', () => {
    const { ask, instance } = asking('cases');
    for (const text of ['{bad', '', '{"blocked":tru}', '{"blocked"', '[', '"', '{"a":1}}', '{"a":]']) {
      assert.equal(ask('cases/allowed_unless_blocked', text), Outcome.InputMalformed, text);
      assert.notEqual(instance.detail, '');
    }
  });
  it('would be an allow with the SDK, which is why it does not drive our modules', () => {
    const policy = oracle(specOf('cases'));
    const text = new TextEncoder().encode('{bad').buffer;
    assert.deepEqual(policy.evaluate(text, 'cases/allowed_unless_blocked'), [{ result: true }]);
  });
  it('is told from falsy input, which is input', () => {
    const { ask } = asking('cases');
    for (const text of ['0', '""', 'null', 'false', '{}']) {
      assert.equal(ask('cases/allowed_unless_blocked', text), Outcome.Allow, text);
      assert.equal(ask('cases/undefined_result', text), Outcome.Undefined, text);
    }
  });
  it('is an error of loading when it is the data', () => {
    assert.throws(() => made(makeModule({ parsed: 0 })), { name: 'PolicyError', code: 'data' });
    for (const data of ['{"a":', '[1,2', `{"a":${nested(INPUT_DEPTH_MAX)}}`, '{"a":"\\ud800"}', '{"a":tru}']) {
      assert.throws(() => asking('cases', { data }), { name: 'PolicyError', code: 'data' }, data);
    }
  });
});

describe('text that a module aborts on', () => {
  it('is stopped before it: escaped lone surrogates', () => {
    const { ask, instance } = asking('cases');
    for (const text of [
      '{"a":"\\ud800"}',
      '{"a":"\\udc00x"}',
      '{"\\uDBFF":1}',
      '{"a":"\\ud800\\u0041"}',
      '{"a":"\\ud800\\ud800"}',
    ]) {
      assert.equal(ask('cases/same', text), Outcome.InputMalformed, text);
    }
    assert.equal(instance.instances, 1, 'the module was never asked');
  });
  it('is let through when the surrogates are a pair, or the backslash is one of the text', () => {
    const { ask } = asking('cases');
    assert.equal(ask('cases/same', '{"a":"\\ud83d\\ude00","b":"\u{1f600}"}'), Outcome.Allow);
    assert.equal(ask('cases/same', { a: '\\ud800', b: '\\ud800' }), Outcome.Allow);
  });
  it('becomes U+FFFD when it is raw', () => {
    const { ask, instance } = asking('cases');
    assert.equal(ask('cases/same', '{"a":"\ud800","b":"\ufffd"}'), Outcome.Allow);
    assert.equal(instance.instances, 1);
  });
});

describe('input beyond its bounds', () => {
  it('is a failure: depth', () => {
    const { ask, instance } = asking('cases');
    assert.equal(ask('cases/allowed_unless_blocked', `{"a":${nested(INPUT_DEPTH_MAX - 1)}}`), Outcome.Allow);
    assert.equal(ask('cases/allowed_unless_blocked', `{"a":${nested(INPUT_DEPTH_MAX)}}`), Outcome.InputTooDeep);
    assert.equal(ask('cases/allowed_unless_blocked', nested(30_000)), Outcome.InputTooDeep);
    assert.equal(
      ask('cases/allowed_unless_blocked', { a: '['.repeat(1_000) }),
      Outcome.Allow,
      'brackets of a text do not nest',
    );
    assert.equal(instance.instances, 1);
  });
  it('is a failure: size, counted in bytes', () => {
    const { ask } = asking('cases');
    const frame = '{"a":""}'.length;
    assert.equal(ask('cases/allowed_unless_blocked', { a: 'x'.repeat(INPUT_BYTES_MAX - frame) }), Outcome.Allow);
    assert.equal(
      ask('cases/allowed_unless_blocked', { a: 'x'.repeat(INPUT_BYTES_MAX - frame + 1) }),
      Outcome.InputTooLong,
    );
    assert.equal(ask('cases/allowed_unless_blocked', { a: '\u20ac'.repeat(21_842) }), Outcome.Allow);
    assert.equal(ask('cases/allowed_unless_blocked', { a: '\u20ac'.repeat(21_843) }), Outcome.InputTooLong);
  });
});

describe('a module that', () => {
  const failing = (instance: ReturnType<typeof made>, outcome: Outcome, detail: RegExp): void => {
    for (let i = 1; i <= 3; i++) {
      assert.equal(instance.evaluate('{}', 0, 0), outcome);
      assert.match(instance.detail, detail);
      assert.equal(instance.instances, i, 'a new instance each time: nobody asks one that failed');
    }
  };
  it('aborts is a failure with its text', () => {
    failing(made(makeModule({ evaluate: OP.abort })), Outcome.Aborted, /^made to abort$/);
  });
  it('returns an error from eval is a failure', () => {
    failing(made(makeModule({ evaluate: OP.failed })), Outcome.Aborted, /eval returned an error/);
  });
  it('reaches unreachable code is a failure', () => {
    failing(made(makeModule({ evaluate: OP.unreachable })), Outcome.Trapped, /unreachable/);
  });
  it('overflows its stack is a failure', () => {
    failing(made(makeModule({ evaluate: OP.recurse })), Outcome.Trapped, /call stack/);
  });
  it('needs more memory than its maximum is a failure, and is as small as before afterwards', () => {
    const { ask, instance } = asking('cases', { memoryPagesMax: 64 });
    const before = instance.memoryPages;
    assert.equal(ask('cases/hungry', { count: 1 }), Outcome.MemoryExhausted);
    assert.equal(ask('cases/same', { a: 1, b: 1 }), Outcome.Allow);
    assert.equal(instance.memoryPages, before);
    assert.equal(instance.instances, 2);
  });
  it('answers with text that has no end, or with none, is a failure', () => {
    assert.equal(made(makeModule({ result: 'x'.repeat(1_000) })).evaluate('{}', 0, 0), Outcome.WrongShape);
    assert.equal(made(makeModule({ result: '' })).evaluate('{}', 0, 0), Outcome.WrongShape);
    assert.equal(made(makeModule({ result: '[{"result":true}' })).evaluate('{}', 0, 0), Outcome.WrongShape);
    assert.equal(
      made(makeModule({ result: '[{"result":true},{"result":true}]' })).evaluate('{}', 0, 0),
      Outcome.WrongShape,
    );
    assert.equal(made(makeModule({ result: '[{"result":true}]x' })).evaluate('{}', 0, 0), Outcome.WrongShape);
  });
});

describe('a value of another shape', () => {
  const { ask, instance } = asking('cases');
  for (const [rule, detail] of [
    ['number', /a number/],
    ['text', /a string/],
    ['list', /a list or set/],
    ['set_of', /a list or set/],
    ['nothing', /nothing/],
    ['allow_as_text', /allow is a string/],
    ['extra_key', /unknown key "because"/],
    ['long_reason', /512/],
    ['sets_headers', /unknown key "headers"/],
  ] as const) {
    it(`is a failure: ${rule}`, () => {
      assert.equal(ask(`cases/${rule}`, {}), Outcome.WrongShape);
      assert.match(instance.detail, detail);
      assert.equal(instance.reason, '');
    });
  }
  it('is told from no value at all', () => {
    assert.equal(ask('cases/undefined_result', {}), Outcome.Undefined);
  });
});

describe('an accepted object', () => {
  it('gives its reason, and the next decision does not', () => {
    const { ask, instance } = asking('cases');
    assert.equal(ask('cases/with_reason', {}), Outcome.Deny);
    assert.equal(instance.reason, 'tenant is suspended');
    assert.equal(ask('cases/same', { a: 1, b: 2 }), Outcome.Deny);
    assert.equal(instance.reason, '');
  });
});

describe('a policy that has become slow', () => {
  it('rests, is tried again after its rest, and serves when it is fast', () => {
    const { ask, instance } = asking('cases', { budgetUs: 0.000_001 });
    const same = (nowMs: number): Outcome => ask('cases/same', { a: 1, b: 1 }, nowMs);
    let served = 0;
    while (same(1_000) === Outcome.Allow) served++;
    assert.ok(served >= 10, 'one pause of the machine is not enough');
    assert.equal(same(1_000 + REST_MS - 1), Outcome.OverBudget);
    assert.match(instance.detail, /rests/);
    assert.equal(same(1_000 + REST_MS), Outcome.Allow);
    assert.equal(same(1_000 + REST_MS), Outcome.OverBudget, 'one slow evaluation after the rest is enough');
    const budget = new EvaluationBudget(100);
    for (let i = 0; i < 1_000; i++) budget.took(10, 0);
    budget.took(1e9, 0);
    assert.equal(budget.mayBegin(0), true);
    for (let i = 0; i < 20; i++) budget.took(1e9, 0);
    assert.equal(budget.mayBegin(0), false);
    assert.equal(budget.mayBegin(REST_MS), true);
    for (let i = 0; i < 1_000; i++) budget.took(10, REST_MS);
    budget.took(1e9, REST_MS);
    assert.equal(budget.mayBegin(REST_MS), true, 'fast again');
  });
});

describe('memory', () => {
  it('stays as it is over many evaluations', () => {
    const { ask, instance } = asking('cases');
    const text = JSON.stringify({ a: 'x'.repeat(300), b: ['y'.repeat(100), { z: 1 }] });
    for (let i = 0; i < 20_000; i++) ask('cases/same', text);
    const pages = instance.memoryPages;
    for (let i = 0; i < 20_000; i++) ask('cases/same', text);
    assert.equal(instance.memoryPages, pages);
    assert.equal(instance.instances, 1);
  });
  it('is enough in the smallest instance too', () => {
    const { ask, instance } = asking('cases', { memoryPagesMax: 32 });
    for (let i = 0; i < 20_000; i++) assert.equal(ask('cases/same', { a: i, b: i }), Outcome.Allow);
    assert.equal(instance.instances, 1);
    assert.ok(instance.memoryPages <= 32);
  });
});
