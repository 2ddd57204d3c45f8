/** Hexadecimal digits in lower case, of numbers whose length is fixed. */

/** ASCII of the 4 digits of 16 bits, the first one in the highest byte: all four at once, as a loop would cost several times as much. */
function hex4(bits: number): number {
  // A digit a byte: 0x0000abcd, 0x00ab00cd, 0x0a0b0c0d.
  const pairs = (bits | (bits << 8)) & 0x00ff00ff;
  const digits = (pairs | (pairs << 4)) & 0x0f0f0f0f;
  // Those above 9 carry into the next half when 6 is added, and stand 39 further on.
  const letters = ((digits + 0x06060606) >>> 4) & 0x01010101;
  return digits + 0x30303030 + Math.imul(letters, 39);
}

/** Writes the 8 digits of 32 bits. */
export function writeHex8(to: DataView, at: number, bits: number): void {
  to.setInt32(at, hex4(bits >>> 16));
  to.setInt32(at + 4, hex4(bits & 0xffff));
}

/** The 8 digits of 32 bits. */
export function hex8(bits: number): string {
  return (bits >>> 0).toString(16).padStart(8, '0');
}
