/** Clients that ask again as soon as they were answered, with no regard to what the answer was: as cheap as can be, so that one process keeps a line in front of a gateway. */
import { connect, type Socket } from 'node:net';

/** What one kind of client asks, and how many of them do. */
export interface Asking {
  readonly clients: number;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** What one kind of client heard. */
export interface Tally {
  /** Answers by status. */
  readonly answers: Map<number, number>;
  /** Of those with 503 the ones that are no overload's, or do not say when to come again. */
  odd: number;
}

const HEAD_END = '\r\n\r\n';
const LENGTH = /\r\ncontent-length: (\d+)\r\n/i;

export class Flood {
  readonly tallies: readonly Tally[];
  readonly #sockets: Socket[] = [];
  #on = true;
  #failure: Error | null = null;

  /** Connects all of them; each asks from then on. */
  constructor(port: number, kinds: readonly Asking[]) {
    this.tallies = kinds.map(() => ({ answers: new Map<number, number>(), odd: 0 }));
    for (const [i, kind] of kinds.entries()) {
      const fields = Object.entries({ host: 'flood.test', accept: '*/*', 'user-agent': 'flood', ...kind.headers });
      const text = `GET ${kind.path} HTTP/1.1\r\n${fields.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`;
      for (let c = 0; c < kind.clients; c++) this.#client(port, Buffer.from(text), this.tallies[i] as Tally);
    }
  }

  /** Answers of one kind with this status so far. */
  heard(kind: number, status: number): number {
    return this.tallies[kind]?.answers.get(status) ?? 0;
  }

  /** Throws when a connection broke. */
  check(): void {
    if (this.#failure !== null) throw this.#failure;
  }

  end(): void {
    this.#on = false;
    for (const socket of this.#sockets) socket.destroy();
  }

  #client(port: number, request: Buffer, tally: Tally): void {
    const socket = connect({ host: '127.0.0.1', port, noDelay: true });
    this.#sockets.push(socket);
    let got = '';
    socket.setEncoding('latin1');
    socket.on('connect', () => socket.write(request));
    socket.on('data', (bytes: string) => {
      got += bytes;
      const end = got.indexOf(HEAD_END);
      if (end < 0) return;
      const head = got.slice(0, end + 2);
      const whole = end + HEAD_END.length + Number(LENGTH.exec(head)?.[1] ?? 0);
      if (got.length < whole) return;
      const status = Number(head.slice('HTTP/1.1 '.length, 'HTTP/1.1 200'.length));
      tally.answers.set(status, (tally.answers.get(status) ?? 0) + 1);
      if (status === 503 && !(/\r\nretry-after: 1\r\n/i.test(head) && got.includes('"code":"shed"'))) tally.odd++;
      got = '';
      if (this.#on) socket.write(request);
    });
    const broke = (why: string): void => {
      if (this.#on) this.#failure ??= new Error(`a connection of the flood ended: ${why}`);
    };
    socket.on('error', (error) => broke(error.message));
    socket.on('close', () => broke('closed'));
  }
}
