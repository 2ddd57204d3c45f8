/** `<instance>-<lane>-<seq>`, hexadecimal; what the transport turned away unread has `s` and a count in the place of the sequence number, and no record. */

/** Digits of the sequence number, until the lane has counted so far. */
export const SEQ_DIGITS = 8;
export const SEQ_MAX = 16 ** SEQ_DIGITS - 1;

/** What ids of one lane begin with. `instance`: 6 digits, random for the process. */
export function requestIdPrefix(instance: string, laneIndex: number): string {
  return `${instance}-${laneIndex.toString(16).padStart(2, '0')}-`;
}
