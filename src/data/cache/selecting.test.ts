/** What selects, freshens and cuts a stored answer: Vary, conditions, ranges, fields. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { clientHasIt, notModifiedFields, rangeHolds, tagMatches } from './conditional.ts';
import { fieldOf, freshened, storedFields } from './fields.ts';
import { parseContentRange, rangeOf, withinPart } from './range.ts';
import { normalised, variantKey, varyNames } from './vary.ts';

const NOW = Date.UTC(2026, 10, 21, 12);
const date = (seconds: number): string => new Date(NOW + seconds * 1000).toUTCString();

describe('Vary', () => {
  it('names fields, whatever their case and order; a star is none that can match', () => {
    assert.deepEqual(varyNames('Foo, bar,FOO ,'), ['bar', 'foo']);
    assert.deepEqual(varyNames(undefined), []);
    for (const field of ['*', ', *', '*, Foo', 'Foo, *']) assert.equal(varyNames(field), null, field);
    for (const field of ['Accept; Cookie', 'Accept Cookie', 'Cookie:', '"Cookie"', 'Accept, (Cookie)', 'Cookie=1'])
      assert.equal(varyNames(field), null, `${field} holds what is no name`);
    assert.equal(varyNames(Array.from({ length: 17 }, (_, i) => `f${i}`).join()), null);
  });

  it('what means the same is the same', () => {
    for (const [name, a, b] of [
      ['foo', '1, 2', '1,2'],
      ['accept-language', 'en, de', 'de,EN'],
      ['accept-language', 'en;q=1.0, de;q=0.5', 'de ; q=0.5,en'],
      ['accept-encoding', 'gzip, br', 'br, gzip'],
    ] as const)
      assert.equal(normalised(name, a), normalised(name, b), `${name}: ${a}`);
    for (const [name, a, b] of [
      ['foo', '1, 2', '2, 1'],
      ['foo', 'a', 'A'],
      ['foo', '"a, b"', '"a,b"'],
      ['accept-language', 'en;q=0.5, de', 'en, de;q=0.5'],
      ['foo', '', undefined],
    ] as const)
      assert.notEqual(normalised(name, a), normalised(name, b), `${name}: ${a}`);
  });

  it('keys are equal only when every field is', () => {
    const value = fc.option(
      fc.stringMatching(/^[a-c:,\n]{0,4}$/).map((s) => s.replaceAll('\n', '')),
      { nil: undefined },
    );
    fc.assert(
      fc.property(value, value, value, value, (a1, b1, a2, b2) => {
        const key = (a: string | undefined, b: string | undefined): string =>
          variantKey(['a', 'b'], (name) => (name === 'a' ? a : b));
        const same = normalised('a', a1) === normalised('a', a2) && normalised('b', b1) === normalised('b', b2);
        assert.equal(key(a1, b1) === key(a2, b2), same);
      }),
    );
  });
});

describe('conditions of a client', () => {
  it('entity tags are compared weakly, in a list', () => {
    for (const [list, etag, matches] of [
      ['"a"', '"a"', true],
      ['"b", "a"', '"a"', true],
      ['W/"a"', '"a"', true],
      ['"a"', 'W/"a"', true],
      ['*', '"a"', true],
      ['"a,b"', '"a,b"', true],
      ['"b"', '"a"', false],
      ['"a"', undefined, false],
      ['', '"a"', false],
    ] as const)
      assert.equal(tagMatches(list, etag), matches, `${list} ${etag}`);
  });

  it('dates are compared with Last-Modified, else Date, else its arrival; a tag goes before them', () => {
    const ask = (ifModifiedSince: string, stored: string[], ifNoneMatch?: string): boolean =>
      clientHasIt({ ifNoneMatch, ifModifiedSince }, stored, NOW - 5000, NOW);
    assert.equal(ask(date(-10), ['last-modified', date(-10)]), true);
    assert.equal(ask(date(-11), ['last-modified', date(-10)]), false);
    assert.equal(ask(date(-4), ['date', date(-5)]), true);
    assert.equal(ask(date(-4), []), true);
    assert.equal(ask(date(-6), []), false);
    assert.equal(ask('yesterday', ['last-modified', date(-10)]), false);
    assert.equal(ask(date(0), ['last-modified', date(-10), 'etag', '"a"'], '"b"'), false);
  });

  it('a 304 says nothing of content that is not sent', () => {
    assert.deepEqual(notModifiedFields(['content-type', 'a', 'content-location', '/b', 'etag', '"c"', 'vary', 'd']), [
      'content-location',
      '/b',
      'etag',
      '"c"',
      'vary',
      'd',
    ]);
  });

  it('If-Range takes strong validators only', () => {
    assert.equal(rangeHolds('"a"', ['etag', '"a"']), true);
    assert.equal(rangeHolds('W/"a"', ['etag', 'W/"a"']), false);
    assert.equal(rangeHolds('"b"', ['etag', '"a"']), false);
    assert.equal(rangeHolds(date(-9), ['last-modified', date(-9)]), true);
    assert.equal(rangeHolds(undefined, []), true);
  });
});

describe('ranges', () => {
  it('are cut out of what is there', () => {
    for (const [field, seen] of [
      ['bytes=0-1', { from: 0, to: 2 }],
      ['bytes=8-', { from: 8, to: 10 }],
      ['bytes=8-99', { from: 8, to: 10 }],
      ['bytes=-3', { from: 7, to: 10 }],
      ['bytes=-99', { from: 0, to: 10 }],
      ['bytes=10-', 'unsatisfiable'],
      ['bytes=-0', 'unsatisfiable'],
      ['bytes=3-2', 'whole'],
      ['bytes=0-1,3-4', 'whole'],
      ['lines=0-1', 'whole'],
      ['bytes=', 'whole'],
    ] as const)
      assert.deepEqual(rangeOf(field, 10), seen, field);
  });

  it('never reach beyond it', () => {
    fc.assert(
      fc.property(fc.stringMatching(/^bytes=[0-9]{0,4}-[0-9]{0,4}$/), fc.nat(2000), (field, length) => {
        const part = rangeOf(field, length);
        if (typeof part === 'string') return;
        assert.ok(part.from >= 0 && part.from < part.to && part.to <= length);
      }),
    );
  });

  it('of a stored part are given only when they lie within it', () => {
    const part = parseContentRange('bytes 4-9/20');
    assert.ok(part !== null);
    assert.deepEqual(withinPart('bytes=5-6', part, 6), { from: 1, to: 3 });
    assert.deepEqual(withinPart('bytes=4-9', part, 6), { from: 0, to: 6 });
    for (const field of ['bytes=3-6', 'bytes=5-10', 'bytes=5-', 'bytes=-2', 'bytes=0-1,5-6'])
      assert.equal(withinPart(field, part, 6), null, field);
    const last = parseContentRange('bytes 14-19/20');
    assert.ok(last !== null);
    assert.deepEqual(withinPart('bytes=16-', last, 6), { from: 2, to: 6 });
    assert.deepEqual(withinPart('bytes=-6', last, 6), { from: 0, to: 6 });
    for (const text of ['bytes 4-9/*', 'bytes */20', 'bytes 9-4/20', 'bytes 4-20/20', 'x', undefined])
      assert.equal(parseContentRange(text), null, text);
  });
});

describe('fields', () => {
  it('of a connection are not stored, nor those that it nominates', () => {
    const lines = [
      'connection',
      'close, X-Hop',
      'x-hop',
      '1',
      'keep-alive',
      '5',
      'transfer-encoding',
      'chunked',
      'age',
      '3',
      'x-a',
      '1',
    ];
    assert.deepEqual(storedFields(lines), ['x-a', '1']);
    assert.deepEqual(storedFields(['set-cookie', 'a', 'x-a', '1'], ['set-cookie']), ['x-a', '1']);
  });

  it('a 304 replaces what it names, all lines of it, and nothing else', () => {
    const stored = ['a', '1', 'a', '2', 'b', '3', 'content-range', 'x'];
    assert.deepEqual(
      freshened(stored, ['a', '4', 'content-range', 'y', 'content-length', '0', 'connection', 'close']),
      ['b', '3', 'content-range', 'x', 'a', '4'],
    );
    assert.equal(fieldOf(['a', '1', 'b', '2', 'a', '3'], 'a'), '1, 3');
  });
});
