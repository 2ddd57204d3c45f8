/**
 * HalfSipHash-2-4 with 32 bits of output (Aumasson and Bernstein, "SipHash: a fast short-input PRF", and their reference implementation): who does not know the key
 * cannot choose texts that hash as he likes. In 32-bit integers, without a buffer, so that the request path allocates nothing for it.
 */

let v0 = 0;
let v1 = 0;
let v2 = 0;
let v3 = 0;

function round(): void {
  v0 = (v0 + v1) | 0;
  v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
  v0 = (v0 << 16) | (v0 >>> 16);
  v2 = (v2 + v3) | 0;
  v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
  v0 = (v0 + v3) | 0;
  v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
  v2 = (v2 + v1) | 0;
  v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
  v2 = (v2 << 16) | (v2 >>> 16);
}

function take(word: number): void {
  v3 ^= word;
  round();
  round();
  v0 ^= word;
}

/** Hash of a text, unsigned 32 bits. Of each UTF-16 unit the low byte counts, and the high byte where there is one. `k0`, `k1`: the key's 64 bits. */
export function keyedHash(text: string, k0: number, k1: number): number {
  v0 = k0;
  v1 = k1;
  v2 = 0x6c796765 ^ k0;
  v3 = 0x74656462 ^ k1;
  let word = 0;
  let bytes = 0;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    word |= (unit & 0xff) << ((bytes & 3) << 3);
    if ((++bytes & 3) === 0) {
      take(word);
      word = 0;
    }
    if (unit < 0x100) continue;
    word |= (unit >>> 8) << ((bytes & 3) << 3);
    if ((++bytes & 3) === 0) {
      take(word);
      word = 0;
    }
  }
  take(word | (bytes << 24));
  v2 ^= 0xff;
  round();
  round();
  round();
  round();
  return (v1 ^ v3) >>> 0;
}
