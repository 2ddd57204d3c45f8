/** What two processes say to each other while one hands its listeners over: lines of JSON on a Unix socket, one question and one answer at a time. */
import type { Socket } from 'node:net';

/** Of the protocol, not of the gateway: processes of two versions of the gateway that speak the same one understand each other. */
export const HAND_OVER_VERSION = 1;
/** In the state directory: where the one that serves is asked. */
export const HAND_OVER_SOCKET = 'hand-over.sock';
/** And where the next one gets the listening sockets. */
export const HAND_OVER_INBOX = 'hand-over-inbox.sock';

/** Longest line, in characters. */
const LINE_CHARS_MAX = 4_096;
/** After this an end that lay behind the last line has been read. */
const END_SEEN_MS = 50;
/** Lines that wait to be heard. */
const LINES_MAX = 8;

export interface Line {
  /**
   * In this order: `ask` (next, with its version), `granted` (former, with the digest that it serves), `take` (next: its inbox is open), `sent` (former, with the count of
   * sockets), `serving` (next: it accepts), `yours` (former: it has stopped accepting and has closed its other listeners). `refused` (former, with a reason) instead of any answer.
   */
  readonly kind: 'ask' | 'granted' | 'take' | 'sent' | 'serving' | 'yours' | 'refused';
  readonly version?: number;
  readonly digest?: string;
  /** With `granted`: ports for probes and operators, which the former closes before it says `yours`. One of an older version says none. */
  readonly shown?: readonly number[];
  readonly sockets?: number;
  /** With `sent`: keys of session tickets, base64. A former process of an older version says none; its clients begin their sessions anew. */
  readonly ticketKeys?: string;
  readonly reason?: string;
}

const KINDS: ReadonlySet<unknown> = new Set(['ask', 'granted', 'take', 'sent', 'serving', 'yours', 'refused']);

export class Talk {
  readonly #socket: Socket;
  readonly #lines: Line[] = [];
  #text = '';
  #over: Error | null = null;
  #heard: (() => void) | null = null;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding('utf8');
    socket.on('data', (text: string) => this.#read(text));
    socket.on('error', (error) => this.#end(error));
    socket.on('close', () => this.#end(new Error('the other process has closed the connection')));
  }

  say(line: Line): void {
    this.#socket.write(`${JSON.stringify(line)}\n`);
  }

  /** The next line; rejects unless it is of that kind and comes in time. A refusal rejects with its reason. */
  async hear(kind: Line['kind'], withinMs: number): Promise<Line> {
    await this.#next(kind, withinMs);
    const line = this.#lines.shift();
    if (line === undefined) throw this.#over ?? new Error(`no "${kind}" within ${withinMs} ms`);
    if (line.kind === 'refused') throw new Error(line.reason ?? 'refused without a reason');
    if (line.kind !== kind) throw new Error(`"${line.kind}" was said where "${kind}" is due`);
    return line;
  }

  /** Rejects when the other process has ended or has closed the connection, whatever it said before. */
  async stillThere(): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, END_SEEN_MS));
    if (this.#over !== null) throw this.#over;
  }

  /** Closes the connection once everything is written. */
  end(): void {
    this.#socket.end();
    this.#socket.destroySoon();
  }

  async #next(kind: string, withinMs: number): Promise<void> {
    if (this.#lines.length > 0 || this.#over !== null) return;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        this.#heard = null;
        resolve();
      };
      const timer = setTimeout(() => this.#end(new Error(`no "${kind}" within ${withinMs} ms`)), withinMs);
      this.#heard = done;
    });
  }

  #read(text: string): void {
    this.#text += text;
    for (let end = this.#text.indexOf('\n'); end >= 0; end = this.#text.indexOf('\n')) {
      const line = lineOf(this.#text.slice(0, end));
      this.#text = this.#text.slice(end + 1);
      if (line === null || this.#lines.length >= LINES_MAX) {
        this.#end(new Error('the other process says what this one does not understand'));
        return;
      }
      this.#lines.push(line);
    }
    if (this.#text.length > LINE_CHARS_MAX) this.#end(new Error('the other process does not end its line'));
    else if (this.#lines.length > 0) this.#heard?.();
  }

  #end(error: Error): void {
    this.#over ??= error;
    this.#socket.destroy();
    this.#heard?.();
  }
}

/** Null: it is none. Fields that a later version may add are left alone. */
export function lineOf(text: string): Line | null {
  if (text.length > LINE_CHARS_MAX) return null;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // Whoever sent it is told by the closed connection.
    return null;
  }
  if (typeof value !== 'object' || value === null) return null;
  const { kind, version, digest, shown, sockets, ticketKeys, reason } = value as Record<string, unknown>;
  const fits =
    KINDS.has(kind) &&
    (version === undefined || Number.isSafeInteger(version)) &&
    (sockets === undefined || Number.isSafeInteger(sockets)) &&
    (digest === undefined || typeof digest === 'string') &&
    (shown === undefined || (Array.isArray(shown) && shown.every(Number.isSafeInteger))) &&
    (ticketKeys === undefined || typeof ticketKeys === 'string') &&
    (reason === undefined || typeof reason === 'string');
  return fits ? (value as Line) : null;
}

/** Bytes of a socket's path (unix(7), `sun_path` without its end). */
const SOCKET_PATH_BYTES_MAX = 107;

/** The path, unless it is too long for a socket: libuv would cut it off without a word, and name another file. @throws {Error} */
export function socketPath(path: string): string {
  const bytes = Buffer.byteLength(path);
  if (bytes > SOCKET_PATH_BYTES_MAX)
    throw new Error(
      `${path} has ${bytes} bytes, a socket's path at most ${SOCKET_PATH_BYTES_MAX}: name a shorter stateDir`,
    );
  return path;
}

/** Does something that makes a socket file, which then is for this user alone. Umask and all that is the process's: only main calls it, and `make` is synchronous. */
export function forOwnerOnly(make: () => void): void {
  const former = process.umask(0o177);
  try {
    make();
  } finally {
    process.umask(former);
  }
}
