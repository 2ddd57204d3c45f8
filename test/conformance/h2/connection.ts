/**
 * A client of HTTP/2 that sends exactly the bytes it is told, right or wrong. It answers SETTINGS and PING as every peer must, and keeps what came, within bounds.
 */
import { connect, type Socket } from 'node:net';
import { connect as connectTls, type ConnectionOptions } from 'node:tls';
import {
  data,
  FLAG,
  frame,
  type Frame,
  HEADER_BYTES,
  headerOf,
  headers,
  PREFACE,
  requestBlock,
  settings,
  statusOf,
  TYPE,
} from './frames.ts';

/** No byte and no close within this time where one is due is a stall. */
export const STALL_MS = 2_000;
const CONNECT_TIMEOUT_MS = 5_000;
/** Frames that are kept; later ones are only counted. */
const FRAMES_KEPT = 4_096;
/** Longest frame that a peer may send: more than we ever allowed it. */
const FRAME_BYTES_MAX = 1 << 20;

export interface H2Target {
  /** Names the transport in reports. */
  readonly name: string;
  readonly host: string;
  readonly port: number;
  /** Present: TLS with these options and ALPN `h2`; absent: plain text by prior knowledge (RFC 9113 §3.3). */
  readonly tls?: ConnectionOptions;
  /** Process whose memory is watched; absent: it is not. */
  readonly pid?: number;
}

export function schemeOf(target: H2Target): string {
  return target.tls === undefined ? 'http' : 'https';
}

export class H2Connection {
  readonly socket: Socket;
  readonly frames: Frame[] = [];
  /** Bytes that came. */
  receivedBytes = 0;
  closed = false;
  /** What came is no HTTP/2. */
  garbage = false;
  #rest: Buffer = Buffer.alloc(0);
  #waiters: (() => void)[] = [];

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk: Buffer) => {
      this.receivedBytes += chunk.length;
      this.#take(chunk);
      this.#wake();
    });
    const over = (): void => {
      this.closed = true;
      this.#wake();
    };
    for (const event of ['end', 'error', 'close']) socket.on(event, over);
    socket.on('drain', () => {
      this.#wake();
    });
  }

  /** Dials, and resolves when the session stands and speaks HTTP/2; nothing is sent yet. */
  static dial(target: H2Target): Promise<H2Connection> {
    const { host, port, tls } = target;
    return new Promise((resolve, reject) => {
      const socket =
        tls === undefined ? connect({ host, port }) : connectTls({ host, port, ALPNProtocols: ['h2'], ...tls });
      const timer = setTimeout(() => {
        socket.destroy(new Error(`no connection to ${host}:${port} within ${CONNECT_TIMEOUT_MS} ms`));
      }, CONNECT_TIMEOUT_MS);
      const failed = (error: Error): void => {
        clearTimeout(timer);
        reject(error);
      };
      socket.once('error', failed);
      socket.once(tls === undefined ? 'connect' : 'secureConnect', () => {
        clearTimeout(timer);
        socket.off('error', failed);
        socket.setNoDelay(true);
        const alpn = 'alpnProtocol' in socket ? socket.alpnProtocol : 'h2';
        if (alpn === 'h2') resolve(new H2Connection(socket));
        else {
          socket.destroy();
          reject(new Error(`${host}:${port} does not speak HTTP/2 over TLS: ALPN ${String(alpn)}`));
        }
      });
    });
  }

  /** Dials and shakes hands: preface, SETTINGS both ways, both acknowledged. */
  static async open(target: H2Target, values: readonly (readonly [number, number])[] = []): Promise<H2Connection> {
    const connection = await H2Connection.dial(target);
    connection.send(Buffer.concat([PREFACE, settings(values)]));
    const greeted = await connection.until(
      () => connection.find(TYPE.settings, (one) => (one.flags & FLAG.ack) !== 0) !== undefined,
      CONNECT_TIMEOUT_MS,
    );
    if (!greeted) {
      connection.destroy();
      throw new Error(connection.closed ? 'closed instead of SETTINGS' : `no SETTINGS within ${CONNECT_TIMEOUT_MS} ms`);
    }
    return connection;
  }

  /** Writes bytes; what cannot be written any more is dropped. False when the socket's buffer is full. */
  send(bytes: Buffer): boolean {
    return !this.socket.writable || this.socket.write(bytes);
  }

  /** Resolves when what was written has left to the system, the peer has closed, or time is up. */
  async drained(timeoutMs: number): Promise<void> {
    await this.until(() => !this.socket.writableNeedDrain, timeoutMs);
  }

  find(type: number, holds: (frame: Frame) => boolean = () => true): Frame | undefined {
    return this.frames.find((one) => one.type === type && holds(one));
  }

  get goaway(): Frame | undefined {
    return this.find(TYPE.goaway);
  }

  /** Code of a GOAWAY or RST_STREAM. */
  static codeOf(one: Frame): number {
    const at = one.type === TYPE.goaway ? 4 : 0;
    return one.payload.length >= at + 4 ? one.payload.readUInt32BE(at) : -1;
  }

  /** Resolves true when `condition` holds, asked again whenever something comes; false after `timeoutMs`, or when the peer has closed before it did. */
  async until(condition: () => boolean, timeoutMs: number): Promise<boolean> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      if (condition()) return true;
      const left = deadline - performance.now();
      if (this.closed || left <= 0) return false;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#waiters.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
  }

  destroy(): void {
    this.socket.destroy();
  }

  #take(chunk: Buffer): void {
    if (this.garbage) return;
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    let at = 0;
    while (bytes.length - at >= HEADER_BYTES) {
      const header = headerOf(bytes.subarray(at));
      if (header.length > FRAME_BYTES_MAX) {
        this.garbage = true;
        return;
      }
      const end = at + HEADER_BYTES + header.length;
      if (bytes.length < end) break;
      // Of content only its length is of interest.
      const kept = header.type === TYPE.data ? at + HEADER_BYTES : end;
      this.#arrived({ ...header, payload: Buffer.from(bytes.subarray(at + HEADER_BYTES, kept)) });
      at = end;
    }
    this.#rest = Buffer.from(bytes.subarray(at));
  }

  #arrived(one: Frame): void {
    if (one.type === TYPE.settings && (one.flags & FLAG.ack) === 0) this.send(frame(TYPE.settings, FLAG.ack, 0));
    if (one.type === TYPE.ping && (one.flags & FLAG.ack) === 0) this.send(frame(TYPE.ping, FLAG.ack, 0, one.payload));
    // A GOAWAY is never lost among many.
    if (this.frames.length < FRAMES_KEPT || one.type === TYPE.goaway) this.frames.push(one);
  }

  #wake(): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const wake of waiters) wake();
  }
}

/** Undefined when a good request on a connection of its own is answered with 200 and an end within `timeoutMs`, else what went wrong. */
export async function goodRequest(target: H2Target, timeoutMs: number, body?: Buffer): Promise<string | undefined> {
  let connection: H2Connection;
  try {
    connection = await H2Connection.open(target);
  } catch (error) {
    return (error as Error).message;
  }
  const scheme = schemeOf(target);
  connection.send(
    body === undefined
      ? headers(1, requestBlock('GET', '/', scheme), true)
      : Buffer.concat([headers(1, requestBlock('POST', '/', scheme), false), data(1, body, true)]),
  );
  const ended = (one: Frame): boolean => one.stream === 1 && (one.flags & FLAG.endStream) !== 0;
  const whole = await connection.until(
    () => connection.frames.some((one) => (one.type === TYPE.data || one.type === TYPE.headers) && ended(one)),
    timeoutMs,
  );
  const head = connection.find(TYPE.headers, (one) => one.stream === 1);
  connection.destroy();
  if (head === undefined) return connection.closed ? 'closed without an answer' : `no answer within ${timeoutMs} ms`;
  if (statusOf(head.payload) !== 200) return `status ${statusOf(head.payload) || 'other'} instead of 200`;
  return whole ? undefined : 'the answer is not whole';
}
