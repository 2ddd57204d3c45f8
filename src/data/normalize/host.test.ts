import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { readHost } from './host.ts';

describe('a host', () => {
  it('is lower-case, without port and final dot', () => {
    const table: readonly [string, string][] = [
      ['shop.example', 'shop.example'],
      ['SHOP.Example:8443', 'shop.example'],
      ['shop.example.', 'shop.example'],
      ['shop.example.:80', 'shop.example'],
      ['shop.example:', 'shop.example'],
      ['localhost', 'localhost'],
      ['10.0.0.1:80', '10.0.0.1'],
      ['[::1]:8443', '[::1]'],
      ['[2001:DB8:0:0:0:0:0:1]', '[2001:db8::1]'],
      ['[::ffff:10.0.0.1]', '[::ffff:a00:1]'],
      ['my_service.internal', 'my_service.internal'],
      ['xn--bcher-kva.example', 'xn--bcher-kva.example'],
    ];
    for (const [raw, host] of table) assert.equal(readHost(raw), host, raw);
  });

  it('that is no host is refused', () => {
    for (const raw of [
      '',
      ' ',
      '.',
      '..',
      'a..b',
      '.a',
      '-a',
      'a-',
      'a.-b',
      'user@host',
      'a/b',
      'a,b',
      'a b',
      'a:b',
      'a:0',
      'a:65536',
      'a:80:80',
      'a:+80',
      'a?b',
      'a#b',
      'a%20b',
      'b\u00fccher.example',
      '[::1',
      '::1',
      '[::1]x',
      '[fe80::1%25eth0]',
      '[::1]:x',
      '[1.2.3.4]',
      '[]',
      'a\\b',
      'a\u0000',
      `${'a'.repeat(64)}.example`,
      `${'a.'.repeat(130)}a`,
    ]) {
      assert.equal(readHost(raw), null, raw);
    }
  });

  it('is never read with an exception, and is the same when read again', () => {
    const close = fc.string({ unit: fc.constantFrom('a', 'B', '.', '-', ':', '[', ']', '1', '@', '_', '%', '/') });
    fc.assert(
      fc.property(
        fc.oneof(
          close,
          fc.string({ unit: 'binary' }),
          fc.ipV6().map((a) => `[${a}]`),
          fc.domain(),
        ),
        (raw) => {
          const host = readHost(raw);
          if (host === null) return;
          assert.match(host, /^(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])$/);
          assert.equal(readHost(host), host);
        },
      ),
      { numRuns: 3_000 },
    );
  });
});
