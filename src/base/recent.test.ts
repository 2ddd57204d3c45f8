import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Recent } from './recent.ts';

describe('a map of recent entries', () => {
  it('never gives another value than the last one set, and never keeps more than its bounds', () => {
    const step = fc.tuple(
      fc.constantFrom('get', 'set', 'delete'),
      fc.integer({ min: 0, max: 20 }),
      fc.nat({ max: 40 }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const recent = new Recent<number, { weight: number }>(8, 100, (v) => v.weight);
        const truth = new Map<number, { weight: number }>();
        for (const [what, key, weight] of steps) {
          if (what === 'set') {
            const value = { weight };
            recent.set(key, value);
            truth.set(key, value);
          } else if (what === 'delete') {
            recent.delete(key);
            truth.delete(key);
          } else {
            const found = recent.get(key);
            if (found !== undefined) assert.equal(found, truth.get(key));
          }
          assert.ok(recent.size <= 8);
        }
      }),
    );
  });

  it('keeps what is asked for, however much else comes', () => {
    const recent = new Recent<string, number>(10);
    recent.set('hot', 1);
    for (let i = 0; i < 1_000; i++) {
      recent.set(`cold ${i}`, i);
      if (i % 3 === 0) assert.equal(recent.get('hot'), 1);
    }
    assert.equal(recent.get('cold 1'), undefined);
  });

  it('does not keep what outweighs half of its bound, and nothing else goes for it', () => {
    const recent = new Recent<string, string>(10, 100, (text) => text.length);
    recent.set('small', 'x'.repeat(50));
    recent.set('large', 'x'.repeat(51));
    assert.equal(recent.get('large'), undefined);
    assert.equal(recent.get('small')?.length, 50);
  });
});
