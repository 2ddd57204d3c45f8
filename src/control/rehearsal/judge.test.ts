import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { OwnTestConfig } from '../../config/own-tests.ts';
import type { Rehearsed } from '../../snapshot/rehearsal.ts';
import { differences } from './judge.ts';

const FOUND: Rehearsed = {
  outcome: 'forwarded',
  route: 'orders',
  refusal: '',
  status: 0,
  cell: 'eu-1',
  tenant: 'acme',
  policy: 'allow',
  waf: 'pass',
  rules: [942100, 949110],
  upstream: { host: 'orders.internal', target: '/7?full=1', headers: ['x-user', 'alice', 'accept', 'a, b'] },
  answer: { headers: ['x-frame-options', 'DENY'], body: '' },
  detail: '',
};

const of = (expect: OwnTestConfig['expect'], found: Partial<Rehearsed> = {}): string[] =>
  differences(expect, { ...FOUND, ...found });

describe('a test of a bundle', () => {
  it('passes when all that it asks for was found, whatever else was', () => {
    assert.deepEqual(
      of({
        outcome: 'forwarded',
        route: 'orders',
        cell: 'eu-1',
        tenant: 'acme',
        policy: 'allow',
        waf: 'pass',
        rules: [942100],
        upstream: {
          host: 'orders.internal',
          target: '/7?full=1',
          headers: { 'X-User': 'alice', accept: 'a, b' },
          without: ['authorization'],
        },
        answer: { headers: { 'X-Frame-Options': 'DENY' }, without: ['server'] },
      }),
      [],
    );
  });

  const failing: readonly (readonly [string, OwnTestConfig['expect'], Partial<Rehearsed>, readonly string[]])[] = [
    ['of another route', { route: 'all' }, {}, ['route: expected "all", found "orders"']],
    ['of no route', { route: 'all' }, { route: '' }, ['route: expected "all", found none']],
    [
      'of another refusal',
      { refusal: 'policy_denied', status: 403 },
      { outcome: 'refused', refusal: 'token_missing', status: 401 },
      ['refusal: expected "policy_denied", found "token_missing"', 'status: expected 403, found 401'],
    ],
    ['that is not refused at all', { refusal: 'no_route' }, {}, ['refusal: expected "no_route", found none']],
    ['whose rules are silent', { rules: [1, 942100] }, {}, ['rules: expected "1", found "942100, 949110"']],
    [
      'that goes nowhere',
      { upstream: { headers: {}, without: [] } },
      { outcome: 'answered', upstream: null },
      ['outcome: expected "forwarded", found "answered"'],
    ],
    [
      'with other fields upstream',
      { upstream: { target: '/8', headers: { 'x-user': 'bob', 'x-tenant': 'acme' }, without: ['Accept'] } },
      {},
      [
        'upstream.target: expected "/8", found "/7?full=1"',
        'upstream.headers.x-user: expected "bob", found "alice"',
        'upstream.headers.x-tenant: expected "acme", found none',
        'upstream.headers.Accept: expected none, found "a, b"',
      ],
    ],
    [
      'with another answer',
      { answer: { headers: { location: '/' }, without: [], body: 'hello' } },
      {},
      ['answer.headers.location: expected "/", found none', 'answer.body: expected "hello", found none'],
    ],
  ];
  for (const [what, expect, found, lines] of failing)
    it(`fails for a request ${what}, and says what was expected and found`, () =>
      assert.deepEqual(of(expect, found), lines));

  it('tells no more of a long value than can be read', () => {
    const [told = ''] = of({ tenant: 'x'.repeat(250) });
    assert.ok(told.length < 300 && told.includes('…'), told);
  });
});
