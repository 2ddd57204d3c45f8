/** A GET on its way upstream: its answer is stored, or says that the stored one is right, or fails, and then a stale one may serve (RFC 9111 §4.3, RFC 5861 §4). */
import type { Exchange } from '../exchange.ts';
import { CacheOutcome } from '../exchange.ts';
import type { RefusalRow } from '../refusal.ts';
import { REFUSALS } from '../refusal.ts';
import type { UpstreamAnswer } from '../transport/transport.ts';
import { AnswerState, BodyKind } from '../transport/transport.ts';
import { Verdict } from '../verdict.ts';
import { StoredBody } from './body.ts';
import type { Forwarded } from './cache-status.ts';
import { forwardedStatus, hitStatus } from './cache-status.ts';
import type { ResponseCache } from './cache.ts';
import type { Caching, Place, Tracked } from './caching.ts';
import type { FieldLines } from './fields.ts';
import type { Flight } from './flights.ts';
import { serve } from './serve.ts';
import type { Asked, Came, StoredAnswer, StoredHead } from './stored.ts';
import { ageOf, freshenedOnce, storedHead, validated, withBody } from './stored.ts';
import { isError, isFailure, usableOnError } from './usable.ts';

const NOT_MODIFIED = 304;
/** Below it an answer says something about what is stored (RFC 9111 §4.3.3). */
const SERVER_ERROR = 500;

/** Field lines of the upstream's answer, copied. */
export function linesOf(answer: UpstreamAnswer): FieldLines {
  const lines: string[] = [];
  for (let i = 0; i < answer.headerCount; i++) lines.push(answer.headerName(i).toLowerCase(), answer.headerValue(i));
  return lines;
}

export class Fetching implements Caching {
  readonly #cache: ResponseCache;
  readonly #place: Place;
  readonly #asked: Asked;
  readonly #found: StoredAnswer | null;
  readonly #why: Forwarded;
  readonly #tracked: Tracked | null;
  #flight: Flight | null;
  /** What is stored when its body is here, and the attempt whose answer it heads. */
  #head: StoredHead | null = null;
  #attempt = 0;
  #isOver = false;

  constructor(
    cache: ResponseCache,
    place: Place,
    asked: Asked,
    found: StoredAnswer | null,
    why: Forwarded,
    flight: Flight | null,
  ) {
    this.#cache = cache;
    this.#place = place;
    this.#asked = asked;
    this.#found = found;
    this.#why = why;
    this.#flight = flight;
    this.#tracked = cache.track(place);
    // It may have to serve after the store has let go of it.
    found?.body.hold();
  }

  answered(x: Exchange): Verdict {
    const answer = x.wire.upstreamAnswer;
    if (this.#head !== null && this.#attempt === x.attempts) return this.#collect(x, answer, this.#head);
    const found = this.#found;
    const came: Came = { status: answer.status, fields: linesOf(answer), at: x.now };
    if (found !== null && answer.status === NOT_MODIFIED && this.#asked.range === '')
      return this.#stillRight(x, found, came);
    if (this.#serveInstead(x, answer.status)) return Verdict.Handed;
    const head = storedHead(this.#asked, came);
    if ('why' in head || (answer.bodyKind === BodyKind.Length && answer.bodyLength > this.#asked.plan.bodyBytesMax)) {
      return this.#pass(x, answer, false);
    }
    this.#head = head;
    this.#attempt = x.attempts;
    return this.#collect(x, answer, head);
  }

  replaced(x: Exchange): boolean {
    const answer = x.wire.upstreamAnswer;
    if (this.#serveInstead(x, answer.status)) return true;
    this.#pass(x, answer, false);
    return false;
  }

  rescue(x: Exchange, row: RefusalRow): boolean {
    const found = this.#found;
    if (!isFailure(row) || found === null || !usableOnError(found, x.now)) return false;
    return this.#serveStale(x, found);
  }

  over(x: Exchange): void {
    this.#land(x, true);
    if (this.#isOver) return;
    this.#isOver = true;
    this.#found?.body.letGo();
  }

  #collect(x: Exchange, answer: UpstreamAnswer, head: StoredHead): Verdict {
    const state = answer.inspectBody(this.#asked.plan.bodyBytesMax, head.part !== null);
    if (state === AnswerState.Pending) return Verdict.Wait;
    if (state !== AnswerState.Complete || this.#tracked?.purged !== false) return this.#pass(x, answer, false);
    const body = StoredBody.ofAnswer(answer);
    const stored = this.#cache.keep(this.#place, withBody(head, body));
    body.letGo();
    return this.#pass(x, answer, stored);
  }

  #pass(x: Exchange, answer: UpstreamAnswer, stored: boolean): Verdict {
    // The origin has something else now that is not stored: the old one is no answer any more.
    if (!stored && this.#found !== null && answer.status < SERVER_ERROR && this.#asked.range === '')
      this.#forget(this.#found);
    x.wire.addAnswerHeader('cache-status', forwardedStatus(this.#why, answer.status, stored));
    this.#land(x, stored);
    return Verdict.Next;
  }

  #stillRight(x: Exchange, found: StoredAnswer, came: Came): Verdict {
    const fresh = validated(found, this.#asked, came);
    const stored = !('why' in fresh) && this.#tracked?.purged === false && this.#cache.keep(this.#place, fresh);
    if (!stored) this.#forget(found);
    x.cache = CacheOutcome.Validated;
    const served = 'why' in fresh ? freshenedOnce(found, came, this.#asked.plan) : fresh;
    this.#land(x, stored);
    if (serve(x, served, forwardedStatus('stale', NOT_MODIFIED, stored))) return Verdict.Handed;
    // The upstream's 304 answers our question, not the client's.
    return x.refuse(REFUSALS.internal_error, 'a stored field cannot be written');
  }

  /** A stale one in the place of an error. */
  #serveInstead(x: Exchange, status: number): boolean {
    const found = this.#found;
    if (found === null || !isError(status) || !usableOnError(found, x.now) || !this.#serveStale(x, found)) return false;
    this.#land(x, true);
    return true;
  }

  #serveStale(x: Exchange, found: StoredAnswer): boolean {
    x.cache = CacheOutcome.Stale;
    return serve(x, found, hitStatus(found.lifetime - ageOf(found, x.now), '; detail=error'));
  }

  #forget(found: StoredAnswer): void {
    this.#cache.store.drop(this.#place, found);
  }

  /** The fetch is over, for all who wait for it. */
  #land(x: Exchange, storable: boolean): void {
    if (this.#tracked !== null) this.#cache.untrack(this.#tracked);
    const flight = this.#flight;
    if (flight === null) return;
    this.#flight = null;
    this.#cache.flights.end(flight, storable, x.now);
  }
}
