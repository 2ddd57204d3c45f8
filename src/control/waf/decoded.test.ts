import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import {
  brotliCompressSync,
  constants,
  deflateRawSync,
  deflateSync,
  gzipSync,
  inflateRawSync,
  inflateSync,
  zstdCompressSync,
} from 'node:zlib';
import fc from 'fast-check';
import { packRequest, WAF_BODY_TRUNCATED, WafPacker } from '../../native/waf.ts';
import { POOL_DECODED_TOO_LONG, POOL_UNDECODABLE } from '../../snapshot/waf-batch.ts';
import { decodedPacked } from './decoded.ts';

function packed(body: Uint8Array): Uint8Array {
  const buffer = Buffer.alloc(body.length + 1_024);
  return buffer.subarray(0, packRequest(buffer, { method: 'POST', target: '/', headers: [['a', 'b']], body }));
}

function decoded(
  body: Uint8Array,
  coding: string,
  decodedBytesMax = 1_000_000,
  beginIsEnough = false,
): Uint8Array | number {
  const request = packed(body);
  const bodyAt = request.length - body.length;
  return decodedPacked(request, { coding, bodyAt, bodyBytes: body.length, decodedBytesMax, beginIsEnough });
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
    ['zstd', zstdCompressSync(plain)],
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
    ['zstd', zstdCompressSync(zeros)],
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
    ['zstd', gzipSync(plain)],
    ['compress', plain],
    ['gzip, gzip, gzip', gzipSync(gzipSync(gzipSync(plain)))],
  ] as const)
    assert.equal(decoded(body, coding), POOL_UNDECODABLE, coding);
});

test('contents that follow one another are read to their end, and nothing stands behind them unread', () => {
  const [one, two] = [Buffer.from('a=1&'), Buffer.from('b=2')];
  const expected = Buffer.from(packed(Buffer.concat([one, two])));
  for (const [coding, compress] of [
    ['gzip', gzipSync],
    ['zstd', zstdCompressSync],
  ] as const)
    assert.deepEqual(decoded(Buffer.concat([compress(one), compress(two)]), coding), expected, coding);
  for (const [coding, compress] of [
    ['deflate', deflateSync],
    ['deflate', deflateRawSync],
    ['br', brotliCompressSync],
  ] as const)
    assert.equal(decoded(Buffer.concat([compress(one), compress(two)]), coding), POOL_UNDECODABLE, coding);
  for (const [coding, compress] of [
    ['gzip', gzipSync],
    ['zstd', zstdCompressSync],
    ['br', brotliCompressSync],
    ['deflate', deflateSync],
  ] as const)
    assert.equal(decoded(Buffer.concat([compress(one), Buffer.from('b=2')]), coding), POOL_UNDECODABLE, coding);
});

test('what is deflate in both of its forms, with two contents, is none', () => {
  // As zlib a head and a stored block of 65534 bytes; without that head a stored block of one byte, an empty one, and then whatever its author likes.
  const inner = Buffer.concat([Buffer.of(0, 0, 0xff, 0xff), deflateRawSync(Buffer.from('b=2'))]);
  const bytes = Buffer.concat([Buffer.of(0x78, 0x01, 0x00, 0xfe, 0xff, 0x01, 0x00), inner, Buffer.alloc(65_534)]);
  const both = bytes.subarray(0, 7 + 65_534);
  assert.equal(inflateSync(both, { finishFlush: constants.Z_SYNC_FLUSH }).length, 65_534);
  assert.ok(inflateRawSync(both).includes('b=2'));
  assert.equal(decoded(both, 'deflate'), POOL_UNDECODABLE);
});

test('zstd that wants more memory than a decoder must have is not read', () => {
  /** A frame of unknown length with one block, as it is; the window is a power of two. */
  const frame = (windowLog: number): Buffer =>
    Buffer.concat([Buffer.of(0x28, 0xb5, 0x2f, 0xfd, 0, (windowLog - 10) << 3, 0x19, 0, 0), Buffer.from('a=1')]);
  assert.deepEqual(decoded(frame(23), 'zstd'), Buffer.from(packed(Buffer.from('a=1'))));
  assert.equal(decoded(frame(24), 'zstd'), POOL_UNDECODABLE);
});

test('of a body that is too long once decoded the begin is enough where that is said, and it is told that it is no more', () => {
  const noise = Buffer.concat(Array.from({ length: 2_000 }, (_, i) => createHash('sha256').update(`${i}`).digest()));
  for (const [coding, body] of [
    ['gzip', gzipSync(noise)],
    ['br', brotliCompressSync(noise)],
    ['deflate', deflateSync(noise)],
    ['gzip, br', brotliCompressSync(gzipSync(noise))],
  ] as const) {
    const begin = decoded(body, coding, 20_000, true);
    assert.ok(typeof begin !== 'number', coding);
    assert.ok(begin.length > 15_000 && begin.length < 20_200, `${coding}: ${begin.length}`);
    assert.equal((begin[1] ?? 0) & WAF_BODY_TRUNCATED, WAF_BODY_TRUNCATED);
  }
  const bomb = decoded(gzipSync(Buffer.alloc(20_000_000)), 'gzip', 20_000, true);
  assert.ok(typeof bomb !== 'number' && bomb.length < 20_200);
});

test('what stands behind the body stays there', () => {
  const buffer = Buffer.alloc(4_096);
  const packer = new WafPacker(buffer);
  const body = gzipSync(plain.subarray(0, 100));
  const pack = (content: Uint8Array): Buffer => {
    packer.begin();
    packer.head('POST', '/', 'HTTP/1.1', '1.2.3.4', 5, 'id');
    packer.body(content);
    const tls = { version: 'TLSv1.3', cipher: 'c', serverName: 's', ja4: 'j', client: null };
    return Buffer.from(buffer.subarray(0, packer.tls(tls)));
  };
  const coded = pack(body);
  const { bodyAt } = packer;
  const coding = { coding: 'gzip', bodyAt, bodyBytes: body.length, decodedBytesMax: 1_000, beginIsEnough: false };
  assert.deepEqual(decodedPacked(coded, coding), pack(plain.subarray(0, 100)));
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
      fc.constantFrom('gzip', 'deflate', 'br', 'zstd', 'gzip,br'),
      (body, coding) => {
        const result = decoded(body, coding, 1_000, body.length % 2 === 0);
        assert.ok(typeof result === 'number' ? result >= POOL_UNDECODABLE : result.length < 2_000);
      },
    ),
  );
});
