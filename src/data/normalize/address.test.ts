import assert from 'node:assert/strict';
import { isIP } from 'node:net';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { clientBehind, clientKey, formatAddress, formatIpv6, Networks, parseAddress } from './address.ts';

const bytes = (text: string): Uint8Array => parseAddress(text) ?? new Uint8Array(0);

describe('an address', () => {
  it('has one text', () => {
    const table: readonly [string, string][] = [
      ['192.0.2.7', '192.0.2.7'],
      ['::ffff:192.0.2.7', '192.0.2.7'],
      ['2001:DB8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
      ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
      ['::', '::'],
      ['::1', '::1'],
      ['1::', '1::'],
      ['0:0:0:0:0:0:0:1', '::1'],
      ['64:ff9b::192.0.2.33', '64:ff9b::c000:221'],
    ];
    for (const [raw, text] of table) assert.equal(formatAddress(bytes(raw)), text, raw);
  });

  it('is accepted exactly when it is one, and formats as the URL standard does', () => {
    const close = fc.string({
      unit: fc.constantFrom('0', '1', 'f', 'A', ':', '::', '.', '25', '255', '256'),
      maxLength: 14,
    });
    fc.assert(
      fc.property(fc.oneof(fc.ipV4(), fc.ipV6(), close), (raw) => {
        const parsed = parseAddress(raw);
        assert.equal(parsed === null ? 0 : parsed.length === 4 ? 4 : 6, isIP(raw), raw);
        if (parsed?.length === 16) assert.equal(`[${formatIpv6(parsed)}]`, new URL(`http://[${raw}]/`).hostname);
      }),
      { numRuns: 3_000 },
    );
  });

  it('that is none is refused', () => {
    for (const raw of [
      '',
      '1.2.3',
      '1.2.3.4.5',
      '01.2.3.4',
      '1.2.3.256',
      ' 1.2.3.4',
      '1.2.3.4 ',
      '1:2',
      ':::',
      '1::2::3',
      '::1%eth0',
      'g::',
      '1.2.3.4::',
      '12345::',
    ])
      assert.equal(parseAddress(raw), null, raw);
  });
});

describe('networks', () => {
  it('hold what lies in them', () => {
    const networks = new Networks([
      '10.0.0.0/8',
      '192.0.2.128/25',
      '2001:db8::/33',
      '::ffff:198.51.100.0/120',
      '203.0.113.9',
      'nonsense',
      '10.0.0.0/33',
    ]);
    for (const inside of ['10.255.0.1', '192.0.2.128', '2001:db8:7fff::1', '198.51.100.200', '203.0.113.9'])
      assert.ok(networks.has(bytes(inside)), inside);
    for (const outside of ['11.0.0.1', '192.0.2.127', '2001:db8:8000::', '198.51.101.1', '203.0.113.8', '::10.0.0.1'])
      assert.ok(!networks.has(bytes(outside)), outside);
  });

  it('of no bits hold every address of their family', () => {
    assert.ok(new Networks(['0.0.0.0/0']).has(bytes('255.1.2.3')));
    assert.ok(!new Networks(['0.0.0.0/0']).has(bytes('::1')));
  });
});

describe('the client behind proxies', () => {
  const client = (peer: string, lists: readonly string[], trusted: readonly string[]): string =>
    formatAddress(clientBehind(bytes(peer), lists, new Networks(trusted)));

  it('is the first from the right that is not trusted', () => {
    assert.equal(client('10.0.0.1', ['203.0.113.5, 10.0.0.2'], ['10.0.0.0/8']), '203.0.113.5');
    assert.equal(client('10.0.0.1', ['1.1.1.1, 203.0.113.5', '10.0.0.2'], ['10.0.0.0/8']), '203.0.113.5');
    assert.equal(client('10.0.0.1', ['10.0.0.3, 10.0.0.2'], ['10.0.0.0/8']), '10.0.0.3');
    assert.equal(client('10.0.0.1', ['[2001:db8::1]:4711'], ['10.0.0.0/8']), '2001:db8::1');
    assert.equal(client('10.0.0.1', ['203.0.113.5:80'], ['10.0.0.0/8']), '203.0.113.5');
    assert.equal(client('::ffff:10.0.0.1', ['203.0.113.5'], ['10.0.0.0/8']), '203.0.113.5');
  });

  it('is the peer when the peer is not trusted: anybody can write the header', () => {
    assert.equal(client('203.0.113.5', ['1.1.1.1'], ['10.0.0.0/8']), '203.0.113.5');
    assert.equal(client('203.0.113.5', ['1.1.1.1'], []), '203.0.113.5');
  });

  it('is the last good one when a member is no address', () => {
    assert.equal(client('10.0.0.1', ['1.1.1.1, unknown'], ['10.0.0.0/8']), '10.0.0.1');
    assert.equal(client('10.0.0.1', ['1.1.1.1, _hidden, 10.0.0.2'], ['10.0.0.0/8']), '10.0.0.2');
    assert.equal(client('10.0.0.1', [''], ['10.0.0.0/8']), '10.0.0.1');
  });

  it('is found in bounded steps, from the right end of any list', () => {
    assert.equal(client('10.0.0.1', [Array(10_000).fill('10.0.0.9').join(',')], ['10.0.0.0/8']), '10.0.0.9');
    const long = `${Array(5_000).fill('1.1.1.1').join(',')},203.0.113.5,10.0.0.2`;
    assert.equal(client('10.0.0.1', [long], ['10.0.0.0/8']), '203.0.113.5');
  });
});

it('one client is one IPv4 address, or one /64 of IPv6', () => {
  for (const [address, key] of [
    ['192.0.2.1', '192.0.2.1'],
    ['2001:db8:0:1:a:b:c:d', '2001:db8:0:1::'],
    ['2001:db8::1', '2001:db8::'],
    ['::1', '::'],
    ['fe80:1:2:3::', 'fe80:1:2:3::'],
    ['unknown', 'unknown'],
    ['', ''],
  ] as const)
    assert.equal(clientKey(address), key, address);
});
