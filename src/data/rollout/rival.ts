/**
 * Two revisions that are live at once: the active one, and another that a share of identities sees. Which of them a request sees is decided once, between normalize
 * and match, and never again; who goes over begins anew there. While only one is live there is no object of this class, and a request asks for nothing more than that.
 */
import { ROUTE_NONE, ROUTE_OTHER_METHOD, type RouterAddon } from '../../native/router.ts';
import type { RoutePlan } from '../../snapshot/route-plans.ts';
import type { Exchange } from '../exchange.ts';
import type { Revision } from '../lane/revision.ts';
import { isTenant, tenantFromHead } from '../tenant.ts';
import { TenantPlaces } from '../upstream/tenant-places.ts';
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
  /** Made when somebody asks where a tenant lives. */
  #places: TenantPlaces | null = null;
  /** Hashes below it go over. */
  #below = 0;
  /** By index into the cells of the active revision: whether it has reached them; null: it has reached all. */
  #cells: readonly boolean[] | null = null;

  constructor(parts: RivalParts) {
    this.#parts = parts;
    this.revision = parts.revision;
  }

  /** Share of identities that see it from now on, 0 … 1. Who saw it before still does when the share grows. */
  set share(share: number) {
    this.#below = share * HASHES;
  }

  /** Cells of the active revision whose requests may see it, by index; null: all. Who saw it before still does when cells are added. */
  set cells(cells: readonly number[] | null) {
    const { length } = this.#parts.active.snapshot.cells;
    this.#cells = cells === null ? null : Array.from({ length }, (_, cell) => cells.includes(cell));
  }

  /** Whether this request sees it. The exchange has been normalized. */
  takes(x: Exchange): boolean {
    if (this.#below === 0) return false;
    const route = this.#routeOf(x);
    if (this.#cells !== null && !this.#reached(x, route, this.#cells)) return false;
    return identityHash(x, route, this.#readings, this.#parts.key) < this.#below;
  }

  /** Whether it has reached the cell that the active revision would choose; where only the whole request tells that, or no cell is chosen, whether it has reached all. */
  #reached(x: Exchange, route: RoutePlan | null, cells: readonly boolean[]): boolean {
    if (route === null || route.split !== undefined) return false;
    if (route.cell >= 0) return cells[route.cell] === true;
    const { tenant: source } = route;
    if (source === null) return false;
    const tenant =
      source.from === 'claim'
        ? this.#readings.read(x.wire.header('authorization'), source.name)
        : tenantFromHead(x, source);
    if (!isTenant(tenant)) return false;
    this.#places ??= new TenantPlaces(this.#parts.active.snapshot);
    return cells[this.#places.of(tenant).cell] === true;
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
