/** Whether an address takes TCP connections: looked at in the background, one at a time. */
import { connect } from 'node:net';

/** Between two looks. */
const LOOK_MS = 1_000;
/** Until a connection counts as not made. */
const CONNECT_MS = 1_000;

export class AddressProbe {
  readonly #host: string;
  readonly #port: number;
  #timer: NodeJS.Timeout | null = null;
  #stopped = false;
  /** Why it could not be reached last time; null: it could, or it has not been looked at yet. */
  reason: string | null = null;

  /** `address`: host and port; IPv6 in brackets. */
  constructor(address: string) {
    const colon = address.lastIndexOf(':');
    this.#host = address.slice(0, colon).replace(/^\[|\]$/g, '');
    this.#port = Number(address.slice(colon + 1));
    this.#look();
  }

  stop(): void {
    this.#stopped = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  #look(): void {
    const socket = connect({ host: this.#host, port: this.#port });
    socket.unref();
    let over = false;
    const end = (reason: string | null): void => {
      if (over) return;
      over = true;
      clearTimeout(timer);
      socket.destroy();
      this.reason = reason;
      if (!this.#stopped) this.#timer = setTimeout(() => this.#look(), LOOK_MS).unref();
    };
    const timer = setTimeout(() => end(`no connection within ${CONNECT_MS} ms`), CONNECT_MS).unref();
    socket.on('connect', () => end(null));
    socket.on('error', (error) => end(error.message));
  }
}
