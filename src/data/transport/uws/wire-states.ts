/** What a wire is made with, how far it can be, and what it may have to tell. */
import type { TransportEvents } from '../transport.ts';
import { FailReason } from '../transport.ts';
import type { Attempt } from './attempt.ts';
import type { InspectionStore } from './body.ts';
import type { EndpointPools } from './endpoint-pool.ts';
import type { WebSocketRelays } from './websocket.ts';
import type { UwsWire } from './wire.ts';

/** What all wires of a lane share. */
export interface WireHost {
  readonly events: TransportEvents;
  readonly pools: EndpointPools;
  readonly relays: WebSocketRelays;
  readonly store: InspectionStore;
  /** Monotonic ms of the last tick. */
  readonly tickNow: number;
  /** True once clients are asked to leave. */
  readonly draining: boolean;
  /** Calls `wire.settle()` when the running call is over: no event is told from within a wire's own method. */
  later(wire: UwsWire): void;
  /** Calls `wire.sendNow()` in the next turn of the loop. */
  nextTurn(wire: UwsWire): void;
  /** The wire is free again. */
  free(wire: UwsWire): void;
}

export const Phase = {
  Free: 0,
  /** The stages decide. */
  Deciding: 1,
  /** An endpoint was chosen; its answer's head is not here yet. */
  Forwarding: 2,
  /** The answer is shown to a stage; nothing of it has gone out. */
  Judging: 6,
  /** An answer is on its way to the client. */
  Answering: 3,
  /** A WebSocket is open; the relay has taken over. */
  Relaying: 4,
  Over: 5,
} as const;
export type Phase = (typeof Phase)[keyof typeof Phase];

/** What `settle` has to tell. */
export const News = { None: 0, Finished: 1, Aborted: 2, Failed: 3, Refused: 4, Wake: 5 } as const;
export type News = (typeof News)[keyof typeof News];

/** An answer of our own that waits for the next turn. */
export interface OwnAnswer {
  readonly status: number;
  readonly contentType: string;
  readonly body: string | Uint8Array;
  readonly close: boolean;
}

/** Methods of requests that may be sent again after bytes of them went out (RFC 9110 §9.2.2). */
const IDEMPOTENT = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE', 'TRACE']);

/** True when the upstream cannot have acted on what it was sent, or may act twice. */
export function mayBeSentAgain(attempt: Attempt, method: string, reason: FailReason): boolean {
  if (attempt.gotHead) return false;
  return !attempt.started || (IDEMPOTENT.has(method) && reason === FailReason.Reset);
}

/** True for answers that have no body, whatever their fields say (RFC 9112 §6.3). */
export function hasNoBody(method: string, status: number): boolean {
  return method === 'HEAD' || status === 204 || status === 304;
}
