/** The request head as it lies in a slot's memory. Nothing is made of it that nobody asks for, and nothing twice. */
import type { ListenerPlan } from '../../../snapshot/snapshot.ts';
import { METHODS } from '../../exchange.ts';
import type { RefusalRow } from '../../refusal.ts';
import { REFUSALS } from '../../refusal.ts';
import type { BodyKind, TlsFacts } from '../transport.ts';
import { FAULTS, FIELDS_AT, Flag, HEAD_AT, KNOWN_NAMES, SLOT_BYTES, Word } from './layout.ts';
import { KNOWN_ID } from './names.ts';

const FIELDS = FIELDS_AT / 4;
const WORD_BYTES = 4;
/** 2^32: what the high word of a length counts. */
const HIGH = 0x1_0000_0000;

/** By `Word.FAULT`. */
export const FAULT_ROWS: readonly (RefusalRow | null)[] = FAULTS.map((code) => (code === null ? null : REFUSALS[code]));

/** Memory of the slots of one chunk, as words and as bytes. */
export interface Chunk {
  readonly words: Int32Array;
  readonly bytes: Buffer;
  /** Its number, as the WAF knows it (`wafHeadMemory`). */
  readonly number: number;
}

/** What heads ask of the lane's transport. */
export interface HeadHost {
  /** By number. */
  readonly listeners: readonly ListenerPlan[];
  /** Of the connection that the slot's request came by. */
  facts(slot: number): TlsFacts | null;
}

export class NativeHead {
  protected readonly words: Int32Array;
  protected readonly bytes: Buffer;
  readonly slot: number;
  /** Index of the record's first word, and of the slot's first byte, in the chunk. */
  protected readonly base: number;
  protected readonly from: number;
  readonly headMemory: number;
  readonly headPlace: number;
  readonly #host: HeadHost;
  readonly #address4: Uint8Array;
  readonly #address16: Uint8Array;

  #method: string | undefined;
  #path: string | undefined;
  #query: string | undefined;
  #hostName: string | undefined;
  readonly #names: (string | undefined)[] = [];
  readonly #values: (string | undefined)[] = [];
  /** Places from which on no text was made. */
  #namesMade = 0;
  #valuesMade = 0;
  #facts: TlsFacts | null | undefined;

  /** `place`: of the slot in its chunk. */
  constructor(host: HeadHost, chunk: Chunk, slot: number, place: number) {
    this.#host = host;
    this.words = chunk.words;
    this.bytes = chunk.bytes;
    this.slot = slot;
    this.headMemory = chunk.number;
    this.headPlace = place;
    this.from = place * SLOT_BYTES;
    this.base = this.from / WORD_BYTES;
    const address = this.from + Word.PEER_ADDRESS * WORD_BYTES;
    this.#address4 = chunk.bytes.subarray(address, address + 4);
    this.#address16 = chunk.bytes.subarray(address, address + 16);
  }

  get method(): string {
    return (this.#method ??= METHODS[this.word(Word.METHOD)] ?? this.text(Word.METHOD_AT));
  }
  get path(): string {
    return (this.#path ??= this.text(Word.PATH_AT));
  }
  get query(): string {
    return (this.#query ??= this.text(Word.QUERY_AT));
  }
  get host(): string {
    return (this.#hostName ??= this.text(Word.HOST_AT));
  }
  get secure(): boolean {
    return (this.word(Word.FLAGS) & Flag.SECURE) !== 0;
  }
  get websocket(): boolean {
    return (this.word(Word.FLAGS) & Flag.WEBSOCKET) !== 0;
  }
  get peerAddress(): Uint8Array {
    return this.word(Word.PEER_BYTES) === 4 ? this.#address4 : this.#address16;
  }
  get peerPort(): number {
    return this.word(Word.PEER_PORT);
  }
  get localPort(): number {
    return this.word(Word.LOCAL_PORT);
  }
  get listener(): ListenerPlan {
    return this.#host.listeners[this.word(Word.LISTENER)] as ListenerPlan;
  }
  get serverName(): string {
    return this.tls?.serverName ?? '';
  }
  get tls(): TlsFacts | null {
    if (this.#facts === undefined) this.#facts = this.secure ? this.#host.facts(this.slot) : null;
    return this.#facts;
  }
  get bodyKind(): BodyKind {
    return this.word(Word.BODY_KIND) as BodyKind;
  }
  get bodyLength(): number {
    const high = this.words[this.base + Word.BODY_LENGTH + 1] as number;
    return (this.word(Word.BODY_LENGTH) >>> 0) + (high >>> 0) * HIGH;
  }
  get fault(): RefusalRow | null {
    return FAULT_ROWS[this.word(Word.FAULT)] ?? null;
  }

  get headerCount(): number {
    return this.word(Word.FIELD_COUNT);
  }
  get fieldBytes(): number {
    return this.word(Word.FIELD_BYTES);
  }

  headerName(index: number): string {
    if (index < 0 || index >= this.headerCount) return '';
    const packed = this.words[this.base + FIELDS + 2 * index + 1] as number;
    const known = (packed >>> 24) & 0x1f;
    if (known !== 0) return KNOWN_NAMES[known - 1] ?? '';
    const made = this.#names[index];
    if (made !== undefined) return made;
    const at = this.from + HEAD_AT + (packed & 0xffff);
    const name = this.bytes.latin1Slice(at, at + ((packed >>> 16) & 0xff));
    this.#names[index] = name;
    if (index >= this.#namesMade) this.#namesMade = index + 1;
    return name;
  }

  headerValue(index: number): string {
    if (index < 0 || index >= this.headerCount) return '';
    const made = this.#values[index];
    if (made !== undefined) return made;
    const packed = this.words[this.base + FIELDS + 2 * index] as number;
    const at = this.from + HEAD_AT + (packed & 0xffff);
    const value = this.bytes.latin1Slice(at, at + (packed >>> 16));
    this.#values[index] = value;
    if (index >= this.#valuesMade) this.#valuesMade = index + 1;
    return value;
  }

  header(name: string): string | undefined {
    const id = KNOWN_ID.get(name);
    const index = id === undefined ? this.#find(name, 0) : (this.words[this.base + Word.KNOWN + id] as number);
    return index < 0 ? undefined : this.headerValue(index);
  }

  repeats(name: string): boolean {
    const id = KNOWN_ID.get(name);
    if (id !== undefined) return ((this.word(Word.REPEATED) >>> id) & 1) !== 0;
    const first = this.#find(name, 0);
    return first >= 0 && this.#find(name, first + 1) >= 0;
  }

  /** Lets go of every text. */
  protected clearHead(): void {
    this.#method = this.#path = this.#query = this.#hostName = undefined;
    this.#facts = undefined;
    // Not by their lengths, which would be given up and grown again for every request.
    const names = this.#names;
    for (let i = 0; i < this.#namesMade; i++) names[i] = undefined;
    const values = this.#values;
    for (let i = 0; i < this.#valuesMade; i++) values[i] = undefined;
    this.#namesMade = this.#valuesMade = 0;
  }

  protected word(word: number): number {
    return this.words[this.base + word] as number;
  }

  protected text(pair: number): string {
    const length = this.words[this.base + pair + 1] as number;
    if (length === 0) return '';
    const at = this.from + HEAD_AT + (this.words[this.base + pair] as number);
    return this.bytes.latin1Slice(at, at + length);
  }

  /** Place of the first field of an unknown name from `from` on, or -1. Compares bytes: no text is made. */
  #find(name: string, from: number): number {
    const { words, bytes } = this;
    const count = this.headerCount;
    const first = name.charCodeAt(0);
    const heads = this.from + HEAD_AT;
    fields: for (let i = from; i < count; i++) {
      const packed = words[this.base + FIELDS + 2 * i + 1] as number;
      if (((packed >>> 16) & 0xff) !== name.length) continue;
      const at = heads + (packed & 0xffff);
      if (bytes[at] !== first) continue;
      for (let j = 1; j < name.length; j++) if (bytes[at + j] !== name.charCodeAt(j)) continue fields;
      return i;
    }
    return -1;
  }
}
