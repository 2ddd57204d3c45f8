import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Value } from 'typebox/value';
import { RouteWaf } from '../../config/waf-tuning.ts';
import { WafConfig } from '../../config/waf.ts';
import { native } from '../../native.ts';
import { packRequest, readVerdict, WAF_VERDICT_BYTES_MAX } from '../../native/waf.ts';
import { WafCompiler } from './waf.ts';

test('a mode that is written and inspects nothing is an error; no word about the WAF is none', () => {
  const said = (mode: 'off' | 'detect' | 'block', written: boolean, route?: 'off' | 'detect' | 'block'): string[] => {
    const problems: string[] = [];
    const config = { ...Value.Create(WafConfig), mode };
    const files = { seclang: [], seclangData: [], modules: new Map() };
    const waf = new WafCompiler(
      native(),
      { waf: config, routes: { routes: [] } },
      files,
      (part, path) => problems.push(part + path),
      written,
    );
    const plan = waf.plan(route === undefined ? undefined : { ...Value.Create(RouteWaf), mode: route }, '/routes/0');
    assert.equal(plan.mode, 'off');
    return problems;
  };
  assert.deepEqual(said('block', false), []);
  assert.deepEqual(said('off', true, 'off'), []);
  assert.deepEqual(said('block', true), ['waf/mode']);
  assert.deepEqual(said('detect', true), ['waf/mode']);
  assert.deepEqual(said('off', true, 'block'), ['routes/routes/0/waf/mode']);
});

const RULES = `SecRule ARGS:a "@streq x" "id:1,phase:2,deny,msg:'A',tag:'t'"
SecRule ARGS:b "@streq x" "id:2,phase:2,deny,msg:'B'"
`;

/** Plan of a route and what was reported. */
function planned(waf: object, route: object, rules = RULES) {
  const said: string[] = [];
  const config = { ...Value.Create(WafConfig), ...waf };
  const files = { seclang: [{ name: 'r.conf', bytes: Buffer.from(rules) }], seclangData: [], modules: new Map() };
  const report = (part: string, path: string, message: string): void => void said.push(`${part}${path}: ${message}`);
  const compiler = new WafCompiler(native(), { waf: config, routes: { routes: [] } }, files, report);
  const plan = compiler.plan({ ...Value.Create(RouteWaf), ...route }, '/routes/0');
  return { plan, said, compiler };
}

test('what is only watched is not refused for its length, coding or cost either, unless that is written', () => {
  const policies = (waf: object, route: object): unknown[] => {
    const { plan, compiler } = planned(waf, route);
    compiler.release();
    return [plan.mode, plan.beyond, plan.coded, plan.exhausted];
  };
  assert.deepEqual(policies({ mode: 'block' }, {}), ['block', 'refuse', 'refuse', 'block']);
  assert.deepEqual(policies({ mode: 'block' }, { mode: 'detect' }), ['detect', 'partial', 'pass', 'log']);
  assert.deepEqual(policies({ beyond: 'refuse', coded: 'decode' }, { mode: 'detect' }), [
    'detect',
    'refuse',
    'decode',
    'log',
  ]);
  assert.deepEqual(policies({ mode: 'detect' }, { mode: 'block', exhausted: 'log' }), [
    'block',
    'refuse',
    'refuse',
    'log',
  ]);
});

test('how many arguments are read is what the bundle says, whatever its files do', () => {
  const verdict = (waf: object): string => {
    const { plan, compiler } = planned({ mode: 'block', ...waf }, {}, `SecArgumentsLimit 3\n${RULES}`);
    const buffer = Buffer.alloc(1_000);
    const length = packRequest(buffer, { method: 'GET', target: '/?c=1&d=1&e=1&f=1&g=1' });
    const out = Buffer.alloc(WAF_VERDICT_BYTES_MAX);
    native().wafInspect(compiler.program, plan.profile, buffer, length, out);
    compiler.release();
    const { verdict: said, limit } = readVerdict(out);
    return `${said} ${limit}`;
  };
  assert.equal(verdict({}), 'budget-exceeded arguments');
  assert.equal(verdict({ argumentsReadMax: 5 }), 'pass none');
  assert.equal(verdict({ argumentsReadMax: 4 }), 'budget-exceeded arguments');
});

test('answers are inspected where somebody says so, and as far', () => {
  const answer = (waf: object, route: object): unknown => {
    const { plan, compiler } = planned(waf, route);
    compiler.release();
    return plan.answer;
  };
  assert.equal(answer({}, {}), null);
  assert.deepEqual(answer({ responses: { inspect: true } }, {}), {
    bodyBytes: 524_288,
    beyond: 'pass',
    coded: 'decode',
    types: ['text/plain', 'text/html', 'text/xml', 'application/json'],
  });
  assert.deepEqual(
    answer(
      { responses: { inspect: true, bodyBytes: 7 } },
      { responses: { types: ['text/*'], beyond: 'refuse', coded: 'pass' } },
    ),
    {
      bodyBytes: 7,
      beyond: 'refuse',
      coded: 'pass',
      types: ['text/*'],
    },
  );
  assert.equal(answer({ responses: { inspect: true } }, { responses: { inspect: false } }), null);
});

test('updates of waf.yaml change rules, and what is wrong with one is told at its place', () => {
  const { compiler, said } = planned(
    {
      updates: [
        { rules: '1', remove: true, targets: [], actions: [] },
        { rules: '2', remove: false, targets: ['REQUEST_URI'], actions: ['log', "msg:'C'"] },
      ],
    },
    {},
  );
  assert.deepEqual(said, []);
  assert.deepEqual(
    native()
      .wafRules(compiler.program)
      .map((r) => [r.id, r.message]),
    [[2, 'C']],
  );
  compiler.release();
  const wrong = planned({ updates: [{ rules: '1', remove: false, targets: ['ARGS:a', 'ARG:b'], actions: [] }] }, {});
  assert.equal(wrong.said.length, 1);
  assert.match(wrong.said[0] ?? '', /^waf\/updates\/0\/targets\/1: .*ARG/);
  assert.equal(wrong.plan.mode, 'off');
});

test('an exclusion that cannot be followed is told at its route', () => {
  const { said, compiler } = planned({}, { exclude: [{ rule: 1, target: 'ARG:x' }] });
  assert.match(said[0] ?? '', /^routes\/routes\/0\/waf: .*ARG/);
  compiler.release();
});
