import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { KEPT_CHARS_MAX, Texts } from './texts.ts';

test('whatever was read before, a text is what its bytes say', () => {
  // Few bytes, so that texts share places; and lengths on both sides of the bound.
  const byte = fc.oneof(fc.constantFrom(0x2f, 0x61, 0x62), fc.nat(0xff));
  const text = fc
    .uint8Array({ maxLength: 6 })
    .chain((begin) =>
      fc.array(byte, { maxLength: KEPT_CHARS_MAX + 8 }).map((rest) => Buffer.from([...begin, ...rest])),
    );
  fc.assert(
    fc.property(fc.array(text, { maxLength: 40 }), fc.nat(9), (all, from) => {
      const texts = new Texts();
      for (const bytes of [...all, ...all]) {
        const memory = Buffer.concat([Buffer.alloc(from, 0x61), bytes, Buffer.from('a')]);
        assert.equal(texts.of(memory, from, bytes.length), bytes.toString('latin1'));
      }
    }),
  );
});

test('texts that share a place take turns there', () => {
  const texts = new Texts();
  for (const text of ['/orders/10', '/orders/20', '/orders/10', '/orders/10', '/orders/30'])
    assert.equal(texts.of(Buffer.from(text), 0, text.length), text);
});
