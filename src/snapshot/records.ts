/**
 * Decision records: one ring per lane in shared memory, written by the lane, read by main. A record has its numbers at fixed places, then the texts one
 * after another, each cut at its own bound; it takes as many bytes as it needs. Writing allocates nothing.
 *
 * There are two rings: one of slots, in the order in which exchanges ended, and one of bytes, in which the record of each slot begins at `starts[slot]`. `seqs` holds
 * the sequence number of the record in each slot, so finding a request id is one search through `recordSlots` contiguous words and a slow exchange
 * displaces the oldest record, not a newer one with the same remainder.
 *
 * One writer, any number of readers, no locks. `guards[slot]` is odd while the slot is written and says afterwards which turn around the ring it
 * holds, and `Claimed` says how far the bytes may be overwritten; a reader copies the record and looks at both before and after. JavaScript has no memory
 * fences, so a reader also keeps `RECORDS_MARGIN` slots and as many longest records away from the writer: no processor delays a store that long.
 *
 * Retention: the last `recordSlots` exchanges of the lane (at 1,000 requests a second and the default, eight seconds), fewer when their records are longer than
 * `RECORD_BYTES_KEPT` on average. What must be kept longer is in the log: refused exchanges always, answered ones as sampled.
 */
import { assert } from '../base/assert.ts';
import { STAGES } from './stages.ts';

/** Records that a lane's ring holds unless configured; 4.1 MiB a lane. */
export const RECORD_SLOTS_DEFAULT = 8192;
export const RECORD_SLOTS_MIN = 128;
export const RECORD_SLOTS_MAX = 1 << 20;
/** Oldest records that are treated as overwritten already, see above. */
export const RECORDS_MARGIN = 4;
/** Bytes of the longest record. */
export const RECORD_BYTES = 2_480;
/** Bytes of the ring for each of its slots: an ordinary record has about 300, one with some WAF matches twice as many. */
export const RECORD_BYTES_KEPT = 512;

/** Numbers that need all 53 bits. */
export const Wide = { Seq: 0, StartedAt: 1, BytesIn: 2, BytesOut: 3, TotalUs: 4 } as const;
export type Wide = (typeof Wide)[keyof typeof Wide];
export const WIDES = 5;

/** Durations, µs, single precision. `Stage + i` is the time of stage `i`; 0 = not taken. */
export const Span = { UpstreamUs: 0, Stage: 1 } as const;
export const SPANS = 15;

/** Integers, 32 bits, signed. Indices are those of the snapshot that `Revision` names; -1 = none. */
export const Int = {
  Revision: 0,
  Route: 1,
  Policy: 2,
  Limit: 3,
  LimitRemaining: 4,
  Cell: 5,
  /** Slot in the endpoint columns. */
  Endpoint: 6,
  Issuer: 7,
  /** Index into the refusal table. */
  Refusal: 8,
  /** Index into STAGES. */
  RefusedAt: 9,
  /** Stage that the exchange was at when it ended. */
  At: 10,
  Status: 11,
  UpstreamStatus: 12,
  Waf: 13,
  WafScore: 14,
  Credential: 15,
  PolicyOutcome: 16,
  Attempts: 17,
  Method: 18,
  /** Bits of `RecordFlag`. */
  Flags: 19,
  LocalPort: 20,
  PeerPort: 21,
  /** Outbound, of the answer. */
  WafAnswerScore: 22,
  /** Index into CACHE_OUTCOMES. */
  Cache: 23,
} as const;
export type Int = (typeof Int)[keyof typeof Int];
export const INTS = 24;

export const RecordFlag = {
  Aborted: 1,
  Timed: 2,
  Secure: 4,
  Websocket: 8,
  /** Host, path and query are as received: normalize refused them. */
  Raw: 16,
  /** The WAF has found something that it was told to let pass: in detect mode, or beyond a budget that is only logged. */
  Found: 32,
} as const;

/** What a text may contain: one byte per character, or any Unicode. */
type Encoding = 'latin1' | 'utf8';

/** Texts and the most bytes of each. What explains a refusal comes first, so that no client can crowd it out with a long target. */
export const TEXTS = [
  ['detail', 'utf8', 160],
  ['wafMatches', 'utf8', 1_600],
  /** Only methods that have no code of their own. */
  ['method', 'latin1', 16],
  ['clientAddress', 'latin1', 45],
  ['tenant', 'utf8', 48],
  ['subject', 'utf8', 64],
  /** Of refused requests only, and of those whose endpoint is told of the certificate: the others spare asking for it. */
  ['ja4', 'latin1', 40],
  /** SHA-256 of the client certificate, hex; as above. */
  ['certificate', 'latin1', 64],
  ['clientRequestId', 'latin1', 64],
  /** Where the request went when the route rewrites it: host and path; or the location of a redirect. Empty otherwise. */
  ['rewritten', 'latin1', 160],
  ['host', 'latin1', 100],
  ['path', 'utf8', 256],
  ['query', 'latin1', 256],
] as const satisfies readonly (readonly [string, Encoding, number])[];

export type TextName = (typeof TEXTS)[number][0];
/** Place of a text, for `RecordWriter.text`. Texts are written in this order. */
export const TEXT_INDEX = Object.freeze(Object.fromEntries(TEXTS.map(([name], i) => [name, i]))) as Readonly<
  Record<TextName, number>
>;
export const TEXT_MAX: readonly number[] = TEXTS.map(([, , max]) => max);
export const TEXT_UTF8: readonly boolean[] = TEXTS.map(([, encoding]) => encoding === 'utf8');

// Places within a record, bytes.
export const SPAN_AT = WIDES * 8;
export const INT_AT = SPAN_AT + SPANS * 4;
export const SHAPE_AT = INT_AT + INTS * 4;
export const TEXT_AT = SHAPE_AT + TEXTS.length * 4;
assert(SPANS > STAGES.length, 'a record has room for the time of every stage');
assert(INT_AT % 4 === 0 && RECORD_BYTES % 8 === 0, 'the numbers of a record are aligned');

// The ring: header, guards, seqs, starts, records.
const HEADER_BYTES = 64;
const LAYOUT = 2;
/** Words of the header. `Next`: where the next record begins; `Claimed`: where it ends at most. Both count units, modulo 2^32. */
export const Head = { Layout: 0, Slots: 1, Written: 2, Next: 6, Claimed: 7 } as const;
const HEAD_WORDS = 8;
/** Records begin at multiples of so many bytes, so that places of 32 bits count far. */
export const UNIT_BYTES = 8;
const RECORD_UNITS = RECORD_BYTES / UNIT_BYTES;
/** Words of each slot beside its record: guard, sequence number, start. */
const SLOT_WORDS = 3;
/** Highest sequence number seen, as a double after the words. */
const SEQ_HIGH_AT = 16;

/** Shorter strings are copied by a loop: a native write costs 110 ns, the loop 3 ns a character (measured, bench/micro/observe.ts). */
const LOOP_CHARS_MAX = 24;

/** Memory of an empty ring for at least `wanted` records: rounded up to a power of two, at least RECORD_SLOTS_MIN. */
export function createRecords(wanted: number = RECORD_SLOTS_DEFAULT): SharedArrayBuffer {
  assert(wanted >= 1 && wanted <= RECORD_SLOTS_MAX, `recordSlots is from 1 to ${RECORD_SLOTS_MAX}`);
  const slots = Math.max(RECORD_SLOTS_MIN, 2 ** Math.ceil(Math.log2(wanted)));
  const memory = new SharedArrayBuffer(HEADER_BYTES + slots * (SLOT_WORDS * 4 + RECORD_BYTES_KEPT));
  const head = new Int32Array(memory, 0, HEAD_WORDS);
  head[Head.Layout] = LAYOUT;
  head[Head.Slots] = slots;
  return memory;
}

/** Views that writer and reader share. */
export class Ring {
  /** All of the memory, in which the numbers of records lie by their sizes: it is a multiple of 8 bytes long, and every record begins at one. */
  readonly bytes: Buffer;
  readonly f64: Float64Array;
  readonly f32: Float32Array;
  readonly i32: Int32Array;
  readonly head: Int32Array;
  readonly seqHigh: Float64Array;
  readonly guards: Int32Array;
  readonly seqs: Uint32Array;
  readonly starts: Uint32Array;
  readonly mask: number;
  readonly shift: number;
  /** Byte where the ring of bytes begins, and its units: a power of two. */
  readonly base: number;
  readonly units: number;

  constructor(memory: SharedArrayBuffer) {
    this.bytes = Buffer.from(memory);
    this.f64 = new Float64Array(memory);
    this.f32 = new Float32Array(memory);
    this.i32 = new Int32Array(memory);
    this.head = new Int32Array(memory, 0, HEAD_WORDS);
    assert(this.head[Head.Layout] === LAYOUT, 'the memory is a record ring of this layout');
    const slots = this.head[Head.Slots] ?? 0;
    this.mask = slots - 1;
    this.shift = 31 - Math.clz32(slots);
    this.seqHigh = new Float64Array(memory, SEQ_HIGH_AT, 1);
    this.guards = new Int32Array(memory, HEADER_BYTES, slots);
    this.seqs = new Uint32Array(memory, HEADER_BYTES + slots * 4, slots);
    this.starts = new Uint32Array(memory, HEADER_BYTES + slots * 8, slots);
    this.base = HEADER_BYTES + slots * SLOT_WORDS * 4;
    this.units = (slots * RECORD_BYTES_KEPT) / UNIT_BYTES;
  }

  /** True when the writer may be about to overwrite what begins at `start`. */
  isOverwritten(start: number): boolean {
    const ahead = (Atomics.load(this.head, Head.Claimed) - start) >>> 0;
    return ahead > this.units - RECORDS_MARGIN * RECORD_UNITS;
  }
}

/** The lane's side. `open`, set what is known, `commit`. Fields that are not set keep what an older record left: set all numbers. */
export class RecordWriter {
  readonly #ring: Ring;
  readonly #bytes: Buffer;
  readonly #f64: Float64Array;
  readonly #f32: Float32Array;
  readonly #i32: Int32Array;
  readonly #u16: Uint16Array;
  #position: number;
  /** Unit at which the next record begins. */
  #next: number;
  #slot = 0;
  #at = 0;
  // Where in each view the numbers of the record begin.
  #wides = 0;
  #spans = 0;
  #ints = 0;
  #textAt = 0;
  #textEnd = 0;
  #text = 0;

  /** Goes on where an earlier writer of the same ring stopped, so that a restarted lane loses no record. */
  constructor(memory: SharedArrayBuffer) {
    this.#ring = new Ring(memory);
    this.#bytes = this.#ring.bytes;
    this.#f64 = this.#ring.f64;
    this.#f32 = this.#ring.f32;
    this.#i32 = this.#ring.i32;
    this.#u16 = new Uint16Array(memory);
    this.#position = (this.#ring.head[Head.Written] ?? 0) >>> 0;
    this.#next = (this.#ring.head[Head.Next] ?? 0) >>> 0;
  }

  /** Highest sequence number in this ring's life: a restarted lane numbers its exchanges from beyond it. */
  get seqHigh(): number {
    return this.#ring.seqHigh[0] ?? 0;
  }

  /** Claims the next slot. */
  open(): void {
    const ring = this.#ring;
    this.#slot = this.#position & ring.mask;
    let place = this.#next & (ring.units - 1);
    if (place + RECORD_UNITS > ring.units) {
      // No record goes around the end.
      this.#next = (this.#next + ring.units - place) >>> 0;
      place = 0;
    }
    this.#at = ring.base + place * UNIT_BYTES;
    // Both before the guard: its store is a fence.
    ring.head[Head.Claimed] = (this.#next + RECORD_UNITS) | 0;
    ring.starts[this.#slot] = this.#next;
    Atomics.store(ring.guards, this.#slot, ((this.#position >>> ring.shift) * 2 + 1) | 0);
    this.#wides = this.#at >>> 3;
    this.#spans = (this.#at + SPAN_AT) >>> 2;
    this.#ints = (this.#at + INT_AT) >>> 2;
    // Most texts are empty, and need not be written.
    const shapes = (this.#at + SHAPE_AT) >>> 2;
    const i32 = this.#i32;
    for (let i = 0; i < TEXTS.length; i++) i32[shapes + i] = 0;
    this.#textAt = this.#at + TEXT_AT;
    this.#textEnd = this.#at + RECORD_BYTES;
    this.#text = 0;
  }

  wide(field: Wide, value: number): void {
    this.#f64[this.#wides + field] = value;
  }

  span(field: number, us: number): void {
    this.#f32[this.#spans + field] = us;
  }

  int(field: Int, value: number): void {
    this.#i32[this.#ints + field] = value;
  }

  /** Appends the next text in the order of TEXTS; cut at its bound or at the end of the record, never within a character. */
  text(value: string): void {
    const index = this.#text++;
    if (value !== '') this.#append(index, value);
  }

  #append(index: number, value: string): void {
    const max = Math.min(TEXT_MAX[index] as number, this.#textEnd - this.#textAt);
    const bytes = this.#write(value, max, TEXT_UTF8[index] === true);
    const shape = ((this.#at + SHAPE_AT) >>> 1) + index * 2;
    this.#u16[shape] = bytes;
    this.#u16[shape + 1] = Math.min(value.length, 0xffff);
    this.#textAt += bytes;
  }

  /** Publishes the record. */
  commit(seq: number): void {
    const ring = this.#ring;
    this.wide(Wide.Seq, seq);
    ring.seqs[this.#slot] = seq;
    if (seq > (ring.seqHigh[0] ?? 0)) ring.seqHigh[0] = seq;
    this.#next = (this.#next + ((this.#textAt - this.#at + UNIT_BYTES - 1) >>> 3)) >>> 0;
    ring.head[Head.Next] = this.#next | 0;
    Atomics.store(ring.guards, this.#slot, ((this.#position >>> ring.shift) * 2 + 2) | 0);
    this.#position = (this.#position + 1) >>> 0;
    Atomics.store(ring.head, Head.Written, this.#position | 0);
  }

  #write(value: string, max: number, utf8: boolean): number {
    const bytes = this.#bytes;
    const at = this.#textAt;
    const length = value.length;
    if (length <= LOOP_CHARS_MAX && length <= max) {
      const limit = utf8 ? 0x7f : 0xff;
      let i = 0;
      for (; i < length; i++) {
        const c = value.charCodeAt(i);
        if (c > limit) break;
        bytes[at + i] = c;
      }
      if (i === length) return length;
    }
    return utf8 ? bytes.utf8Write(value, at, max) : bytes.latin1Write(value, at, max);
  }
}
