/**
 * The seam between bytes and decisions (docs/transport.md). A transport turns bytes into exchanges and answers into bytes;
 * it knows nothing of routes, tokens or policies. One class per transport and one transport per process, so that call sites
 * stay monomorphic. No stage may know which transport serves.
 */
import type { Exchange } from '../exchange.ts';
import type { RefusalRow } from '../refusal.ts';
import type { NewTrace } from '../trace-context.ts';
import type { CompressPlan, HeaderEdits } from '../../snapshot/route-plans.ts';
import type { EndpointPlan } from '../../snapshot/cell-plans.ts';
import type { ListenerPlan, ListenerTls } from '../../snapshot/listener-plans.ts';

/** How the request's body is framed. */
export const BodyKind = { None: 0, Length: 1, Chunked: 2 } as const;
export type BodyKind = (typeof BodyKind)[keyof typeof BodyKind];

/** Answer of `inspectBody`. */
export const BodyState = {
  /** `wire.body` is complete (perhaps empty). */
  Complete: 0,
  /** `wire.body` holds the first `limit` bytes; more follow. */
  Cut: 1,
  /** Still arriving: the stage says Wait; the transport wakes the exchange. */
  Pending: 2,
} as const;
export type BodyState = (typeof BodyState)[keyof typeof BodyState];

/** Answer of `UpstreamAnswer.inspectBody`. */
export const AnswerState = {
  /** `body` is all of it (perhaps empty). */
  Complete: 0,
  /** `body` holds the first `limit` bytes; more follow. */
  Cut: 1,
  /** Still arriving: the stage says Wait; the transport wakes the exchange. */
  Pending: 2,
  /** A body that is never held back: event streams, gRPC, ranges (`passing.ts`). It goes on as it comes. */
  Passes: 3,
  /** The lane holds as much as it may; `body` is what has come so far. */
  NoRoom: 4,
} as const;
export type AnswerState = (typeof AnswerState)[keyof typeof AnswerState];

/** Why an attempt failed after the hand-over. */
export const FailReason = {
  Connect: 0,
  Reset: 1,
  Invalid: 2,
  Timeout: 3,
  Busy: 4,
} as const;
export type FailReason = (typeof FailReason)[keyof typeof FailReason];

/** How an exchange ended, as `finished` and `aborted` tell it. */
export interface Ending {
  /** Status that the client saw; 0 when no head was sent. */
  status: number;
  /** Bytes of the request body taken from the client. */
  bytesIn: number;
  /** Bytes of the response body handed to the client. */
  bytesOut: number;
}

/** What the TLS handshake of a connection told. */
export interface TlsFacts {
  /** `TLSv1.3` or `TLSv1.2`. */
  readonly version: string;
  /** IANA name of the cipher suite. */
  readonly cipher: string;
  /** Server name that the client asked for, lower case; empty when it named none. */
  readonly serverName: string;
  /** Protocol agreed upon (RFC 7301): `h2`, `http/1.1`; empty when none was. */
  readonly alpn: string;
  /** JA4 fingerprint of the ClientHello; empty when it was not seen. */
  readonly ja4: string;
  /** The client's certificate, verified; null when it has shown none. */
  readonly client: TlsClient | null;
}

export interface TlsClient {
  /** Subject as RFC 4514 text (`CN=alice,O=Example`); empty when it has none. */
  readonly subject: string;
  /** Alternative names, each with its kind: `DNS:…`, `IP:…`, `email:…`, `URI:…`. */
  readonly sans: readonly string[];
  /** SHA-256 of the certificate in DER, lower-case hex. */
  readonly fingerprint: string;
}

/**
 * The upstream's answer while nothing of it has gone out: what `ForwardPlan.showAnswer` asks for. Readable from the pipeline's `shown` until the stage has decided.
 * Texts are made when asked for, as those of requests.
 */
export interface UpstreamAnswer {
  /** 200 to 599. */
  readonly status: number;
  /** `HTTP/1.0`, `HTTP/1.1` or `HTTP/2.0`, as rules of the WAF call them; always `HTTP/1.1` where the transport cannot tell. */
  readonly protocol: string;
  /** `Chunked`: of no declared length, however it is framed. */
  readonly bodyKind: BodyKind;
  /** Declared length in bytes; 0 unless `bodyKind` is `Length`. */
  readonly bodyLength: number;
  /** As of requests. */
  readonly headerCount: number;
  readonly fieldBytes: number;
  headerName(index: number): string;
  headerValue(index: number): string;
  header(name: string): string | undefined;
  repeats(name: string): boolean;
  /**
   * Asks for up to `limit` bytes of the body, which is held back meanwhile. `Pending` means: say Wait; the transport wakes the exchange when the body is complete, cut at the limit,
   * or finds no room; when it breaks off or takes too long, the attempt has failed. Calling again is cheap. `part`: a range (206) is held too, for who keeps parts.
   */
  inspectBody(limit: number, part?: boolean): AnswerState;
  /** What `inspectBody` collected. Under a native transport a copy is made here. */
  readonly body: Uint8Array;
  /** As of requests. */
  readonly inspectedBytes?: number;
  lendBody?(): number;
  /** The same, kept by the transport. Absent: it keeps none; null: it has no room. */
  keepBody?(): KeptBody | null;
}

/** A body that a transport keeps in its own memory: it is given once and answers many requests. */
export interface KeptBody {
  /** As the transport knows it. */
  readonly number: number;
  /** Bytes. */
  readonly length: number;
  /** No answer asks for it any more; those on their way have it. */
  letGo(): void;
}

/**
 * One request on the wire and the one way out of it. Valid from `pipeline.begin` until the transport's `finished` or `aborted` returned.
 * All strings are as received (latin1, one char per byte) unless the name says otherwise; each is made at most once.
 */
export interface Wire {
  /** Request method, as received. */
  readonly method: string;
  /** `HTTP/1.0`, `HTTP/1.1` or `HTTP/2.0`, as rules of the WAF call them; always `HTTP/1.1` where the transport cannot tell. */
  readonly protocol: string;
  /** `https` when the bytes came through TLS. */
  readonly secure: boolean;
  /** Authority as received: the Host header, or the target's authority in absolute-form. May be empty. */
  readonly host: string;
  /** Path of the target as received, before any decoding; begins with `/`, or is `*`. */
  readonly path: string;
  /** Query of the target as received, without `?`; empty when there is none. */
  readonly query: string;
  /** Address of the peer socket, 4 or 16 bytes; never a header's claim. */
  readonly peerAddress: Uint8Array;
  readonly peerPort: number;
  /** Local port that accepted the connection. */
  readonly localPort: number;
  /** The listener that accepted it, the same object for all of its requests. */
  readonly listener: ListenerPlan;
  /** Server name of the TLS handshake; empty when absent or unknown to the transport. */
  readonly serverName: string;
  /** Facts of the TLS handshake, made when first asked for and kept with the connection; null without TLS, or when the transport knows none. */
  readonly tls: TlsFacts | null;
  readonly bodyKind: BodyKind;
  /** Declared length in bytes; 0 unless `bodyKind` is `Length`. */
  readonly bodyLength: number;
  /** True when the client asked for a WebSocket (RFC 6455 handshake, GET, version 13). */
  readonly websocket: boolean;

  /**
   * What only the transport can see to be wrong with this message (framing, header syntax, repeated Host ...); normalize refuses it first.
   * The wire is still readable, so that the refusal is recorded.
   */
  readonly fault: RefusalRow | null;

  /** Number of header fields; `headerName(i)` is lower-case, order is the wire's, repeated names are visible. */
  readonly headerCount: number;
  /** Bytes of all field names and values together. */
  readonly fieldBytes: number;
  headerName(index: number): string;
  headerValue(index: number): string;
  /** First value of a field by its lower-case name; undefined when absent. */
  header(name: string): string | undefined;
  /** True when more than one field has this lower-case name. */
  repeats(name: string): boolean;
  /** True when a field's name is another one than this lower-case name by underscores for hyphens alone (or hyphens for underscores): `x_tenant` beside `x-tenant`. */
  hasAlias(name: string): boolean;

  /**
   * Where the fields lie for native code: number of the memory (`wafHeadMemory` of native/waf.ts) and place in it; -1 or absent when they exist only in
   * JavaScript.
   */
  readonly headMemory?: number;
  readonly headPlace?: number;

  /**
   * Asks for up to `limit` bytes of the body. `Pending` means: say Wait; the transport wakes the exchange when the body is complete, cut at
   * the limit, or its deadline passed (then it refuses by itself). Calling again is cheap and idempotent for an equal limit.
   */
  inspectBody(limit: number): BodyState;
  /** What `inspectBody` collected. Under a native transport a copy is made here, so call it only to see bytes. */
  readonly body: Uint8Array;
  /** Bytes of `body`, without a copy; absent where there is no need of one. */
  readonly inspectedBytes?: number;
  /** Number by which native code of any thread reads `body` where it lies, until the exchange is over (`WafLentBody` of native/waf.ts); 0 or absent: it is in JavaScript only. */
  lendBody?(): number;

  /** Sets a header field of the upstream request, replacing all of that name. Hop-by-hop names are refused (false), as are control bytes. */
  setUpstreamHeader(name: string, value: string): boolean;
  /**
   * Says which request this is, as `setUpstreamHeader` and `setAnswerHeader` would, but at once: `x-request-id` to the upstream and in the answer, and to the upstream `traceparent`
   * when a trace begins. `id` is what `request-id.ts` makes of the lane and `seq`.
   */
  identify(id: string, seq: number, trace: NewTrace | null): void;
  /** Adds a header field to the upstream request, keeping those of that name. False as above. */
  addUpstreamHeader(name: string, value: string): boolean;
  /** Removes a header field from the upstream request. */
  removeUpstreamHeader(name: string): void;
  /** Sets a header field of the answer, replacing the upstream's, also on refusals. False as above. */
  setAnswerHeader(name: string, value: string): boolean;
  /** Adds a header field to the answer. */
  addAnswerHeader(name: string, value: string): boolean;
  /** Sets a header field of the answer unless the upstream says it. False as above. */
  defaultAnswerHeader(name: string, value: string): boolean;
  /** Adds to the list that the field of the upstream's answer holds (RFC 9110 §5.3). False as above. Once for a name. */
  appendAnswerHeader(name: string, value: string): boolean;
  /** Removes a header field of the upstream's answer. */
  removeAnswerHeader(name: string): void;
  /**
   * Several edits of the upstream request at once, in the order of `applyEdits`. False as above when one of them is refused. For lists that are used again
   * and again, as a route's are: a transport may keep its own form of the object, which must not change.
   */
  editRequest(edits: HeaderEdits): boolean;
  /** An edit of the upstream request found no room: sent like this, a field of the client's would pass for one of ours. */
  readonly requestEditsLost: boolean;
  /** `editRequest` for the answer. */
  editAnswer(edits: HeaderEdits): boolean;

  /** The answer is compressed as the plan says, if the client asks for it and the answer allows it; also one of our own (`answer`), never a refusal. */
  compressAnswer(plan: CompressPlan): void;

  /**
   * Way out 1: send the request to an endpoint and stream the answer back. `target` is the path and query to ask for, `authority` the Host to
   * send. May be called again for the same exchange after the pipeline's `failed` said that it is replayable or whole, and instead of an answer that was `shown` with `whole`.
   */
  forward(plan: ForwardPlan): void;
  /**
   * Beside an attempt that is under way a second one, to another endpoint; only from within `TransportEvents.hedgeDue`. Of the plan only endpoint, target, authority and the
   * deadlines until the head count. The first head has the exchange, and the other attempt is cancelled. Absent: the transport makes one attempt at a time.
   */
  hedge?(plan: ForwardPlan): void;
  /** Way out 2: one of our own refusals, rendered as problem+json or in the words of `page`; honours HEAD and `row.close`, and says that no cache keeps it. A gRPC call gets its own form. */
  refuse(row: RefusalRow, requestId: string, page?: OwnPage | null): void;
  /** Way out 3: a complete answer (redirect, direct answer, one out of a store). The status is the operator's or the upstream's. Without `contentType` none is said. */
  answer(status: number, contentType: string, body: string | Uint8Array): void;
  /** Keeps a body for answers to come. Absent, null: as `UpstreamAnswer.keepBody`. */
  keepBody?(body: Uint8Array): KeptBody | null;
  /** As `answer`, with a part of a body that this transport keeps; nothing of it is copied. False: it is kept no more, and nothing has happened. */
  answerKept?(status: number, contentType: string, body: KeptBody, from: number, to: number): boolean;
  /** The answer that was shown. Only between the pipeline's `shown` and the way out. */
  readonly upstreamAnswer: UpstreamAnswer;
  /** Way out 4, after `shown`: the upstream's answer goes on, with the edits of the answer. The others may be taken instead: then it is dropped. */
  pass(): void;
}

/** What takes the place of a refusal's problem+json. */
export interface OwnPage {
  readonly contentType: string;
  readonly body: string;
}

/** What `forward` needs; one object per exchange, reused between attempts. */
export interface ForwardPlan {
  endpoint: EndpointPlan;
  /** Path and query of the upstream request. */
  target: string;
  /** Host of the upstream request. */
  authority: string;
  /** Until the TCP (and TLS) connection stands, ms. */
  connectTimeoutMs: number;
  /** Until the response head has arrived, ms. */
  headTimeoutMs: number;
  /** Longest silence in the response body, ms; 0 = none. */
  idleTimeoutMs: number;
  /** From now until the answer is over, ms; 0 = none. */
  totalTimeoutMs: number;
  /** Largest request body, bytes; beyond it `body_too_large`. */
  bodyBytesMax: number;
  /** The answer's head is shown before it goes on (`TransportEvents.shown`). Not when it agrees to another protocol (101). */
  showAnswer: boolean;
  /** Trailers of the request go on behind its body; else they end here (RFC 9110 §6.5.1 lets a proxy do so). */
  trailers: boolean;
  /** Without a response head so long after the hand-over `TransportEvents.hedgeDue` is told, ms; 0 = never. Only where the transport has `Wire.hedge`. */
  hedgeAfterMs: number;
}

/** What the transport calls. The pipeline is the only implementation; all of it is synchronous and never throws. */
export interface TransportEvents {
  /** A request head has arrived. Runs the stages. Returns the exchange, or null when it was refused at once for lack of room. */
  begin(wire: Wire): Exchange | null;
  /** What a stage waited for has arrived (`x.ticket` at the time of asking); a late ticket is dropped. */
  wake(x: Exchange, ticket: number): void;
  /**
   * An attempt failed before any byte of the answer was sent. `replayable`: the request can safely be sent again by the transport. `whole`: all of it is still
   * here, so that it can be sent again if that is safe for other reasons. `why`: what more is known, for the record only.
   */
  failed(x: Exchange, reason: FailReason, replayable: boolean, whole?: boolean, why?: string): void;
  /** There is no response head after `ForwardPlan.hedgeAfterMs`, and all of the request is still here: `Wire.hedge` may be called, now or not at all. */
  hedgeDue(x: Exchange): void;
  /**
   * One of two attempts failed, the hedge or the first, and the other goes on. `status`: it did not fail, but was answered so (502 to 504), which is passed over for what the
   * other will say; else 0.
   */
  attemptFailed(x: Exchange, hedge: boolean, reason: FailReason, status: number): void;
  /**
   * The response head has arrived from upstream (status as sent), before it goes to the client. Timing and passive health hang on it. `byHedge`: of two attempts the hedge has
   * brought it; the other one is cancelled.
   */
  head(x: Exchange, status: number, byHedge?: boolean): void;
  /** Follows `head` when `showAnswer` was said: nothing of the answer goes out before a way out is taken. `whole`: as of `failed`; then `forward` is one of them. */
  shown(x: Exchange, whole?: boolean): void;
  /** The request cannot go on because of what the transport saw (body too large, deadline, framing): answer this refusal. */
  refused(x: Exchange, row: RefusalRow): void;
  /** The last byte was handed to the client. The exchange is recycled: the transport lets go of it. */
  finished(x: Exchange, ending: Ending): void;
  /** The client went away, or the answer broke off after its head was sent (`upstreamFault`). The exchange is recycled. */
  aborted(x: Exchange, ending: Ending, upstreamFault: boolean): void;
}

/** What was compressed, by algorithm in the order of `COMPRESSED_BY` (src/snapshot/lane-columns.ts). */
export interface Compressed {
  readonly answers: readonly number[];
  readonly bytesIn: readonly number[];
  readonly bytesOut: readonly number[];
  /** Answers that stayed as they were for want of memory. */
  readonly busy: number;
}

/** Requests that the transport turns away by itself, as `REFUSALS.shed`, as soon as their head is read: they are never told. */
export interface UnreadShed {
  /** From now on this share of them, 0 to 1. Chance says which. */
  set(share: number): void;
  /** How many since the last call. */
  take(): number;
}

/** One transport in one lane. */
export interface Transport {
  /**
   * Opens a listener and tells the port it got. Rejects with a clear error when the port cannot be bound or the certificate cannot be read. With `inherited` it takes so
   * many sockets of a former process instead, which main has received.
   */
  listen(listener: ListenerPlan, inherited?: number): Promise<number>;
  /** Sends copies of its listening sockets to another process's inbox and goes on accepting; how many. Throws when it cannot. */
  sendListeners(inbox: string): number;
  /** Other certificates for new connections of a listener, by its id; open ones stay. Throws when they cannot be used: nothing has changed then. */
  setTls(listener: string, tls: ListenerTls): void;
  /** Closes upstream connections of endpoints that are in no live snapshot any more, once idle. */
  retain(endpoints: readonly EndpointPlan[]): void;
  /** Stops accepting, asks keep-alive clients to leave; resolves when no exchange is open and nothing that was said is still on its way, as far as the transport knows, or after `deadlineMs`. */
  drain(deadlineMs: number): Promise<void>;
  /** Closes everything at once. After this the thread can end. */
  close(): void;
  /** What it has compressed since it was made; null: nothing. Made at each look. */
  readonly compressed: Compressed | null;
  /** Exchanges that are open now. */
  readonly openExchanges: number;
  /** Downstream connections that are open now. */
  readonly openConnections: number;
  /** The least time since the last call that a request that is ready waited to be read, ms; 0: there is no queue of requests; negative: nothing is known yet. Null: it is not measured. */
  readonly waitedMs: (() => number) | null;
  /** Null: all requests are told. */
  readonly unread: UnreadShed | null;
}

/** What a transport is made of. */
export interface TransportSetup {
  readonly events: TransportEvents;
  readonly laneIndex: number;
}
export type TransportMaker = (setup: TransportSetup) => Promise<Transport>;
