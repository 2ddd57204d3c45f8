import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { requestIdPrefix, SEQ_MAX } from '../../request-id.ts';
import { beginTrace, traceparentOf } from '../../trace-context.ts';
import { Edits, EDIT_BYTES_MAX } from './edits.ts';
import { Identity } from './identity.ts';

const bytes = Buffer.alloc(2 * EDIT_BYTES_MAX);
const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);

function list(): Edits {
  return new Edits(bytes, 0, EDIT_BYTES_MAX, 0);
}

function written(edits: Edits): Buffer {
  return Buffer.from(bytes.subarray(edits.from, edits.from + edits.length));
}

test('digits in their places are what the texts would be', () => {
  fc.assert(
    fc.property(fc.nat({ max: 255 }), fc.maxSafeNat(), fc.integer(), fc.boolean(), (lane, big, random, traced) => {
      const seq = big % (SEQ_MAX + 1);
      const prefix = requestIdPrefix('0a1b2c', lane);
      const id = prefix + seq.toString(16).padStart(8, '0');
      const trace = traced ? beginTrace(random >>> 0) : null;
      const made = list();
      assert.ok(new Identity(prefix).write(made, view, seq, trace));
      const digits = written(made);
      const texts = list();
      texts.set('x-request-id', id);
      if (trace !== null) texts.set('traceparent', traceparentOf(id, trace));
      assert.deepEqual(digits, written(texts));
    }),
  );
});

test('nothing is written where a number has more digits, a name was edited before, or there is no room', () => {
  const identity = new Identity(requestIdPrefix('0a1b2c', 1));
  const edits = list();
  assert.equal(identity.write(edits, view, SEQ_MAX + 1, null), false);
  assert.equal(edits.length, 0);
  edits.set('Traceparent', 'theirs');
  assert.equal(identity.write(edits, view, 1, beginTrace(1)), false);
  assert.ok(identity.write(edits, view, 1, null));
  assert.equal(identity.write(edits, view, 1, null), false);
  assert.equal(edits.lost, false);
  const full = list();
  assert.ok(full.set('x-a', 'v'.repeat(EDIT_BYTES_MAX - 20)));
  assert.equal(identity.write(full, view, 1, null), false);
  assert.ok(full.lost);
});
