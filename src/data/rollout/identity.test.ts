import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TestWire, testRoute } from '../../../test/harness/wire.ts';
import { keyedHash } from '../../base/keyed-hash.ts';
import type { TenantSource } from '../../snapshot/route-plans.ts';
import { Exchange } from '../exchange.ts';
import type { Revision } from '../lane/revision.ts';
import { identityHash, READINGS_MAX, TokenReadings } from './identity.ts';

const KEY = { k0: 1, k1: 2 };
const ADDRESS = '192.0.2.7';

function token(claims: object): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  return `Bearer ${part({ alg: 'none' })}.${part(claims)}.c2ln`;
}

/** Whose request is it, as the hash tells? */
function identity(
  tenant: TenantSource | null,
  headers: Record<string, string>,
  expected: string,
  readings = new TokenReadings(),
): void {
  const x = new Exchange(0);
  x.begin(new TestWire({ headers: Object.entries(headers).flat() }), {
    snapshot: { issuers: [] },
  } as unknown as Revision);
  x.host = 'acme.example.com';
  x.path = '/t/globex/orders';
  x.clientAddress = ADDRESS;
  assert.equal(identityHash(x, testRoute({ tenant }), readings, KEY), keyedHash(expected, KEY.k0, KEY.k1));
}

test('the tenant, from where the route says', () => {
  identity({ from: 'header', name: 'x-tenant' }, { 'x-tenant': 'acme' }, 'acme');
  identity({ from: 'host', label: 0 }, {}, 'acme');
  identity({ from: 'path', segment: 1 }, {}, 'globex');
  identity({ from: 'claim', name: 'org.id' }, { authorization: token({ org: { id: 'initech' } }) }, 'initech');
});

test('the client’s address where there is none, or one for all', () => {
  identity(null, {}, ADDRESS);
  identity({ from: 'fixed', name: 'all' }, {}, ADDRESS);
  identity({ from: 'header', name: 'x-tenant' }, {}, ADDRESS);
  for (const authorization of [
    '',
    'Bearer x',
    'Bearer a.b',
    'Bearer a.!!.c',
    'Bearer a.bnVsbA.c',
    'Bearer a.WzFd.c',
    `Bearer a.${'A'.repeat(20_000)}.c`,
  ])
    identity({ from: 'claim', name: 'tenant' }, { authorization }, ADDRESS);
});

test('what a token says is remembered, and boundedly', () => {
  const readings = new TokenReadings();
  for (let i = 0; i < READINGS_MAX * 3; i++) {
    const authorization = token({ tenant: `t${i}`, other: `o${i}` });
    assert.equal(readings.read(authorization, 'tenant'), `t${i}`);
    assert.equal(readings.read(authorization, 'other'), `o${i}`);
  }
});
