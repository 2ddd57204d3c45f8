/**
 * Requests beside those of clients: stale answers that are fetched anew, and copies for a mirror. Whichever transport serves, undici carries these: they are few. A bounded number is
 * on its way at once, each with a deadline for all of it, and each ends exactly once.
 */
import type { Dispatcher } from 'undici';
import type { EndpointPlan } from '../../snapshot/cell-plans.ts';
import { EndpointPools } from './uws/endpoint-pool.ts';

/** What every such request says. */
export interface AsideRequest {
  /** Path and query. */
  readonly target: string;
  /** Flat name, value, … with `host`. */
  readonly headers: readonly string[];
  readonly connectTimeoutMs: number;
  /** For all of it, ms. */
  readonly timeoutMs: number;
}

/** Headers of an answer as undici tells them, names in lower case or as they came. */
export type AnswerHeaders = Readonly<Record<string, string | string[] | undefined>>;

const TOO_SLOW = new Error('the answer took too long');

/** One request: what a kind of them does with its answer stands in its class. */
export abstract class AsideFetch<A> implements Dispatcher.DispatchHandler {
  readonly #timer: NodeJS.Timeout;
  #done: ((answer: A | null) => void) | null = null;
  #controller: Dispatcher.DispatchController | null = null;
  #late = false;

  constructor(timeoutMs: number) {
    this.#timer = setTimeout(() => {
      this.#late = true;
      this.#controller?.abort(TOO_SLOW);
    }, timeoutMs);
    this.#timer.unref();
  }

  /** Called once, with null when there is no answer. */
  whenDone(done: (answer: A | null) => void): void {
    this.#done = done;
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    // Thrown while it is still queued, this costs undici no connection.
    if (this.#late) throw TOO_SLOW;
    this.#controller = controller;
  }

  abstract onResponseStart(controller: unknown, status: number, headers: AnswerHeaders): void;
  abstract onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void;
  abstract onResponseEnd(): void;

  onResponseError(): void {
    this.end(null);
  }

  /** What comes after the first time changes nothing. */
  protected end(answer: A | null): void {
    const done = this.#done;
    this.#done = null;
    clearTimeout(this.#timer);
    done?.(answer);
  }
}

/** Those of a lane that are on their way. */
export class AsideFetches {
  readonly #pools = new EndpointPools();
  readonly #openMax: number;
  #open = 0;

  /** `openMax`: at once. */
  constructor(openMax: number) {
    this.#openMax = openMax;
  }

  /** Sends a request; `done` is called once, later, with null when there is no answer. False: too many are on their way, and nothing is called. */
  send<A>(
    endpoint: EndpointPlan,
    request: AsideRequest,
    how: { readonly method: string; readonly body: Uint8Array | null },
    fetching: () => AsideFetch<A>,
    done: (answer: A | null) => void,
  ): boolean {
    const pool = this.#pools.of(endpoint);
    if (this.#open >= this.#openMax || pool.full) return false;
    this.#open++;
    const headers: Record<string, string> = {};
    for (let i = 0; i < request.headers.length; i += 2)
      headers[request.headers[i] as string] = request.headers[i + 1] as string;
    const one = fetching();
    one.whenDone((answer) => {
      this.#open--;
      pool.open--;
      done(answer);
    });
    const { method, body } = how;
    pool.dispatch({ path: request.target, method, headers, body }, request.connectTimeoutMs, one);
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
