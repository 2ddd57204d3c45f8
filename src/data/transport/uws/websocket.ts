/**
 * WebSockets, relayed message by message: uWebSockets.js has no raw tunnel. The upstream handshake comes first, so that its refusal can still be an HTTP
 * answer; then both sides are joined.
 */
import { isIP } from 'node:net';
import type { IncomingMessage } from 'node:http';
import type {
  HttpResponse,
  us_socket_context_t as SocketContext,
  WebSocket as Socket,
  WebSocketBehavior,
} from 'uWebSockets.js';
import { WebSocket } from 'ws';
import type { ClientOptions, RawData } from 'ws';
import type { EndpointPlan } from '../../../snapshot/cell-plans.ts';
import type { ForwardPlan } from '../transport.ts';
import { isClaim } from '../claims.ts';
import { FailReason } from '../transport.ts';
import { hidden, VIA } from './answer-head.ts';
import {
  ANSWER_HEAD_BYTES_MAX,
  WEBSOCKET_DOWNSTREAM_BYTES_MAX,
  WEBSOCKET_IDLE_SECONDS,
  WEBSOCKET_MESSAGE_BYTES_MAX,
  WEBSOCKET_UPSTREAM_BYTES_MAX,
} from './bounds.ts';
import { endsHere } from '../fields.ts';
import type { Head } from './head.ts';
import type { HeaderEdits } from './header-edits.ts';

/** Body of an upstream's refusal of the handshake that is passed on, bytes. */
const REFUSAL_BYTES_MAX = 64 * 1024;
/** Close codes (RFC 6455 §7.4). */
const GOING_AWAY = 1001;
const NO_STATUS = 1005;
const ABNORMAL = 1006;
const TRY_AGAIN_LATER = 1013;
/** How long a closing handshake may take before the connection is cut, ms. */
const CLOSE_MS = 5_000;

/** A handshake to relay, and how its wire hears of it. */
export interface RelayRequest {
  readonly endpoint: EndpointPlan;
  readonly plan: ForwardPlan;
  readonly head: Head;
  readonly edits: HeaderEdits;
  readonly response: HttpResponse;
  readonly context: SocketContext;
  opened(): void;
  refused(status: number, headers: IncomingMessage['headers'], body: Buffer): void;
  failed(reason: FailReason): void;
  closed(bytesIn: number, bytesOut: number, upstreamFault: boolean): void;
}

export interface HandshakeInProgress {
  /** The client left, or a deadline passed. */
  cancel(): void;
}

/** User data of the downstream socket. */
interface Held {
  relay: Relay;
}

export class WebSocketRelays {
  readonly #open = new Set<Relay>();

  open(request: RelayRequest): HandshakeInProgress {
    return new Relay(request, this.#open);
  }

  /** Asks all clients to go elsewhere. */
  leave(): void {
    for (const relay of this.#open) relay.leave();
  }

  /** Cuts the upstream connections; the client's are the listener's to cut. */
  close(): void {
    for (const relay of this.#open) relay.cancel();
  }

  /** What uWebSockets.js needs to know for a listener. */
  behavior(upgrade: NonNullable<WebSocketBehavior<Held>['upgrade']>): WebSocketBehavior<Held> {
    return {
      maxPayloadLength: WEBSOCKET_MESSAGE_BYTES_MAX,
      // Never reached: the upstream is paused long before, and one more message fits.
      maxBackpressure: WEBSOCKET_DOWNSTREAM_BYTES_MAX + 2 * WEBSOCKET_MESSAGE_BYTES_MAX,
      closeOnBackpressureLimit: true,
      idleTimeout: WEBSOCKET_IDLE_SECONDS,
      sendPingsAutomatically: true,
      upgrade,
      open: (socket) => socket.getUserData().relay.join(socket),
      message: (socket, message, isBinary) => socket.getUserData().relay.fromClient(message, isBinary),
      drain: (socket) => socket.getUserData().relay.clientDrained(),
      close: (socket, code, reason) => socket.getUserData().relay.clientClosed(code, reason),
    };
  }
}

class Relay implements HandshakeInProgress {
  readonly #request: RelayRequest;
  readonly #upstream: WebSocket;
  readonly #all: Set<Relay>;
  #downstream: Socket<Held> | null = null;
  #settled = false;
  #bytesIn = 0;
  #bytesOut = 0;
  #paused = false;

  constructor(request: RelayRequest, all: Set<Relay>) {
    this.#request = request;
    this.#all = all;
    const { endpoint, plan, head } = request;
    const host = endpoint.host.includes(':') ? `[${endpoint.host}]` : endpoint.host;
    const url = `${endpoint.tls === null ? 'ws' : 'wss'}://${host}:${endpoint.port}${plan.target}`;
    // Passed on to node:http and node:tls.
    const options: ClientOptions & { servername?: string; maxHeaderSize: number } = {
      // Node takes lists of values too.
      headers: handshakeHeaders(head, request.edits, plan.authority) as Record<string, string>,
      // No handshakeTimeout: the wire's own deadline cancels the relay.
      perMessageDeflate: false,
      followRedirects: false,
      maxPayload: WEBSOCKET_MESSAGE_BYTES_MAX,
      maxHeaderSize: ANSWER_HEAD_BYTES_MAX,
    };
    if (endpoint.tls !== null) {
      options.servername = isIP(endpoint.tls.serverName) === 0 ? endpoint.tls.serverName : '';
      if (endpoint.tls.ca !== null) options.ca = endpoint.tls.ca;
      if (endpoint.tls.identity !== undefined) {
        options.cert = endpoint.tls.identity.chain;
        options.key = endpoint.tls.identity.key;
      }
    }
    const offered = head.value('sec-websocket-protocol');
    const protocols = offered === undefined ? [] : offered.split(',').map((one) => one.trim());
    this.#upstream = new WebSocket(url, protocols, options);
    all.add(this);
    this.#upstream.on('open', () => this.#accept());
    this.#upstream.on('unexpected-response', (_, answer: IncomingMessage) => this.#refusedBy(answer));
    this.#upstream.on('error', (error) => this.#broken(error));
    this.#upstream.on('message', (data, isBinary) => this.#fromUpstream(data, isBinary));
    this.#upstream.on('close', (code, reason) => this.#upstreamClosed(code, reason));
  }

  cancel(): void {
    this.#settled = true;
    this.#all.delete(this);
    this.#upstream.terminate();
  }

  leave(): void {
    if (this.#downstream === null) return;
    this.#upstream.close(GOING_AWAY);
    this.#downstream.end(GOING_AWAY);
  }

  /** The downstream socket stands. */
  join(socket: Socket<Held>): void {
    this.#downstream = socket;
  }

  fromClient(message: ArrayBuffer, isBinary: boolean): void {
    this.#bytesIn += message.byteLength;
    if (this.#upstream.readyState !== WebSocket.OPEN) return;
    // uWebSockets.js takes the memory back when this returns.
    const copy = Buffer.from(new Uint8Array(message));
    this.#upstream.send(copy, { binary: isBinary });
    if (this.#upstream.bufferedAmount > WEBSOCKET_UPSTREAM_BYTES_MAX) {
      this.#upstream.terminate();
      this.#downstream?.end(TRY_AGAIN_LATER);
    }
  }

  clientDrained(): void {
    if (!this.#paused || this.#downstream === null) return;
    if (this.#downstream.getBufferedAmount() > WEBSOCKET_DOWNSTREAM_BYTES_MAX / 2) return;
    this.#paused = false;
    this.#upstream.resume();
  }

  clientClosed(code: number, reason: ArrayBuffer): void {
    this.#downstream = null;
    const upstreamFault = this.#upstream.readyState === WebSocket.CLOSED && !this.#settled;
    if (this.#upstream.readyState === WebSocket.OPEN) {
      if (code === ABNORMAL) this.#upstream.terminate();
      else {
        if (this.#paused) this.#upstream.resume();
        // What may not be sent in a Close frame (1005 and the like) is sent as none.
        if (sendable(code)) this.#upstream.close(code, Buffer.from(new Uint8Array(reason)));
        else this.#upstream.close();
        setTimeout(() => this.#upstream.terminate(), CLOSE_MS).unref();
      }
    }
    this.#all.delete(this);
    if (this.#settled) return;
    this.#settled = true;
    this.#request.closed(this.#bytesIn, this.#bytesOut, upstreamFault && this.#fault);
  }

  #fault = false;

  /** The upstream took the handshake: take the client's. */
  #accept(): void {
    if (this.#settled) {
      this.#upstream.terminate();
      return;
    }
    const { head, response, context } = this.#request;
    this.#request.opened();
    const held: Held = { relay: this };
    response.cork(() => {
      response.writeStatus('101 Switching Protocols');
      response.writeHeader('via', VIA);
    });
    // Not within cork(): where the socket's memory grows in place, cork() takes the new WebSocket for the old response afterwards, and may
    // close it: about one in ten of a lane's first ones were. uWebSockets.js warns of that once, on standard error.
    response.upgrade(held, head.value('sec-websocket-key') ?? '', this.#upstream.protocol, '', context);
  }

  #refusedBy(answer: IncomingMessage): void {
    const chunks: Buffer[] = [];
    let bytes = 0;
    answer.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes <= REFUSAL_BYTES_MAX) chunks.push(chunk);
      else answer.destroy();
    });
    answer.on('error', () => this.#fail(FailReason.Invalid));
    answer.on('close', () => {
      if (!answer.complete) this.#fail(FailReason.Invalid);
      else if (!this.#settled) {
        this.#settled = true;
        this.#all.delete(this);
        this.#request.refused(answer.statusCode ?? 0, answer.headers, Buffer.concat(chunks));
      }
    });
  }

  #broken(error: Error): void {
    this.#fault = true;
    if (this.#downstream !== null) return; // 'close' follows
    const code = (error as { code?: string }).code;
    this.#fail(code !== undefined && CONNECT_ERRORS.has(code) ? FailReason.Connect : FailReason.Invalid);
  }

  #fail(reason: FailReason): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#all.delete(this);
    this.#request.failed(reason);
  }

  #fromUpstream(data: RawData, isBinary: boolean): void {
    const socket = this.#downstream;
    if (socket === null) return;
    const bytes = data as Buffer;
    this.#bytesOut += bytes.length;
    socket.send(bytes, isBinary, false);
    if (!this.#paused && socket.getBufferedAmount() > WEBSOCKET_DOWNSTREAM_BYTES_MAX) {
      this.#paused = true;
      this.#upstream.pause();
    }
  }

  #upstreamClosed(code: number, reason: Buffer): void {
    const socket = this.#downstream;
    if (socket === null) {
      this.#fail(FailReason.Reset);
      return;
    }
    if (code === ABNORMAL) {
      this.#fault = true;
      socket.close();
    } else if (code === NO_STATUS) socket.end();
    else socket.end(code, reason);
  }
}

const CONNECT_ERRORS = new Set(['ECONNREFUSED', 'EHOSTUNREACH', 'ENETUNREACH', 'ENOTFOUND', 'EAI_AGAIN', 'ETIMEDOUT']);

/** Codes that may stand in a Close frame (RFC 6455 §7.4.1, and the registered ones). */
function sendable(code: number): boolean {
  return (
    (code >= 1000 && code <= 1014 && code !== 1004 && code !== NO_STATUS && code !== ABNORMAL) ||
    (code >= 3000 && code <= 4999)
  );
}

function handshakeHeaders(head: Head, edits: HeaderEdits, authority: string): Record<string, string | string[]> {
  const headers: Record<string, string | string[]> = { host: authority };
  const put = (name: string, value: string): void => {
    const before = headers[name];
    if (before === undefined) headers[name] = value;
    else if (typeof before === 'string') headers[name] = [before, value];
    else before.push(value);
  };
  for (let i = 0; i < head.count; i++) {
    const name = head.names[i] as string;
    // The upstream's handshake is a new one, with its own key and without extensions.
    if (endsHere(name) || isClaim(name) || name.startsWith('sec-websocket-')) continue;
    if (hidden(name, edits) || head.nominates(name)) continue;
    put(name, head.values[i] as string);
  }
  for (let i = 0; i < edits.names.length; i++) put(edits.names[i] as string, edits.values[i] as string);
  put('via', VIA);
  return headers;
}
