/** A request that may change something: when it has succeeded, what is stored of its address, and of those that its answer names, is no longer believed (RFC 9111 §4.4). */
import type { Exchange } from '../exchange.ts';
import { readHost } from '../normalize/host.ts';
import { canonicalTarget } from '../normalize/reference.ts';
import { Verdict } from '../verdict.ts';
import { forwardedStatus } from './cache-status.ts';
import type { ResponseCache } from './cache.ts';
import type { Caching } from './caching.ts';
import { targetOf } from './request.ts';

const SUCCESS = 200;
const CLIENT_ERROR = 400;
/** Fields that name further addresses. */
const NAMES = ['location', 'content-location'];

export class Unsafe implements Caching {
  readonly #cache: ResponseCache;

  constructor(cache: ResponseCache) {
    this.#cache = cache;
  }

  answered(x: Exchange): Verdict {
    const answer = x.wire.upstreamAnswer;
    x.wire.addAnswerHeader('cache-status', forwardedStatus('method', answer.status, false));
    if (answer.status < SUCCESS || answer.status >= CLIENT_ERROR) return Verdict.Next;
    const own = targetOf(x);
    this.#cache.invalidate({ by: 'address', host: x.host, target: own });
    for (const name of NAMES) {
      const target = sameOrigin(x, answer.header(name), own);
      if (target !== null && target !== own) this.#cache.invalidate({ by: 'address', host: x.host, target });
    }
    return Verdict.Next;
  }

  replaced(x: Exchange): boolean {
    this.answered(x);
    return false;
  }

  rescue(): boolean {
    return false;
  }

  over(): void {
    // It held nothing.
  }
}

/** Path and query of a reference on the same host; null when it names another one, or nothing that can be stored. */
function sameOrigin(x: Exchange, reference: string | undefined, own: string): string | null {
  if (reference === undefined || !URL.canParse(reference, `http://${x.host}${own}`)) return null;
  const url = new URL(reference, `http://${x.host}${own}`);
  return readHost(url.hostname) === x.host ? canonicalTarget(url) : null;
}
