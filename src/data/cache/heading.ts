/** A HEAD on its way upstream: what it says of the stored answer to GET counts (RFC 9111 §4.3.5). */
import type { Exchange } from '../exchange.ts';
import { CacheOutcome } from '../exchange.ts';
import type { RefusalRow } from '../refusal.ts';
import { Verdict } from '../verdict.ts';
import { forwardedStatus, hitStatus } from './cache-status.ts';
import type { ResponseCache } from './cache.ts';
import type { Caching, Place, Tracked } from './caching.ts';
import { linesOf } from './fetching.ts';
import { firstOf } from './fields.ts';
import { serve } from './serve.ts';
import type { Asked, Came, StoredAnswer } from './stored.ts';
import { ageOf, contradicts, validated } from './stored.ts';
import { isError, isFailure, usableOnError } from './usable.ts';

const SERVER_ERROR = 500;
const NOT_MODIFIED = 304;

export class Heading implements Caching {
  readonly #cache: ResponseCache;
  readonly #place: Place;
  readonly #asked: Asked;
  readonly #found: StoredAnswer | null;
  readonly #tracked: Tracked | null;
  #isOver = false;

  constructor(cache: ResponseCache, place: Place, asked: Asked, found: StoredAnswer | null) {
    this.#cache = cache;
    this.#place = place;
    this.#asked = asked;
    this.#found = found;
    // Only what is stored already may be stored by it once more.
    this.#tracked = found === null ? null : cache.track(place);
    found?.body.hold();
  }

  answered(x: Exchange): Verdict {
    const answer = x.wire.upstreamAnswer;
    if (isError(answer.status) && this.#serveStale(x)) return Verdict.Handed;
    const found = this.#found;
    if (found !== null && answer.status < SERVER_ERROR && answer.status !== NOT_MODIFIED) {
      const came: Came = { status: answer.status, fields: linesOf(answer), at: x.now };
      const fresh = contradicts(found, came, firstOf(came.fields, 'content-length'))
        ? null
        : validated(found, this.#asked, came);
      this.#cache.store.drop(this.#place, found);
      if (fresh !== null && !('why' in fresh) && this.#tracked?.purged === false) this.#cache.keep(this.#place, fresh);
    }
    x.wire.addAnswerHeader(
      'cache-status',
      forwardedStatus(found === null ? 'uri-miss' : 'stale', answer.status, false),
    );
    return Verdict.Next;
  }

  replaced(x: Exchange): boolean {
    return this.answered(x) === Verdict.Handed;
  }

  rescue(x: Exchange, row: RefusalRow): boolean {
    return isFailure(row) && this.#serveStale(x);
  }

  #serveStale(x: Exchange): boolean {
    const found = this.#found;
    if (found === null || !usableOnError(found, x.now)) return false;
    x.cache = CacheOutcome.Stale;
    return serve(x, found, hitStatus(found.lifetime - ageOf(found, x.now), '; detail=error'));
  }

  /** Nobody waits for it. */
  over(): void {
    if (this.#tracked !== null) this.#cache.untrack(this.#tracked);
    if (this.#isOver) return;
    this.#isOver = true;
    this.#found?.body.letGo();
  }
}
