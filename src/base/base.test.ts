import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { assert as hold, AssertionError, present } from './assert.ts';
import { repeatedKey } from './json-keys.ts';
import { Prng } from './prng.ts';

describe('an assertion', () => {
  it('throws its own kind of error, and only when it is broken', () => {
    hold(1, 'never said');
    assert.throws(() => hold(0, 'said'), new AssertionError('said'));
    assert.equal(present(0, 'zero'), 0);
    for (const value of [null, undefined]) assert.throws(() => present(value, 'it'), /it is missing/);
  });
});

describe('a repeated key', () => {
  it('is found at any depth, and as which characters it was written', () => {
    assert.equal(repeatedKey('{"a":1,"b":{"c":[{"d":1},{"d":2}]},"e":"a"}'), null);
    assert.equal(repeatedKey('{"a":1,"b":{"a":2}}'), null);
    assert.equal(repeatedKey('{"a":1,"a":2}'), 'a');
    assert.equal(repeatedKey('[{"x":{"y":1,"\\u0079":2}}]'), 'y');
    assert.equal(repeatedKey('{"a\\"":1,"a\\"":2}'), 'a"');
    assert.equal(repeatedKey('{"":1,"":2}'), '');
    assert.equal(repeatedKey('{"__proto__":1,"constructor":2}'), null);
    assert.equal(repeatedKey(`${'['.repeat(65)}${']'.repeat(65)}`), '(nested too deeply)');
  });
  it('is never found in what JSON.stringify writes, and always in what repeats one', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 4 }), { minKeys: 1 }), (object) => {
        const text = JSON.stringify(object);
        assert.equal(repeatedKey(text), null);
        const key = Object.keys(object)[0] ?? '';
        assert.equal(repeatedKey(`${text.slice(0, -1)},${JSON.stringify(key)}:1}`), key);
      }),
    );
  });
});

describe('chance', () => {
  it('is the same for the same seed and another for the next one', () => {
    const draw = (seed: number): number[] => {
      const prng = new Prng(seed);
      return Array.from({ length: 8 }, () => prng.uint32());
    };
    assert.deepEqual(draw(7), draw(7));
    const firsts = new Set(Array.from({ length: 64 }, (_, lane) => draw(1_000 + lane)[0]));
    assert.equal(firsts.size, 64, 'lanes differ from the first draw');
  });
  it('covers its range evenly', () => {
    const prng = new Prng(0);
    const counts = Array.from({ length: 16 }, () => 0);
    for (let i = 0; i < 160_000; i++) {
      const value = prng.uint32();
      assert.ok(Number.isInteger(value) && value >= 0 && value <= 0xffff_ffff);
      counts[value >>> 28] = (counts[value >>> 28] ?? 0) + 1;
      const unit = prng.unit();
      assert.ok(unit >= 0 && unit < 1);
    }
    for (const count of counts) assert.ok(count > 9_000 && count < 11_000, counts.join(' '));
  });
});
