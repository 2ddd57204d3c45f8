/** One slot of the engine as the `Wire` that stages see. Made when the slot is first used, and kept. */
import type { TransportEngine } from '../../../native/transport.ts';
import type { CompressPlan, HeaderEdits } from '../../../snapshot/route-plans.ts';
import type { EndpointPlan } from '../../../snapshot/cell-plans.ts';
import type { Exchange } from '../../exchange.ts';
import type { RefusalRow } from '../../refusal.ts';
import { REFUSALS } from '../../refusal.ts';
import type { ForwardPlan, KeptBody, OwnPage, TransportEvents, UpstreamAnswer, Wire } from '../transport.ts';
import { BodyKind, BodyState } from '../transport.ts';
import { type NewTrace, traceparentOf } from '../../trace-context.ts';
import { INSPECT_BYTES_MAX, OWN_ANSWER_BYTES_MAX } from '../bounds.ts';
import { NativeAnswer, STATE_BITS, STATE_WIDTH } from './answer.ts';
import { isFieldValue, writeLatin1, writeVisible } from './bytes.ts';
import { Edits, EDIT_BYTES_MAX } from './edits.ts';
import type { Chunk } from './fields.ts';
import { NativeBody } from './kept-body.ts';
import type { HeadHost } from './head.ts';
import { NativeHead } from './head.ts';
import type { Identity } from './identity.ts';
import { ANSWER_AT, Decided, EDITS_AT, HEAD_AT, LONG_EDITS_AT, Word } from './layout.ts';

const INT_MAX = 0x7fff_ffff;
/** 2^32: what the high word of a length counts. */
const HIGH = 0x1_0000_0000;
const EMPTY = new Uint8Array(0);
/** Bytes of the short room for the edits of each direction; the rest up to the head is for target and Host. */
const SHORT_EDIT_BYTES = 704;
const TEXTS_AT = EDITS_AT + 2 * SHORT_EDIT_BYTES;
const SHORT_TEXTS_MAX = HEAD_AT - TEXTS_AT;
/** Where these texts are when they are longer, and their room. */
const LONG_TEXTS_AT = LONG_EDITS_AT + 2 * EDIT_BYTES_MAX;
const TARGET_BYTES_MAX = ANSWER_AT - LONG_TEXTS_AT;
/** What all wires of a lane share. */
export interface WireHost extends HeadHost {
  readonly events: TransportEvents;
  readonly engine: TransportEngine;
  readonly identity: Identity;
  /** Number of an endpoint, as the engine knows it. */
  endpoint(plan: EndpointPlan): number;
  /** Number of a plan of compression, as the engine knows it. */
  compression(plan: CompressPlan): number;
  /** The slot's verdict is to be applied. */
  decided(slot: number): void;
  /** Calls `wire.settle(generation)` when the running call is over: no event is told from within a wire's method. */
  later(wire: NativeWire, generation: number): void;
}

export class NativeWire extends NativeHead implements Wire {
  readonly #host: WireHost;
  readonly #upstreamEdits: Edits;
  readonly #answerEdits: Edits;
  #live = false;
  #exchange: Exchange | null = null;
  /** Ticket of the wait for the body; -1 while nobody waits. */
  #ticket = -1;
  /** Waits within `begin`, where the exchange is not known yet. */
  #ticketUnknown = false;
  /** What `settle` has to tell. */
  #refusal: RefusalRow | null = null;
  #body: Uint8Array | null = null;
  #inspected = 0;
  readonly #chunk: Chunk;
  #answer: NativeAnswer | null = null;

  constructor(host: WireHost, chunk: Chunk, slot: number, place: number) {
    super(host, chunk, slot, place);
    this.#host = host;
    this.#chunk = chunk;
    const short = this.from + EDITS_AT;
    const middle = short + SHORT_EDIT_BYTES;
    const long = this.from + LONG_EDITS_AT;
    this.#upstreamEdits = new Edits(chunk.bytes, short, middle, long);
    this.#answerEdits = new Edits(chunk.bytes, middle, middle + SHORT_EDIT_BYTES, long + EDIT_BYTES_MAX);
  }

  // ——— what the transport calls ———

  /** A head is in the slot: runs the stages. */
  begin(): void {
    this.#live = true;
    const exchange = this.#host.events.begin(this);
    this.#exchange = exchange;
    if (exchange !== null && this.#ticketUnknown) this.#ticket = exchange.ticket;
    this.#ticketUnknown = false;
  }

  /** The exchange of this use; null when it was turned away, or is over. */
  get exchange(): Exchange | null {
    return this.#exchange;
  }

  get live(): boolean {
    return this.#live;
  }

  get generation(): number {
    return this.word(Word.GENERATION);
  }

  /** The endpoint of the last attempt that is alone, or first. */
  endpoint: EndpointPlan | null = null;
  /** Where its hedge goes. */
  hedgeEndpoint: EndpointPlan | null = null;

  /** The body that a stage waits for is here, or cut. */
  bodyReady(): void {
    const { exchange } = this;
    const ticket = this.#ticket;
    this.#ticket = -1;
    if (exchange !== null && ticket >= 0) this.#host.events.wake(exchange, ticket);
  }

  /** The head of the upstream's answer is in the slot: runs the stage that asked for it. */
  shown(whole: boolean): void {
    const { exchange } = this;
    this.#answer?.clear();
    if (exchange !== null) this.#host.events.shown(exchange, whole);
  }

  /** A stage says Wait for a body. */
  waits(): void {
    if (this.#exchange === null) this.#ticketUnknown = true;
    else this.#ticket = this.#exchange.ticket;
  }

  /** Tells what a method of an earlier call could not do. */
  settle(generation: number): void {
    const row = this.#refusal;
    if (!this.#live || row === null || generation !== this.generation) return;
    this.#refusal = null;
    if (this.#exchange !== null) this.#host.events.refused(this.#exchange, row);
  }

  /** Over: nothing of it is kept. */
  release(): void {
    this.#live = false;
    this.#exchange = null;
    this.#ticket = -1;
    this.#refusal = null;
    this.#body = null;
    this.#inspected = 0;
    this.endpoint = null;
    this.hedgeEndpoint = null;
    this.words[this.base + Word.VERDICT] = Decided.NONE;
    this.#upstreamEdits.clear();
    this.#answerEdits.clear();
    this.#answer?.clear();
    this.clearHead();
  }

  // ——— Wire: the body ———

  inspectBody(limit: number): BodyState {
    if (this.bodyKind === BodyKind.None || !this.#live) return BodyState.Complete;
    const most = Math.min(limit, INSPECT_BYTES_MAX);
    const said = this.#host.engine.inspect(this.slot, this.generation, most);
    const state = (said & STATE_BITS) as BodyState;
    this.#inspected = said >> STATE_WIDTH;
    this.#body = null;
    if (state === BodyState.Pending) this.waits();
    return state;
  }

  get body(): Uint8Array {
    if (this.bodyKind === BodyKind.None || !this.#live) return EMPTY;
    return (this.#body ??= this.#host.engine.body(this.slot));
  }

  get inspectedBytes(): number {
    return this.bodyKind === BodyKind.None || !this.#live ? 0 : this.#inspected;
  }

  lendBody(): number {
    return this.#live ? this.#host.engine.lend(this.slot) : 0;
  }

  // ——— Wire: edits ———

  setUpstreamHeader(name: string, value: string): boolean {
    return this.#upstreamEdits.set(name, value);
  }
  identify(id: string, seq: number, trace: NewTrace | null): void {
    const { identity } = this.#host;
    const { view } = this.#chunk;
    if (!identity.write(this.#upstreamEdits, view, seq, trace)) {
      this.#upstreamEdits.set('x-request-id', id);
      if (trace !== null) this.#upstreamEdits.set('traceparent', traceparentOf(id, trace));
    }
    if (!identity.write(this.#answerEdits, view, seq, null)) this.#answerEdits.set('x-request-id', id);
  }
  addUpstreamHeader(name: string, value: string): boolean {
    return this.#upstreamEdits.add(name, value);
  }
  removeUpstreamHeader(name: string): void {
    this.#upstreamEdits.remove(name);
  }
  setAnswerHeader(name: string, value: string): boolean {
    return this.#answerEdits.set(name, value);
  }
  addAnswerHeader(name: string, value: string): boolean {
    return this.#answerEdits.add(name, value);
  }
  defaultAnswerHeader(name: string, value: string): boolean {
    return this.#answerEdits.absent(name, value);
  }
  appendAnswerHeader(name: string, value: string): boolean {
    return this.#answerEdits.append(name, value);
  }
  removeAnswerHeader(name: string): void {
    this.#answerEdits.remove(name);
  }

  get requestEditsLost(): boolean {
    return this.#upstreamEdits.lost;
  }
  editRequest(edits: HeaderEdits): boolean {
    return this.#upstreamEdits.apply(edits);
  }
  editAnswer(edits: HeaderEdits): boolean {
    return this.#answerEdits.apply(edits);
  }

  compressAnswer(plan: CompressPlan): void {
    if (this.#live) this.words[this.base + Word.COMPRESS] = this.#host.compression(plan);
  }

  // ——— Wire: the ways out ———

  forward(plan: ForwardPlan): void {
    if (!this.#live) return;
    this.endpoint = plan.endpoint;
    const { fault } = this;
    if (fault !== null) {
      this.#refuseLater(fault);
      return;
    }
    const { words, base } = this;
    const row = this.#writeTarget(plan);
    if (row !== null) {
      this.#refuseLater(row);
      return;
    }
    words[base + Word.ANSWER_EDITS_AT] = this.#answerEdits.from - this.from - EDITS_AT;
    words[base + Word.ANSWER_EDITS_AT + 1] = this.#answerEdits.length;
    words[base + Word.IDLE_MS] = Math.min(plan.idleTimeoutMs, INT_MAX);
    words[base + Word.TOTAL_MS] = Math.min(plan.totalTimeoutMs, INT_MAX);
    words[base + Word.HEDGE_MS] = Math.min(plan.hedgeAfterMs, INT_MAX);
    words[base + Word.ASKS] = (plan.showAnswer ? 1 : 0) | (plan.trailers ? 0 : 2);
    words[base + Word.BODY_MAX] = (plan.bodyBytesMax % HIGH) | 0;
    words[base + Word.BODY_MAX + 1] = Math.min(plan.bodyBytesMax / HIGH, INT_MAX) | 0;
    this.#decide(Decided.FORWARD, this.#host.endpoint(plan.endpoint));
  }

  hedge(plan: ForwardPlan): void {
    if (!this.#live || this.#writeTarget(plan) !== null) return;
    this.hedgeEndpoint = plan.endpoint;
    this.#decide(Decided.HEDGE, this.#host.endpoint(plan.endpoint));
  }

  /** What one attempt asks, with which edits, and how long it may take to a head. A row: it cannot be asked. */
  #writeTarget(plan: ForwardPlan): RefusalRow | null {
    const textBytes = plan.target.length + plan.authority.length;
    if (textBytes > TARGET_BYTES_MAX) return REFUSALS.target_too_long;
    const { words, base } = this;
    const at = this.from + textsAt(textBytes);
    const between = this.#say(Word.TARGET_AT, plan.target, at, this.path, Word.PATH_AT);
    const end = between < 0 ? -1 : this.#say(Word.AUTHORITY_AT, plan.authority, between, this.host, Word.HOST_AT);
    // A last look: normalize made both, and anything else in them would be another request to the upstream.
    if (end < 0 || plan.target.charCodeAt(0) !== SLASH || plan.authority === '') return REFUSALS.internal_error;
    words[base + Word.REQUEST_EDITS_AT] = this.#upstreamEdits.from - this.from - EDITS_AT;
    words[base + Word.REQUEST_EDITS_AT + 1] = this.#upstreamEdits.length;
    words[base + Word.CONNECT_MS] = Math.min(plan.connectTimeoutMs, INT_MAX);
    words[base + Word.HEAD_MS] = Math.min(plan.headTimeoutMs, INT_MAX);
    return null;
  }

  /** Where the engine finds a text that the upstream is asked with: as it was received, or written to `at`. Where what is written ends, or -1 when not all of it is visible ASCII. */
  #say(word: number, text: string, at: number, received: string, receivedAt: number): number {
    const { words, base } = this;
    if (text === received) {
      words[base + word] = HEAD_AT - EDITS_AT + (words[base + receivedAt] as number);
      words[base + word + 1] = words[base + receivedAt + 1] as number;
      return at;
    }
    const end = writeVisible(this.bytes, at, text);
    words[base + word] = at - this.from - EDITS_AT;
    words[base + word + 1] = end - at;
    return end;
  }

  refuse(row: RefusalRow, requestId: string, page: OwnPage | null = null): void {
    if (!this.#live) return;
    // Also in a header: the answer to a HEAD request has no body that could tell it.
    this.#answerEdits.set('x-request-id', requestId);
    this.#answerEdits.set('cache-control', 'no-store');
    if (page !== null && page.body.length <= OWN_ANSWER_BYTES_MAX) {
      this.#host.engine.setAnswer(this.slot, Buffer.from(page.body));
      this.#writeOwn(page.contentType);
      this.#decide(Decided.PAGE, row.index);
      return;
    }
    this.#writeOwn(requestId);
    this.#decide(Decided.REFUSE, row.index);
  }

  answer(status: number, contentType: string, body: string | Uint8Array): void {
    if (!this.#live) return;
    if (body.length > OWN_ANSWER_BYTES_MAX || contentType.length > EDIT_BYTES_MAX || !isFieldValue(contentType)) {
      this.#refuseLater(REFUSALS.internal_error);
      return;
    }
    this.#host.engine.setAnswer(this.slot, typeof body === 'string' ? Buffer.from(body) : body);
    this.#writeOwn(contentType);
    this.#decide(Decided.ANSWER, status);
  }

  keepBody(body: Uint8Array): KeptBody | null {
    const { engine } = this.#host;
    return NativeBody.of(engine, engine.keep(body));
  }

  answerKept(status: number, contentType: string, body: KeptBody, from: number, to: number): boolean {
    if (!this.#live) return true;
    if (contentType.length > EDIT_BYTES_MAX || !isFieldValue(contentType)) {
      this.#refuseLater(REFUSALS.internal_error);
      return true;
    }
    if (!this.#host.engine.setKept(this.slot, body.number, from, to)) return false;
    this.#writeOwn(contentType);
    this.#decide(Decided.ANSWER, status);
    return true;
  }

  get upstreamAnswer(): UpstreamAnswer {
    return (this.#answer ??= new NativeAnswer(this, this.#host.engine, this.#chunk, this.headPlace));
  }

  pass(): void {
    if (!this.#live) return;
    this.words[this.base + Word.ANSWER_EDITS_AT] = this.#answerEdits.from - this.from - EDITS_AT;
    this.words[this.base + Word.ANSWER_EDITS_AT + 1] = this.#answerEdits.length;
    this.#decide(Decided.PASS, 0);
  }

  /** Edits of the answer, and the text that goes where an upstream's target would. */
  #writeOwn(text: string): void {
    const { words, base } = this;
    const edits = this.from + EDITS_AT;
    const at = this.from + textsAt(text.length);
    words[base + Word.ANSWER_EDITS_AT] = this.#answerEdits.from - edits;
    words[base + Word.ANSWER_EDITS_AT + 1] = this.#answerEdits.length;
    words[base + Word.TARGET_AT] = at - edits;
    words[base + Word.TARGET_AT + 1] = writeLatin1(this.bytes, at, text) - at;
  }

  #decide(verdict: number, choice: number): void {
    const { words, base } = this;
    // Already listed when there is one: the later one counts.
    const listed = words[base + Word.VERDICT] !== Decided.NONE;
    words[base + Word.VERDICT] = verdict;
    words[base + Word.CHOICE] = choice;
    this.#refusal = null;
    if (!listed) this.#host.decided(this.slot);
  }

  #refuseLater(row: RefusalRow): void {
    this.#refusal = row;
    this.#host.later(this, this.generation);
  }
}

const SLASH = 0x2f;

/** Where texts of so many bytes are written, from the begin of the slot. */
function textsAt(bytes: number): number {
  return bytes <= SHORT_TEXTS_MAX ? TEXTS_AT : LONG_TEXTS_AT;
}
