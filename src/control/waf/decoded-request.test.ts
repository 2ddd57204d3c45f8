import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { packRequest } from '../../native/waf.ts';
import { POOL_DECODED_TOO_LONG, POOL_UNDECODABLE } from '../../snapshot/waf-batch.ts';
import { decodedRequest } from './decoded-request.ts';

function packed(body: Uint8Array): Uint8Array {
  const buffer = Buffer.alloc(body.length + 1_024);
  return buffer.subarray(0, packRequest(buffer, { method: 'POST', target: '/', headers: [['a', 'b']], body }));
}

function decoded(body: Uint8Array, coding: string, decodedBytesMax = 1_000_000): Uint8Array | number {
  return decodedRequest(packed(body), { coding, bodyBytes: body.length, decodedBytesMax });
}

const plain = Buffer.from('a=1&b='.padEnd(5_000, 'x'));

test('a coded body becomes the request that it would have been', () => {
  for (const [coding, body] of [
    ['gzip', gzipSync(plain)],
    ['x-gzip', gzipSync(plain)],
    ['GZIP', gzipSync(plain)],
    ['deflate', deflateSync(plain)],
    ['deflate', deflateRawSync(plain)],
    ['br', brotliCompressSync(plain)],
    ['gzip, br', brotliCompressSync(gzipSync(plain))],
    ['identity, gzip', gzipSync(plain)],
  ] as const)
    assert.deepEqual(Buffer.from(decoded(body, coding) as Uint8Array), Buffer.from(packed(plain)), coding);
});

test('a bomb is too long, whatever it is packed in', () => {
  const zeros = Buffer.alloc(20_000_000);
  for (const [coding, body] of [
    ['gzip', gzipSync(zeros)],
    ['br', brotliCompressSync(zeros)],
    ['deflate', deflateSync(zeros)],
    ['gzip, gzip', gzipSync(gzipSync(zeros))],
  ] as const)
    assert.equal(decoded(body, coding), POOL_DECODED_TOO_LONG, coding);
  assert.equal(decoded(gzipSync(plain), 'gzip', plain.length - 1), POOL_DECODED_TOO_LONG);
  assert.ok(typeof decoded(gzipSync(plain), 'gzip', plain.length) !== 'number');
});

test('what is not as it says cannot be decoded', () => {
  for (const [coding, body] of [
    ['gzip', plain],
    ['br', gzipSync(plain)],
    ['zstd', plain],
    ['compress', plain],
    ['gzip, gzip, gzip', gzipSync(gzipSync(gzipSync(plain)))],
  ] as const)
    assert.equal(decoded(body, coding), POOL_UNDECODABLE, coding);
});

test('of a body that is cut as much is seen as is there', () => {
  const noise = Buffer.concat(Array.from({ length: 125 }, (_, i) => createHash('sha256').update(`${i}`).digest()));
  const whole = gzipSync(noise);
  const begin = decoded(whole.subarray(0, whole.length >> 1), 'gzip') as Uint8Array;
  assert.ok(begin.length > 1_000 && begin.length < noise.length);
});

test('any bytes give a request or a reason', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 1, maxLength: 200 }),
      fc.constantFrom('gzip', 'deflate', 'br', 'gzip,br'),
      (body, coding) => {
        const result = decoded(body, coding, 1_000);
        assert.ok(typeof result === 'number' ? result >= POOL_UNDECODABLE : result.length < 2_000);
      },
    ),
  );
});
