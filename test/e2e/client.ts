/** How these tests ask a gateway: exact bytes where framing matters, `node:http` where it does not. */
import { Agent, type IncomingHttpHeaders, type OutgoingHttpHeaders, request } from 'node:http';
import { type Agent as SecureAgent, request as secureRequest } from 'node:https';
import { type ReadResponse, readResponses } from '../conformance/http1/responses.ts';
import { testAuthority } from '../harness/certs.ts';
import { RawConnection, type RawOptions } from '../harness/raw-client.ts';

/** Longest wait for one answer, milliseconds. */
export const PATIENCE_MS = 45_000;

export interface Heard {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

export interface Ask {
  readonly method?: string;
  readonly headers?: OutgoingHttpHeaders;
  readonly body?: string | Uint8Array;
  readonly agent?: Agent | SecureAgent | false;
  /** Ask by TLS, trusting the tests' own authority. */
  readonly tls?: boolean;
  readonly host?: string;
  readonly localAddress?: string;
}

/** One request; resolves with the whole answer, rejects when there is none. */
export function ask(port: number, path: string, options: Ask = {}): Promise<Heard> {
  return new Promise((resolve, reject) => {
    const { tls = false, agent = false, method = 'GET', headers = {}, localAddress } = options;
    const place = {
      host: options.host ?? '127.0.0.1',
      port,
      path,
      method,
      headers,
      timeout: PATIENCE_MS,
      ...(localAddress === undefined ? {} : { localAddress }),
    };
    const sent = tls
      ? secureRequest({
          ...place,
          agent: agent as SecureAgent | false,
          ca: testAuthority().certificate,
          servername: 'localhost',
        })
      : request({ ...place, agent });
    sent.on('response', (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => {
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          body: Buffer.concat(chunks).toString('utf8'),
        });
      });
    });
    sent.on('timeout', () => sent.destroy(new Error(`no answer to ${method} ${path} within ${PATIENCE_MS} ms`)));
    sent.on('error', reject);
    sent.end(options.body);
  });
}

/** Connections that are kept for use again, at most so many. Destroy it. */
export function keepAlive(connections: number): Agent {
  return new Agent({ keepAlive: true, maxSockets: connections, maxFreeSockets: connections });
}

/** The code of a refusal; the body itself when it is none. */
export function codeOf(heard: { readonly body: string }): string {
  const match = /"code":"([a-z_]+)"/.exec(heard.body);
  return match?.[1] ?? heard.body.slice(0, 200);
}

/** The id by which the gateway knows the exchange: in the field of an answer, in the body of a refusal. */
export function idOf(heard: Heard): string {
  const field = heard.headers['x-request-id'];
  if (typeof field === 'string') return field;
  return /"request_id":"([0-9a-f-]+)"/.exec(heard.body)?.[1] ?? '';
}

export interface RawAnswer extends ReadResponse {
  /** Everything that came. */
  readonly bytes: Buffer;
  readonly connection: RawConnection;
}

/** Sends exact bytes and waits for one whole answer. The connection is the caller's to destroy. */
export async function askRaw(options: RawOptions, bytes: string | Uint8Array, method = 'GET'): Promise<RawAnswer> {
  const connection = await RawConnection.open(options);
  connection.send(bytes);
  return answerOn(connection, method);
}

/** Waits for one whole answer on a connection. */
export async function answerOn(connection: RawConnection, method = 'GET'): Promise<RawAnswer> {
  const first = (): ReadResponse | undefined =>
    readResponses(connection.received(), [method], connection.closed).responses.find((r) => r.status >= 200);
  await connection.until(() => first()?.complete === true, PATIENCE_MS);
  const answer = first();
  if (answer === undefined || !answer.complete) {
    const got = connection.received().toString('latin1').slice(0, 500);
    connection.destroy();
    throw new Error(`no whole answer; the connection is ${connection.ending}, and what came is: ${got}`);
  }
  return { ...answer, bytes: connection.received(), connection };
}
