import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parse } from 'yaml';
import { native } from '../native.ts';
import { packRequest, readVerdict, WAF_VERDICT_BYTES_MAX, type WafExclusion } from '../native/waf.ts';
import { exclusionOf, exclusionsOf } from './waf-exclusion.ts';

test('a match is lifted by its rule on what it matched on', () => {
  for (const [variable, exclusion] of [
    ['ARGS:q', "{ rule: 1, target: 'ARGS:q' }"],
    ['ARGS:json.items.array_0.sku', "{ rule: 1, target: 'ARGS:json.items.array_0.sku' }"],
    ['REQUEST_HEADERS:User-Agent', "{ rule: 1, target: 'REQUEST_HEADERS:User-Agent' }"],
    ['REQUEST_URI', "{ rule: 1, target: 'REQUEST_URI' }"],
    ['XML:/*', "{ rule: 1, target: 'XML:/*' }"],
    ["ARGS:it's|odd", "{ rule: 1, target: 'ARGS:/^it\\x27s\\x7codd$/' }"],
    ['ARGS:/x/', "{ rule: 1, target: 'ARGS:/^\\x2fx\\x2f$/' }"],
    ['ARGS:a\\x00b', "{ rule: 1, target: 'ARGS:/^a\\x00b$/' }"],
    ['ARGS:', "{ rule: 1, target: 'ARGS:/^$/' }"],
    [`ARGS:${'x'.repeat(100)}`, `{ rule: 1, target: 'ARGS:/^${'x'.repeat(100)}/' }`],
    ['&ARGS', "{ rule: 1, target: 'ARGS' }"],
    ['TX:header_name_920450_proxy', '{ rule: 1 }'],
    ['', null],
  ] as const)
    assert.equal(exclusionOf({ rule: 1, variable }), exclusion, variable);
  assert.equal(exclusionOf({ rule: 0, variable: 'ARGS:q' }), null);
});

test('the rule over the sum of scores is never left out, one that refuses on its own is', () => {
  assert.equal(exclusionOf({ rule: 949110, variable: 'TX:blocking_inbound_anomaly_score', decides: true }), null);
  assert.equal(exclusionOf({ rule: 7, variable: 'ARGS:q', decides: true }), "{ rule: 7, target: 'ARGS:q' }");
});

test('each stands once, in their order', () => {
  const of = (rule: number, key: string): { rule: number; variable: string } => ({ rule, variable: `ARGS:${key}` });
  assert.deepEqual(exclusionsOf([of(2, 'b'), of(1, 'a'), of(2, 'b')]), [
    "{ rule: 2, target: 'ARGS:b' }",
    "{ rule: 1, target: 'ARGS:a' }",
  ]);
});

test('whatever an argument is called, what is proposed is YAML that lifts its match', () => {
  const waf = native();
  const program = waf.wafCompile([
    { name: 'r.conf', bytes: Buffer.from('SecRule ARGS "@streq evil" "id:5,phase:2,deny"\n') },
  ]);
  const out = Buffer.alloc(WAF_VERDICT_BYTES_MAX);
  const buffer = Buffer.alloc(4_096);
  const verdict = (profile: number, target: string) => {
    const length = packRequest(buffer, { method: 'GET', target, headers: [['host', 'a']] });
    waf.wafInspect(program, profile, buffer, length, out);
    return readVerdict(out);
  };
  const block = waf.wafProfile(program, { mode: 'block' });
  fc.assert(
    fc.property(fc.string({ unit: 'binary', minLength: 1, maxLength: 40 }), (name) => {
      const target = `/?${encodeURIComponent(name.toWellFormed())}=evil`;
      const [match] = verdict(block, target).matches;
      assert.ok(match !== undefined);
      const exclusion = exclusionOf({ rule: match.ruleId, variable: match.variable, decides: true }) ?? '';
      const { rule, ...rest } = parse(exclusion) as { rule: number; target: string };
      const exclude: WafExclusion = { rules: `${rule}`, ...rest };
      const lifted = waf.wafProfile(program, { mode: 'block', exclusions: [exclude] });
      assert.equal(verdict(lifted, target).verdict, 'pass', exclusion);
    }),
    { numRuns: 300 },
  );
  waf.wafRelease(program);
});
