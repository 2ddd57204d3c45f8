import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { candidatesOf, localAddresses, readHosts, readResolvConf } from './system-names.ts';

test('a hosts file tells addresses by any of their names', () => {
  const hosts = readHosts(
    '127.0.0.1 localhost\n# a comment\n10.0.0.7\torders Orders.internal # more\n::1 six\nx y\n10.0.0.8 orders',
  );
  assert.deepEqual(localAddresses('ORDERS', hosts), ['10.0.0.7', '10.0.0.8']);
  assert.deepEqual(localAddresses('orders.internal.', hosts), ['10.0.0.7']);
  assert.deepEqual(localAddresses('six', hosts), ['::1']);
  assert.equal(localAddresses('y', hosts), null);
});

test('localhost is this machine, whoever answers for it', () => {
  assert.deepEqual(localAddresses('localhost', new Map([['localhost', ['10.0.0.1']]])), ['127.0.0.1', '::1']);
  assert.deepEqual(localAddresses('a.localhost', new Map()), ['127.0.0.1', '::1']);
});

test('a short name is completed before it is asked for as it stands, a long one after', () => {
  const conf = readResolvConf(
    'nameserver 10.96.0.10\nsearch shop.svc.cluster.local svc.cluster.local.\noptions ndots:5 edns0\n',
  );
  assert.deepEqual(candidatesOf('orders', conf), [
    'orders.shop.svc.cluster.local',
    'orders.svc.cluster.local',
    'orders',
  ]);
  assert.deepEqual(candidatesOf('a.b.c.d.e.f', conf)[0], 'a.b.c.d.e.f');
  assert.deepEqual(candidatesOf('orders.example.', conf), ['orders.example']);
  assert.deepEqual(candidatesOf('orders.example', readResolvConf('')), ['orders.example']);
});

test('any text is read, and nothing of it is an address that is none', () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 400 }), (text) => {
      for (const addresses of readHosts(text).values()) for (const a of addresses) assert.match(a, /^[0-9a-fA-F:.%]+/);
      assert.ok(readResolvConf(text).ndots <= 15);
    }),
  );
});
