import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { canonicalJson, canonicalJsonBytes, parseStrictJson } from './json.ts';
import { Rejection } from './rejection.ts';

const options = { what: 'document', bytesMax: 1 << 20 };
const parse = (text: string) => parseStrictJson(new TextEncoder().encode(text), options);

/** JSON values whose text every parser reads alike. */
const plainJson = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    fc.constant(null),
    fc.boolean(),
    fc.maxSafeInteger(),
    fc.double({ noNaN: true, noDefaultInfinity: true, min: -1e15, max: 1e15 }),
    fc.string({ unit: 'grapheme' }),
    fc.array(tie('value'), { maxLength: 5 }),
    fc.dictionary(
      fc.string().filter((name) => name !== '__proto__'),
      tie('value'),
      { maxKeys: 5 },
    ),
  ),
})).value;

describe('strict JSON', () => {
  it('reads what canonicalJson writes, and writes the same again', () => {
    fc.assert(
      fc.property(plainJson, (value) => {
        const bytes = canonicalJsonBytes(value);
        const read = parseStrictJson(bytes, options);
        assert.equal(canonicalJson(read), canonicalJson(value));
        assert.deepEqual(read, JSON.parse(JSON.stringify(value)));
      }),
    );
  });

  it('never accepts what JSON.parse refuses, and agrees with it on what it accepts', () => {
    const fragments = fc.constantFrom(
      '{',
      '}',
      '[',
      ']',
      ':',
      ',',
      '"a"',
      '"b"',
      '"\\u0061"',
      '1',
      '-0',
      '1e2',
      'true',
      'null',
      ' ',
      '"__proto__"',
      '9007199254740993',
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.array(fragments, { maxLength: 12 }).map((parts) => parts.join('')),
          fc.json(),
        ),
        (text) => {
          let reference: unknown;
          let valid = true;
          try {
            reference = JSON.parse(text);
          } catch {
            valid = false;
          }
          try {
            assert.deepEqual(parse(text), reference);
            assert.ok(valid);
          } catch (error) {
            assert.ok(error instanceof Rejection, String(error));
          }
        },
      ),
      { numRuns: 2000 },
    );
  });

  it('refuses a name that stands twice in one object, however it is spelled and however deep', () => {
    fc.assert(
      fc.property(
        fc.string({ minLength: 1 }).filter((name) => name !== '__proto__' && name.isWellFormed()),
        fc.nat(20),
        (name, depth) => {
          const escaped = name.replace(/[\s\S]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
          const inner = `{${JSON.stringify(name)}:1,"${escaped}":2}`;
          const text = '['.repeat(depth) + inner + ']'.repeat(depth);
          assert.throws(() => parse(text), { code: 'malformed_json', message: /twice in one object/ });
        },
      ),
    );
  });

  it('allows the same name in different objects', () => {
    assert.deepEqual(parse('{"a":{"a":1},"b":[{"a":2},{"a":3}]}'), { a: { a: 1 }, b: [{ a: 2 }, { a: 3 }] });
  });

  for (const [what, bytes] of [
    ['a byte order mark', [0xef, 0xbb, 0xbf, 0x7b, 0x7d]],
    ['bytes that are not UTF-8', [0x22, 0xff, 0x22]],
    ['an encoded surrogate', [0x22, 0xed, 0xa0, 0x80, 0x22]],
    ['nothing', []],
  ] as const) {
    it(`refuses ${what}`, () => {
      assert.throws(() => parseStrictJson(Uint8Array.from(bytes), options), { code: 'malformed_json' });
    });
  }

  for (const text of [
    '"\\ud800"',
    '{"\\udc00":1}',
    '9007199254740993',
    '-9007199254740992',
    '1e400',
    '{"__proto__":{}}',
    '{"\\u005f_proto__":1}',
    '[1,]',
    '{"a":1}x',
    "{'a':1}",
    'NaN',
    '01',
  ]) {
    it(`refuses ${text}`, () => {
      assert.throws(() => parse(text), { code: 'malformed_json' });
    });
  }

  it('bounds the depth and the size', () => {
    assert.doesNotThrow(() => parse(`${'['.repeat(64)}${']'.repeat(64)}`));
    assert.throws(() => parse(`${'['.repeat(65)}${']'.repeat(65)}`), {
      code: 'malformed_json',
      message: /deeper than 64/,
    });
    assert.throws(() => parse(`${'['.repeat(400_000)}${']'.repeat(400_000)}`), { code: 'malformed_json' });
    assert.throws(() => parseStrictJson(new Uint8Array(11), { what: 'x', bytesMax: 10 }), { code: 'too_large' });
  });

  it('says line and column of what is wrong', () => {
    assert.throws(() => parse('{\n  "a": 1,\n  "a": 2\n}'), {
      message: 'document: the name "a" twice in one object at line 3, column 3',
    });
  });
});

describe('canonical JSON', () => {
  it('sorts names by UTF-16 code units and leaves out what is undefined', () => {
    assert.equal(
      canonicalJson({ b: 1, a: undefined, '\u{1f600}': 2, '\uffff': 3, A: [null, 'x'] }),
      '{"A":[null,"x"],"b":1,"\u{1f600}":2,"\uffff":3}',
    );
  });

  it('throws for what JSON cannot hold', () => {
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY, 1n, () => 1, Symbol('x'), '\ud800', [undefined]]) {
      assert.throws(() => canonicalJson(value), TypeError);
    }
  });
});
