import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  answerDirectives,
  DIRECTIVES_CHARS_MAX,
  parseDirectives,
  parseTargeted,
  requestDirectives,
  seconds,
} from './directives.ts';

const age = (field: string): number | null => answerDirectives(field, undefined).maxAge;

describe('Cache-Control', () => {
  it('is read whatever the case, the white space and the quotes around values', () => {
    for (const [field, seen] of [
      ['max-age=3600', 3600],
      ['MaX-aGe=3600', 3600],
      ['max-age="3600"', 3600],
      ['max-age=003600', 3600],
      ['foobar, max-age=3600', 3600],
      [' , max-age=3600 ,', 3600],
      ['extension="max-age=1", max-age=3600', 3600],
      ['extension="a\\"b, max-age=1", max-age=3600', 3600],
      ['max-age=99999999999', 2_147_483_648],
      ['s-maxage=5, max-age=3600', 5],
    ] as const)
      assert.equal(age(field), seen, field);
  });

  it('a lifetime that is no number makes the answer stale', () => {
    for (const field of [
      'max-age=-1',
      'max-age=1.5',
      'max-age=1a',
      'max-age=a1',
      "max-age='1'",
      'max-age',
      'max-age=',
      'max-age=1=2',
    ])
      assert.equal(age(field), 0, field);
  });

  it('of two lifetimes the first counts', () => {
    assert.equal(age('max-age=1, max-age=1800'), 1);
  });

  it('a qualified no-cache names fields, an unqualified one means all', () => {
    const qualified = answerDirectives('no-cache="A, b", max-age=1', undefined);
    assert.deepEqual([qualified.noCache, qualified.noCacheFields], [false, ['a', 'b']]);
    assert.equal(answerDirectives('no-cache', undefined).noCache, true);
    assert.equal(answerDirectives('No-CaChE', undefined).noCache, true);
  });

  it('a qualified private means all, since a shared cache may not tell', () => {
    assert.equal(answerDirectives('private="x"', undefined).private, true);
  });

  it('what is too long to be read is not stored', () => {
    assert.equal(answerDirectives(`a=${'x'.repeat(DIRECTIVES_CHARS_MAX)}`, undefined).noStore, true);
  });

  it('what quotes hide is not stored: they do not close, or stand where no value begins', () => {
    for (const field of [
      'max-age=100, x="a, no-store',
      'max-age=100, x="a\\", no-store',
      'x="a, private, max-age=100',
      'max-age=100, a"b, no-store, c"d',
      'max-age=100, "a, private, b"',
      'max-age=100, x="a" "b, no-store, c"',
      'max-age=100, x=a"b, no-store, "c',
    ])
      assert.equal(answerDirectives(field, undefined).noStore, true, field);
    for (const field of [
      'x="a, no-store", max-age=100',
      'x= "a, no-store", max-age=100',
      'x="a\\"b", y="", max-age=100',
    ]) {
      assert.equal(answerDirectives(field, undefined).noStore, false, field);
      assert.equal(age(field), 100, field);
    }
  });

  it('is read without fault whatever it holds, and never to more than it says', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 200 }), (text) => {
        const value = seconds(parseDirectives(text), 'max-age');
        assert.ok(value === null || (Number.isSafeInteger(value) && value >= 0));
        if (value !== null && value > 0) assert.match(text, /max-age/i);
      }),
    );
  });

  it('finds each directive of a list that was written by the grammar', () => {
    const token = fc.stringMatching(/^[a-z][a-z-]{0,10}$/);
    const quoted = fc
      .string({ unit: fc.constantFrom('a', ',', '=', ' ', 'max-age=9'), maxLength: 8 })
      .map((s) => `"${s}"`);
    const member = fc.tuple(token, fc.option(fc.oneof(token, quoted)));
    fc.assert(
      fc.property(fc.uniqueArray(member, { selector: ([name]) => name, maxLength: 8 }), (members) => {
        const field = members.map(([name, value]) => (value === null ? name : `${name}=${value}`)).join(', ');
        const read = parseDirectives(field);
        assert.equal(read.size, members.length);
        for (const [name, value] of members)
          assert.equal(read.get(name), value === null ? null : value.replaceAll('"', ''));
      }),
    );
  });
});

describe('CDN-Cache-Control', () => {
  it('counts instead of Cache-Control when it is well-formed', () => {
    const d = answerDirectives('no-store', 'max-age=3600');
    assert.deepEqual([d.noStore, d.maxAge, d.targeted], [false, 3600, true]);
    assert.equal(answerDirectives('max-age=10', 'no-store').noStore, true);
    assert.equal(answerDirectives('max-age=10', 'max-age=1;a=b;c, foo="bar"').maxAge, 1);
    assert.equal(answerDirectives('max-age=10', 'max-age=1, max-age=2').maxAge, 2);
  });

  it('counts as absent when it is malformed, empty, or of a wrong type', () => {
    for (const field of [
      '',
      '  ',
      'max-age="3600"',
      'max-age=1.5',
      'max-age=a',
      'MaX-aGe=3600',
      'max-age=1,',
      'max-age =1',
      'a b',
      'max-age=1 no-store',
      '(',
      'max-age=',
    ]) {
      const d = answerDirectives('max-age=7', field);
      assert.deepEqual([d.maxAge, d.targeted], [7, false], field);
    }
  });

  it('a false boolean is not said', () => {
    assert.equal(parseTargeted('no-store=?0, max-age=5')?.has('no-store'), false);
  });

  it('is read without fault and in time that grows with its length, whatever it holds', () => {
    fc.assert(fc.property(fc.string({ maxLength: 300 }), (text) => void parseTargeted(text)));
    assert.equal(parseTargeted(`a="${'\\"'.repeat(1500)}`), null);
  });
});

describe('Cache-Control of a request', () => {
  it('is read', () => {
    const d = requestDirectives('no-cache, max-stale, min-fresh=5, only-if-cached');
    assert.deepEqual(
      [d.noCache, d.maxStale, d.minFresh, d.onlyIfCached, d.noStore, d.maxAge],
      [true, 2_147_483_648, 5, true, false, null],
    );
  });
});
