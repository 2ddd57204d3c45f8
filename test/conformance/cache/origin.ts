/** The origin of the cache tests: answers each request as its test says, and remembers what it was asked. */
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { listening } from '../../harness/ports.ts';
import { type CacheRequest, type HeaderLine, valueOf } from './definition.ts';

/** What the origin was asked, and which fields of its answer the client must see. */
export interface Seen {
  /** Number of the client's request, from 1. */
  readonly number: number;
  readonly method: string;
  readonly headers: IncomingHttpHeaders;
  readonly mustArrive: readonly (readonly [name: string, value: string])[];
}

/** A test while it runs. */
export interface Running {
  readonly requests: readonly CacheRequest[];
  readonly seen: Seen[];
  /** Fields of the answers that were sent, by number of the request, as they went out. */
  readonly sent: Map<number, readonly (readonly [name: string, value: string])[]>;
}

const NO_BODY: ReadonlySet<number> = new Set([204, 304]);
const NOT_MODIFIED: readonly [number, string] = [304, 'Not Modified'];
/** Says that a conditional request was due and did not come; no cache may take it for an answer. */
const NOT_CONDITIONAL: readonly [number, string] = [999, '304 Not Generated'];

export class Origin {
  readonly #server: Server;
  readonly #running = new Map<string, Running>();

  constructor() {
    this.#server = createServer((request, response) => {
      this.#answer(request, response).catch((error: unknown) => {
        response.destroy(error instanceof Error ? error : undefined);
      });
    });
  }

  async listen(port: number): Promise<number> {
    return listening(this.#server, port);
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  /** A test begins; its requests go to `/test/<token>…`. */
  begin(token: string, requests: readonly CacheRequest[]): Running {
    const running: Running = { requests, seen: [], sent: new Map() };
    this.#running.set(token, running);
    return running;
  }

  end(token: string): void {
    this.#running.delete(token);
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    request.resume();
    const url = request.url ?? '';
    const token = /^\/test\/([^/?]+)/.exec(url)?.[1] ?? '';
    const running = this.#running.get(token);
    const named = Number.parseInt(String(request.headers['req-num']), 10);
    const number = Number.isNaN(named) ? (running?.seen.length ?? 0) + 1 : named;
    const plan = running?.requests[number - 1];
    if (running === undefined || plan === undefined) {
      response.writeHead(409).end('no such request');
      return;
    }
    if (plan.response_pause !== undefined) await sleep(plan.response_pause * 1000);
    for (const [status, headers = []] of plan.interim_responses ?? []) {
      if (status === 102) response.writeProcessing();
      else response.writeEarlyHints(Object.fromEntries(headers.map(([name, value]) => [name, String(value)])));
    }
    const count = running.seen.length + 1;
    const now = Date.now();
    const [status, phrase] = statusOf(request, plan, running.sent.get(number - 1) ?? []);
    response.statusCode = status;
    response.statusMessage = phrase;
    const lines: [string, string][] = (plan.response_headers ?? []).map((line) => [
      line[0],
      valueOf(line, plan, now, url),
    ]);
    running.sent.set(number, lines);
    running.seen.push({
      number,
      method: request.method ?? '',
      headers: request.headers,
      mustArrive: mustArrive(plan.response_headers ?? [], lines),
    });
    response.setHeader('Server-Base-Url', url);
    response.setHeader('Server-Request-Count', String(count));
    response.setHeader('Client-Request-Count', String(number));
    response.setHeader('Server-Now', String(now));
    for (const [name, value] of lines) response.appendHeader(name, value);
    if (!response.hasHeader('content-type')) response.setHeader('Content-Type', 'text/plain');
    response.setHeader('Request-Numbers', running.seen.map((one) => one.number).join(' '));
    if (plan.disconnect === true) response.socket?.destroy();
    else if (NO_BODY.has(status)) response.end();
    else response.end(plan.response_body ?? token);
  }
}

/** 304 when a validator of the answer before came back; what shows that none did when one was due. */
function statusOf(
  request: IncomingMessage,
  plan: CacheRequest,
  before: readonly (readonly [string, string])[],
): readonly [number, string] {
  if (plan.expected_type?.endsWith('validated') !== true) return plan.response_status ?? [200, 'OK'];
  const last = (name: string): string | undefined => before.findLast(([n]) => n.toLowerCase() === name)?.[1];
  const modified = last('last-modified');
  const etag = last('etag');
  if (modified !== undefined && request.headers['if-modified-since'] === modified) return NOT_MODIFIED;
  if (etag !== undefined && request.headers['if-none-match'] === etag) return NOT_MODIFIED;
  return NOT_CONDITIONAL;
}

/** Fields that must come to the client as they were sent, lines of one name joined. */
function mustArrive(
  planned: readonly HeaderLine[],
  lines: readonly (readonly [string, string])[],
): readonly (readonly [string, string])[] {
  const wanted = new Map<string, string>();
  for (const [i, line] of planned.entries()) {
    if (line.length > 2 && line[2] !== true) continue;
    const name = line[0].toLowerCase();
    // What came before under this name was sent too.
    const sent = lines.slice(0, i + 1).filter(([n]) => n.toLowerCase() === name);
    wanted.set(name, sent.map(([, value]) => value).join(', '));
  }
  return [...wanted];
}
