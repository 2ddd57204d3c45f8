/**
 * A TCP client that sends exactly the bytes it is told and keeps exactly the bytes it gets. Tests of framing cannot use an HTTP library: it would
 * refuse to write what has to be written, and repair what has to be seen.
 */
import { connect, type Socket } from 'node:net';
import { connect as connectTls, type ConnectionOptions } from 'node:tls';

/** How the peer ended the connection: an orderly end, a reset, or not at all. */
export type Ending = 'open' | 'end' | 'reset';

export interface RawOptions {
  readonly host?: string;
  readonly port: number;
  /** Address to dial from. Any of 127.0.0.0/8 serves on Linux, so that a test can be told apart by its address alone. */
  readonly localAddress?: string;
  /** Present: speak TLS with these options. */
  readonly tls?: ConnectionOptions;
  /** Bound on dialling, milliseconds. */
  readonly connectTimeoutMs?: number;
  /** Bytes kept at most; more end the connection. */
  readonly receivedBytesMax?: number;
}

const CONNECT_TIMEOUT_MS = 30_000;
const RECEIVED_BYTES_MAX = 16 * 1024 * 1024;

export class RawConnection {
  readonly socket: Socket;
  readonly openedAt = performance.now();
  ending: Ending = 'open';
  /** When the first byte came, milliseconds after dialling; undefined as long as none has. */
  firstByteMs: number | undefined;
  #chunks: Buffer[] = [];
  #length = 0;
  #waiters: (() => void)[] = [];
  readonly #receivedBytesMax: number;

  private constructor(socket: Socket, receivedBytesMax: number) {
    this.socket = socket;
    this.#receivedBytesMax = receivedBytesMax;
    socket.on('data', (chunk: Buffer) => {
      this.firstByteMs ??= performance.now() - this.openedAt;
      this.#chunks.push(chunk);
      this.#length += chunk.length;
      if (this.#length > this.#receivedBytesMax) socket.destroy();
      this.#wake();
    });
    socket.on('end', () => {
      if (this.ending === 'open') this.ending = 'end';
      this.#wake();
    });
    socket.on('error', () => {
      if (this.ending === 'open') this.ending = 'reset';
      this.#wake();
    });
    socket.on('close', () => {
      if (this.ending === 'open') this.ending = 'end';
      this.#wake();
    });
  }

  /** Dials, and resolves when the connection (with TLS: the session) stands. Rejects when it does not within `connectTimeoutMs`. */
  static open(options: RawOptions): Promise<RawConnection> {
    const { host = '127.0.0.1', port, localAddress, tls } = options;
    return new Promise((resolve, reject) => {
      const place = { host, port, ...(localAddress === undefined ? {} : { localAddress }) };
      const socket = tls === undefined ? connect(place) : connectTls({ ...place, ...tls });
      const timer = setTimeout(() => {
        socket.destroy();
        reject(
          new Error(`no connection to ${host}:${port} within ${options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS} ms`),
        );
      }, options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS);
      const failed = (error: Error): void => {
        clearTimeout(timer);
        reject(error);
      };
      socket.once('error', failed);
      socket.once(tls === undefined ? 'connect' : 'secureConnect', () => {
        clearTimeout(timer);
        socket.off('error', failed);
        socket.setNoDelay(true);
        resolve(new RawConnection(socket, options.receivedBytesMax ?? RECEIVED_BYTES_MAX));
      });
    });
  }

  /** Writes bytes; text is latin1, one character a byte. What cannot be written any more (the peer has closed) is dropped. */
  send(bytes: Uint8Array | string): void {
    if (!this.socket.writable) return;
    this.socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes);
  }

  /** All bytes that came so far. */
  received(): Buffer {
    if (this.#chunks.length > 1) this.#chunks = [Buffer.concat(this.#chunks)];
    return this.#chunks[0] ?? Buffer.alloc(0);
  }

  get receivedBytes(): number {
    return this.#length;
  }

  get closed(): boolean {
    return this.ending !== 'open';
  }

  /** Resolves true when `condition` holds (asked again whenever bytes or an ending arrive), false after `timeoutMs` or when the peer has closed before it did. */
  async until(condition: (received: Buffer) => boolean, timeoutMs: number): Promise<boolean> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      if (condition(this.received())) return true;
      if (this.closed) return false;
      const left = deadline - performance.now();
      if (left <= 0) return false;
      await this.#change(left);
    }
  }

  /** Resolves when the peer has closed, or after `timeoutMs`: true when closed. */
  async untilClosed(timeoutMs: number): Promise<boolean> {
    await this.until(() => false, timeoutMs);
    return this.closed;
  }

  destroy(): void {
    this.socket.destroy();
  }

  #change(timeoutMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(done, timeoutMs);
      function done(): void {
        clearTimeout(timer);
        resolve();
      }
      this.#waiters.push(done);
    });
  }

  #wake(): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const wake of waiters) wake();
  }
}
