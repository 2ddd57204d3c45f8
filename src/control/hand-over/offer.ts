/**
 * The side of a hand-over that serves: it waits at `<stateDir>/hand-over.sock` for the process that follows it. Until that one says that it serves, nothing here
 * has changed but that the state directory is left alone; whatever fails before, this gateway goes on.
 */
import { unlink } from 'node:fs/promises';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { forOwnerOnly, HAND_OVER_INBOX, HAND_OVER_SOCKET, HAND_OVER_VERSION, socketPath, Talk } from './talk.ts';

/** Time for the next process to say what it wants, ms. */
const ASK_MS = 5_000;
/** And to verify, compile and activate the bundle in its lanes. */
const PREPARE_MS = 120_000;
/** And to accept from the sockets that it got. */
const SERVE_MS = 60_000;
/** Connections at once; only one can be served. */
const CONNECTIONS_MAX = 4;

export interface OfferParts {
  readonly stateDir: string;
  /** Why it cannot hand over now; null: it can. */
  readonly unable: () => string | null;
  /** Writes nothing to the state directory from now on; the digest that serves. */
  readonly freeze: () => Promise<string>;
  /** Ports for probes and operators, which `yield` closes. */
  readonly shown: readonly number[];
  /** Goes on as before. */
  readonly thaw: () => Promise<void>;
  /** Sends copies of all listening sockets to this inbox; how many. */
  readonly send: (inbox: string) => Promise<number>;
  /** Keys of session tickets, base64. The talk goes over a socket file of this user alone. */
  readonly ticketKeys: () => string;
  /** The next one serves: closes the listeners for probes and operators, so that it can open its own. */
  readonly yield: () => Promise<void>;
  /** All is handed over: drain and end. */
  readonly onHandedOver: () => void;
  readonly event: (level: 'info' | 'warn', message: string, fields: Record<string, unknown>) => void;
}

export class HandOverOffer {
  readonly #parts: OfferParts;
  readonly #path: string;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #busy = false;
  #closed = false;

  constructor(parts: OfferParts) {
    this.#parts = parts;
    this.#path = join(parts.stateDir, HAND_OVER_SOCKET);
    this.#server = createServer((socket) => {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
      void this.#serve(new Talk(socket));
    });
    this.#server.maxConnections = CONNECTIONS_MAX;
  }

  /** Waits for the next process from now on. Where no socket can be had (a file system without them, a path too long), that is said, and the gateway serves without. */
  async open(): Promise<void> {
    try {
      if (await isAnswered(socketPath(this.#path))) throw new Error('another gateway runs with this state directory');
      await unlink(this.#path).catch(unlessAbsent);
      if (this.#closed) return;
      await new Promise<void>((resolve, reject) => {
        this.#server.once('error', reject);
        forOwnerOnly(() => this.#server.listen(this.#path, resolve));
      });
    } catch (error) {
      this.#parts.event('warn', 'no hand-over to a next process will be possible', { error: messageOf(error) });
    }
  }

  /** Nobody is waited for any more; a hand-over under way is broken off, and the next process ends then. */
  close(): void {
    this.#closed = true;
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  async #serve(talk: Talk): Promise<void> {
    let frozen = false;
    try {
      const { version } = await talk.hear('ask', ASK_MS);
      if (version !== HAND_OVER_VERSION)
        throw new Error(
          `it speaks version ${HAND_OVER_VERSION} of the hand-over, the next one ${version}; restart instead`,
        );
      if (this.#busy) throw new Error('it is being handed over to another process already');
      const reason = this.#parts.unable();
      if (reason !== null) throw new Error(reason);
      this.#busy = true;
      frozen = true;
      const digest = await this.#parts.freeze();
      talk.say({ kind: 'granted', version: HAND_OVER_VERSION, digest, shown: this.#parts.shown });
      await talk.hear('take', PREPARE_MS);
      const sockets = await this.#parts.send(join(this.#parts.stateDir, HAND_OVER_INBOX));
      talk.say({ kind: 'sent', sockets, ticketKeys: this.#parts.ticketKeys() });
      await talk.hear('serving', SERVE_MS);
      // One that waited for a process that was held up has given up, or was killed, and nobody would serve.
      await talk.stillThere();
      const late = this.#parts.unable();
      if (late !== null) throw new Error(late);
      frozen = false;
      // The file goes with it: the next one makes its own.
      this.#server.close();
      await this.#parts.yield();
      talk.say({ kind: 'yours' });
      talk.end();
      this.#parts.event('info', 'handed over', { sockets });
      this.#parts.onHandedOver();
    } catch (error) {
      talk.say({ kind: 'refused', reason: messageOf(error) });
      talk.end();
      if (!this.#closed)
        this.#parts.event('warn', 'not handed over; this gateway goes on', { error: messageOf(error) });
      if (!frozen) return;
      await this.#parts.thaw();
      this.#busy = false;
    }
  }
}

/** Somebody listens there, or it cannot be told that nobody does. */
export async function isAnswered(path: string): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    // Absent, or left behind by a process that is gone. One that is busy, or another user's, is not.
    socket.once('error', ({ code }: NodeJS.ErrnoException) => resolve(code !== 'ENOENT' && code !== 'ECONNREFUSED'));
  });
}

export function unlessAbsent(error: unknown): void {
  if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
