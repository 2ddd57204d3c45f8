import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Prng } from '../base/prng.ts';
import { chance, draw, Salt } from './chance.ts';

test('draws are unsigned 32 bits, the same for the same number and salt', () => {
  for (const random of [0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff]) {
    for (const salt of Object.values(Salt)) {
      const n = draw(random, salt);
      assert.ok(Number.isInteger(n) && n >= 0 && n <= 0xffff_ffff);
      assert.equal(n, draw(random, salt));
    }
  }
});

test('a share of 0 never comes, a share of 1 always', () => {
  const prng = new Prng(3);
  for (let i = 0; i < 1_000; i++) {
    const random = prng.uint32();
    assert.equal(chance(random, Salt.Tie, 0), false);
    assert.equal(chance(random, Salt.Tie, 1), true);
  }
});

test('chances of different salts do not hang together', () => {
  const prng = new Prng(5);
  const n = 40_000;
  let both = 0;
  for (let i = 0; i < n; i++) {
    const random = prng.uint32();
    if (chance(random, Salt.Trickle, 0.1) && chance(random, Salt.TraceSampled, 0.1)) both++;
  }
  assert.ok(both > 0.008 * n && both < 0.012 * n, `${both} of ${n}, about ${n / 100} are expected`);
});
