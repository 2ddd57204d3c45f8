/** What one transport can do and another cannot. The suites hold both sides of each: what must work where it can, and what must be refused where it cannot. */
import type { TransportName } from './lane-under-test.ts';

export interface Capabilities {
  /** Field values that are no UTF-8 pass as the bytes that they are. uWebSockets.js decodes values, and what it cannot decode is lost: refused. */
  readonly opaqueValues: boolean;
  /** Chunked bodies end where they end: trailers pass, and the connection serves what follows. uWebSockets.js takes trailers for a request, so it is closed. */
  readonly trailers: boolean;
  /** Pipelined requests are answered, in order. uWebSockets.js cuts the connection. */
  readonly pipelines: boolean;
  /** Heads may arrive byte by byte. uWebSockets.js fails within the request line. */
  readonly bytewise: boolean;
  /**
   * WebSockets are relayed message by message, so that messages are counted and bounded, and a close can be said. A tunnel passes frames as they are: sizes are
   * between the two ends, and its bytes are those of the wire.
   */
  readonly relaysMessages: boolean;
}

export const CAPABILITIES: Readonly<Record<TransportName, Capabilities>> = {
  uws: { opaqueValues: false, trailers: false, pipelines: false, bytewise: false, relaysMessages: true },
  native: { opaqueValues: true, trailers: true, pipelines: true, bytewise: true, relaysMessages: false },
};
