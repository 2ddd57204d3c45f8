/** The request head as it lies in a slot's memory. Nothing is made of it that nobody asks for, and nothing twice. */
import type { ListenerPlan } from '../../../snapshot/listener-plans.ts';
import { METHODS } from '../../exchange.ts';
import type { RefusalRow } from '../../refusal.ts';
import { REFUSALS } from '../../refusal.ts';
import type { BodyKind, TlsFacts } from '../transport.ts';
import type { Chunk, FieldPlaces } from './fields.ts';
import { NativeFields, WORD_BYTES } from './fields.ts';
import { FAULTS, FIELDS_AT, Flag, HEAD_AT, Word } from './layout.ts';

/** 2^32: what the high word of a length counts. */
const HIGH = 0x1_0000_0000;

/** By `Word.FAULT`. */
export const FAULT_ROWS: readonly (RefusalRow | null)[] = FAULTS.map((code) => (code === null ? null : REFUSALS[code]));

/** What heads ask of the lane's transport. */
export interface HeadHost {
  /** By number. */
  readonly listeners: readonly ListenerPlan[];
  /** Of the connection that the slot's request came by. */
  facts(slot: number): TlsFacts | null;
}

const PLACES: FieldPlaces = {
  count: Word.FIELD_COUNT,
  bytes: Word.FIELD_BYTES,
  repeated: Word.REPEATED,
  known: Word.KNOWN,
  fields: FIELDS_AT / WORD_BYTES,
  head: HEAD_AT,
};

export class NativeHead extends NativeFields {
  readonly slot: number;
  readonly headMemory: number;
  readonly headPlace: number;
  readonly #host: HeadHost;
  readonly #address4: Uint8Array;
  readonly #address16: Uint8Array;

  #method: string | undefined;
  #path: string | undefined;
  #query: string | undefined;
  #hostName: string | undefined;
  #facts: TlsFacts | null | undefined;

  /** `place`: of the slot in its chunk. */
  constructor(host: HeadHost, chunk: Chunk, slot: number, place: number) {
    super(chunk, place, PLACES);
    this.#host = host;
    this.slot = slot;
    this.headMemory = chunk.number;
    this.headPlace = place;
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
  get protocol(): string {
    const flags = this.word(Word.FLAGS);
    if ((flags & Flag.HTTP2) !== 0) return 'HTTP/2.0';
    return (flags & Flag.HTTP10) === 0 ? 'HTTP/1.1' : 'HTTP/1.0';
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

  /** Lets go of every text. */
  protected clearHead(): void {
    this.#method = this.#path = this.#query = this.#hostName = undefined;
    this.#facts = undefined;
    this.clearFields();
  }

  protected text(pair: number): string {
    const length = this.words[this.base + pair + 1] as number;
    if (length === 0) return '';
    const at = this.from + HEAD_AT + (this.words[this.base + pair] as number);
    return this.texts.of(this.bytes, at, length);
  }
}
