/**
 * What the probe and admin listeners answer, one table: they speak to operators and orchestrators, not to clients of the gateway, so these are no
 * refusals. Both are small servers of `node:http` with tight bounds.
 */
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';

/** Statuses of these two listeners (RFC 9110 §15). */
export const ANSWER = {
  ok: 200,
  badRequest: 400,
  unauthorized: 401,
  forbidden: 403,
  notFound: 404,
  methodNotAllowed: 405,
  contentTooLarge: 413,
  misdirected: 421,
  internalError: 500,
  unavailable: 503,
} as const;
export type AnswerName = keyof typeof ANSWER;

/** Bounds of both listeners. */
export const CONNECTIONS_MAX = 64;
export const HEADER_BYTES_MAX = 8192;
export const TARGET_CHARS_MAX = 2048;
const REQUEST_TIMEOUT_MS = 5000;
const KEEP_ALIVE_MS = 5000;
const REQUESTS_PER_CONNECTION_MAX = 1000;

export const JSON_TYPE = 'application/json; charset=utf-8';
export const TEXT_TYPE = 'text/plain; charset=utf-8';

export interface Answer {
  readonly status: AnswerName;
  readonly type: string;
  readonly body: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export function json(status: AnswerName, value: unknown, headers: Readonly<Record<string, string>> = {}): Answer {
  return { status, type: JSON_TYPE, body: `${JSON.stringify(value, null, 2)}\n`, headers };
}

export function text(status: AnswerName, body: string): Answer {
  return { status, type: TEXT_TYPE, body };
}

/** A request as these listeners see it: they take no bodies. */
export interface Asked {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingMessage['headers'];
}

export type Answerer = (asked: Asked) => Answer | Promise<Answer>;

export interface SmallServerParts {
  readonly address: string;
  readonly port: number;
  readonly answer: Answerer;
  /** An answerer threw: a bug. The client learns nothing of it. */
  readonly onError: (error: unknown) => void;
}

/** Listens; rejects when the port cannot be bound. */
export async function listen(parts: SmallServerParts): Promise<SmallServer> {
  const server = createServer(
    {
      maxHeaderSize: HEADER_BYTES_MAX,
      requestTimeout: REQUEST_TIMEOUT_MS,
      headersTimeout: REQUEST_TIMEOUT_MS,
      keepAliveTimeout: KEEP_ALIVE_MS,
      connectionsCheckingInterval: REQUEST_TIMEOUT_MS,
    },
    (request, response) => {
      serve(parts, request).then(
        (answer) => send(request, response, answer),
        (error: unknown) => {
          parts.onError(error);
          send(request, response, json('internalError', { error: 'internal error' }));
        },
      );
    },
  );
  newestFirst(server);
  server.maxRequestsPerSocket = REQUESTS_PER_CONNECTION_MAX;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(parts.port, parts.address, () => {
      server.off('error', reject);
      resolve();
    });
  });
  server.on('error', parts.onError);
  return new SmallServer(server);
}

/**
 * Of more than CONNECTIONS_MAX the oldest goes. Were the newest turned away, whoever holds that many open and says nothing would make every probe
 * fail, and an orchestrator end a process that is well.
 */
function newestFirst(server: Server): void {
  const open = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    for (const oldest of open) {
      if (open.size < CONNECTIONS_MAX) break;
      open.delete(oldest);
      oldest.destroy();
    }
    open.add(socket);
    socket.once('close', () => open.delete(socket));
  });
}

export class SmallServer {
  readonly #server: Server;

  constructor(server: Server) {
    this.#server = server;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async close(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
      this.#server.closeAllConnections();
    });
  }
}

async function serve(parts: SmallServerParts, request: IncomingMessage): Promise<Answer> {
  const target = request.url ?? '';
  const { method = '', headers } = request;
  if (target.length > TARGET_CHARS_MAX || !target.startsWith('/')) {
    return json('badRequest', { error: 'the request target is no path, or too long' });
  }
  if (headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) !== 0) {
    return json('contentTooLarge', { error: 'no request body is taken here' }, { connection: 'close' });
  }
  const question = target.indexOf('?');
  const path = question < 0 ? target : target.slice(0, question);
  const query = new URLSearchParams(question < 0 ? '' : target.slice(question + 1));
  return await parts.answer({ method, path, query, headers });
}

function send(request: IncomingMessage, response: ServerResponse, answer: Answer): void {
  if (response.destroyed) return;
  response.writeHead(ANSWER[answer.status], {
    'content-type': answer.type,
    'content-length': Buffer.byteLength(answer.body),
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    ...answer.headers,
  });
  response.end(request.method === 'HEAD' ? undefined : answer.body);
}

/** GET and HEAD only; null when it is one of them. */
export function unlessReading(asked: Asked, allow = 'GET, HEAD'): Answer | null {
  if (asked.method === 'GET' || asked.method === 'HEAD') return null;
  return json('methodNotAllowed', { error: `only ${allow} here` }, { allow });
}
