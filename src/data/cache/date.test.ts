import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { parseHttpDate } from './date.ts';

const NOW = Date.UTC(2026, 10, 21);

describe('HTTP-date', () => {
  it('is read in its three forms, case aside', () => {
    const at = Date.UTC(1994, 10, 6, 8, 49, 37);
    for (const text of [
      'Sun, 06 Nov 1994 08:49:37 GMT',
      'Sunday, 06-Nov-94 08:49:37 GMT',
      'Sun Nov  6 08:49:37 1994',
      'sun, 06 NOV 1994 08:49:37 gMT',
    ])
      assert.equal(parseHttpDate(text, NOW), at, text);
    assert.equal(parseHttpDate('Thursday, 18-Aug-50 02:01:18 GMT', NOW), Date.UTC(2050, 7, 18, 2, 1, 18));
    assert.equal(parseHttpDate('Sun, 21 Nov 2286 04:46:39 GMT', NOW), Date.UTC(2286, 10, 21, 4, 46, 39));
  });

  it('is no other text', () => {
    for (const text of [
      '0',
      '',
      '-1',
      'Thu, 18 Aug 2050 02:01:18 UTC',
      'Thu, 18 Aug 2050 02:01:18 AEST',
      'Thu, 18-Aug-2050 02:01:18 GMT',
      'Thu, 18 Aug 2050 2:01:18 GMT',
      'Thu, 18 Aug 2050 02.01.18 GMT',
      'Thu, 18 Aug 2050  02:01:18 GMT',
      'Thu 18 Aug 2050 02:01:18 GMT',
      'Thu, 18 Aug 50 02:01:18 GMT',
      'Thu, 31 Feb 2050 02:01:18 GMT',
      'Thu, 18 Aug 2050 24:01:18 GMT',
      '18 Aug 2050 02:01:18 GMT',
      '2050-08-18T02:01:18Z',
    ])
      assert.ok(Number.isNaN(parseHttpDate(text, NOW)), text);
  });

  it('is what Date writes', () => {
    const day = fc.date({ min: new Date('1971-01-01'), max: new Date('9999-01-01'), noInvalidDate: true });
    fc.assert(
      fc.property(day, (date) => {
        date.setUTCMilliseconds(0);
        assert.equal(parseHttpDate(date.toUTCString(), NOW), date.getTime());
      }),
    );
  });
});
