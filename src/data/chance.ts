/** Independent chances out of the one random number of an exchange: who draws names a salt of its own, so that no two decisions hang together. */

/** Salts in use. */
export const Salt = {
  Tie: 1,
  Trickle: 2,
  TraceSampled: 3,
  TraceA: 4,
  TraceB: 5,
  Span: 6,
  SpanB: 7,
  WafDetected: 8,
  Mirror: 9,
  SecondOfTwo: 10,
  Tier: 11,
  SlowStart: 12,
  Ring: 13,
  Shed: 14,
  OtherCell: 15,
} as const;
export type Salt = (typeof Salt)[keyof typeof Salt];

/** 32 bits from `random` for this salt, unsigned (the finalizer of MurmurHash3). */
export function draw(random: number, salt: Salt): number {
  let h = (random + Math.imul(salt, 0x9e3779b9)) | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** True for this share of draws, 0 … 1. */
export function chance(random: number, salt: Salt, share: number): boolean {
  return draw(random, salt) < share * 0x1_0000_0000;
}
