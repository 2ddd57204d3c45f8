import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { IssuerPlan } from '../../snapshot/snapshot.ts';
import { checkClaims, claimAt } from './claims.ts';

const NOW = 1_800_000_000;
const SKEW = 30;
const plan: IssuerPlan = {
  id: 'staff',
  issuer: 'https://issuer.example',
  audiences: ['shop', 'api'],
  algorithms: ['ES256'],
  clockSkewSeconds: SKEW,
  tokenBytesMax: 4_096,
  requiredClaims: ['exp'],
  claimHeaders: ['org.name', 'x-org', 'level', 'x-level', 'text', 'x-text'],
  rolesClaim: 'realm.roles',
  jwks: null,
  jwksUrl: null,
  jwksRefreshMs: 1,
  jwksCooldownMs: 1,
};
const good = { iss: plan.issuer, aud: 'shop', sub: 'anna', exp: NOW + 60 };
const check = (more: object): ReturnType<typeof checkClaims> => checkClaims({ ...good, ...more }, plan, 3, NOW);

describe('claims', () => {
  it('that hold make an identity that nobody can change', () => {
    const result = check({ realm: { roles: ['a', 'b'] }, org: { name: 'Acme' }, level: 3 });
    assert.ok(result.kind === 'identity');
    const { claims: _, ...identity } = result.identity;
    assert.deepEqual(identity, {
      issuer: 3,
      issuerId: 'staff',
      subject: 'anna',
      roles: ['a', 'b'],
      headers: ['x-org', 'Acme', 'x-level', '3'],
      expiresAt: NOW + 60 + SKEW,
    });
    assert.ok(Object.isFrozen(result.identity));
  });

  const rows: readonly (readonly [what: string, more: object, kind: string])[] = [
    ['the other audience', { aud: 'api' }, 'identity'],
    ['one of several audiences', { aud: ['x', 'api'] }, 'identity'],
    ['another audience', { aud: 'shop2' }, 'invalid'],
    ['no audience', { aud: undefined }, 'invalid'],
    ['an empty list of audiences', { aud: [] }, 'invalid'],
    ['an audience that is no text', { aud: { shop: 1 } }, 'invalid'],
    ['another issuer', { iss: `${plan.issuer}/` }, 'invalid'],
    ['no issuer', { iss: undefined }, 'invalid'],
    ['a list as issuer', { iss: [plan.issuer] }, 'invalid'],
    ['no end', { exp: undefined }, 'invalid'],
    ['an end that is a text', { exp: `${NOW + 60}` }, 'invalid'],
    ['an end below zero', { exp: -1 }, 'invalid'],
    ['an end that is null', { exp: null }, 'invalid'],
    ['an end within the skew', { exp: NOW - SKEW + 1 }, 'identity'],
    ['an end at the edge of the skew', { exp: NOW - SKEW }, 'expired'],
    ['an end long ago', { exp: 0 }, 'expired'],
    ['a beginning within the skew', { nbf: NOW + SKEW }, 'identity'],
    ['a beginning beyond it', { nbf: NOW + SKEW + 1 }, 'invalid'],
    ['issued within the skew', { iat: NOW + SKEW }, 'identity'],
    ['issued in the future', { iat: NOW + SKEW + 1 }, 'invalid'],
    ['issued at no time', { iat: 'now' }, 'invalid'],
    ['a subject that is a number', { sub: 7 }, 'invalid'],
    ['a subject that is too long', { sub: 'a'.repeat(1_025) }, 'invalid'],
    ['no subject', { sub: undefined }, 'identity'],
  ];
  for (const [what, more, kind] of rows) it(`with ${what}: ${kind}`, () => assert.equal(check(more).kind, kind));

  it('that are required and missing are named', () => {
    const result = checkClaims(good, { ...plan, requiredClaims: ['exp', 'tenant'] }, 0, NOW);
    assert.deepEqual(result, { kind: 'invalid', why: 'the claim tenant is missing' });
  });

  it('that cannot be a header value are left out: no line breaks, no objects, nothing of a size that hurts', () => {
    for (const text of ['a\r\nx-admin: 1', 'a\u0000', 'ä', 'a'.repeat(1_025), ['a'], { a: 1 }, null]) {
      const result = check({ text });
      assert.ok(result.kind === 'identity');
      assert.deepEqual(result.identity.headers, [], JSON.stringify(text));
    }
  });

  it('that would reach the upstream as another value are left out: white space at the ends, numbers that a double rounds', () => {
    const headers = (claim: string): readonly string[] => {
      const result = check(JSON.parse(`{"text":${claim}}`) as object);
      assert.ok(result.kind === 'identity');
      return result.identity.headers;
    };
    for (const claim of ['" root"', '"root "', '"\\troot"', '" "', '9007199254740993', '-9007199254740993', '1e400'])
      assert.deepEqual(headers(claim), [], claim);
    for (const [claim, value] of [
      ['"Ann Lee"', 'Ann Lee'],
      ['"a"', 'a'],
      ['""', ''],
      ['9007199254740991', '9007199254740991'],
      ['-7', '-7'],
      ['0.5', '0.5'],
      ['false', 'false'],
    ] as const)
      assert.deepEqual(headers(claim), ['x-text', value], claim);
  });

  it('hold roles as a list or as one text, and not without bound', () => {
    const roles = (value: unknown): readonly string[] => {
      const result = check({ realm: { roles: value } });
      assert.ok(result.kind === 'identity');
      return result.identity.roles;
    };
    assert.deepEqual(roles('read  write'), ['read', 'write']);
    assert.deepEqual(roles(['read', 7, '', null, 'a'.repeat(2_000), 'write']), ['read', 'write']);
    assert.deepEqual(roles({ admin: true }), []);
    assert.equal(roles(Array.from({ length: 1_000 }, () => 'r')).length, 64);
  });

  it('are found by their whole name first, then by descending, and never in what objects inherit or lists hold', () => {
    assert.equal(claimAt({ 'a.b': 1, a: { b: 2 } }, 'a.b'), 1);
    assert.equal(claimAt({ a: { b: 2 } }, 'a.b'), 2);
    assert.equal(claimAt({ a: { b: 2 } }, 'a.'), undefined);
    assert.equal(claimAt({ a: null }, 'a.b'), undefined);
    assert.equal(claimAt({ a: 'text' }, 'a.length'), undefined);
    for (const name of ['a.0', 'a.length', 'b.0.c'])
      assert.equal(claimAt({ a: ['x'], b: [{ c: 1 }] }, name), undefined);
    for (const name of ['constructor', 'a.constructor', '__proto__', 'toString', 'a.__proto__.x'])
      assert.equal(claimAt({ a: {} }, name), undefined);
  });
});
