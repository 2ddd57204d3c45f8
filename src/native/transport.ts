/**
 * What the addon offers for traffic: an engine of sockets in the thread that makes it, hung into that thread's loop. It shares memory with JavaScript (native/transport/src/layout.rs
 * and src/data/transport/native/layout.ts): it tells events there and takes verdicts from there. Once in a turn of the loop it calls `onTurn` with all events.
 */

/** One of our own refusals, rendered once. */
export interface TransportRefusal {
  readonly status: number;
  /** Body up to the request id, and after it. */
  readonly beforeId: string;
  readonly afterId: string;
  /** The connection cannot be used again. */
  readonly close: boolean;
}

/** How requests are turned away before they are told. */
export interface TransportShed {
  /** Number of the refusal. */
  readonly row: number;
  /** Time after which a client may come again, seconds. */
  readonly retryAfterS: number;
  /** What their request ids begin with; `s` and a number follow. */
  readonly idPrefix: string;
}

export interface TransportOptions {
  /** Exchanges open at once; beyond it connections are closed unanswered. */
  readonly exchangesMax: number;
  /** By the number that a verdict names. */
  readonly refusals: readonly TransportRefusal[];
  /** The refusal of what was left undecided when `onTurn` threw. */
  readonly internalRow: number;
  /** Downstream connections open at once, and of these from one client (IPv6: one /64). */
  readonly connectionsMax: number;
  readonly connectionsPerAddressMax: number;
  /** From accept to the end of the TLS handshake, ms. */
  readonly handshakeMs: number;
  /** From a head's first byte to its end, ms. */
  readonly headMs: number;
  /** Between two requests of a connection, ms. */
  readonly idleMs: number;
  /** A client that takes nothing of what waits for it, ms. */
  readonly writeMs: number;
  /** Slowest request body, bytes a second. */
  readonly bodyRateMin: number;
  readonly shed: TransportShed;
}

/** A certificate with its key, PEM; `names` empty: those of the certificate. */
export interface TransportCertificate {
  readonly chainPem: Uint8Array;
  readonly keyPem: Uint8Array;
  /** An OCSP response to staple, DER. */
  readonly ocspDer?: Uint8Array;
  readonly names: readonly string[];
}

export interface TransportTls {
  /** The first serves clients that name no server, or an unknown one. */
  readonly certificates: readonly TransportCertificate[];
  readonly minVersion: '1.2' | '1.3';
  readonly clientAuth: 'off' | 'optional' | 'required';
  readonly clientCaPem?: Uint8Array;
  /** IANA names in order of preference; empty: the provider's. */
  readonly cipherSuites: readonly string[];
}

export interface TransportListener {
  /** As requests name it. */
  readonly number: number;
  /** An address literal. */
  readonly address: string;
  /** 0 = any free one. */
  readonly port: number;
  readonly tls?: TransportTls;
  /** HTTP/2: by ALPN under TLS, by prior knowledge without. */
  readonly http2: boolean;
  /** Networks whose connections begin with a PROXY header (CIDRs). */
  readonly proxyFrom: readonly string[];
  /** So many inherited sockets of this address and port are taken instead of opening one; absent or 0: one is opened. */
  readonly inherited?: number;
}

export interface TransportEndpoint {
  /** Connections at once. */
  readonly connectionsMax: number;
  /** Requests that wait for one; absent: twice as many as connections, never fewer than 64. */
  readonly waitingMax?: number;
  readonly http2: boolean;
  readonly tls?: {
    readonly serverName: string;
    /** PEM; absent: the roots that browsers trust. */
    readonly caPem?: string;
    readonly chainPem?: string;
    readonly keyPem?: string;
  };
}

/** How answers are compressed. */
export interface TransportCompression {
  /** `gzip`, `br`, `zstd` in order of preference. */
  readonly algorithms: readonly string[];
  /** `text/html`, `text/*`, `*+json`. */
  readonly types: readonly string[];
  readonly bytesMin: number;
  /** Levels. */
  readonly gzip: number;
  readonly br: number;
  readonly zstd: number;
}

/** What was compressed; by algorithm: gzip, br, zstd. */
export interface TransportCompressed {
  readonly answers: readonly number[];
  readonly bytesIn: readonly number[];
  readonly bytesOut: readonly number[];
  /** Answers that stayed as they were for want of memory. */
  readonly busy: number;
}

/** What is known of a connection through its TLS handshake. */
export interface TransportFacts {
  readonly version: string;
  readonly cipher: string;
  readonly group: string;
  /** Empty when none was agreed upon. */
  readonly alpn: string;
  /** Empty when the client named none. */
  readonly serverName: string;
  readonly ja4: string;
  readonly resumed: boolean;
  /** Of a verified client certificate. */
  readonly clientSubject?: string;
  readonly clientNames?: readonly string[];
  readonly clientFingerprint?: string;
}

export interface TransportEngine {
  /** Slots that were decided: word 0 is their count, they follow. Room for each slot once. */
  verdicts(): Int32Array<ArrayBuffer>;
  /** Memory of the events. */
  events(): Uint8Array<ArrayBuffer>;
  /** Memory of a chunk of slots, once its event was told. Throws when there is no such chunk. */
  chunk(number: number): Uint8Array<ArrayBuffer>;
  /** Opens a listener, shared with other lanes on the same port; its port. Throws; `code` is `InvalidArg` when its TLS or networks cannot be used. */
  listen(listener: TransportListener): number;
  /** Sends copies of its listening sockets to the inbox of another process and goes on accepting; how many. Throws when nobody takes them. */
  sendListeners(inbox: string): number;
  /** Other certificates for new connections of a listener. Throws as `listen`. */
  setTls(number: number, http2: boolean, tls: TransportTls): void;
  /** Makes an endpoint known; its number. Requests for it wait until it has addresses. Throws when its certificates cannot be used. */
  endpoint(plan: TransportEndpoint): number;
  /** Where it is, as `1.2.3.4:80` and `[::1]:80`; none: its name has no address. */
  setAddresses(endpoint: number, addresses: readonly string[]): void;
  /** Its connections end once idle. */
  dropEndpoint(endpoint: number): void;
  /** What the last attempt of an exchange failed of, beyond the reason that was told; empty: no more is known. */
  failure(slot: number): string;
  /** Asks for up to `limit` bytes of a body; a `BodyState` in the three low bits, above them how many bytes are here. Pending: an event follows, if only the end. */
  inspect(slot: number, generation: number, limit: number): number;
  /** A copy of what was collected. */
  body(slot: number): Uint8Array;
  /** Number by which the WAF of any thread finds what was collected, without a copy, until the exchange is over; 0: none is here, or too much is lent. */
  lend(slot: number): number;
  /** As `lend`, of the answer's body. */
  lendAnswer(slot: number): number;
  /** Asks for up to `limit` bytes of the body of an answer that is shown; an `AnswerState`, as of `inspect`. Pending: an event follows. */
  inspectAnswer(slot: number, generation: number, limit: number): number;
  /** A copy of what was collected of it. */
  answerBody(slot: number): Uint8Array;
  /** The body of an answer of our own, before its verdict. */
  setAnswer(slot: number, body: Uint8Array): void;
  /** Keeps a body for answers to come, in native memory: its number; 0 when there are too many. */
  keep(body: Uint8Array): number;
  /** Keeps what was collected of an answer that is shown. As `keep`. */
  keepAnswer(slot: number): number;
  /** Bytes of a body that is kept; 0 when there is none of the number. */
  keptBytes(kept: number): number;
  /** Lets go of a body that is kept. Answers on their way have theirs. */
  letGo(kept: number): void;
  /** As `setAnswer`, with these bytes of a body that is kept; none is copied. False when there is none of the number, or it has no such bytes. */
  setKept(slot: number, kept: number, from: number, to: number): boolean;
  /** Makes a plan of compression known by a number from 1 to 1,024, which records name; an earlier one of the number is no more. Throws when there is no such number or algorithm. */
  setCompression(number: number, plan: TransportCompression): void;
  /** What was compressed so far. */
  compressed(): TransportCompressed;
  facts(slot: number): TransportFacts | null;
  /** Takes the verdicts that are listed; nothing within a turn, which takes them by itself. */
  flush(): void;
  openConnections(): number;
  /** The least time since the last call that a request that is ready waited to be read, ms; 0: there is no queue of requests; -1: nothing is known yet. Measured while it is asked once a second or more often. */
  waitedMs(): number;
  /** From now on this share of requests, 0 to 1, is turned away before it is told. */
  setShed(share: number): void;
  /** How many were since the last call. */
  takeShed(): number;
  /** Accepts no more, and asks clients to leave. */
  drain(): void;
  /** Clients from whom `close` could take something that they were told: when no exchange is open any more after `drain`, each of them leaves by itself or by a deadline. */
  leaving(): number;
  /** Closes everything. `onTurn` is not called any more: the last events begin at the number returned and end at `lastEvents()`. */
  close(): number;
  /** Only after `close`: so many events wait to be heard, those before the number that it returned included. */
  lastEvents(): number;
  /** Only after `lastEvents`: they were heard. */
  told(): void;
}

export interface TransportAddon {
  /** Makes the socket file at which this process gets the listening sockets of a former one. Throws when the path is taken or cannot be written. */
  inboxOpen(path: string): void;
  /** Takes in what has arrived; how many sockets lie here. Throws when anything else arrived. */
  inboxReceive(): number;
  /** How many of them listen there, and wait for a listener of a lane. */
  inboxCount(address: string, port: number): number;
  /** Closes the inbox and the sockets that no lane took. The file stays. */
  inboxClose(): void;
  /** Keys of the process's session tickets, for the process that follows: secrets. Throws when the system gives no randomness. */
  ticketKeys(): Uint8Array<ArrayBuffer>;
  /** Takes those of a former process, before anything listens; false: they are none, and nothing has changed. */
  takeTicketKeys(keys: Uint8Array): boolean;
  /** `onTurn(count)` hears the first `count` events. What it throws reaches `uncaughtException`, after what it left undecided was refused. */
  readonly TransportEngine: new (
    options: TransportOptions,
    onTurn: (count: number) => void,
  ) => TransportEngine;
}
