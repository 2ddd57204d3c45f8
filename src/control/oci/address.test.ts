import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { classOfAddress, classOfHost, guardedLookup, isLoopbackHost, literalOf, mayLead } from './address.ts';

describe('addresses', () => {
  for (const [address, expected] of [
    ['169.254.169.254', 'forbidden'],
    ['::ffff:169.254.169.254', 'forbidden'],
    ['fe80::1', 'forbidden'],
    ['fd00:ec2::254', 'forbidden'],
    ['100.100.100.200', 'forbidden'],
    ['0.0.0.0', 'forbidden'],
    ['::', 'forbidden'],
    ['224.0.0.1', 'forbidden'],
    ['255.255.255.255', 'forbidden'],
    ['127.0.0.1', 'loopback'],
    ['127.8.8.8', 'loopback'],
    ['::1', 'loopback'],
    ['::ffff:127.0.0.1', 'loopback'],
    ['10.1.2.3', 'private'],
    ['172.31.0.1', 'private'],
    ['192.168.0.1', 'private'],
    ['100.64.0.1', 'private'],
    ['fd12::1', 'private'],
    ['64:ff9b::a9fe:a9fe', 'private'],
    ['172.32.0.1', 'public'],
    ['8.8.8.8', 'public'],
    ['2001:db8::1', 'public'],
  ] as const) {
    it(`${address} is ${expected}`, () => {
      assert.equal(classOfAddress(address), expected);
    });
  }

  it('are seen through every spelling that a URL allows', () => {
    for (const host of ['2130706433', '0x7f.1', '0177.0.0.1', '127.1', '[::ffff:7f00:1]']) {
      const { hostname } = new URL(`http://${host}/`);
      assert.equal(isLoopbackHost(hostname), true, host);
    }
    assert.equal(literalOf(new URL('http://0xa9fea9fe/').hostname), '169.254.169.254');
    assert.equal(isLoopbackHost('localhost'), true);
    assert.equal(isLoopbackHost('localhost.example'), false);
  });

  it('a registry leads only to places that are at least as public', () => {
    assert.deepEqual(
      (['public', 'private', 'loopback'] as const).map((from) =>
        (['public', 'private', 'loopback', 'forbidden'] as const).filter((to) => mayLead(from, to)),
      ),
      [['public'], ['public', 'private'], ['public', 'private', 'loopback']],
    );
  });

  it('of a name are judged when it is connected to', async () => {
    const ask = (allowed: Parameters<typeof guardedLookup>[0], all: boolean) =>
      new Promise<unknown>((resolve) =>
        guardedLookup(allowed)('localhost', { all }, (error, address) => resolve(error ?? address)),
      );
    assert.match(String(await ask((to) => to !== 'loopback', false)), /no address that a redirect may lead to/);
    assert.equal(await classOfHost('localhost'), 'loopback');
    assert.ok(Array.isArray(await ask(() => true, true)));
    assert.equal(typeof (await ask(() => true, false)), 'string');
  });
});
