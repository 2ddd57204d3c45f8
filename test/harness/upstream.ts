/**
 * Real origins for socket tests, with scripted behaviour. The path chooses what happens, so that one origin serves a whole test file; everything
 * that arrived and left is counted.
 */
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Server, Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { Leaf } from './certs.ts';
import { listening } from './ports.ts';

export interface SeenRequest {
  readonly method: string;
  readonly url: string;
  /** As they came: name, value, name, value … */
  readonly rawHeaders: readonly string[];
  readonly headers: IncomingMessage['headers'];
  /** Content, kept up to `BODY_KEPT_BYTES`. Grows while the request arrives. */
  body: Buffer;
  /** Bytes of content that arrived. */
  bodyBytes: number;
  complete: boolean;
  /** The peer ended the connection before the request or its answer was over. */
  aborted: boolean;
}

export const BODY_KEPT_BYTES = 1024 * 1024;
const RESET_DELAY_MS = 30;
const REQUESTS_KEPT = 100_000;
const CHUNK = Buffer.alloc(64 * 1024, 'x');

export type Behaviour = (
  request: IncomingMessage,
  response: ServerResponse,
  seen: SeenRequest,
  upstream: TestUpstream,
) => void;

/**
 * What the first path segment asks for:
 * `/echo` the request as JSON · `/body` its content back · `/status/503` that status · `/slow/200` an answer after so many milliseconds · `/hang` none ever ·
 * `/reset` a reset before the head · `/reset-body` after head and half of the content · `/stream/1048576` so many bytes with a length ·
 * `/chunked/1048576` the same in chunks · `/drip/10/50` so many bytes, one each so many milliseconds · `/sink` counts the content, answers its length ·
 * `/headers/20` so many header fields. Everything else: 200, the origin's name.
 */
export const BEHAVIOURS: Readonly<Record<string, Behaviour>> = {
  echo: (request, response, seen) => {
    request.on('end', () => {
      const { method, url, headers, rawHeaders, body } = seen;
      json(response, { method, url, headers, rawHeaders, body: body.toString('latin1') });
    });
  },
  body: (request, response) => {
    const length = request.headers['content-length'];
    response.writeHead(200, {
      'content-type': 'application/octet-stream',
      ...(length === undefined ? {} : { 'content-length': length }),
    });
    request.pipe(response);
  },
  status: (request, response) => {
    response.writeHead(argument(request, 1, 200), { 'content-type': 'text/plain' });
    response.end('status');
  },
  slow: (request, response) => {
    const timer = setTimeout(() => response.end('slow'), argument(request, 1, 100));
    response.on('close', () => {
      clearTimeout(timer);
    });
  },
  hang: () => undefined,
  reset: (request) => {
    request.socket.resetAndDestroy();
  },
  'reset-body': (request, response) => {
    response.writeHead(200, { 'content-length': '1000' });
    response.write(Buffer.alloc(500, 'x'), () => {
      // A reset that arrives together with what was written before may look like an orderly end to the peer.
      setTimeout(() => request.socket.resetAndDestroy(), RESET_DELAY_MS);
    });
  },
  stream: (request, response, _seen, upstream) => {
    const bytes = argument(request, 1, CHUNK.length);
    response.writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': String(bytes) });
    pump(response, bytes, upstream);
  },
  chunked: (request, response, _seen, upstream) => {
    response.writeHead(200, { 'content-type': 'application/octet-stream' });
    pump(response, argument(request, 1, CHUNK.length), upstream);
  },
  drip: (request, response) => {
    let left = argument(request, 1, 10);
    response.writeHead(200, { 'content-length': String(left) });
    const timer = setInterval(
      () => {
        response.write('.');
        left -= 1;
        if (left === 0) response.end();
      },
      argument(request, 2, 20),
    );
    response.on('close', () => {
      clearInterval(timer);
    });
  },
  sink: (request, response, seen) => {
    request.on('end', () => {
      response.end(String(seen.bodyBytes));
    });
  },
  headers: (request, response) => {
    const fields = Array.from({ length: argument(request, 1, 10) }, (_, n): [string, string] => [
      `x-field-${n}`,
      'value',
    ]);
    response.writeHead(200, Object.fromEntries(fields));
    response.end('headers');
  },
};

export interface UpstreamOptions {
  /** Answered where the path asks for nothing else, and in the header `x-upstream` always. */
  readonly name?: string;
  readonly port?: number;
  readonly tls?: Leaf;
  /** Behaviours of this test's own, before the table's. */
  readonly behaviours?: Readonly<Record<string, Behaviour>>;
}

export class TestUpstream {
  readonly name: string;
  readonly requests: SeenRequest[] = [];
  /** Bytes of content written by `/stream` and `/chunked` so far, over all answers: what back-pressure holds back is not written. */
  streamedBytes = 0;
  /** Bytes of request bodies that have arrived so far. */
  sunkBytes = 0;
  /** Connections accepted so far. */
  connections = 0;
  #port = 0;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #behaviours: Readonly<Record<string, Behaviour>>;

  private constructor(options: UpstreamOptions) {
    this.name = options.name ?? 'upstream';
    this.#behaviours = { ...BEHAVIOURS, ...options.behaviours };
    const listener: RequestListener = (request, response) => {
      this.#serve(request, response);
    };
    const { tls } = options;
    const server =
      tls === undefined ? createServer(listener) : createTlsServer({ cert: tls.certificate, key: tls.key }, listener);
    server.keepAliveTimeout = 60_000;
    server.on(tls === undefined ? 'connection' : 'secureConnection', (socket: Socket | TLSSocket) => {
      this.connections += 1;
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
      socket.on('error', () => socket.destroy());
    });
    this.#server = server;
  }

  static async start(options: UpstreamOptions = {}): Promise<TestUpstream> {
    const upstream = new TestUpstream(options);
    upstream.#port = await listening(upstream.#server, options.port ?? 0);
    return upstream;
  }

  get port(): number {
    return this.#port;
  }

  /** `127.0.0.1:port`, as a bundle names an endpoint. */
  get address(): string {
    return `127.0.0.1:${this.#port}`;
  }

  get openConnections(): number {
    return this.#sockets.size;
  }

  /** As if the process were killed: open connections are reset, new ones refused. `restart` listens on the same port again. */
  async kill(): Promise<void> {
    for (const socket of this.#sockets) socket.resetAndDestroy();
    await this.stop();
  }

  async restart(): Promise<void> {
    await listening(this.#server, this.#port);
  }

  async stop(): Promise<void> {
    const closed = new Promise<void>((resolve) => {
      this.#server.close(() => {
        resolve();
      });
    });
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #serve(request: IncomingMessage, response: ServerResponse): void {
    const seen: SeenRequest = {
      method: request.method ?? '',
      url: request.url ?? '',
      rawHeaders: request.rawHeaders,
      headers: request.headers,
      body: Buffer.alloc(0),
      bodyBytes: 0,
      complete: false,
      aborted: false,
    };
    if (this.requests.length < REQUESTS_KEPT) this.requests.push(seen);
    const [segment = ''] = (request.url ?? '').split('?')[0]?.split('/').slice(1) ?? [];
    const behaviour = this.#behaviours[segment];
    const kept: Buffer[] = [];
    request.on('data', (chunk: Buffer) => {
      if (seen.bodyBytes < BODY_KEPT_BYTES) kept.push(chunk);
      seen.bodyBytes += chunk.length;
      this.sunkBytes += chunk.length;
    });
    request.on('end', () => {
      seen.complete = true;
      seen.body = Buffer.concat(kept);
    });
    request.on('error', () => {
      seen.aborted = true;
    });
    response.on('close', () => {
      if (!response.writableFinished) seen.aborted = true;
    });
    response.setHeader('x-upstream', this.name);
    if (behaviour !== undefined) behaviour(request, response, seen, this);
    else request.on('end', () => response.end(this.name));
  }
}

/** The origin's port number when a server is given that is no `TestUpstream`. */
export function portOf(server: Server): number {
  return (server.address() as AddressInfo).port;
}

function argument(request: IncomingMessage, index: number, fallback: number): number {
  const text = (request.url ?? '').split('?')[0]?.split('/')[index + 1];
  return text === undefined || !/^[0-9]+$/.test(text) ? fallback : Number(text);
}

function json(response: ServerResponse, value: unknown): void {
  const text = JSON.stringify(value);
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(text)) });
  response.end(text);
}

/** Writes `bytes` bytes as fast as they are taken, and no faster. */
function pump(response: ServerResponse, bytes: number, upstream: TestUpstream): void {
  let left = bytes;
  const write = (): void => {
    while (left > 0) {
      const chunk = left < CHUNK.length ? CHUNK.subarray(0, left) : CHUNK;
      left -= chunk.length;
      upstream.streamedBytes += chunk.length;
      if (!response.write(chunk)) {
        response.once('drain', write);
        return;
      }
    }
    response.end();
  };
  write();
}
