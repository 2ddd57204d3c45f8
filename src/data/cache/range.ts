/** Ranges of bytes (RFC 9110 §14) taken from what is stored. */

/** A part: from the first byte to one beyond the last. */
export interface Part {
  readonly from: number;
  readonly to: number;
}

/** `whole`: the field is not understood or asks for several parts: all of it is sent, which a server may always do. */
export type RangeOutcome = Part | 'whole' | 'unsatisfiable';

const ONE_RANGE = /^bytes=(?:(\d{1,15})-(\d{1,15})?|-(\d{1,15}))$/i;

/** The part of `length` bytes that a Range field asks for. */
export function rangeOf(field: string, length: number): RangeOutcome {
  const found = ONE_RANGE.exec(field.trim());
  if (found === null) return 'whole';
  const [, first, last, suffix] = found;
  if (suffix !== undefined) {
    const bytes = Math.min(Number(suffix), length);
    return bytes === 0 ? 'unsatisfiable' : { from: length - bytes, to: length };
  }
  const from = Number(first);
  if (last !== undefined && Number(last) < from) return 'whole';
  if (from >= length) return 'unsatisfiable';
  return { from, to: last === undefined ? length : Math.min(Number(last) + 1, length) };
}

/** What a Content-Range says of a single part. */
export interface ContentRange {
  readonly first: number;
  readonly last: number;
  /** Length of the whole. */
  readonly total: number;
}

const CONTENT_RANGE = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15})$/i;

/** Reads a Content-Range; null when it tells of no part of a known whole. */
export function parseContentRange(field: string | undefined): ContentRange | null {
  const found = CONTENT_RANGE.exec(field ?? '');
  if (found === null) return null;
  const [first, last, total] = [Number(found[1]), Number(found[2]), Number(found[3])];
  return first <= last && last < total ? { first, last, total } : null;
}

/**
 * The part that a Range field asks for, in bytes of a stored part that begins at `range.first` and holds `bytes`; null when it is not within it. An origin may send less than its
 * Content-Range promises: then what was sent counts, and a range up to the end of the whole is what was sent to that end.
 */
export function withinPart(field: string, range: ContentRange, bytes: number): Part | null {
  const wanted = rangeOf(field, range.total);
  if (wanted === 'whole' || wanted === 'unsatisfiable') return null;
  const end = range.first + bytes;
  const toTheEnd = range.last === range.total - 1 && wanted.to === range.total;
  const to = toTheEnd ? end : wanted.to;
  if (wanted.from < range.first || to > end || wanted.from >= to) return null;
  return { from: wanted.from - range.first, to: to - range.first };
}
