/** How the commands ask a running gateway: one request, with bounds. */
import { Agent, request } from 'undici';

/** Until connected, until the head, until the end: each. */
export const ASK_TIMEOUT_MS = 5000;
/** Longest answer. */
export const ANSWER_BYTES_MAX = 8 * 1024 * 1024;

export interface Heard {
  readonly status: number;
  readonly body: string;
}

/** Asks; rejects with a text that names the URL when there is no answer. */
export async function ask(
  url: string,
  token: string | null,
  timeoutMs = ASK_TIMEOUT_MS,
  method: 'GET' | 'POST' = 'GET',
): Promise<Heard> {
  const dispatcher = new Agent({
    connect: { timeout: timeoutMs },
    headersTimeout: timeoutMs,
    bodyTimeout: timeoutMs,
    maxResponseSize: ANSWER_BYTES_MAX,
  });
  try {
    const headers = token === null ? {} : { authorization: `Bearer ${token}` };
    const answer = await request(url, { method, dispatcher, headers, signal: AbortSignal.timeout(timeoutMs * 2) });
    return { status: answer.statusCode, body: await answer.body.text() };
  } catch (error) {
    const why = error instanceof Error ? error.message || error.name : String(error);
    throw new Error(`${url} does not answer: ${why}`, { cause: error });
  } finally {
    await dispatcher.destroy();
  }
}

/** Joins a base (`http://127.0.0.1:9902`) and a path. Null: the base is no http(s) URL. */
export function joined(base: string, path: string): string | null {
  const url = URL.parse(path, base.endsWith('/') ? base : `${base}/`);
  return url !== null && (url.protocol === 'http:' || url.protocol === 'https:') ? url.href : null;
}

/** The same. Throws on what is no http(s) URL. */
export function urlOf(base: string, path: string): string {
  const url = joined(base, path);
  if (url === null) throw new Error(`"${base}" is no URL like http://127.0.0.1:9902`);
  return url;
}

/** True for 2xx (RFC 9110 §15.3). */
export function isOk(status: number): boolean {
  return Math.floor(status / 100) === 2;
}
