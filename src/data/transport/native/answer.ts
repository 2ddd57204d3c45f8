/** The head of the upstream's answer as it lies in a slot's memory, for exchanges that asked to see it. Made when the slot first shows one, and kept. */
import type { TransportEngine } from '../../../native/transport.ts';
import { INSPECT_BYTES_MAX } from '../bounds.ts';
import { neverHeld } from '../passing.ts';
import type { KeptBody, UpstreamAnswer } from '../transport.ts';
import { AnswerState, BodyKind } from '../transport.ts';
import type { Chunk, FieldPlaces } from './fields.ts';
import { NativeFields, WORD_BYTES } from './fields.ts';
import { NativeBody } from './kept-body.ts';
import { Answer, ANSWER_AT, ANSWER_FIELDS_AT, ANSWER_HEAD_AT } from './layout.ts';

const RECORD = ANSWER_AT / WORD_BYTES;
const PLACES: FieldPlaces = {
  count: RECORD + Answer.FIELD_COUNT,
  bytes: RECORD + Answer.FIELD_BYTES,
  repeated: RECORD + Answer.REPEATED,
  known: RECORD + Answer.KNOWN,
  fields: ANSWER_FIELDS_AT / WORD_BYTES,
  head: ANSWER_HEAD_AT,
};
/** 2^32: what the high word of a length counts. */
const HIGH = 0x1_0000_0000;

/** What `Answer.VERSION` says. */
const VERSIONS = ['HTTP/1.1', 'HTTP/1.0', 'HTTP/2.0'] as const;
/** Of what the engine says when a body is asked for, the low bits are its state; above them are bytes. */
export const STATE_WIDTH = 3;
export const STATE_BITS = 7;

/** What an answer asks of its wire. */
export interface AnswerOwner {
  readonly slot: number;
  readonly generation: number;
  /** A stage says Wait for the body. */
  waits(): void;
}

export class NativeAnswer extends NativeFields implements UpstreamAnswer {
  readonly #owner: AnswerOwner;
  readonly #engine: TransportEngine;
  #body: Uint8Array | null = null;
  #inspected = 0;

  constructor(owner: AnswerOwner, engine: TransportEngine, chunk: Chunk, place: number) {
    super(chunk, place, PLACES);
    this.#owner = owner;
    this.#engine = engine;
  }

  get status(): number {
    return this.word(RECORD + Answer.STATUS);
  }
  get protocol(): string {
    return VERSIONS[this.word(RECORD + Answer.VERSION)] ?? 'HTTP/1.1';
  }
  get bodyKind(): BodyKind {
    return this.word(RECORD + Answer.BODY_KIND) as BodyKind;
  }
  get bodyLength(): number {
    return (this.word(RECORD + Answer.BODY_LENGTH) >>> 0) + (this.word(RECORD + Answer.BODY_LENGTH + 1) >>> 0) * HIGH;
  }

  inspectBody(limit: number, part = false): AnswerState {
    if (this.bodyKind === BodyKind.None) return AnswerState.Complete;
    if (neverHeld(this, part)) return AnswerState.Passes;
    const { slot, generation } = this.#owner;
    this.#body = null;
    const said = this.#engine.inspectAnswer(slot, generation, Math.min(limit, INSPECT_BYTES_MAX));
    const state = (said & STATE_BITS) as AnswerState;
    this.#inspected = said >> STATE_WIDTH;
    if (state === AnswerState.Pending) this.#owner.waits();
    return state;
  }

  get body(): Uint8Array {
    return (this.#body ??= this.#engine.answerBody(this.#owner.slot));
  }

  get inspectedBytes(): number {
    return this.#inspected;
  }

  lendBody(): number {
    return this.#engine.lendAnswer(this.#owner.slot);
  }

  keepBody(): KeptBody | null {
    return NativeBody.of(this.#engine, this.#engine.keepAnswer(this.#owner.slot));
  }

  /** Lets go of what was read. */
  clear(): void {
    this.#body = null;
    this.#inspected = 0;
    this.clearFields();
  }
}
