/**
 * match: which route. Host, path and method are chosen by the native router, most specific first; header predicates are evaluated here, and where they do not
 * hold the next candidate is asked for.
 */
import { present } from '../../base/assert.ts';
import { METHOD_BITS_ALL, ROUTE_NONE, ROUTE_OTHER_METHOD, type RouterAddon } from '../../native/router.ts';
import type { HeaderPredicate, RoutePlan } from '../../snapshot/route-plans.ts';
import { allowOriginOfRefusal, preflightMethod } from '../answers/cors.ts';
import { isOfClaim } from '../answers/received.ts';
import { type Exchange, METHOD_OTHER, METHODS } from '../exchange.ts';
import { REFUSALS } from '../refusal.ts';
import { FirstEntries } from './first-entry.ts';
import type { Stage } from '../stage.ts';
import { Verdict } from '../verdict.ts';

/** Most candidates that one request may have before it is given up: more routes than this for one path, told apart by headers alone, are a mistake. */
export const CANDIDATES_MAX = 256;
/** What a preflight asks for, by name. */
const CODES: ReadonlyMap<string, number> = new Map(METHODS.map((method, code) => [method, code]));
/** Methods that normalize never lets through, whatever a route says. */
const NEVER = new Set(['CONNECT', 'TRACE']);

export class MatchStage implements Stage {
  readonly #router: RouterAddon;
  readonly #first: FirstEntries;
  /** Values of the Allow field by mask; at most one for each of the 1,024 masks. */
  readonly #allow: string[] = [];

  constructor(router: RouterAddon) {
    this.#router = router;
    this.#first = new FirstEntries(router);
  }

  enter(x: Exchange): Verdict {
    const asked = preflightMethod(x);
    if (asked !== '') {
      const code = CODES.get(asked) ?? METHOD_OTHER;
      const route = this.#find(x, code, asked);
      if (typeof route === 'object' && route.respond.cors !== null) {
        x.preflight = true;
        return this.#chosen(x, route);
      }
    }
    const route = this.#find(x, x.methodCode, x.wire.method);
    if (typeof route === 'object') return this.#chosen(x, route);
    if (route === ROUTE_NONE) return x.refuse(REFUSALS.no_route, 'no route for this host, path and headers');
    // RFC 9110 §15.5.6: the answer must say what is allowed.
    x.wire.setAnswerHeader(
      'allow',
      this.#allowed(this.#router.routerAllowed(x.revision.snapshot.router, x.host, x.path)),
    );
    return x.refuse(REFUSALS.method_not_allowed, x.wire.method);
  }

  /** The most specific route for this request and a method; ROUTE_NONE, or ROUTE_OTHER_METHOD when others would take it. */
  #find(x: Exchange, code: number, method: string): RoutePlan | typeof ROUTE_NONE | typeof ROUTE_OTHER_METHOD {
    const { revision } = x;
    const { router } = revision.snapshot;
    const bit = 1 << code;
    let otherMethod = false;
    let cursor = 0;
    for (let i = 0; i < CANDIDATES_MAX; i++) {
      const entry =
        cursor === 0
          ? this.#first.of(router, x.host, x.path, bit)
          : this.#router.routerFind(router, x.host, x.path, bit, cursor);
      if (entry === ROUTE_NONE) break;
      if (entry === ROUTE_OTHER_METHOD) return ROUTE_OTHER_METHOD;
      const route = revision.route(present(revision.entries[entry], 'route of a router entry'));
      if (!takesMethod(route, code, method)) otherMethod = true;
      else if (route.headers.length === 0 || allHold(route.headers, x)) return route;
      cursor = entry + 1;
    }
    return otherMethod ? ROUTE_OTHER_METHOD : ROUTE_NONE;
  }

  #chosen(x: Exchange, route: RoutePlan): Verdict {
    x.route = route;
    const { cors } = route.respond;
    if (cors !== null) allowOriginOfRefusal(x, cors);
    if (route.compress !== undefined) x.wire.compressAnswer(route.compress);
    if (x.wire.websocket && !route.websocket) return x.refuse(REFUSALS.upgrade_not_allowed, `route ${route.id}`);
    return Verdict.Next;
  }

  #allowed(mask: number): string {
    const known = this.#allow[mask];
    if (known !== undefined) return known;
    const names = METHODS.filter((name, code) => (mask & (1 << code)) !== 0 && !NEVER.has(name)).join(', ');
    if (mask <= METHOD_BITS_ALL) this.#allow[mask] = names;
    return names;
  }
}

/** Methods without a code share one bit, so their names are compared here. */
function takesMethod(route: RoutePlan, code: number, method: string): boolean {
  return code !== METHOD_OTHER || route.otherMethods === undefined || route.otherMethods.includes(method);
}

function allHold(predicates: readonly HeaderPredicate[], x: Exchange): boolean {
  for (let i = 0; i < predicates.length; i++) {
    const predicate = predicates[i];
    if (predicate !== undefined && holds(predicate, x) === predicate.not) return false;
  }
  return true;
}

/** True when some field of the name has the value: of repeated fields the upstream might believe any. A client's own word in the place of a claim, which never goes upstream, is none. */
function holds(predicate: HeaderPredicate, x: Exchange): boolean {
  const { wire } = x;
  const first = wire.header(predicate.name);
  if (first !== undefined && isOfClaim(x, predicate.name)) return false;
  if (first === undefined || predicate.value === null || first === predicate.value) return first !== undefined;
  for (let i = 0; i < wire.headerCount; i++) {
    if (wire.headerName(i) === predicate.name && wire.headerValue(i) === predicate.value) return true;
  }
  return false;
}
