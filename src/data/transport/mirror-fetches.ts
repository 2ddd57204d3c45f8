/** Copies of requests on their way to a mirror: answers are read for what is compared and never kept. */
import { createHash } from 'node:crypto';
import type { Dispatcher } from 'undici';
import type { EndpointPlan } from '../../snapshot/cell-plans.ts';
import { type AnswerHeaders, AsideFetch, AsideFetches, type AsideRequest } from './aside.ts';

/** Copies of a lane that are on their way at once; what comes beyond is dropped. */
export const MIRRORS_MAX = 64;

export interface MirrorRequest extends AsideRequest {
  readonly method: string;
  /** Null: none. */
  readonly body: Uint8Array | null;
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

export class MirrorFetches extends AsideFetches {
  readonly #tick: () => number;

  /** `tick`: monotonic ms. */
  constructor(tick: () => number) {
    super(MIRRORS_MAX);
    this.#tick = tick;
  }

  /** `done` is called once, later; null: no answer. False: too many are on their way, and it is not called. */
  fetch(endpoint: EndpointPlan, request: MirrorRequest, done: (answer: MirrorAnswer | null) => void): boolean {
    return this.send(endpoint, request, request, () => new Fetch(request, this.#tick), done);
  }
}

const SEEN_ENOUGH = new Error('no more of the answer is compared');

class Fetch extends AsideFetch<MirrorAnswer> {
  readonly #request: MirrorRequest;
  readonly #tick: () => number;
  readonly #begun: number;
  readonly #hash = createHash('sha256');
  #status = 0;
  #ms = 0;
  #headers: string[] = [];
  #bytes = 0;

  constructor(request: MirrorRequest, tick: () => number) {
    super(request.timeoutMs);
    this.#request = request;
    this.#tick = tick;
    this.#begun = tick();
  }

  onResponseStart(_: unknown, status: number, headers: AnswerHeaders): void {
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
      this.end(this.#answer(''));
      controller.abort(SEEN_ENOUGH);
    }
  }

  onResponseEnd(): void {
    this.end(this.#answer(this.#request.digestBytesMax === 0 ? '' : this.#hash.digest('hex')));
  }

  #answer(digest: string): MirrorAnswer {
    return { status: this.#status, headers: this.#headers, digest, ms: this.#ms };
  }
}
