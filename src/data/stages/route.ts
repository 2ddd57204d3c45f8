/** route: the cell that serves this request. The route's own cell or its split, else the tenant's pin, else the tenant's place on the ring. */
import { present } from '../../base/assert.ts';
import { ANY_REGION } from '../../snapshot/regions.ts';
import { redirectOf } from '../answers/redirect.ts';
import { isStatic } from '../answers/static.ts';
import type { UpstreamPaths } from '../answers/upstream-target.ts';
import type { Exchange } from '../exchange.ts';
import type { Revision } from '../lane/revision.ts';
import { REFUSALS } from '../refusal.ts';
import type { Mirrors } from '../mirror/mirrors.ts';
import type { Stage } from '../stage.ts';
import { readTenant } from '../tenant.ts';
import type { CellLatency } from '../upstream/cell-latency.ts';
import { splitCell } from '../upstream/split.ts';
import { TenantPlaces } from '../upstream/tenant-places.ts';
import { Verdict } from '../verdict.ts';

export class Route implements Stage {
  /** By revision, since two run side by side while one replaces the other; gone with the revision. */
  readonly #tenants = new WeakMap<Revision, TenantPlaces>();
  #revision: Revision | null = null;
  #places: TenantPlaces | null = null;
  readonly #paths: UpstreamPaths;
  readonly #mirrors: Mirrors | null;

  readonly #latency: CellLatency | null;

  /** `mirrors`: the lane's; null = none. `latency`: how long cells take; null = nobody knows. */
  constructor(paths: UpstreamPaths, mirrors: Mirrors | null = null, latency: CellLatency | null = null) {
    this.#latency = latency;
    this.#paths = paths;
    this.#mirrors = mirrors;
  }

  enter(x: Exchange): Verdict {
    const verdict = this.#place(x);
    const mirror = x.route?.mirror;
    if (mirror === undefined || verdict !== Verdict.Next || x.cell < 0 || this.#mirrors === null) return verdict;
    return this.#mirrors.enter(x, mirror);
  }

  #place(x: Exchange): Verdict {
    const route = present(x.route, 'route');
    const tenant = readTenant(x);
    if (redirectOf(x, this.#paths) !== '' || isStatic(x)) return Verdict.Next;
    if (tenant === '' && route.tenant !== null) {
      return x.refuse(REFUSALS.tenant_unknown, `no tenant in ${route.tenant.from}`);
    }
    // Browsers ask over one connection for all names of its certificate (RFC 9113 §9.1.1): the tenant of that connection is that of its own name only. Told 421 they ask again over
    // another (RFC 9110 §15.5.20).
    if (route.tenant?.from === 'sni' && x.host !== x.wire.serverName.toLowerCase()) {
      return x.refuse(REFUSALS.misdirected, `the server name is ${x.wire.serverName}`);
    }
    const { snapshot } = x.revision;
    // Its regions hold wherever it goes; whether the cell lies in them is looked at where the endpoint is chosen.
    if (snapshot.regions !== undefined && tenant !== '') x.regions = this.#of(x.revision).of(tenant).regions;
    if (route.cell >= 0) {
      x.cell = route.cell;
      return Verdict.Next;
    }
    if (route.split !== undefined) {
      x.cell = splitCell(x, route.split, snapshot.cells, this.#latency);
      if (x.cell >= 0) return Verdict.Next;
      return x.refuse(REFUSALS.region_forbidden, `no cell of the split lies in the regions of tenant ${tenant}`);
    }
    if (tenant === '') return x.refuse(REFUSALS.tenant_unknown, 'the route names neither a cell nor a tenant');
    x.cell = this.#of(x.revision).of(tenant).cell;
    if (x.cell >= 0) return Verdict.Next;
    return x.refuse(
      REFUSALS.cell_unavailable,
      x.regions === ANY_REGION ? 'no cell takes tenants' : `no cell takes tenants in the regions of ${tenant}`,
    );
  }

  #of(revision: Revision): TenantPlaces {
    if (this.#revision === revision && this.#places !== null) return this.#places;
    let places = this.#tenants.get(revision);
    if (places === undefined) {
      places = new TenantPlaces(revision.snapshot);
      this.#tenants.set(revision, places);
    }
    this.#revision = revision;
    this.#places = places;
    return places;
  }
}
