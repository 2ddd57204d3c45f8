import assert from 'node:assert/strict';
import { test } from 'node:test';
import { keyedHash } from './keyed-hash.ts';

test('the first rows of the authors’ test vectors', () => {
  // Key 00 01 … 07, input 00 01 … (n-1), output little-endian.
  const k0 = 0x03020100;
  const k1 = 0x07060504;
  const rows = ['a9359f5b', '27475ab8', 'fa62a603', '8afee704', '2a6e4689'];
  for (const [n, expected] of rows.entries()) {
    const out = Buffer.alloc(4);
    out.writeUInt32LE(keyedHash(String.fromCharCode(...Array.from({ length: n }, (_, i) => i)), k0, k1));
    assert.equal(out.toString('hex'), expected, `${n} bytes`);
  }
});

test('keys matter, and shares of identities are what they say within what chance allows', () => {
  assert.notEqual(keyedHash('acme', 1, 2), keyedHash('acme', 1, 3));
  assert.notEqual(keyedHash('\u0141', 1, 2), keyedHash('A', 1, 2));
  for (const share of [0.01, 0.1, 0.5]) {
    let inside = 0;
    const n = 20_000;
    for (let i = 0; i < n; i++) if (keyedHash(`tenant-${i}`, 7, 11) < share * 0x1_0000_0000) inside++;
    const sd = Math.sqrt(n * share * (1 - share));
    assert.ok(Math.abs(inside - n * share) < 5 * sd, `${inside} of ${n} at ${share}`);
  }
});
