/** The client of the cache tests: sends one request as its test says, and hears all of the answer. */
import { type Agent, request } from 'node:http';
import type { Target } from '../http1/observe.ts';
import { type CacheRequest, valueOf } from './definition.ts';

/** Longest wait for one answer. */
export const ANSWER_MS = 15_000;

export interface Heard {
  readonly status: number;
  /** Lines of one name joined by a comma and a space; names in lower case. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
  readonly interim: readonly { readonly status: number; readonly headers: ReadonlyMap<string, string> }[];
}

/** Nothing came in time. */
export class StalledError extends Error {}

export interface Ask {
  readonly target: Target;
  readonly agent: Agent;
  readonly plan: CacheRequest;
  readonly token: string;
  readonly testId: string;
  /** From 1. */
  readonly number: number;
  /** The answer before, for dates that are told from its own. */
  readonly before: Heard | undefined;
}

export function send(ask: Ask): Promise<Heard> {
  const { plan, token, number, testId, before } = ask;
  const now = Number(before?.headers.get('server-now') ?? Date.now());
  // Every request says something of caching that means nothing, as browsers made the tests do.
  const headers: string[] = ['Pragma', 'foo', 'Cache-Control', 'nothing-to-see-here'];
  for (const line of plan.request_headers ?? []) headers.push(line[0], valueOf(line, plan, now, ''));
  headers.push('Test-ID', testId, 'Req-Num', String(number), 'Host', `${ask.target.host}:${ask.target.port}`);
  if (plan.request_body !== undefined) headers.push('Content-Length', String(Buffer.byteLength(plan.request_body)));
  const path = `/test/${token}${plan.filename === undefined ? '' : `/${plan.filename}`}${plan.query_arg === undefined ? '' : `?${plan.query_arg}`}`;
  return new Promise((resolve, reject) => {
    const interim: { status: number; headers: ReadonlyMap<string, string> }[] = [];
    const sent = request({
      host: ask.target.host,
      port: ask.target.port,
      agent: ask.agent,
      path,
      method: plan.request_method ?? 'GET',
      headers,
    });
    const timer = setTimeout(() => sent.destroy(new StalledError(`no answer within ${ANSWER_MS} ms`)), ANSWER_MS);
    sent.on('information', (information) => {
      interim.push({ status: information.statusCode, headers: joined(information.rawHeaders) });
    });
    sent.on('error', (error) => {
      clearTimeout(timer);
      reject(error);
    });
    sent.on('response', (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', (error) => {
        clearTimeout(timer);
        reject(error);
      });
      response.on('end', () => {
        clearTimeout(timer);
        const body = Buffer.concat(chunks).toString('utf8');
        resolve({ status: response.statusCode ?? 0, headers: joined(response.rawHeaders), body, interim });
      });
    });
    sent.end(plan.request_body);
  });
}

function joined(raw: readonly string[]): ReadonlyMap<string, string> {
  const headers = new Map<string, string>();
  for (let i = 0; i < raw.length; i += 2) {
    const name = (raw[i] ?? '').toLowerCase();
    const before = headers.get(name);
    headers.set(name, before === undefined ? (raw[i + 1] ?? '') : `${before}, ${raw[i + 1] ?? ''}`);
  }
  return headers;
}
