import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { TestDns } from '../../../test/harness/dns-server.ts';
import type { NameSource } from './name-watch.ts';
import { NameWatch } from './name-watch.ts';
import { DnsResolver } from './resolver.ts';
import { SystemNames } from './system-names.ts';

const NONE = { hosts: '/nonexistent/hosts', resolvConf: '/nonexistent/resolv.conf' };
const OPTIONS = { ttlMinMs: 100, ttlMaxMs: 200, negativeHoldMs: 0 };
const ends: (() => unknown)[] = [];
after(async () => {
  for (const end of ends.reverse()) await end();
});

interface Given {
  readonly dns: TestDns;
  readonly watch: NameWatch;
  readonly told: string[];
  readonly hosts: (source: NameSource) => string[];
}

/** `timeoutMs`: for a server that answers, longer than a busy machine takes. */
async function given(options: Partial<typeof OPTIONS> = {}, timeoutMs = 20_000): Promise<Given> {
  const dns = await TestDns.start();
  ends.push(() => dns.stop());
  const told: string[] = [];
  const resolver = new DnsResolver({ servers: [dns.address], timeoutMs, tries: 1 }, new SystemNames(NONE, Date.now));
  const watch = new NameWatch({
    resolver,
    options: { ...OPTIONS, ...options },
    onChange: () => told.push('changed'),
    event: (_, message) => told.push(message),
    now: Date.now,
  });
  ends.push(() => watch.stop());
  const hosts = (source: NameSource): string[] =>
    watch
      .standing(source)
      .found.map((f) => `${f.host}:${f.port}`)
      .sort();
  return { dns, watch, told, hosts };
}

async function until(what: string, condition: () => boolean): Promise<void> {
  for (let tries = 0; !condition(); tries++) {
    assert.ok(tries < 2_000, what);
    await sleep(10);
  }
}

const orders: NameSource = { kind: 'address', name: 'orders.test', port: 8080, family: 'all' };

test('all A and AAAA answers are found, and others when the answer is another', async () => {
  const { dns, watch, hosts } = await given();
  dns.set('orders.test', { addresses: ['127.0.0.1', '127.0.0.2', '::1'] });
  await watch.follow([orders]);
  assert.deepEqual(hosts(orders), ['127.0.0.1:8080', '127.0.0.2:8080', '::1:8080']);
  dns.set('orders.test', { addresses: ['127.0.0.2', '127.0.0.3'] });
  await until('the new answer counts', () => hosts(orders).join() === '127.0.0.2:8080,127.0.0.3:8080');
  assert.equal(watch.standing(orders).state, 'current');
});

test('one family only, when it is asked for', async () => {
  const { dns, watch, hosts } = await given();
  dns.set('orders.test', { addresses: ['127.0.0.1', '::1'] });
  const four: NameSource = { ...orders, family: 'ipv4' };
  const six: NameSource = { ...orders, family: 'ipv6' };
  await watch.follow([four, six]);
  assert.deepEqual([hosts(four), hosts(six)], [['127.0.0.1:8080'], ['::1:8080']]);
});

for (const mood of ['servfail', 'refused', 'silent'] as const) {
  test(`last good addresses are kept while the server is ${mood}, and told of once`, async () => {
    const { dns, watch, told, hosts } = await given({}, mood === 'silent' ? 4_000 : undefined);
    dns.set('orders.test', { addresses: ['127.0.0.1'] });
    await watch.follow([orders]);
    dns.mood = mood;
    await until('it is known to be stale', () => watch.standing(orders).state === 'stale');
    dns.set('orders.test', { addresses: ['127.0.0.9'] });
    const asked = dns.asked.length;
    await until('it is asked again', () => dns.asked.length > asked);
    assert.deepEqual(hosts(orders), ['127.0.0.1:8080']);
    assert.equal(told.filter((t) => t.startsWith('name not resolved')).length, 1);
    dns.mood = 'well';
    await until('the new answer counts', () => hosts(orders).join() === '127.0.0.9:8080');
    assert.ok(told.includes('name resolved again'));
  });
}

test('one family that cannot be asked keeps its addresses beside new ones of the other', async () => {
  const { dns, watch, hosts } = await given();
  dns.set('orders.test', { addresses: ['127.0.0.1', '::1'] });
  await watch.follow([orders]);
  dns.broken.add('AAAA');
  dns.set('orders.test', { addresses: ['127.0.0.2', '::9'] });
  await until('the other family moves', () => hosts(orders).includes('127.0.0.2:8080'));
  assert.deepEqual(hosts(orders), ['127.0.0.2:8080', '::1:8080']);
});

/** A server that has one name, and a resolver that completes names with fewer dots than `ndots` before it asks for them as they are. */
async function completing(ndots: number): Promise<{ dns: TestDns; resolver: DnsResolver }> {
  const dns = await TestDns.start({ 'api.example.test': { addresses: ['127.0.0.1'] } });
  const directory = mkdtempSync(join(tmpdir(), 'cnx-names-'));
  ends.push(
    () => dns.stop(),
    () => rmSync(directory, { recursive: true }),
  );
  const resolvConf = join(directory, 'resolv.conf');
  writeFileSync(resolvConf, `search corp.test\noptions ndots:${ndots}\n`);
  const names = new SystemNames({ ...NONE, resolvConf }, Date.now);
  const resolver = new DnsResolver({ servers: [dns.address], timeoutMs: 20_000, tries: 1 }, names);
  return { dns, resolver };
}

test('a completed name that one family denies is passed over, though the other could not be asked', async () => {
  const { dns, resolver } = await completing(5);
  dns.broken.add('AAAA');
  const { ipv4 } = await resolver.addresses('api.example.test', 'all');
  assert.deepEqual(ipv4?.kind === 'found' ? ipv4.records : ipv4, ['127.0.0.1']);
  assert.equal(dns.asked.filter((question) => question.endsWith('.corp.test')).length, 2);
});

test('a name that has addresses of one family is there, though a server denies it when it is asked for the other', async () => {
  const { dns, resolver } = await completing(1);
  dns.denied.add('AAAA');
  const { ipv4 } = await resolver.addresses('api.example.test', 'all');
  assert.deepEqual(ipv4?.kind === 'found' ? ipv4.records : ipv4, ['127.0.0.1']);
  assert.deepEqual(
    dns.asked.filter((question) => question.endsWith('.corp.test')),
    [],
  );
});

test('a name that is denied keeps its addresses for the hold time, and loses them after', async () => {
  const held = await given({ negativeHoldMs: 3_600_000 });
  held.dns.set('orders.test', { addresses: ['127.0.0.1'] });
  await held.watch.follow([orders]);
  held.dns.remove('orders.test');
  await until('it is denied', () => held.watch.standing(orders).state === 'stale');
  assert.match(held.watch.standing(orders).why ?? '', /NXDOMAIN/);
  assert.deepEqual(held.hosts(orders), ['127.0.0.1:8080']);
  const { dns, watch, hosts } = await given({ negativeHoldMs: 1 });
  dns.set('orders.test', { addresses: ['127.0.0.1'] });
  await watch.follow([orders]);
  dns.set('orders.test', { addresses: [] });
  await until('it has none', () => hosts(orders).length === 0);
  assert.equal(watch.standing(orders).state, 'none');
});

test('SRV records lead to all addresses of their targets, with priority and weight', async () => {
  const { dns, watch } = await given();
  const source: NameSource = { kind: 'srv', name: '_http._tcp.orders.test', family: 'all' };
  dns.set('_http._tcp.orders.test', {
    srv: [
      { target: 'a.orders.test', port: 8001, priority: 0, weight: 3 },
      { target: 'b.orders.test', port: 8002, priority: 1, weight: 0 },
      { target: 'gone.orders.test', port: 8003 },
    ],
  });
  dns.set('a.orders.test', { addresses: ['127.0.0.1', '127.0.0.2'] });
  dns.set('b.orders.test', { addresses: ['127.0.0.3'] });
  await watch.follow([source]);
  const found = watch.standing(source).found.toSorted((x, y) => (x.host < y.host ? -1 : 1));
  assert.deepEqual(found, [
    { host: '127.0.0.1', port: 8001, name: 'a.orders.test', priority: 0, weight: 3 },
    { host: '127.0.0.2', port: 8001, name: 'a.orders.test', priority: 0, weight: 3 },
    { host: '127.0.0.3', port: 8002, name: 'b.orders.test', priority: 1, weight: 0 },
  ]);
  dns.mood = 'servfail';
  await until('it is stale', () => watch.standing(source).state === 'stale');
  assert.equal(watch.standing(source).found.length, 3, 'what was good last');
  dns.mood = 'well';
  dns.set('_http._tcp.orders.test', { srv: [{ target: '.', port: 0 }] });
  await until('decidedly none', () => watch.standing(source).found.length === 0);
});

test('an answer too long for UDP is asked for by TCP', async () => {
  const { dns, watch, hosts } = await given();
  const addresses = Array.from({ length: 100 }, (_, i) => `127.0.1.${i + 1}`);
  dns.set('orders.test', { addresses });
  const four: NameSource = { ...orders, family: 'ipv4' };
  await watch.follow([four]);
  assert.equal(hosts(four).length, 100);
});

test('a name is asked for as often as its TTL says, within floor and ceiling', async () => {
  const { dns, watch } = await given({ ttlMinMs: 100, ttlMaxMs: 3_600_000 });
  dns.set('orders.test', { addresses: ['127.0.0.1'], ttl: 0 });
  dns.set('slow.test', { addresses: ['127.0.0.1'], ttl: 3_600 });
  const slow: NameSource = { ...orders, name: 'slow.test' };
  await watch.follow([orders, slow]);
  await until('it is asked for often', () => dns.asked.filter((q) => q === 'A orders.test').length >= 4);
  assert.equal(dns.asked.filter((q) => q === 'A slow.test').length, 1);
});

test('what is followed no more is asked for no more', async () => {
  const { dns, watch } = await given();
  dns.set('orders.test', { addresses: ['127.0.0.1'], ttl: 0 });
  dns.set('other.test', { addresses: ['127.0.0.2'], ttl: 0 });
  const other: NameSource = { ...orders, name: 'other.test' };
  await watch.follow([orders, other]);
  await watch.follow([other]);
  const more = async (): Promise<void> => {
    const before = dns.asked.length;
    await until('the other one is', () => dns.asked.length > before + 4);
  };
  // What was on its way to the server then has arrived when it is asked again.
  await more();
  const asked = dns.asked.filter((q) => q.endsWith('orders.test')).length;
  await more();
  assert.equal(dns.asked.filter((q) => q.endsWith('orders.test')).length, asked);
});
