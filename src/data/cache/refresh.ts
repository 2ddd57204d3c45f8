/** A stale answer fetched anew in the background while it serves (RFC 5861 §3): the request as the upstream would have seen it, and what becomes of its answer. */
import type { EndpointPlan } from '../../snapshot/cell-plans.ts';
import { hostUpstream, PREFIX_FIELD } from '../answers/upstream-target.ts';
import type { Exchange } from '../exchange.ts';
import type { MadeEdits } from '../../snapshot/variables.ts';
import type { BackgroundAnswer, BackgroundRequest } from '../transport/background.ts';
import { CLIENT_CERT_FIELD } from '../stages/client-certificate.ts';
import { endsHere } from '../transport/fields.ts';
import { StoredBody } from './body.ts';
import type { ResponseCache } from './cache.ts';
import type { Place, Tracked } from './caching.ts';
import { firstOf } from './fields.ts';
import { type Flight, flightKey } from './flights.ts';
import { fieldUpstream } from './request.ts';
import type { Asked, Came, StoredAnswer } from './stored.ts';
import { storedHead, validated, withBody } from './stored.ts';

/** Longest time for the whole of it. */
const REFRESH_MS_MAX = 60_000;
const NOT_MODIFIED = 304;
const SERVER_ERROR = 500;
/** What belongs to the client's own request. */
const LEFT_OUT: ReadonlySet<string> = new Set([
  'range',
  'if-range',
  'if-none-match',
  'if-modified-since',
  'if-match',
  'if-unmodified-since',
  'x-request-id',
  'x-client-request-id',
  'traceparent',
  'tracestate',
  'forwarded',
  'x-forwarded-for',
]);

export class Refresh {
  readonly #cache: ResponseCache;
  readonly #place: Place;
  readonly #asked: Asked;
  readonly #found: StoredAnswer;
  readonly #flight: Flight;
  readonly #tracked: Tracked | null;

  private constructor(cache: ResponseCache, place: Place, asked: Asked, found: StoredAnswer, flight: Flight) {
    this.#cache = cache;
    this.#place = place;
    this.#asked = asked;
    this.#found = found;
    this.#flight = flight;
    this.#tracked = cache.track(place);
    found.body.hold();
  }

  /** Null when this is being fetched already. */
  static begin(cache: ResponseCache, x: Exchange, place: Place, asked: Asked, found: StoredAnswer): Refresh | null {
    const flight = cache.flights.begin(flightKey(place), x.now);
    if (flight === null) return null;
    // The exchange is over before the answer is here: what it varies by is copied.
    const fields = fieldsUpstream(x);
    const values = new Map<string, string>();
    for (let i = 0; i < fields.length; i += 2) values.set(fields[i] as string, fields[i + 1] as string);
    return new Refresh(cache, place, { ...asked, requestField: (name) => values.get(name) }, found, flight);
  }

  /** What this endpoint is asked. To be called while the exchange that began it is here. */
  requestTo(x: Exchange, endpoint: EndpointPlan): BackgroundRequest {
    const own = x.endpoint;
    // Host and the values that name the endpoint follow from it.
    x.endpoint = endpoint;
    const path = this.#cache.pathUpstream(x) ?? x.encodedPath;
    const request = requestOf(x, this.#asked, this.#found, fieldsUpstream(x), path);
    x.endpoint = own;
    return request;
  }

  /** The answer, or null when there is none: then the stale one stays. `now`: epoch ms. */
  came(answer: BackgroundAnswer | null, now: number): void {
    const tracked = this.#tracked;
    if (tracked !== null) this.#cache.untrack(tracked);
    if (answer !== null && answer.status < SERVER_ERROR && tracked?.purged === false) this.#take(answer, now);
    this.#cache.flights.end(this.#flight, true, now);
    this.#found.body.letGo();
  }

  #take(answer: BackgroundAnswer, now: number): void {
    const came: Came = { status: answer.status, fields: answer.fields, at: now };
    if (answer.status === NOT_MODIFIED) {
      const fresh = validated(this.#found, this.#asked, came);
      this.#cache.store.drop(this.#place, this.#found);
      if (!('why' in fresh)) this.#cache.keep(this.#place, fresh);
      return;
    }
    const head = storedHead(this.#asked, came);
    this.#cache.store.drop(this.#place, this.#found);
    if ('why' in head) return;
    const body = StoredBody.of(answer.body);
    this.#cache.keep(this.#place, withBody(head, body));
    body.letGo();
  }
}

/** Fields of the request as the upstream would see them, flat; each name once. */
export function fieldsUpstream(x: Exchange): string[] {
  const { wire, route, identity } = x;
  const request = route?.respond.request;
  const seen = new Set<string>();
  const fields: string[] = [];
  const take = (name: string): void => {
    if (seen.has(name) || endsHere(name)) return;
    seen.add(name);
    const value = fieldUpstream(x, name);
    if (value !== undefined) fields.push(name, value);
  };
  const even = (flat: readonly string[]): string[] =>
    flat.filter((_, i) => i % 2 === 0).map((name) => name.toLowerCase());
  for (const name of [
    'x-forwarded-proto',
    'x-forwarded-host',
    PREFIX_FIELD,
    CLIENT_CERT_FIELD,
    ...even(identity?.headers ?? []),
    ...even(request?.set ?? []),
    ...even(request?.add ?? []),
    ...madeNames(route?.respond.requestMade ?? null),
  ])
    take(name);
  for (let i = 0; i < wire.headerCount; i++) {
    const name = wire.headerName(i);
    if (!name.includes('_') || !isWritten(x, name.replaceAll('_', '-'))) take(name);
  }
  return fields;
}

/** Fields that say who asks: `forward` writes them, or they are left out here. */
const WRITTEN: ReadonlySet<string> = new Set([
  ...LEFT_OUT,
  'x-forwarded-proto',
  'x-forwarded-host',
  PREFIX_FIELD,
  CLIENT_CERT_FIELD,
]);

/**
 * Whether the gateway or the route writes or removes the field of this name. `X_User` is `X-User` to CGI and its heirs, so such a copy of a client does not go where the transport
 * would have hidden it.
 */
function isWritten(x: Exchange, name: string): boolean {
  if (WRITTEN.has(name)) return true;
  if (x.revision.snapshot.issuers.some(({ claimHeaders }) => claimHeaders.some((h, i) => i % 2 === 1 && h === name)))
    return true;
  const { request, requestMade } = x.route?.respond ?? {};
  if (request !== undefined && (request.remove.includes(name) || request.set.some((n, i) => i % 2 === 0 && n === name)))
    return true;
  // A line that is added stands beside the client's, whatever its name.
  return requestMade !== null && requestMade !== undefined && madeNames({ ...requestMade, add: [] }).includes(name);
}

function madeNames(made: MadeEdits | null): string[] {
  return made === null ? [] : [...made.set, ...made.absent, ...made.append, ...made.add].map((field) => field.name);
}

function requestOf(
  x: Exchange,
  asked: Asked,
  found: StoredAnswer,
  fields: readonly string[],
  path: string,
): BackgroundRequest {
  const route = x.route;
  const host = route === null ? null : hostUpstream(x, route.respond);
  const headers: string[] = ['host', host ?? x.wire.host];
  for (let i = 0; i < fields.length; i += 2) {
    if (!LEFT_OUT.has(fields[i] as string)) headers.push(fields[i] as string, fields[i + 1] as string);
  }
  const etag = firstOf(found.fields, 'etag');
  const modified = firstOf(found.fields, 'last-modified');
  if (etag !== undefined) headers.push('if-none-match', etag);
  if (modified !== undefined) headers.push('if-modified-since', modified);
  headers.push('x-forwarded-for', x.clientAddress, 'x-request-id', x.id, 'via', '1.1 cloudnexus');
  return {
    target: x.query === '' ? path : `${path}?${x.query}`,
    headers,
    bodyBytesMax: asked.plan.bodyBytesMax,
    connectTimeoutMs: route?.forward.connectTimeoutMs ?? 0,
    timeoutMs: Math.min(route?.forward.headTimeoutMs ?? 0, REFRESH_MS_MAX),
  };
}
