import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KEPT_BLOCK_BYTES, KEPT_LANE_BYTES_MAX, KeptRequests, type KeptRequest } from './kept.ts';

test('what is kept is a copy, and its memory is used again', () => {
  const all = new KeptRequests();
  const from = Buffer.from('abcdef');
  const first = all.keep(from, 3, 2);
  assert.ok(first !== null);
  from.fill(0);
  assert.deepEqual([first.bytes.toString('latin1', 0, first.length), first.wanted], ['abc', 2]);
  const { bytes } = first;
  first.release();
  assert.equal(all.bytes, 0);
  assert.equal(all.keep(from, 1, 1)?.bytes, bytes);
});

test('all that a lane keeps is bounded, long and short together', () => {
  const all = new KeptRequests();
  const long = Buffer.alloc(1024 * 1024);
  const kept: KeptRequest[] = [];
  for (let one = all.keep(long, long.length, 1); one !== null; one = all.keep(long, long.length, 1)) kept.push(one);
  assert.equal(kept.length, KEPT_LANE_BYTES_MAX / long.length);
  assert.equal(all.keep(long, 1, 1), null);
  kept.pop()?.release();
  for (let i = 0; i < long.length / KEPT_BLOCK_BYTES; i++) assert.notEqual(all.keep(long, 1, 1), null);
  assert.equal(all.keep(long, 1, 1), null);
  for (const one of kept) one.release();
  assert.equal(all.bytes, long.length);
});
