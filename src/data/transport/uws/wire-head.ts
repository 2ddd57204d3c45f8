/** What stages see of a request's head, and what they change in it: the part of `Wire` that moves no bytes. */
import { applyEdits } from '../edit-list.ts';
import type { HeaderEdits as EditList } from '../../../snapshot/route-plans.ts';
import type { HttpResponse } from 'uWebSockets.js';
import type { ListenerPlan } from '../../../snapshot/listener-plans.ts';
import type { RefusalRow } from '../../refusal.ts';
import { type NewTrace, traceparentOf } from '../../trace-context.ts';
import type { BodyKind, TlsFacts } from '../transport.ts';
import { Head } from './head.ts';
import { HeaderEdits } from './header-edits.ts';

const NO_ADDRESS = new Uint8Array(0);

export class WireHead {
  protected readonly head = new Head();
  protected readonly upstreamEdits = new HeaderEdits();
  protected readonly answerEdits = new HeaderEdits();
  /** Null once the response is answered or gone. */
  protected response: HttpResponse | null = null;
  #peer: Uint8Array = NO_ADDRESS;
  listener!: ListenerPlan;
  secure = false;
  localPort = 0;

  get method(): string {
    return this.head.method;
  }
  get host(): string {
    return this.head.host;
  }
  get path(): string {
    return this.head.path;
  }
  get query(): string {
    return this.head.query;
  }
  /** uWebSockets.js speaks no other, and does not say when a client does. */
  get protocol(): string {
    return 'HTTP/1.1';
  }
  /** Not known to uWebSockets.js. */
  get peerPort(): number {
    return 0;
  }
  /** Not known to uWebSockets.js. */
  get serverName(): string {
    return '';
  }
  /** Not known to uWebSockets.js. */
  get tls(): TlsFacts | null {
    return null;
  }
  get peerAddress(): Uint8Array {
    if (this.#peer.length === 0 && this.response !== null)
      this.#peer = new Uint8Array(this.response.getRemoteAddress());
    return this.#peer;
  }
  get bodyKind(): BodyKind {
    return this.head.bodyKind;
  }
  get bodyLength(): number {
    return this.head.bodyLength;
  }
  get websocket(): boolean {
    return this.head.websocket;
  }
  get fault(): RefusalRow | null {
    return this.head.fault;
  }
  get headerCount(): number {
    return this.head.count;
  }
  get fieldBytes(): number {
    return this.head.fieldBytes;
  }
  headerName(index: number): string {
    return this.head.names[index] ?? '';
  }
  headerValue(index: number): string {
    return this.head.values[index] ?? '';
  }
  header(name: string): string | undefined {
    return this.head.value(name);
  }
  repeats(name: string): boolean {
    return this.head.repeats(name);
  }
  hasAlias(name: string): boolean {
    return this.head.hasAlias(name);
  }

  setUpstreamHeader(name: string, value: string): boolean {
    return this.upstreamEdits.set(name, value);
  }
  identify(id: string, _seq: number, trace: NewTrace | null): void {
    this.upstreamEdits.set('x-request-id', id);
    this.answerEdits.set('x-request-id', id);
    if (trace !== null) this.upstreamEdits.set('traceparent', traceparentOf(id, trace));
  }
  addUpstreamHeader(name: string, value: string): boolean {
    return this.upstreamEdits.add(name, value);
  }
  removeUpstreamHeader(name: string): void {
    this.upstreamEdits.remove(name);
  }
  setAnswerHeader(name: string, value: string): boolean {
    return this.answerEdits.set(name, value);
  }
  addAnswerHeader(name: string, value: string): boolean {
    return this.answerEdits.add(name, value);
  }
  defaultAnswerHeader(name: string, value: string): boolean {
    return this.answerEdits.absent(name, value);
  }
  appendAnswerHeader(name: string, value: string): boolean {
    return this.answerEdits.append(name, value);
  }
  removeAnswerHeader(name: string): void {
    this.answerEdits.remove(name);
  }
  get requestEditsLost(): boolean {
    return this.upstreamEdits.lost;
  }
  editRequest(edits: EditList): boolean {
    return applyEdits(this.upstreamEdits, edits);
  }
  editAnswer(edits: EditList): boolean {
    return applyEdits(this.answerEdits, edits);
  }

  /** It cannot: bundles that ask for it are rejected (`Compressions` of control). */
  compressAnswer(): void {}

  /** Lets go of everything. */
  protected clearHead(): void {
    this.response = null;
    this.#peer = NO_ADDRESS;
    this.head.clear();
    this.upstreamEdits.clear();
    this.answerEdits.clear();
  }
}
