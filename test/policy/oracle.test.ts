/** Our driver and OPA's SDK agree on what is decided, over random requests; where they differ, ours fails closed. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { toJsonText } from '../../src/policy/json-text.ts';
import { compileInput, type InputSource } from '../../src/policy/input.ts';
import { OpaInstance, type OpaSpec } from '../../src/policy/opa-instance.ts';
import { Outcome } from '../../src/policy/outcome.ts';
import { asking, specOf } from './fixtures.ts';
import { oracle } from './oracle.ts';

/** What the SDK's result set means to us. */
function meaning(set: readonly { result: unknown }[]): Outcome {
  if (set.length === 0) return Outcome.Undefined;
  const value = set[0]?.result;
  if (typeof value === 'boolean') return value ? Outcome.Allow : Outcome.Deny;
  return (value as { allow: boolean }).allow ? Outcome.Allow : Outcome.Deny;
}

const word = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 12 }),
  fc.constantFrom('', '"', '\\', '\ud800', '\udc00a', '\u0000'),
);
const path = fc.oneof(
  fc.constantFrom('/', '/public', '/api/orders', '/api/orders/7', '/api/admin', '/api/admin/x', '/api/me'),
  word.map((w) => `/${w}`),
);
const user = fc.option(
  fc.record({
    subject: word,
    roles: fc.array(fc.oneof(fc.constantFrom('reader', 'admin'), word), { maxLength: 4 }),
    claims: fc.dictionary(fc.oneof(fc.constantFrom('tenant', 'role'), word), fc.jsonValue({ maxDepth: 3 }), {
      maxKeys: 4,
    }),
  }),
);
const request: fc.Arbitrary<InputSource> = fc.record({
  method: fc.constantFrom('GET', 'HEAD', 'POST', 'DELETE'),
  path,
  query: word,
  host: word,
  clientAddress: word,
  clientCountry: fc.constantFrom('', 'DE', 'AT'),
  tenant: fc.constantFrom('', 'acme', 'other'),
  route: word,
  now: fc.nat(),
  user,
  tls: fc.option(
    fc.record({
      version: fc.constantFrom('TLSv1.2', 'TLSv1.3'),
      cipher: word,
      serverName: word,
      alpn: fc.constantFrom('', 'h2'),
      ja4: word,
      client: fc.option(fc.record({ subject: word, sans: fc.array(word, { maxLength: 3 }), fingerprint: word })),
    }),
  ),
  header: fc.constant(() => 'a "quoted" value'),
});

function agree(spec: OpaSpec, fields: readonly string[]): void {
  const ours = new OpaInstance(spec);
  const theirs = oracle(spec);
  const encode = compileInput(spec.name, fields);
  fc.assert(
    fc.property(request, (source) => {
      const text = encode(source);
      for (const [i, entrypoint] of spec.entrypoints.entries()) {
        assert.equal(ours.evaluate(text, i, 0), meaning(theirs.evaluate(JSON.parse(text), entrypoint)), text);
      }
    }),
    { numRuns: 400 },
  );
  assert.equal(ours.instances, 1);
}

describe('our driver and the SDK agree', () => {
  it('on the demo policy (Rego v1, with data)', () => {
    const data = readFileSync(new URL('../../config/demo/policies/authz-data.json', import.meta.url), 'utf8');
    agree(specOf('authz', { data }), ['method', 'path', 'tenant', 'user.roles', 'user.claims.tenant']);
  });
  it('on the role policy (Rego v0)', () => {
    agree(specOf('roles-v0'), ['method', 'path', 'user', 'headers.x-a', 'segments', 'query', 'host', 'client.address']);
  });
  it('on patterns, though ours keeps them compiled', () => {
    agree(specOf('patterns'), ['path']);
  });
  it('on any value: what goes in as text is what the policy sees', () => {
    const { ask, spec } = asking('cases');
    const theirs = oracle(spec);
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 5 }), fc.jsonValue({ maxDepth: 2 }), fc.boolean(), (a, other, equal) => {
        const input = { a, b: equal ? a : other };
        const text = toJsonText(input);
        assert.equal(ask('cases/same', text), meaning(theirs.evaluate(JSON.parse(text), 'cases/same')), text);
      }),
      { numRuns: 400 },
    );
  });
  it('after failures as before them', () => {
    const { ask, instance } = asking('cases', { memoryPagesMax: 64 });
    fc.assert(
      fc.property(fc.constantFrom('hungry', 'allow_as_text', 'same', 'bad'), fc.nat(5), fc.nat(5), (rule, a, b) => {
        if (rule === 'bad') assert.equal(ask('cases/same', '{"a":'), Outcome.InputMalformed);
        else ask(`cases/${rule}`, { count: 1, a, b });
        assert.equal(ask('cases/same', { a, b }), a === b ? Outcome.Allow : Outcome.Deny);
      }),
      { numRuns: 60 },
    );
    assert.ok(instance.instances > 1);
  });
});

describe('the role policy', () => {
  const { ask } = asking('roles-v0');
  for (const [input, outcome, what] of [
    [{ method: 'GET', path: '/public' }, Outcome.Allow, 'anyone may get the public path'],
    [{ method: 'GET', path: '/public', user: { role: 'guest' } }, Outcome.Allow, 'so may whoever is known'],
    [{ method: 'GET', path: '/other', user: { role: 'admin' } }, Outcome.Deny, 'no other path, not even for admins'],
    [{ method: 'HEAD', path: '/public' }, Outcome.Deny, 'no other method'],
    [{ method: 'POST', path: '/public' }, Outcome.Deny, 'nobody posts without a role'],
    [{ method: 'POST', path: '/any', user: { role: 'admin' } }, Outcome.Allow, 'admins post'],
    [{ method: 'POST', path: '/any', user: { role: 'Admin' } }, Outcome.Deny, 'roles are compared as they are'],
    [{ method: 'POST', path: '/any', user: { role: ['admin'] } }, Outcome.Deny, 'a list is not a role'],
    [{}, Outcome.Deny, 'denied by default'],
  ] as const) {
    it(what, () => assert.equal(ask('authz/allow', input), outcome));
  }
});

describe('built-ins', () => {
  const { ask, instance } = asking('cases');
  it('time.now_ns is the time of the request, exact to the nanosecond', () => {
    const nowMs = 1_795_219_200_123;
    assert.equal(ask('cases/now_is_frozen', `{"time":{"now_ns":${nowMs}000000}}`, nowMs), Outcome.Allow);
    assert.equal(ask('cases/now_is_frozen', `{"time":{"now_ns":${nowMs}000001}}`, nowMs), Outcome.Deny);
  });
  it('crypto.sha256 is the digest of the UTF-8 bytes', () => {
    const sha256 = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad';
    assert.equal(ask('cases/hash_matches', { text: 'abc', sha256 }), Outcome.Allow);
    assert.equal(ask('cases/hash_matches', { text: 1, sha256 }), Outcome.Deny);
  });
  it('urlquery.decode decodes forms, and is undefined for what is not one', () => {
    assert.equal(ask('cases/decodes', { encoded: 'a%20b+c%C3%A9', decoded: 'a b c\u00e9' }), Outcome.Allow);
    for (const encoded of ['%', '%zz', '%ff', 7])
      assert.equal(ask('cases/decodes', { encoded, decoded: encoded }), Outcome.Deny);
  });
  it('strings.any_prefix_match and any_suffix_match take texts and collections of texts', () => {
    assert.equal(ask('cases/prefixed', { search: '/api/x', base: ['/v1', '/api'] }), Outcome.Allow);
    assert.equal(ask('cases/prefixed', { search: ['a', 'b'], base: 'c' }), Outcome.Deny);
    assert.equal(ask('cases/suffixed', { search: ['a.png'], base: ['.css', '.png'] }), Outcome.Allow);
    assert.equal(ask('cases/suffixed', { search: [1], base: '' }), Outcome.Deny);
  });
  it('sprintf makes what OPA makes of texts, integers and booleans', () => {
    assert.equal(
      ask('cases/formats', { format: '%s %d%% %v %t', values: ['a', 3, 'b', true], expected: 'a 3% b true' }),
      Outcome.Allow,
    );
  });
  it('sprintf fails the evaluation where it would differ from OPA, since an undefined text could turn a negation into an allow', () => {
    for (const [format, values] of [
      ['%5.2f', [1.5]],
      ['%d', ['x']],
      ['%s', [1]],
      ['%v', [{}]],
      ['%s', []],
      ['', ['more']],
      ['%', ['x']],
    ]) {
      assert.equal(
        ask('cases/formats', { format, values, expected: '' }),
        Outcome.BuiltinFailed,
        JSON.stringify(format),
      );
      assert.match(instance.detail, /sprintf/);
    }
    assert.equal(
      ask('cases/formats', { format: '%s'.repeat(64), values: Array(64).fill('x'.repeat(1_000)), expected: '' }),
      Outcome.Deny,
    );
  });
});
