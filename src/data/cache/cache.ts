/**
 * The response cache of a lane (RFC 9111, shared). It is asked before an endpoint is chosen (`enter`): what is stored and may be used is the answer; else the request goes upstream with
 * a `Caching` on its exchange, which sees the upstream's answer before the client does, stores it, and steps in with a stale one when there is none.
 */
import { present } from '../../base/assert.ts';
import type { CachePurge } from '../../snapshot/messages.ts';
import type { CachePlan } from '../../snapshot/route-plans.ts';
import { isIntercepted } from '../answers/intercept.ts';
import type { Exchange } from '../exchange.ts';
import { CacheOutcome } from '../exchange.ts';
import { REFUSALS } from '../refusal.ts';
import type { Wake } from '../stage.ts';
import { BodyKind } from '../transport/transport.ts';
import { Verdict } from '../verdict.ts';
import type { Forwarded } from './cache-status.ts';
import { hitStatus } from './cache-status.ts';
import type { Place, Tracked } from './caching.ts';
import { requestDirectives } from './directives.ts';
import { rangeHolds } from './conditional.ts';
import { firstOf } from './fields.ts';
import { Fetching } from './fetching.ts';
import { flightKey, Flights } from './flights.ts';
import { Heading } from './heading.ts';
import { preparedOf } from './prepared.ts';
import { Refresh } from './refresh.ts';
import { joined } from '../joined.ts';
import { fieldUpstream, hasCredentials, scopeOf, targetOf } from './request.ts';
import { covers, serve } from './serve.ts';
import { AnswerStore, type Held, isMeant, used } from './store.ts';
import type { Asked, StoredAnswer } from './stored.ts';
import { ageOf, hasValidator } from './stored.ts';
import { Unsafe } from './unsafe.ts';
import { inWindow, usable } from './usable.ts';
import { variantKey } from './vary.ts';

export interface CacheParts {
  readonly bytesMax: number;
  readonly entriesMax: number;
  readonly wake: Wake;
  /** Runs a task after the running call. */
  readonly later: (task: () => void) => void;
  /** Other lanes must forget this as well. */
  readonly tell: (purge: CachePurge) => void;
  /** The path that is asked for upstream; null when the route makes none of this request's. */
  readonly pathUpstream: (x: Exchange) => string | null;
  /** What upstreams depend on is down, so that what is stale and may be used is used at once; absent: never. */
  readonly degraded?: () => boolean;
  /** Fetches anew in the background; false when it cannot now. */
  readonly refresh: (x: Exchange, refresh: Refresh) => boolean;
}

/** Fetches whose answer a purge may have to keep out; a purge looks at all of them. */
const FETCHES_MAX = 65_536;

export class ResponseCache {
  readonly store: AnswerStore;
  readonly flights: Flights;
  readonly #parts: CacheParts;
  readonly #fetches = new Set<Tracked>();
  /** Answers stored so far. */
  stored = 0;
  /** Requests that waited for another's fetch. */
  collapsed = 0;

  constructor(parts: CacheParts) {
    this.#parts = parts;
    this.store = new AnswerStore(parts.bytesMax, parts.entriesMax);
    this.flights = new Flights(parts.wake, parts.later);
  }

  /** Asked by balance, before anything of the first attempt. `Next`: upstream. */
  enter(x: Exchange, plan: CachePlan): Verdict {
    const { wire } = x;
    if (wire.websocket) return Verdict.Next;
    const { method } = wire;
    if (method === 'GET' || method === 'HEAD') return this.#lookUp(x, plan);
    // Safe methods change nothing (RFC 9110 §9.2.1).
    if (method !== 'OPTIONS' && method !== 'TRACE') x.caching = new Unsafe(this);
    x.cache = CacheOutcome.Bypass;
    return Verdict.Next;
  }

  /** Forgets what a purge names, also of what is being fetched; how many answers. Does not tell other lanes. */
  purge(what: CachePurge): number {
    for (const fetch of this.#fetches) {
      // What tags it will have is not known yet.
      if (what.by === 'tag' || isMeant(what, fetch.place.host, fetch.place.target, [])) fetch.purged = true;
    }
    return this.store.purge(what);
  }

  /** As `CacheParts.pathUpstream`. */
  pathUpstream(x: Exchange): string | null {
    return this.#parts.pathUpstream(x);
  }

  /** As `purge`, in all lanes. */
  invalidate(what: CachePurge): void {
    this.purge(what);
    this.#parts.tell(what);
  }

  /** Once a second. */
  sweep(now: number): void {
    this.flights.sweep(now);
  }

  /** For the lane's columns. */
  measured(): {
    bytes: number;
    addresses: number;
    waiting: number;
    stored: number;
    evicted: number;
    collapsed: number;
  } {
    const { store, flights, stored, collapsed } = this;
    return {
      bytes: store.bytes,
      addresses: store.size,
      waiting: flights.waiting,
      stored,
      evicted: store.evicted,
      collapsed,
    };
  }

  /** A fetch begins; its `purged` says later whether its answer may still be stored. Null: too many. */
  track(place: Place): Tracked | null {
    if (this.#fetches.size >= FETCHES_MAX) return null;
    const fetch = { place, purged: false };
    this.#fetches.add(fetch);
    return fetch;
  }

  untrack(fetch: Tracked): void {
    this.#fetches.delete(fetch);
  }

  /** Stores an answer. False when it has no room. */
  keep(place: Place, answer: StoredAnswer): boolean {
    const kept = this.store.put(place, answer);
    if (kept) this.stored++;
    return kept;
  }

  #lookUp(x: Exchange, plan: CachePlan): Verdict {
    const { wire } = x;
    const place: Place = { host: x.host, target: targetOf(x), scope: scopeOf(x) };
    const asks = requestDirectives(plan.requestDirectives ? joined(wire, 'cache-control') : undefined);
    if (
      wire.bodyKind === BodyKind.Chunked ||
      wire.bodyLength > 0 ||
      asks.noStore ||
      wire.header('if-match') !== undefined ||
      wire.header('if-unmodified-since') !== undefined
    ) {
      x.cache = CacheOutcome.Bypass;
      return asks.onlyIfCached ? notCached(x) : Verdict.Next;
    }
    const range = wire.method === 'GET' ? (wire.header('range') ?? '') : '';
    const { whole, part, others } = this.#find(x, place);
    // Whoever holds parts of another version is to get the whole, of which this is not enough.
    const suits =
      part !== null && covers(part.answer, range) && rangeHolds(wire.header('if-range'), part.answer.fields);
    const held = suits && usable(part.answer, x.now, asks) ? part : whole;
    const found = held === null ? null : held.answer;
    if (held !== null) used(held);
    if (found !== null && usable(found, x.now, asks)) return this.#hit(x, found);
    // In the background no WAF looks at the answer.
    if (
      found !== null &&
      wire.method === 'GET' &&
      range === '' &&
      x.kept === null &&
      inWindow(found, x.now, asks, this.#parts.degraded?.() === true)
    ) {
      const asked = askedBy(x, plan, '');
      const refresh = Refresh.begin(this, x, place, asked, found);
      // None begins while one runs: what is stored serves meanwhile.
      if (refresh === null || this.#parts.refresh(x, refresh)) return this.#stale(x, found);
      refresh.came(null, x.now);
    }
    if (asks.onlyIfCached) return notCached(x);
    const why: Forwarded =
      asks.noCache || (found !== null && ageOf(found, x.now) < found.lifetime && !found.noCache)
        ? 'request'
        : found !== null
          ? 'stale'
          : part !== null
            ? 'partial'
            : others
              ? 'vary-miss'
              : 'uri-miss';
    x.cache = CacheOutcome.Miss;
    if (wire.method === 'HEAD') {
      x.caching = new Heading(this, place, askedBy(x, plan, ''), found);
      return Verdict.Next;
    }
    return this.#fetch(x, plan, place, range, found, why);
  }

  #fetch(
    x: Exchange,
    plan: CachePlan,
    place: Place,
    range: string,
    found: StoredAnswer | null,
    why: Forwarded,
  ): Verdict {
    const key = flightKey(place);
    const alone = range !== '' || (found === null && isConditional(x));
    // Phase 1: it has waited once. Whatever came of that, it goes by itself now.
    if (!alone && x.phase === 0 && this.flights.wait(key, x, plan.collapseTimeoutMs)) {
      x.phase = 1;
      this.collapsed++;
      return Verdict.Wait;
    }
    const flight = alone ? null : this.flights.begin(key, x.now);
    const validates = found !== null && range === '' && hasValidator(found);
    if (found !== null && range === '') validate(x, validates ? found : null);
    x.caching = new Fetching(this, place, askedBy(x, plan, range), found, why, flight);
    return Verdict.Next;
  }

  #find(x: Exchange, place: Place): { whole: Held | null; part: Held | null; others: boolean } {
    let whole: Held | null = null;
    let part: Held | null = null;
    let others = false;
    const { respond } = present(x.route, 'route');
    const held = this.store.held(place);
    // The newest first.
    for (let i = held.length - 1; i >= 0; i--) {
      const one = held[i] as Held;
      const { answer } = one;
      others = true;
      // Another revision may edit more than there is room for beside it.
      if (!preparedOf(answer.fields, respond).fits || isIntercepted(respond, answer.status)) continue;
      if (answer.vary.length > 0 && variantKey(answer.vary, (name) => fieldUpstream(x, name)) !== answer.variant)
        continue;
      if (answer.part === null) whole ??= one;
      else part ??= one;
      if (whole !== null) break;
    }
    return { whole, part, others };
  }

  #hit(x: Exchange, found: StoredAnswer): Verdict {
    x.cache = CacheOutcome.Hit;
    const ttl = found.lifetime - ageOf(found, x.now);
    if (serve(x, found, hitStatus(ttl, x.phase === 1 ? '; collapsed' : ''))) return Verdict.Handed;
    return x.refuse(REFUSALS.internal_error, 'a stored field cannot be written');
  }

  #stale(x: Exchange, found: StoredAnswer): Verdict {
    x.cache = CacheOutcome.Stale;
    if (serve(x, found, hitStatus(found.lifetime - ageOf(found, x.now)))) return Verdict.Handed;
    return x.refuse(REFUSALS.internal_error, 'a stored field cannot be written');
  }
}

/** What an answer to this request is stored by. */
export function askedBy(x: Exchange, plan: CachePlan, range: string): Asked {
  return {
    plan,
    credentials: hasCredentials(x),
    edits: present(x.route, 'route').respond.answer,
    range,
    askedAt: x.now,
    requestField: (name) => fieldUpstream(x, name),
  };
}

function isConditional(x: Exchange): boolean {
  return x.wire.header('if-none-match') !== undefined || x.wire.header('if-modified-since') !== undefined;
}

/** Asks whether what is stored is still right (RFC 9111 §4.3.1), instead of what the client wanted to know: that is answered here. Null: asks for the whole. */
function validate(x: Exchange, stored: StoredAnswer | null): void {
  const { wire } = x;
  const etag = stored === null ? undefined : firstOf(stored.fields, 'etag');
  const modified = stored === null ? undefined : firstOf(stored.fields, 'last-modified');
  if (etag === undefined) wire.removeUpstreamHeader('if-none-match');
  else wire.setUpstreamHeader('if-none-match', etag);
  if (modified === undefined) wire.removeUpstreamHeader('if-modified-since');
  else wire.setUpstreamHeader('if-modified-since', modified);
}

function notCached(x: Exchange): Verdict {
  return x.refuse(REFUSALS.not_cached, 'the request takes only what is stored (Cache-Control: only-if-cached)');
}
