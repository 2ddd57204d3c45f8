/** Requests that no client waits for: stale answers that are fetched anew while they serve. Whichever transport serves, undici carries these: they are few. */
import type { Dispatcher } from 'undici';
import type { EndpointPlan } from '../../snapshot/cell-plans.ts';
import { EndpointPools } from './uws/endpoint-pool.ts';

/** Requests of a lane that are open at once. */
export const BACKGROUND_MAX = 64;

export interface BackgroundRequest {
  /** Path and query. */
  readonly target: string;
  /** Flat name, value, … with `host`. */
  readonly headers: readonly string[];
  /** A longer answer is dropped. */
  readonly bodyBytesMax: number;
  readonly connectTimeoutMs: number;
  /** For all of it, ms. */
  readonly timeoutMs: number;
}

export interface BackgroundAnswer {
  readonly status: number;
  /** Flat, names in lower case. */
  readonly fields: readonly string[];
  readonly body: Uint8Array;
}

export class BackgroundFetches {
  readonly #pools = new EndpointPools();
  #open = 0;

  /** Asks by GET. `done` is called once, later, with null when there is no whole answer. False: too many are open, and it is not called. */
  fetch(endpoint: EndpointPlan, request: BackgroundRequest, done: (answer: BackgroundAnswer | null) => void): boolean {
    const pool = this.#pools.of(endpoint);
    if (this.#open >= BACKGROUND_MAX || pool.full) return false;
    this.#open++;
    const headers: Record<string, string> = {};
    for (let i = 0; i < request.headers.length; i += 2)
      headers[request.headers[i] as string] = request.headers[i + 1] as string;
    const fetching = new Fetch(request, (answer) => {
      this.#open--;
      pool.open--;
      done(answer);
    });
    pool.dispatch({ path: request.target, method: 'GET', headers }, request.connectTimeoutMs, fetching);
    return true;
  }

  /** Closes connections to endpoints that are not in the list. */
  retain(endpoints: readonly EndpointPlan[]): void {
    this.#pools.retain(endpoints);
  }

  close(): void {
    this.#pools.destroy();
  }
}

const TOO_LONG = new Error('the answer is too long to be stored');
const TOO_SLOW = new Error('the answer took too long');

class Fetch implements Dispatcher.DispatchHandler {
  readonly #bytesMax: number;
  readonly #done: (answer: BackgroundAnswer | null) => void;
  readonly #timer: NodeJS.Timeout;
  #controller: Dispatcher.DispatchController | null = null;
  #over = false;
  #late = false;
  #status = 0;
  readonly #fields: string[] = [];
  readonly #chunks: Buffer[] = [];
  #bytes = 0;

  constructor(request: BackgroundRequest, done: (answer: BackgroundAnswer | null) => void) {
    this.#bytesMax = request.bodyBytesMax;
    this.#done = done;
    this.#timer = setTimeout(() => {
      this.#late = true;
      this.#controller?.abort(TOO_SLOW);
    }, request.timeoutMs);
    this.#timer.unref();
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    // Thrown while it is still queued, this costs undici no connection.
    if (this.#late) throw TOO_SLOW;
    this.#controller = controller;
  }

  onResponseStart(_: unknown, status: number, headers: Readonly<Record<string, string | string[] | undefined>>): void {
    if (status < 200) return;
    this.#status = status;
    for (const name in headers) {
      const value = headers[name];
      for (const one of typeof value === 'string' ? [value] : (value ?? [])) this.#fields.push(name.toLowerCase(), one);
    }
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#bytes += chunk.length;
    if (this.#bytes > this.#bytesMax) controller.abort(TOO_LONG);
    else this.#chunks.push(chunk);
  }

  onResponseEnd(): void {
    this.#end({ status: this.#status, fields: this.#fields, body: Buffer.concat(this.#chunks) });
  }

  onResponseError(): void {
    this.#end(null);
  }

  #end(answer: BackgroundAnswer | null): void {
    if (this.#over) return;
    this.#over = true;
    clearTimeout(this.#timer);
    this.#done(answer);
  }
}
