/**
 * Short texts that heads hold again and again: hosts, paths, tenants. What was read lately is found by its bytes, which costs less than a new string does: that is a call out of
 * JavaScript, garbage, and another computation of its hash wherever it is a key.
 */

/** Texts that are kept; a power of two. Each has one place, so that a look-up is one comparison. */
export const TEXTS_KEPT = 256;
/** Longest one: of longer texts comparing costs as much as making, and fewer of them come again. */
export const KEPT_CHARS_MAX = 64;

export class Texts {
  readonly #kept: string[] = Array.from({ length: TEXTS_KEPT }, () => '');
  /** Their bytes, which are compared faster than their chars. */
  readonly #bytes = new Uint8Array(TEXTS_KEPT * KEPT_CHARS_MAX);

  /** The text of these bytes, one char each. */
  of(bytes: Buffer, at: number, length: number): string {
    if (length > KEPT_CHARS_MAX || length === 0) return bytes.latin1Slice(at, at + length);
    const place = placeOf(bytes, at, length);
    const kept = this.#kept[place] as string;
    const own = this.#bytes;
    const from = place * KEPT_CHARS_MAX;
    if (kept.length === length) {
      let i = 0;
      while (i < length && own[from + i] === bytes[at + i]) i++;
      if (i === length) return kept;
    }
    const text = bytes.latin1Slice(at, at + length);
    for (let i = 0; i < length; i++) own[from + i] = bytes[at + i] as number;
    this.#kept[place] = text;
    return text;
  }
}

/** By its length and three of its bytes from the end, where paths and hosts differ. */
function placeOf(bytes: Buffer, at: number, length: number): number {
  const last = bytes[at + length - 1] as number;
  const third = bytes[at + length - 1 - (length >> 2)] as number;
  const middle = bytes[at + (length >> 1)] as number;
  return (last ^ (third << 3) ^ (middle << 5) ^ (length * 11)) & (TEXTS_KEPT - 1);
}
