import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { hex8, writeHex8 } from './hex.ts';

test('digits are those that Number writes', () => {
  const bytes = Buffer.alloc(12, '.');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  fc.assert(
    fc.property(fc.integer({ min: -(2 ** 31), max: 2 ** 32 - 1 }), fc.nat({ max: 4 }), (bits, at) => {
      bytes.fill('.');
      writeHex8(view, at, bits);
      assert.equal(bytes.toString('latin1', at, at + 8), hex8(bits));
      assert.equal(hex8(bits), Buffer.from(Uint32Array.of(bits).buffer).reverse().toString('hex'));
      assert.equal(bytes.toString('latin1').replaceAll('.', '').length, 8);
    }),
  );
});
