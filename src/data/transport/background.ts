/** Requests that no client waits for: stale answers that are fetched anew while they serve. */
import type { Dispatcher } from 'undici';
import type { EndpointPlan } from '../../snapshot/cell-plans.ts';
import { type AnswerHeaders, AsideFetch, AsideFetches, type AsideRequest } from './aside.ts';

/** Requests of a lane that are open at once. */
export const BACKGROUND_MAX = 64;

export interface BackgroundRequest extends AsideRequest {
  /** A longer answer is dropped. */
  readonly bodyBytesMax: number;
}

export interface BackgroundAnswer {
  readonly status: number;
  /** Flat, names in lower case. */
  readonly fields: readonly string[];
  readonly body: Uint8Array;
}

export class BackgroundFetches extends AsideFetches {
  constructor() {
    super(BACKGROUND_MAX);
  }

  /** Asks by GET. `done` is called once, later, with null when there is no whole answer. False: too many are open, and it is not called. */
  fetch(endpoint: EndpointPlan, request: BackgroundRequest, done: (answer: BackgroundAnswer | null) => void): boolean {
    return this.send(endpoint, request, { method: 'GET', body: null }, () => new Fetch(request), done);
  }
}

const TOO_LONG = new Error('the answer is too long to be stored');

class Fetch extends AsideFetch<BackgroundAnswer> {
  readonly #bytesMax: number;
  #status = 0;
  readonly #fields: string[] = [];
  readonly #chunks: Buffer[] = [];
  #bytes = 0;

  constructor(request: BackgroundRequest) {
    super(request.timeoutMs);
    this.#bytesMax = request.bodyBytesMax;
  }

  onResponseStart(_: unknown, status: number, headers: AnswerHeaders): void {
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
    this.end({ status: this.#status, fields: this.#fields, body: Buffer.concat(this.#chunks) });
  }
}
