/**
 * Two revisions that are live at once: the active one, and another that a share of identities sees. Which of them a request sees is decided once, between normalize
 * and match, and never again; who goes over begins anew there. While only one is live there is no object of this class, and a request asks for nothing more than that.
 */
import { ROUTE_NONE, ROUTE_OTHER_METHOD, type RouterAddon } from '../../native/router.ts';
import type { RoutePlan } from '../../snapshot/route-plans.ts';
import type { Exchange } from '../exchange.ts';
import type { Revision } from '../lane/revision.ts';
import { type HashKey, identityHash, TokenReadings } from './identity.ts';

const HASHES = 0x1_0000_0000;

export interface RivalParts {
  readonly router: RouterAddon;
  /** What all others see: its routes say where an identity is read. */
  readonly active: Revision;
  readonly revision: Revision;
  readonly key: HashKey;
}

export class Rival {
  readonly revision: Revision;
  readonly #parts: RivalParts;
  readonly #readings = new TokenReadings();
  /** Hashes below it go over. */
  #below = 0;

  constructor(parts: RivalParts) {
    this.#parts = parts;
    this.revision = parts.revision;
  }

  /** Share of identities that see it from now on, 0 … 1. Who saw it before still does when the share grows. */
  set share(share: number) {
    this.#below = share * HASHES;
  }

  /** Whether this request sees it. The exchange has been normalized. */
  takes(x: Exchange): boolean {
    if (this.#below === 0) return false;
    return identityHash(x, this.#routeOf(x), this.#readings, this.#parts.key) < this.#below;
  }

  /** The first route for host, path and method; header predicates aside, for what the whole request is tells its route and not its tenant. */
  #routeOf(x: Exchange): RoutePlan | null {
    const { active, router } = this.#parts;
    const entry = router.routerFind(active.snapshot.router, x.host, x.path, 1 << x.methodCode, 0);
    if (entry === ROUTE_NONE || entry === ROUTE_OTHER_METHOD) return null;
    const index = active.entries[entry];
    return index === undefined ? null : active.route(index);
  }
}
