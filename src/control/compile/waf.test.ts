import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Value } from 'typebox/value';
import { RouteWaf } from '../../config/waf-tuning.ts';
import { WafConfig } from '../../config/waf.ts';
import { native } from '../../native.ts';
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
