/** A wire without sockets: stages are functions of an exchange, so a table of requests tests them. It records what a stage does to it. */
import { applyEdits } from '../../src/data/transport/edit-list.ts';
import type { RefusalRow } from '../../src/data/refusal.ts';
import { Exchange } from '../../src/data/exchange.ts';
import type { Revision } from '../../src/data/lane/revision.ts';
import type { CompressPlan, HeaderEdits, RoutePlan, WafRoutePlan } from '../../src/snapshot/route-plans.ts';
import type { ListenerPlan } from '../../src/snapshot/listener-plans.ts';
import { present } from '../../src/base/assert.ts';
import { UpstreamPaths } from '../../src/data/answers/upstream-target.ts';
import { native } from '../../src/native.ts';
import {
  BodyKind,
  BodyState,
  type ForwardPlan,
  type TlsFacts,
  type UpstreamAnswer,
  type Wire,
} from '../../src/data/transport/transport.ts';

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

export class TestWire implements Wire {
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
  readonly body: Uint8Array;
  readonly #headers: readonly string[];

  /** Edits of the upstream request, newest last: `set x-a: 1`, `add …`, `remove x-b`. */
  readonly upstreamEdits: string[] = [];
  readonly answerEdits: string[] = [];
  forwarded: ForwardPlan | null = null;
  refusal: RefusalRow | null = null;
  /** What is shown of the upstream's answer, and how often it was let pass. */
  upstream: UpstreamAnswer | null = null;
  passed = 0;
  compressed: CompressPlan | null = null;
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
    this.body = Buffer.from(o.body ?? '', 'utf8');
    this.bodyKind = o.body === undefined ? BodyKind.None : BodyKind.Length;
    this.bodyLength = this.body.length;
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
  inspectBody(limit: number): BodyState {
    return this.body.length > limit ? BodyState.Cut : BodyState.Complete;
  }
  setUpstreamHeader(name: string, value: string): boolean {
    this.upstreamEdits.push(`set ${name}: ${value}`);
    return true;
  }
  setUpstreamBytes(name: string, value: Buffer): boolean {
    return this.setUpstreamHeader(name, value.toString('latin1'));
  }
  addUpstreamHeader(name: string, value: string): boolean {
    this.upstreamEdits.push(`add ${name}: ${value}`);
    return true;
  }
  removeUpstreamHeader(name: string): void {
    this.upstreamEdits.push(`remove ${name}`);
  }
  setAnswerHeader(name: string, value: string): boolean {
    this.answerEdits.push(`set ${name}: ${value}`);
    return true;
  }
  addAnswerHeader(name: string, value: string): boolean {
    this.answerEdits.push(`add ${name}: ${value}`);
    return true;
  }
  defaultAnswerHeader(name: string, value: string): boolean {
    this.answerEdits.push(`absent ${name}: ${value}`);
    return true;
  }
  appendAnswerHeader(name: string, value: string): boolean {
    this.answerEdits.push(`append ${name}: ${value}`);
    return true;
  }
  removeAnswerHeader(name: string): void {
    this.answerEdits.push(`remove ${name}`);
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

/** For stages that rewrite paths. */
export const testPaths = new UpstreamPaths(native());

/** Not asked; a test overrides what it is about. */
export function testWafPlan(over: Partial<WafRoutePlan> = {}): WafRoutePlan {
  return {
    mode: 'off',
    profile: -1,
    bodyBytes: 0,
    beyond: 'refuse',
    coded: 'refuse',
    exhausted: 'block',
    queueFull: 'refuse',
    detectSample: 1,
    answer: null,
    ...over,
  };
}

/** A route with nothing on it; a test overrides what it is about. */
export function testRoute(over: Partial<RoutePlan> = {}): RoutePlan {
  return {
    id: 'route',
    index: 0,
    headers: [],
    public: true,
    issuers: [],
    policy: -1,
    entrypoint: 0,
    admit: [],
    limit: [],
    waf: testWafPlan(),
    tenant: null,
    cell: 0,
    respond: {
      redirect: null,
      stripPrefix: '',
      replace: null,
      addPrefix: '',
      host: null,
      request: { set: [], add: [], remove: [] },
      answer: { set: [], add: [], remove: [] },
      requestMade: null,
      cors: null,
      direct: null,
      files: null,
      pages: [],
      answerMade: null,
      strictTransport: '',
      showAnswer: false,
    },
    forward: { connectTimeoutMs: 1000, headTimeoutMs: 1000, idleTimeoutMs: 0, bodyBytesMax: 1_000_000, retries: 0 },
    websocket: false,
    forwardClientCertificate: false,
    ...over,
  };
}

/** A live exchange over a test wire. */
export function testExchange(wire: Wire, revision: Partial<Revision>, route: RoutePlan | null = null): Exchange {
  const x = new Exchange(0);
  x.begin(wire, revision as Revision);
  x.route = route;
  x.now = x.startedAt = Date.now();
  x.secure = wire.secure;
  return x;
}
