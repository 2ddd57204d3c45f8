/** Copies of requests on their way to a mirror: answers are read for what is compared and never kept. Whichever transport serves, undici carries these. */
import { createHash } from 'node:crypto';
import type { Dispatcher } from 'undici';
import type { EndpointPlan } from '../../snapshot/cell-plans.ts';
import { EndpointPools } from './uws/endpoint-pool.ts';

/** Copies of a lane that are on their way at once; what comes beyond is dropped. */
export const MIRRORS_MAX = 64;

export interface MirrorRequest {
  readonly method: string;
  readonly target: string;
  /** Flat name, value, … with `host`. */
  readonly headers: readonly string[];
  /** Null: none. */
  readonly body: Uint8Array | null;
  readonly connectTimeoutMs: number;
  /** For all of it. */
  readonly timeoutMs: number;
  /** Lower-case names of the answer's fields to take. */
  readonly fields: readonly string[];
  /** Longest body that is digested; 0 = none is. */
  readonly digestBytesMax: number;
}

export interface MirrorAnswer {
  readonly status: number;
  /** By the request's `fields`; '' = absent. */
  readonly headers: readonly string[];
  /** Hex; '' when it was too long, or not asked for. */
  readonly digest: string;
  /** To the response head. */
  readonly ms: number;
}

export class MirrorFetches {
  readonly #pools = new EndpointPools();
  readonly #tick: () => number;
  #open = 0;

  /** `tick`: monotonic ms. */
  constructor(tick: () => number) {
    this.#tick = tick;
  }

  /** `done` is called once, later; null: no answer. False: too many are on their way, and it is not called. */
  fetch(endpoint: EndpointPlan, request: MirrorRequest, done: (answer: MirrorAnswer | null) => void): boolean {
    const pool = this.#pools.of(endpoint);
    if (this.#open >= MIRRORS_MAX || pool.full) return false;
    this.#open++;
    const fetching = new Fetch(request, this.#tick, (answer) => {
      this.#open--;
      pool.open--;
      done(answer);
    });
    const headers: Record<string, string> = {};
    for (let i = 0; i < request.headers.length; i += 2)
      headers[request.headers[i] as string] = request.headers[i + 1] as string;
    const { target: path, method, body } = request;
    pool.dispatch({ path, method, headers, body }, request.connectTimeoutMs, fetching);
    return true;
  }

  retain(endpoints: readonly EndpointPlan[]): void {
    this.#pools.retain(endpoints);
  }

  close(): void {
    this.#pools.destroy();
  }
}

const TOO_SLOW = new Error('the mirror took too long');
const SEEN_ENOUGH = new Error('no more of the answer is compared');

class Fetch implements Dispatcher.DispatchHandler {
  readonly #request: MirrorRequest;
  readonly #tick: () => number;
  readonly #done: (answer: MirrorAnswer | null) => void;
  readonly #timer: NodeJS.Timeout;
  readonly #begun: number;
  readonly #hash = createHash('sha256');
  #controller: Dispatcher.DispatchController | null = null;
  #over = false;
  #late = false;
  #status = 0;
  #ms = 0;
  #headers: string[] = [];
  #bytes = 0;

  constructor(request: MirrorRequest, tick: () => number, done: (answer: MirrorAnswer | null) => void) {
    this.#request = request;
    this.#tick = tick;
    this.#done = done;
    this.#begun = tick();
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
    this.#ms = this.#tick() - this.#begun;
    this.#headers = this.#request.fields.map((name) => {
      const value = headers[name];
      return value === undefined ? '' : typeof value === 'string' ? value : value.join(', ');
    });
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#bytes += chunk.length;
    if (this.#bytes <= this.#request.digestBytesMax) this.#hash.update(chunk);
    else {
      this.#end(this.#answer(''));
      controller.abort(SEEN_ENOUGH);
    }
  }

  onResponseEnd(): void {
    this.#end(this.#answer(this.#request.digestBytesMax === 0 ? '' : this.#hash.digest('hex')));
  }

  onResponseError(): void {
    this.#end(null);
  }

  #answer(digest: string): MirrorAnswer {
    return { status: this.#status, headers: this.#headers, digest, ms: this.#ms };
  }

  #end(answer: MirrorAnswer | null): void {
    if (this.#over) return;
    this.#over = true;
    clearTimeout(this.#timer);
    this.#done(answer);
  }
}
