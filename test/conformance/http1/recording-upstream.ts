/**
 * The origin behind the gateway under test: a raw TCP server that keeps what it was sent and reads it strictly. It answers the contract that
 * http11probe expects of its targets, and conditional requests, so that what a gateway only passes on does come out right.
 *
 * A record belongs to the client connection whose source address the gateway put into X-Forwarded-For or Forwarded; a request without one
 * (nobody asked for it: it was smuggled in another's bytes) belongs to the request before it on the same upstream connection.
 */
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { type Finding, isInvalid } from './findings.ts';
import { type Message, readMessage } from './reference.ts';
import { valuesOf } from './reference-fields.ts';

export interface UpstreamRecord {
  /** Number that the answer carried in X-Recorded. */
  readonly id: number;
  /** Number of the upstream connection. */
  readonly connection: number;
  /** Source address of the client connection it belongs to; empty when nothing told. */
  readonly client: string;
  /** `partial`: the gateway ended the connection within the message. `malformed`: bytes that are no well-formed, unambiguous request. */
  readonly outcome: 'complete' | 'partial' | 'malformed';
  readonly faults: readonly Finding[];
  readonly message: Message;
  /** The head's first bytes, for reports. */
  readonly excerpt: string;
}

const EXCERPT_BYTES = 200;
const BUFFER_BYTES_MAX = 8 * 1024 * 1024;
/** Well-formed for a client, but nothing that a gateway may put on the wire to an origin. */
const NOT_UPSTREAM: ReadonlySet<Finding> = new Set<Finding>([
  'transfer-coding-other',
  'leading-empty-line',
  'http-1.x',
]);

const ETAG = '"conformance-1"';
const LAST_MODIFIED = 'Thu, 01 Jan 2026 00:00:00 GMT';

export class RecordingUpstream {
  readonly records: UpstreamRecord[] = [];
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #connections = 0;
  #ids = 0;

  constructor() {
    this.#server = createServer((socket) => {
      this.#serve(socket);
    });
  }

  /** Listens on `port` of the loopback address (0: any free one) and resolves with the port. */
  listen(port = 0): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(port, '127.0.0.1', () => {
        resolve((this.#server.address() as AddressInfo).port);
      });
    });
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => {
      this.#server.close(() => {
        resolve();
      });
    });
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket);
    this.#connections += 1;
    const connection = this.#connections;
    let buffer = Buffer.alloc(0);
    let client = '';
    const record = (outcome: UpstreamRecord['outcome'], message: Message, faults: readonly Finding[]): number => {
      this.#ids += 1;
      client = clientOf(message) ?? client;
      const excerpt = buffer.toString('latin1', 0, EXCERPT_BYTES);
      this.records.push({ id: this.#ids, connection, client, outcome, faults, message, excerpt });
      return this.#ids;
    };
    const read = (): void => {
      while (buffer.length > 0) {
        const message = readMessage(buffer);
        const faults = [...message.findings].filter((finding) => isInvalid(finding) || NOT_UPSTREAM.has(finding));
        if (message.outcome === 'incomplete' && faults.length === 0 && buffer.length <= BUFFER_BYTES_MAX) return;
        if (message.outcome !== 'complete' || faults.length > 0) {
          record('malformed', message, faults);
          buffer = Buffer.alloc(0);
          socket.end(
            'HTTP/1.1 400 Bad Request\r\nX-Conformance: malformed\r\nContent-Length: 0\r\nConnection: close\r\n\r\n',
          );
          return;
        }
        const id = record('complete', message, []);
        buffer = buffer.subarray(message.end);
        socket.write(answer(message, id));
        if (message.last) {
          socket.end();
          return;
        }
      }
    };
    socket.on('data', (chunk: Buffer) => {
      buffer = Buffer.concat([buffer, chunk]);
      read();
    });
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      this.#sockets.delete(socket);
      if (buffer.length > 0) record('partial', readMessage(buffer), []);
      buffer = Buffer.alloc(0);
    });
  }
}

/** The last loopback address in X-Forwarded-For or Forwarded: the peer of the gateway itself. */
function clientOf(message: Message): string | undefined {
  const told = [...valuesOf(message.fields, 'x-forwarded-for'), ...valuesOf(message.fields, 'forwarded')].join(',');
  return told.match(/127\.\d+\.\d+\.\d+/g)?.at(-1);
}

function answer(message: Message, id: number): Buffer {
  const [path = ''] = (
    message.target.startsWith('http') ? message.target.replace(/^https?:\/\/[^/?]*/i, '') : message.target
  ).split('?', 1);
  const { method } = message;
  let status = '200 OK';
  let extra = '';
  let body: Buffer = Buffer.from('OK');
  if (
    method === 'TRACE' ||
    method === 'CONNECT' ||
    (path === '/' && !['GET', 'HEAD', 'POST', 'OPTIONS'].includes(method))
  ) {
    status = '405 Method Not Allowed';
    extra = 'Allow: GET, HEAD, POST, OPTIONS\r\n';
  } else if (method === 'OPTIONS') {
    extra = 'Allow: GET, HEAD, POST, OPTIONS\r\n';
  } else if (path === '/echo') {
    body = Buffer.from(message.fields.map(([name, value]) => `${name}: ${value}\n`).join(''), 'latin1');
  } else if (path === '/cookie') {
    const pairs = valuesOf(message.fields, 'cookie').flatMap((value) => value.split(';'));
    body = Buffer.from(pairs.map((pair) => `${pair.trim()}\n`).join(''), 'latin1');
  } else if (method === 'GET' || method === 'HEAD') {
    extra = `ETag: ${ETAG}\r\nLast-Modified: ${LAST_MODIFIED}\r\n`;
    if (notModified(message)) status = '304 Not Modified';
  } else if (message.body.length > 0) {
    body = message.body;
  }
  const withBody = method !== 'HEAD' && !status.startsWith('304');
  const head =
    `HTTP/1.1 ${status}\r\nDate: ${new Date().toUTCString()}\r\n${extra}Content-Type: text/plain\r\nX-Recorded: ${id}\r\n` +
    (status.startsWith('304') ? '' : `Content-Length: ${body.length}\r\n`) +
    `${message.last ? 'Connection: close\r\n' : ''}\r\n`;
  return Buffer.concat([Buffer.from(head, 'latin1'), withBody ? body : Buffer.alloc(0)]);
}

/** RFC 9110 §13.2.2: If-None-Match decides alone where it is present; its comparison is weak. */
function notModified(message: Message): boolean {
  const tags = valuesOf(message.fields, 'if-none-match');
  if (tags.length > 0) {
    const listed = tags.flatMap((value) => value.match(/\*|(?:W\/)?"[^"]*"/g) ?? []);
    return listed.some((tag) => tag === '*' || tag.replace(/^W\//, '') === ETAG);
  }
  const [since] = valuesOf(message.fields, 'if-modified-since');
  if (since === undefined) return false;
  const time = Date.parse(since);
  // A date that is not a date, or lies in the future, is ignored (§13.1.3).
  return !Number.isNaN(time) && time <= Date.now() && time >= Date.parse(LAST_MODIFIED);
}
