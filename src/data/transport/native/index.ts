/**
 * The native transport: the engine of native/transport moves the bytes on this thread, and tells once in a turn of the loop what has become of requests. Here its events become
 * calls of the pipeline, and the pipeline's verdicts words in the memory that both share.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { present } from '../../../base/assert.ts';
import type { TransportAddon, TransportEngine } from '../../../native/transport.ts';
import type { WafAddon } from '../../../native/waf.ts';
import type { CompressPlan } from '../../../snapshot/route-plans.ts';
import type { DownstreamPlan, ListenerPlan, ListenerTls } from '../../../snapshot/listener-plans.ts';
import type { EndpointPlan } from '../../../snapshot/cell-plans.ts';
import { REFUSAL_LIST, REFUSALS, refusalBody, SHED_RETRY_AFTER_S } from '../../refusal.ts';
import { requestIdPrefix } from '../../request-id.ts';
import type {
  Compressed,
  Ending,
  TlsFacts,
  Transport,
  TransportEvents,
  TransportMaker,
  UnreadShed,
} from '../transport.ts';
import { FailReason } from '../transport.ts';
import { Compressions } from './compressions.ts';
import { Endpoints } from './endpoints.ts';
import type { Chunk } from './fields.ts';
import { FAULT_ROWS } from './head.ts';
import { Identity } from './identity.ts';
import { CHUNK_SLOTS, Event, EVENT_WORDS, FIELDS_AT, HEAD_AT, SLOT_BYTES, Word } from './layout.ts';
import { openListener, renewTls } from './listener.ts';
import { Texts } from './texts.ts';
import type { WireHost } from './wire.ts';
import { NativeWire } from './wire.ts';

/** Exchanges beyond those of the pipeline: what it turns away is still answered. */
const TURNED_AWAY_MAX = 1_024;
/** Between two looks at whether all have what they were told, ms. */
const DRAIN_LOOK_MS = 20;
/** 2^32: what the high word of a count counts. */
const HIGH = 0x1_0000_0000;
/** Bits of an ending's word: status, and whose fault it was. */
const STATUS_BITS = 0xffff;
const UPSTREAM_FAULT = 1 << 16;
/** Bits of a failed attempt's word: it can safely be sent again; all of it is here. */
const SAFE = 1;
const WHOLE = 2;
/** Of two attempts the other one goes on; and it was the hedge that failed. */
const OTHER_GOES_ON = 4;
const WAS_HEDGE = 8;
/** Who has brought the head. */
const BY_HEDGE = 2;

/** What of the addon it needs: traffic, and to tell the WAF where heads lie. */
export type NativeAddon = TransportAddon & Pick<WafAddon, 'wafHeadMemory'>;

export interface NativeBounds {
  /** Exchanges that the pipeline takes at once. */
  readonly exchangesMax: number;
  readonly downstream: DownstreamPlan;
  /** First part of request ids, 6 hexadecimal digits. */
  readonly instance: string;
}

/** Makes the transport of one lane. */
export function makeNativeTransport(addon: NativeAddon, bounds: NativeBounds): TransportMaker {
  return (setup) => Promise.resolve(new NativeTransport(addon, setup.events, bounds, setup.laneIndex));
}

class NativeTransport implements Transport, WireHost {
  readonly events: TransportEvents;
  readonly engine: TransportEngine;
  readonly identity: Identity;
  readonly listeners: ListenerPlan[] = [];
  readonly unread: UnreadShed;
  readonly #addon: NativeAddon;
  readonly #endpoints: Endpoints;
  readonly #compressions: Compressions;
  readonly #verdicts: Int32Array;
  readonly #told: Int32Array;
  readonly #chunks: Chunk[] = [];
  readonly #texts = new Texts();
  /** By slot; made at the slot's first use. */
  readonly #wires: NativeWire[] = [];
  readonly #ending: Ending = { status: 0, bytesIn: 0, bytesOut: 0 };
  #open = 0;
  #inTurn = false;
  #flushing = false;
  #closed = false;
  #settling: NativeWire[] = [];
  #settlingUse: number[] = [];

  constructor(addon: NativeAddon, events: TransportEvents, bounds: NativeBounds, laneIndex: number) {
    const { downstream } = bounds;
    const idPrefix = requestIdPrefix(bounds.instance, laneIndex);
    this.events = events;
    this.identity = new Identity(idPrefix);
    this.#addon = addon;
    this.engine = new addon.TransportEngine(
      {
        exchangesMax: bounds.exchangesMax + TURNED_AWAY_MAX,
        connectionsMax: downstream.connectionsMax,
        connectionsPerAddressMax: downstream.connectionsPerAddressMax,
        handshakeMs: downstream.handshakeTimeoutMs,
        headMs: downstream.headTimeoutMs,
        idleMs: downstream.idleTimeoutMs,
        writeMs: downstream.writeTimeoutMs,
        bodyRateMin: downstream.bodyRateMin,
        refusals: REFUSAL_LIST.map((row) => {
          const [beforeId = '', afterId = ''] = refusalBody(row, PLACE_OF_ID).split(PLACE_OF_ID);
          return { status: row.status, beforeId, afterId, close: row.close };
        }),
        internalRow: REFUSALS.internal_error.index,
        shed: {
          row: REFUSALS.shed.index,
          retryAfterS: SHED_RETRY_AFTER_S,
          idPrefix,
        },
      },
      (count) => this.#turn(count),
    );
    const { engine } = this;
    this.unread = { set: (share) => engine.setShed(share), take: () => engine.takeShed() };
    this.#endpoints = new Endpoints(engine);
    this.#compressions = new Compressions(this.engine);
    this.#verdicts = this.engine.verdicts();
    const told = this.engine.events();
    this.#told = new Int32Array(told.buffer, told.byteOffset, told.byteLength / Int32Array.BYTES_PER_ELEMENT);
  }

  // ——— Transport ———

  async listen(plan: ListenerPlan, inherited = 0): Promise<number> {
    const number = this.listeners.push(plan) - 1;
    return openListener(this.engine, number, plan, inherited);
  }

  sendListeners(inbox: string): number {
    return this.engine.sendListeners(inbox);
  }

  setTls(listener: string, tls: ListenerTls): void {
    const number = this.listeners.findIndex(({ id }) => id === listener);
    renewTls(this.engine, number, present(this.listeners[number], listener), tls);
  }

  retain(endpoints: readonly EndpointPlan[]): void {
    this.#endpoints.retain(endpoints);
  }

  async drain(deadlineMs: number): Promise<void> {
    const until = performance.now() + deadlineMs;
    this.engine.drain();
    const owes = (): boolean => !this.#closed && (this.#open > 0 || this.engine.leaving() > 0);
    while (owes() && performance.now() < until) await sleep(DRAIN_LOOK_MS);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#endpoints.close();
    const from = this.engine.close();
    // What was open ends as aborted, told as everything is: not from within this call.
    queueMicrotask(() => this.#hearLast(from));
  }

  get compressed(): Compressed | null {
    return this.#compressions.any ? this.engine.compressed() : null;
  }

  get openExchanges(): number {
    return this.#open;
  }

  readonly waitedMs = (): number => this.engine.waitedMs();

  get openConnections(): number {
    return this.engine.openConnections();
  }

  // ——— WireHost ———

  facts(slot: number): TlsFacts | null {
    const facts = this.engine.facts(slot);
    if (facts === null) return null;
    const { version, cipher, serverName, alpn, ja4, clientSubject, clientNames, clientFingerprint } = facts;
    const client =
      clientFingerprint === undefined
        ? null
        : { subject: clientSubject ?? '', sans: clientNames ?? [], fingerprint: clientFingerprint };
    return { version, cipher, serverName, alpn, ja4, client };
  }

  endpoint(plan: EndpointPlan): number {
    return this.#endpoints.number(plan);
  }

  compression(plan: CompressPlan): number {
    return this.#compressions.number(plan);
  }

  decided(slot: number): void {
    const verdicts = this.#verdicts;
    const count = (verdicts[0] as number) + 1;
    verdicts[count] = slot;
    verdicts[0] = count;
    if (this.#inTurn || this.#flushing) return;
    this.#flushing = true;
    queueMicrotask(this.#flush);
  }

  later(wire: NativeWire, generation: number): void {
    if (this.#settling.length === 0) queueMicrotask(this.#settle);
    this.#settling.push(wire);
    this.#settlingUse.push(generation);
  }

  // ——— within ———

  readonly #flush = (): void => {
    this.#flushing = false;
    this.engine.flush();
  };

  readonly #settle = (): void => {
    const wires = this.#settling;
    const uses = this.#settlingUse;
    this.#settling = [];
    this.#settlingUse = [];
    for (let i = 0; i < wires.length; i++) (wires[i] as NativeWire).settle(uses[i] as number);
  };

  /** One turn of the loop. The engine takes the verdicts when it returns, and after the microtasks. */
  #turn(count: number): void {
    this.#inTurn = true;
    try {
      this.#hear(0, count);
    } finally {
      this.#inTurn = false;
    }
  }

  #hearLast(from: number): void {
    for (let at = from; ; at = 0) {
      const to = this.engine.lastEvents();
      if (to <= at) break;
      this.#hear(at, to);
      this.engine.told();
    }
  }

  /** Hears events; all of them, whatever one of them makes others throw. */
  #hear(from: number, to: number): void {
    let failed = false;
    let failure: unknown;
    for (let i = from; i < to; i++) {
      try {
        this.#event(i * EVENT_WORDS);
      } catch (error) {
        if (!failed) failure = error;
        failed = true;
      }
    }
    if (failed) throw failure;
  }

  #event(at: number): void {
    const told = this.#told;
    const kind = told[at] as number;
    const slot = told[at + 1] as number;
    if (kind === Event.CHUNK) {
      this.#learnChunk(slot);
      return;
    }
    const wire = this.#wires[slot] ?? this.#makeWire(slot);
    if (kind === Event.BEGIN) {
      this.#open++;
      wire.begin();
      return;
    }
    if (!wire.live || (told[at + 2] as number) !== wire.generation) return;
    const { exchange } = wire;
    const word = told[at + 3] as number;
    switch (kind) {
      case Event.BODY:
      case Event.ANSWER_BODY:
        wire.bodyReady();
        break;
      case Event.FAILED:
        if (((told[at + 4] as number) & OTHER_GOES_ON) !== 0) {
          this.#attemptFailed(wire, at);
          break;
        }
        if (word === FailReason.Connect && wire.endpoint !== null) this.#endpoints.unreachable(wire.endpoint);
        if (exchange !== null) {
          const again = told[at + 4] as number;
          const why = told[at + 5] === 0 ? '' : this.engine.failure(slot);
          this.events.failed(exchange, word as FailReason, (again & SAFE) !== 0, (again & WHOLE) !== 0, why);
        }
        break;
      case Event.HEAD:
        if (exchange !== null) this.events.head(exchange, word, told[at + 6] === BY_HEDGE);
        if (told[at + 4] !== 0) wire.shown(told[at + 5] !== 0);
        break;
      case Event.HEDGE:
        if (exchange !== null) this.events.hedgeDue(exchange);
        break;
      case Event.REFUSED:
        if (exchange !== null) this.events.refused(exchange, FAULT_ROWS[word] ?? REFUSALS.bad_request);
        break;
      case Event.FINISHED:
        if (exchange !== null) this.events.finished(exchange, this.#endingOf(at));
        this.#over(wire);
        break;
      case Event.ABORTED:
        if (exchange !== null) this.events.aborted(exchange, this.#endingOf(at), (word & UPSTREAM_FAULT) !== 0);
        this.#over(wire);
        break;
    }
  }

  /** Of two attempts one failed: from here on the wire has one. */
  #attemptFailed(wire: NativeWire, at: number): void {
    const told = this.#told;
    const hedge = ((told[at + 4] as number) & WAS_HEDGE) !== 0;
    const reason = told[at + 3] as FailReason;
    const whose = hedge ? wire.hedgeEndpoint : wire.endpoint;
    if (reason === FailReason.Connect && whose !== null) this.#endpoints.unreachable(whose);
    if (!hedge) wire.endpoint = wire.hedgeEndpoint;
    wire.hedgeEndpoint = null;
    if (wire.exchange !== null) this.events.attemptFailed(wire.exchange, hedge, reason, told[at + 5] as number);
  }

  #over(wire: NativeWire): void {
    this.#open--;
    wire.release();
  }

  #endingOf(at: number): Ending {
    const told = this.#told;
    const ending = this.#ending;
    ending.status = (told[at + 3] as number) & STATUS_BITS;
    ending.bytesIn = ((told[at + 4] as number) >>> 0) + ((told[at + 5] as number) >>> 0) * HIGH;
    ending.bytesOut = ((told[at + 6] as number) >>> 0) + ((told[at + 7] as number) >>> 0) * HIGH;
    return ending;
  }

  #learnChunk(number: number): void {
    const memory = this.engine.chunk(number);
    const { buffer, byteOffset, byteLength } = memory;
    this.#chunks[number] = {
      words: new Int32Array(buffer, byteOffset, byteLength / Int32Array.BYTES_PER_ELEMENT),
      bytes: Buffer.from(buffer, byteOffset, byteLength),
      view: new DataView(buffer, byteOffset, byteLength),
      number: this.#addon.wafHeadMemory(
        memory,
        SLOT_BYTES,
        Word.FIELD_COUNT * Int32Array.BYTES_PER_ELEMENT,
        FIELDS_AT,
        HEAD_AT,
      ),
      texts: this.#texts,
    };
  }

  #makeWire(slot: number): NativeWire {
    const place = slot % CHUNK_SLOTS;
    const chunk = this.#chunks[(slot - place) / CHUNK_SLOTS] as Chunk;
    const wire = new NativeWire(this, chunk, slot, place);
    this.#wires[slot] = wire;
    return wire;
  }
}

/** Stands for the request id where a refusal is rendered once. */
const PLACE_OF_ID = '\u0000';
