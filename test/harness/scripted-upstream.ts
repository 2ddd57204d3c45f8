/** An origin that says bytes as a test wrote them, for what no server of Node says by itself: answers in pieces, without an end, or wrong. */
import { createServer, type Server, type Socket } from 'node:net';
import { listening } from './ports.ts';

/** One request that has arrived: what the test answers goes out as it is. */
export interface Call {
  /** Target of the request line. */
  readonly path: string;
  readonly socket: Socket;
}

export class ScriptedUpstream {
  readonly calls: Call[] = [];
  port = 0;
  readonly #answers: Readonly<Record<string, (call: Call) => void>>;
  readonly #sockets = new Set<Socket>();
  readonly #server: Server = createServer((socket) => this.#serve(socket));

  private constructor(answers: Readonly<Record<string, (call: Call) => void>>) {
    this.#answers = answers;
  }

  /** `answers`: by path, what is said when the head of a request is whole. Requests have no body; other paths are cut off. */
  static async start(answers: Readonly<Record<string, (call: Call) => void>>): Promise<ScriptedUpstream> {
    const made = new ScriptedUpstream(answers);
    made.port = await listening(made.#server);
    return made;
  }

  /** Connections that are open. */
  get open(): number {
    return this.#sockets.size;
  }

  stop(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket);
    let text = '';
    socket.on('error', () => socket.destroy());
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('data', (bytes: Buffer) => {
      text += bytes.toString('latin1');
      for (let end = text.indexOf('\r\n\r\n'); end >= 0; end = text.indexOf('\r\n\r\n')) {
        const path = text.split(' ', 2)[1] ?? '';
        text = text.slice(end + 4);
        const call = { path, socket };
        this.calls.push(call);
        const answer = this.#answers[path];
        if (answer === undefined) socket.destroy();
        else answer(call);
      }
    });
  }
}
