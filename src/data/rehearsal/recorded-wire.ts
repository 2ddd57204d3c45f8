/**
 * A wire without sockets: stages are functions of an exchange, so a table of requests tries them. It records what they do to it and sends nothing. Tests of bundles run on it
 * (rehearsal.ts), and those of the stages.
 */
import { applyEdits } from '../transport/edit-list.ts';
import { isAlias } from '../transport/fields.ts';
import type { RefusalRow } from '../refusal.ts';
import { type NewTrace, traceparentOf } from '../trace-context.ts';
import type { CompressPlan, HeaderEdits } from '../../snapshot/route-plans.ts';
import type { ListenerPlan } from '../../snapshot/listener-plans.ts';
import { present } from '../../base/assert.ts';
import {
  BodyKind,
  BodyState,
  type ForwardPlan,
  type TlsFacts,
  type UpstreamAnswer,
  type Wire,
} from '../transport/transport.ts';

/** One edit of a field, as the wire was told it. */
export interface FieldChange {
  readonly kind: 'set' | 'add' | 'remove' | 'absent' | 'append';
  readonly name: string;
  readonly value: string;
}

function lineOf({ kind, name, value }: FieldChange): string {
  return kind === 'remove' ? `remove ${name}` : `${kind} ${name}: ${value}`;
}

/** What arrives; what is left out is a plain GET of `/`. */
export interface WireOptions {
  readonly method?: string;
  readonly protocol?: string;
  readonly secure?: boolean;
  readonly host?: string;
  readonly path?: string;
  readonly query?: string;
  /** Flat name, value …; names lower-case. */
  readonly headers?: readonly string[];
  readonly peerAddress?: readonly number[];
  readonly serverName?: string;
  readonly tls?: TlsFacts;
  readonly body?: string;
  readonly websocket?: boolean;
  readonly fault?: RefusalRow;
  /** Proxies that the listener trusts. */
  readonly forwardedFrom?: readonly string[];
}

export class RecordedWire implements Wire {
  readonly method: string;
  readonly protocol: string;
  readonly secure: boolean;
  readonly host: string;
  readonly path: string;
  readonly query: string;
  readonly peerAddress: Uint8Array;
  readonly peerPort = 50_000;
  readonly localPort = 8443;
  readonly listener: ListenerPlan;
  readonly serverName: string;
  readonly tls: TlsFacts | null;
  readonly bodyKind: BodyKind;
  readonly bodyLength: number;
  readonly websocket: boolean;
  readonly fault: RefusalRow | null;
  readonly #headers: readonly string[];
  readonly #body: Uint8Array;
  /** What a stage asked for last. */
  #limit = Number.POSITIVE_INFINITY;

  /** Edits of the upstream request, newest last. */
  readonly upstreamChanges: FieldChange[] = [];
  readonly answerChanges: FieldChange[] = [];
  forwarded: ForwardPlan | null = null;
  refusal: RefusalRow | null = null;
  /** What is shown of the upstream's answer, and how often it was let pass. */
  upstream: UpstreamAnswer | null = null;
  passed = 0;
  compressed: CompressPlan | null = null;
  readonly requestEditsLost = false;
  answered: { status: number; contentType: string; body: string | Uint8Array } | null = null;

  constructor(o: WireOptions = {}) {
    this.method = o.method ?? 'GET';
    this.protocol = o.protocol ?? 'HTTP/1.1';
    this.secure = o.secure ?? true;
    this.host = o.host ?? 'shop.example';
    this.path = o.path ?? '/';
    this.query = o.query ?? '';
    this.#headers = o.headers ?? [];
    this.peerAddress = Uint8Array.from(o.peerAddress ?? [192, 0, 2, 7]);
    this.serverName = o.serverName ?? '';
    this.tls = o.tls ?? null;
    this.#body = Buffer.from(o.body ?? '', 'utf8');
    this.bodyKind = o.body === undefined ? BodyKind.None : BodyKind.Length;
    this.bodyLength = this.#body.length;
    this.websocket = o.websocket ?? false;
    this.fault = o.fault ?? null;
    this.listener = {
      id: 'test',
      address: '127.0.0.1',
      port: 8443,
      tls: null,
      http2: false,
      proxyProtocolFrom: [],
      forwardedFrom: o.forwardedFrom ?? [],
    };
  }

  /** The edits as lines: `set x-a: 1`, `add …`, `remove x-b`. */
  get upstreamEdits(): string[] {
    return this.upstreamChanges.map(lineOf);
  }
  get answerEdits(): string[] {
    return this.answerChanges.map(lineOf);
  }

  get body(): Uint8Array {
    return this.#body.length > this.#limit ? this.#body.subarray(0, this.#limit) : this.#body;
  }
  get headerCount(): number {
    return this.#headers.length / 2;
  }
  get fieldBytes(): number {
    return this.#headers.reduce((bytes, text) => bytes + text.length, 0);
  }
  headerName(index: number): string {
    return this.#headers[index * 2] ?? '';
  }
  headerValue(index: number): string {
    return this.#headers[index * 2 + 1] ?? '';
  }
  header(name: string): string | undefined {
    for (let i = 0; i < this.#headers.length; i += 2) if (this.#headers[i] === name) return this.#headers[i + 1];
    return undefined;
  }
  repeats(name: string): boolean {
    return this.#headers.filter((text, i) => i % 2 === 0 && text === name).length > 1;
  }
  hasAlias(name: string): boolean {
    return this.#headers.some((text, i) => i % 2 === 0 && isAlias(text, name));
  }
  inspectBody(limit: number): BodyState {
    this.#limit = limit;
    return this.#body.length > limit ? BodyState.Cut : BodyState.Complete;
  }
  setUpstreamHeader(name: string, value: string): boolean {
    this.upstreamChanges.push({ kind: 'set', name, value });
    return true;
  }
  identify(id: string, _seq: number, trace: NewTrace | null): void {
    this.setUpstreamHeader('x-request-id', id);
    this.setAnswerHeader('x-request-id', id);
    if (trace !== null) this.setUpstreamHeader('traceparent', traceparentOf(id, trace));
  }
  addUpstreamHeader(name: string, value: string): boolean {
    this.upstreamChanges.push({ kind: 'add', name, value });
    return true;
  }
  removeUpstreamHeader(name: string): void {
    this.upstreamChanges.push({ kind: 'remove', name, value: '' });
  }
  setAnswerHeader(name: string, value: string): boolean {
    this.answerChanges.push({ kind: 'set', name, value });
    return true;
  }
  addAnswerHeader(name: string, value: string): boolean {
    this.answerChanges.push({ kind: 'add', name, value });
    return true;
  }
  defaultAnswerHeader(name: string, value: string): boolean {
    this.answerChanges.push({ kind: 'absent', name, value });
    return true;
  }
  appendAnswerHeader(name: string, value: string): boolean {
    this.answerChanges.push({ kind: 'append', name, value });
    return true;
  }
  removeAnswerHeader(name: string): void {
    this.answerChanges.push({ kind: 'remove', name, value: '' });
  }
  editRequest(edits: HeaderEdits): boolean {
    return applyEdits(
      {
        set: (name, value) => this.setUpstreamHeader(name, value),
        add: (name, value) => this.addUpstreamHeader(name, value),
        remove: (name) => this.removeUpstreamHeader(name),
        absent: () => false,
        append: () => false,
      },
      edits,
    );
  }
  compressAnswer(plan: CompressPlan): void {
    this.compressed = plan;
  }
  editAnswer(edits: HeaderEdits): boolean {
    return applyEdits(
      {
        set: (name, value) => this.setAnswerHeader(name, value),
        add: (name, value) => this.addAnswerHeader(name, value),
        remove: (name) => this.removeAnswerHeader(name),
        absent: (name, value) => this.defaultAnswerHeader(name, value),
        append: (name, value) => this.appendAnswerHeader(name, value),
      },
      edits,
    );
  }
  forward(plan: ForwardPlan): void {
    this.forwarded = plan;
  }
  refuse(row: RefusalRow): void {
    this.refusal = row;
  }
  answer(status: number, contentType: string, body: string | Uint8Array): void {
    this.answered = { status, contentType, body };
  }
  get upstreamAnswer(): UpstreamAnswer {
    return present(this.upstream, 'an answer that is shown');
  }
  pass(): void {
    this.passed++;
  }
}
