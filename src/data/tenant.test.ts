import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TenantSource } from '../snapshot/route-plans.ts';
import { TestWire, testExchange, testRoute, type WireOptions } from '../../test/harness/wire.ts';
import type { Identity } from './exchange.ts';
import { readTenant, TENANT_LENGTH_MAX } from './tenant.ts';

const claims = {
  tenant: 'acme',
  org: { id: 'globex', deep: { number: 42 } },
  'https://a.example/tenant': 'initech',
  list: ['acme'],
  yes: true,
  half: 1.5,
  minus: -1,
};

function read(source: TenantSource | null, wire: WireOptions = {}, host = 'umbrella.shop.example', path = '/'): string {
  const x = testExchange(new TestWire(wire), {}, testRoute({ tenant: source }));
  x.host = host;
  x.path = path;
  x.identity = { claims } as unknown as Identity;
  return readTenant(x);
}

const cases: readonly [name: string, source: TenantSource | null, tenant: string, wire?: WireOptions][] = [
  ['no source', null, '', { headers: ['x-tenant-id', 'evil'] }],
  ['a claim', { from: 'claim', name: 'tenant' }, 'acme'],
  ['a claim, whatever a header says', { from: 'claim', name: 'tenant' }, 'acme', { headers: ['tenant', 'evil'] }],
  ['a claim inside of others', { from: 'claim', name: 'org.id' }, 'globex'],
  ['a whole number', { from: 'claim', name: 'org.deep.number' }, '42'],
  ['a claim whose own name holds dots', { from: 'claim', name: 'https://a.example/tenant' }, 'initech'],
  ['an absent claim', { from: 'claim', name: 'org.name' }, ''],
  ['a claim below a text', { from: 'claim', name: 'tenant.length' }, ''],
  ['nothing from the prototype', { from: 'claim', name: 'constructor.name' }, ''],
  ['a list', { from: 'claim', name: 'list' }, ''],
  ['an element of a list', { from: 'claim', name: 'list.0' }, ''],
  ['a truth', { from: 'claim', name: 'yes' }, ''],
  ['a fraction', { from: 'claim', name: 'half' }, ''],
  ['a negative number', { from: 'claim', name: 'minus' }, ''],
  ['a header', { from: 'header', name: 'x-tenant-id' }, 'hooli', { headers: ['x-tenant-id', 'hooli'] }],
  [
    'a header sent twice',
    { from: 'header', name: 'x-tenant-id' },
    '',
    { headers: ['x-tenant-id', 'a', 'x-tenant-id', 'a'] },
  ],
  [
    'a header and what CGI takes for it',
    { from: 'header', name: 'x-tenant-id' },
    '',
    { headers: ['x-tenant-id', 'a', 'x_tenant-id', 'b'] },
  ],
  ['nothing but what CGI takes for it', { from: 'header', name: 'x-tenant-id' }, '', { headers: ['x_tenant_id', 'a'] }],
  [
    'a header beside others with underscores',
    { from: 'header', name: 'x-tenant-id' },
    'a',
    { headers: ['x_tenant_ip', 'b', 'x_tenant_id_', 'b', 'x-tenant-id', 'a'] },
  ],
  ['a list in a header', { from: 'header', name: 'x-tenant-id' }, '', { headers: ['x-tenant-id', 'a, b'] }],
  ['a label of the host', { from: 'host', label: 0 }, 'umbrella'],
  ['the last label of the host', { from: 'host', label: 2 }, 'example'],
  ['a label that the host does not have', { from: 'host', label: 3 }, ''],
  ['a label of the server name', { from: 'sni', label: 0 }, 'stark', { serverName: 'STARK.shop.example' }],
  ['no server name', { from: 'sni', label: 0 }, ''],
  ['a fixed one', { from: 'fixed', name: 'house' }, 'house'],
];
for (const [name, source, tenant, wire] of cases) {
  test(`${name} gives ${tenant === '' ? 'no tenant' : tenant}`, () => assert.equal(read(source, wire), tenant));
}

test('segments of the path count from 0', () => {
  const at = (segment: number, path: string): string => read({ from: 'path', segment }, {}, 'h', path);
  assert.equal(at(0, '/acme/orders'), 'acme');
  assert.equal(at(1, '/acme/orders'), 'orders');
  assert.equal(at(2, '/acme/orders'), '');
  assert.equal(at(0, '/'), '');
});

test('an id that is too long, or holds what a key or a log line cannot, is none', () => {
  const header = (value: string): string => read({ from: 'header', name: 't' }, { headers: ['t', value] });
  assert.equal(header('a'.repeat(TENANT_LENGTH_MAX)).length, TENANT_LENGTH_MAX);
  for (const bad of ['a'.repeat(TENANT_LENGTH_MAX + 1), '', ' a', 'a b', '../a', '.a', 'a\u00e9', 'a"', 'a\n', '-a']) {
    assert.equal(header(bad), '', bad);
  }
});

test('it is read once', () => {
  const x = testExchange(new TestWire(), {}, testRoute({ tenant: { from: 'fixed', name: 'other' } }));
  x.tenant = 'known';
  assert.equal(readTenant(x), 'known');
});
