/** The decision cache: what it keeps, what it never keeps, and its bounds. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { CACHED_INPUT_LENGTH_MAX, DECISION_CACHE_BYTES_MAX, DecisionCache } from '../../src/policy/decision-cache.ts';
import { PolicyEvaluator } from '../../src/policy/evaluator.ts';
import type { InputSource } from '../../src/policy/input.ts';
import { Outcome } from '../../src/policy/outcome.ts';
import { made, specOf } from './fixtures.ts';
import { makeModule, OP } from './wasm-builder.ts';

const allow = { outcome: Outcome.Allow, reason: '' };

const source = (part: Partial<InputSource>): InputSource => ({
  method: 'GET',
  path: '/public',
  query: '',
  host: '',
  clientAddress: '',
  clientCountry: '',
  tenant: '',
  route: '',
  now: 0,
  user: null,
  tls: null,
  header: () => undefined,
  ...part,
});

describe('the cache', () => {
  it('is bounded by entries', () => {
    const cache = new DecisionCache(100);
    for (let i = 0; i < 10_000; i++) cache.put(`{"path":"/${i}"}`, 0, allow);
    assert.equal(cache.size, 100);
  });
  it('is bounded by bytes', () => {
    const cache = new DecisionCache(1_000_000);
    for (let i = 0; i < 6_000; i++) cache.put(`{"path":"/${i}${'x'.repeat(4_000)}"}`, 0, allow);
    assert.ok(cache.bytes <= DECISION_CACHE_BYTES_MAX);
    assert.ok(cache.size > 1_000 && cache.size < 3_000, String(cache.size));
  });
  it('does not keep long inputs', () => {
    const cache = new DecisionCache(10);
    const long = 'x'.repeat(CACHED_INPUT_LENGTH_MAX + 1);
    cache.put(long, 0, allow);
    assert.equal(cache.size, 0);
    assert.equal(cache.get(long, 0), undefined);
  });
  it('keeps entrypoints apart', () => {
    const cache = new DecisionCache(10);
    cache.put('{}', 1, allow);
    assert.equal(cache.get('{}', 0), undefined);
    assert.equal(cache.get('{}', 11), undefined);
    assert.equal(cache.get('{}', 1), allow);
  });
});

describe('an evaluator', () => {
  it('says with its memory what it says without, whatever was asked before', () => {
    const spec = { ...specOf('roles-v0'), input: ['method', 'path', 'headers.x-a', 'user.role'] };
    const remembers = new PolicyEvaluator({ ...spec, pure: true, cacheEntries: 3 });
    const forgets = new PolicyEvaluator({ ...spec, pure: false, cacheEntries: 0 });
    const users = ['admin', 'reader', ''].map((role) => ({ subject: role, roles: [role], claims: {} }));
    const asked = fc.record({
      method: fc.constantFrom('GET', 'POST', 'PUT'),
      path: fc.constantFrom('/public', '/private', '/', '/public/x'),
      user: fc.constantFrom(...users, null),
      value: fc.constantFrom(undefined, '', 'a'),
    });
    fc.assert(
      fc.property(fc.array(asked, { minLength: 1, maxLength: 40 }), (list) => {
        for (const { value, ...part } of list) {
          const given = source({ ...part, header: () => value });
          assert.equal(remembers.decide(given, 0), forgets.decide(given, 0));
          assert.equal(remembers.decide(given, 0), forgets.decide(given, 0));
          assert.equal(remembers.cached, true);
        }
      }),
      { numRuns: 50 },
    );
  });
  it('asks a pure policy once for the same input, and again for another', () => {
    const e = new PolicyEvaluator({
      ...specOf('roles-v0'),
      input: ['method', 'path', 'user.role'],
      pure: true,
      cacheEntries: 10,
    });
    const seen = [source({}), source({}), source({ path: '/other' }), source({ path: '/other' }), source({})].map(
      (s) => [e.decide(s, 0), e.cached],
    );
    assert.deepEqual(seen, [
      [Outcome.Allow, false],
      [Outcome.Allow, true],
      [Outcome.Deny, false],
      [Outcome.Deny, true],
      [Outcome.Allow, true],
    ]);
  });
  it('gives the reason from the cache too', () => {
    const spec = specOf('cases');
    const e = new PolicyEvaluator({ ...spec, input: ['path'], pure: true, cacheEntries: 10 });
    for (const cached of [false, true]) {
      assert.equal(e.decide(source({}), spec.entrypoints.indexOf('cases/with_reason')), Outcome.Deny);
      assert.deepEqual([e.cached, e.reason], [cached, 'tenant is suspended']);
    }
  });
  it('asks a policy that is not pure every time', () => {
    const e = new PolicyEvaluator({ ...specOf('roles-v0'), input: ['method', 'path'], pure: false, cacheEntries: 10 });
    for (let i = 0; i < 3; i++) assert.deepEqual([e.decide(source({}), 0), e.cached], [Outcome.Allow, false]);
  });
  it('never keeps a failure', () => {
    const spec = {
      name: 'made',
      module: new WebAssembly.Module(makeModule({ evaluate: OP.abort })),
      data: '',
      entrypoints: ['made/allow'],
    };
    const more = {
      memoryPagesMax: 64,
      literalPatterns: true,
      budgetUs: 1e12,
      input: ['path'],
      pure: true,
      cacheEntries: 10,
    };
    const e = new PolicyEvaluator({ ...spec, ...more });
    for (let i = 0; i < 3; i++)
      assert.deepEqual([e.decide(source({}), 0), e.cached, e.detail], [Outcome.Aborted, false, 'made to abort']);
    assert.equal(made(makeModule()).evaluate('{}', 0, 0), Outcome.Allow);
  });
});
