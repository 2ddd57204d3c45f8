/** Main's side of the decision records (`records.ts`): what is read out of a lane's ring while the lane writes on. */
import { STAGE_INDEX } from './stages.ts';
import {
  Head,
  Int,
  INT_AT,
  INTS,
  RECORD_BYTES,
  RECORDS_MARGIN,
  Ring,
  SHAPE_AT,
  Span,
  SPAN_AT,
  SPANS,
  TEXT_AT,
  TEXT_INDEX,
  TEXT_MAX,
  TEXT_UTF8,
  type TextName,
  TEXTS,
  UNIT_BYTES,
  Wide,
  WIDES,
} from './records.ts';

/** Longest character in UTF-8 (RFC 3629 §3). */
const UTF8_BYTES_MAX = 4;

/** What became of a read. */
export const Read = {
  Ok: 0,
  /** Not written yet. */
  Ahead: 1,
  /** Overwritten, or about to be. */
  Gone: 2,
  /** The writer was in the slot while it was copied. */
  Torn: 3,
} as const;
export type Read = (typeof Read)[keyof typeof Read];

/** What is looked at in every record, so that it need not be copied for that. Reusable. */
export interface RecordGlance {
  seq: number;
  totalUs: number;
  upstreamUs: number;
  wafUs: number;
  /** Of authorize. */
  policyUs: number;
  revision: number;
  refusal: number;
  upstreamStatus: number;
  waf: number;
  policyOutcome: number;
  flags: number;
}

export function noGlance(): RecordGlance {
  return {
    seq: 0,
    totalUs: 0,
    upstreamUs: 0,
    wafUs: 0,
    policyUs: 0,
    revision: 0,
    refusal: 0,
    upstreamStatus: 0,
    waf: 0,
    policyOutcome: 0,
    flags: 0,
  };
}

/** Main's side: copies records out of a lane's ring. Positions count records since the ring was made, modulo 2^32. */
export class RecordReader {
  readonly #ring: Ring;
  readonly slots: number;

  constructor(memory: SharedArrayBuffer) {
    this.#ring = new Ring(memory);
    this.slots = this.#ring.mask + 1;
  }

  /** Position that is written next. */
  get written(): number {
    return Atomics.load(this.#ring.head, Head.Written) >>> 0;
  }

  /** Oldest position that can still be read. */
  get oldest(): number {
    const written = this.written;
    const ring = this.#ring;
    // The counter wraps, so that a ring in its first turn is known by a slot that was never written.
    const first = Atomics.load(ring.guards, written & ring.mask) === 0;
    let from = first ? 0 : (written - this.slots + RECORDS_MARGIN) >>> 0;
    // Records lie in the order of their slots, so that what is overwritten is a first part of them.
    for (let count = (written - from) >>> 0; count > 0; ) {
      const half = count >>> 1;
      const middle = (from + half) >>> 0;
      if (ring.isOverwritten(ring.starts[middle & ring.mask] as number)) {
        from = (middle + 1) >>> 0;
        count -= half + 1;
      } else count = half;
    }
    return from;
  }

  /** Copies the record at `position` into `into`. Only `Ok` says that it is whole. */
  read(position: number, into: RecordCopy): Read {
    const ring = this.#ring;
    const behind = (this.written - position) | 0;
    const before = this.#standing(position, behind);
    if (before !== Read.Ok) return before;
    const start = ring.starts[position & ring.mask] as number;
    if (ring.isOverwritten(start)) return Read.Gone;
    const at = ring.base + (start & (ring.units - 1)) * UNIT_BYTES;
    // Up to where the next one begins, or would: most records are a fifth of the longest.
    const end = behind > 1 ? (ring.starts[(position + 1) & ring.mask] as number) : (ring.head[Head.Next] as number);
    ring.bytes.copy(into.bytes, 0, at, at + Math.min(((end - start) >>> 0) * UNIT_BYTES, RECORD_BYTES));
    return this.#after(position, start);
  }

  /** Reads a few numbers of the record at `position` where it lies: a tenth of what a copy costs. Only `Ok` says that they are of this record. */
  glance(position: number, into: RecordGlance): Read {
    const ring = this.#ring;
    const before = this.#standing(position, (this.written - position) | 0);
    if (before !== Read.Ok) return before;
    const start = ring.starts[position & ring.mask] as number;
    const at = ring.base + (start & (ring.units - 1)) * UNIT_BYTES;
    const wides = at >>> 3;
    const spans = (at + SPAN_AT) >>> 2;
    const ints = (at + INT_AT) >>> 2;
    into.seq = ring.f64[wides + Wide.Seq] as number;
    into.totalUs = ring.f64[wides + Wide.TotalUs] as number;
    into.upstreamUs = ring.f32[spans + Span.UpstreamUs] as number;
    into.wafUs = ring.f32[spans + Span.Stage + STAGE_INDEX.waf] as number;
    into.policyUs = ring.f32[spans + Span.Stage + STAGE_INDEX.authorize] as number;
    into.revision = ring.i32[ints + Int.Revision] as number;
    into.refusal = ring.i32[ints + Int.Refusal] as number;
    into.upstreamStatus = ring.i32[ints + Int.UpstreamStatus] as number;
    into.waf = ring.i32[ints + Int.Waf] as number;
    into.policyOutcome = ring.i32[ints + Int.PolicyOutcome] as number;
    into.flags = ring.i32[ints + Int.Flags] as number;
    return this.#after(position, start);
  }

  /** Before its bytes are read. `behind`: how many were written since. */
  #standing(position: number, behind: number): Read {
    const ring = this.#ring;
    if (behind <= 0) return Read.Ahead;
    if (behind > this.slots - RECORDS_MARGIN) return Read.Gone;
    return Atomics.load(ring.guards, position & ring.mask) === guardOf(ring, position) ? Read.Ok : Read.Torn;
  }

  /** Once they were read: whether they are still what they were. */
  #after(position: number, start: number): Read {
    const ring = this.#ring;
    if (Atomics.load(ring.guards, position & ring.mask) !== guardOf(ring, position)) return Read.Torn;
    if (ring.isOverwritten(start)) return Read.Gone;
    return ((this.written - position) | 0) > this.slots - RECORDS_MARGIN ? Read.Gone : Read.Ok;
  }

  /** Copies the record with this sequence number, if the ring still holds it. */
  find(seq: number, into: RecordCopy): boolean {
    const { seqs, mask } = this.#ring;
    const low = seq >>> 0;
    // More than one slot only when the low words are equal, 2^32 requests apart, or when it is 0, as in a slot never written.
    for (let slot = seqs.indexOf(low); slot >= 0; slot = seqs.indexOf(low, slot + 1)) {
      const newest = (this.written - 1) >>> 0;
      const position = (newest - ((newest - slot) & mask)) >>> 0;
      if (this.read(position, into) === Read.Ok && into.wide(Wide.Seq) === seq) return true;
    }
    return false;
  }
}

/** What the guard of a position's slot says when the record is whole. */
function guardOf(ring: Ring, position: number): number {
  return ((position >>> ring.shift) * 2 + 2) | 0;
}

/** One record, out of the ring: a private copy that may be read at leisure. Reusable. */
export class RecordCopy {
  readonly bytes: Buffer;
  readonly #f64: Float64Array;
  readonly #f32: Float32Array;
  readonly #i32: Int32Array;
  readonly #u16: Uint16Array;

  constructor() {
    const memory = new ArrayBuffer(RECORD_BYTES);
    this.bytes = Buffer.from(memory);
    this.#f64 = new Float64Array(memory, 0, WIDES);
    this.#f32 = new Float32Array(memory, SPAN_AT, SPANS);
    this.#i32 = new Int32Array(memory, INT_AT, INTS);
    this.#u16 = new Uint16Array(memory, SHAPE_AT, TEXTS.length * 2);
  }

  wide(field: Wide): number {
    return this.#f64[field] as number;
  }

  /** µs. */
  span(field: number): number {
    return this.#f32[field] ?? 0;
  }

  int(field: Int): number {
    return this.#i32[field] as number;
  }

  flag(bit: number): boolean {
    return (this.int(Int.Flags) & bit) !== 0;
  }

  text(name: TextName): string {
    const index = TEXT_INDEX[name];
    const length = this.#u16[index * 2] as number;
    return length === 0 ? '' : this.#text(index, this.#textAt(index), length);
  }

  /** True when the text was longer than what is kept of it. */
  cut(name: TextName): boolean {
    const index = TEXT_INDEX[name];
    const length = this.#u16[index * 2] as number;
    const chars = this.#u16[index * 2 + 1] as number;
    if (length < chars) return true;
    const at = this.#textAt(index);
    const room = Math.min(TEXT_MAX[index] as number, RECORD_BYTES - at);
    // Nothing is cut that leaves room for one more character of any size.
    if (length <= room - UTF8_BYTES_MAX) return false;
    return this.#text(index, at, length).length < chars;
  }

  #text(index: number, at: number, length: number): string {
    // Lengths that no writer writes must not throw in main.
    if (at >= RECORD_BYTES) return '';
    const end = Math.min(at + length, RECORD_BYTES);
    return TEXT_UTF8[index] === true ? this.bytes.utf8Slice(at, end) : this.bytes.latin1Slice(at, end);
  }

  #textAt(index: number): number {
    let at = TEXT_AT;
    for (let i = 0; i < index; i++) at += this.#u16[i * 2] as number;
    return at;
  }
}
