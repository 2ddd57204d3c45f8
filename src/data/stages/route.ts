/** route: the cell that serves this request. The route's own cell, else the tenant's pin, else the tenant's place on the ring. */
import { present } from '../../base/assert.ts';
import { Recent } from '../../base/recent.ts';
import { Ring } from '../../snapshot/ring.ts';
import type { Exchange } from '../exchange.ts';
import type { Revision } from '../lane/revision.ts';
import { REFUSALS } from '../refusal.ts';
import type { Stage } from '../stage.ts';
import { readTenant } from '../tenant.ts';
import { redirects } from '../upstream/redirects.ts';
import { Verdict } from '../verdict.ts';

/** Tenants whose cell a lane remembers, per revision: spares a SHA-256 of about a microsecond. */
export const TENANT_CELLS_MAX = 10_000;

/** Where the tenants of one revision live. */
class TenantCells {
  readonly #pins: ReadonlyMap<string, number>;
  readonly #ring: Ring;
  readonly #known = new Recent<string, number>(TENANT_CELLS_MAX);

  constructor(revision: Revision) {
    this.#pins = revision.snapshot.pins;
    this.#ring = new Ring(revision.snapshot.ring);
  }

  /** Index of the cell, or -1 when the ring is empty. */
  cellOf(tenant: string): number {
    const known = this.#known.get(tenant);
    if (known !== undefined) return known;
    const cell = this.#pins.get(tenant) ?? this.#ring.cellOf(tenant);
    this.#known.set(tenant, cell);
    return cell;
  }
}

export class Route implements Stage {
  /** By revision, since two run side by side while one replaces the other; gone with the revision. */
  readonly #tenants = new WeakMap<Revision, TenantCells>();
  #revision: Revision | null = null;
  #cells: TenantCells | null = null;

  enter(x: Exchange): Verdict {
    const route = present(x.route, 'route');
    const tenant = readTenant(x);
    if (redirects(x)) return Verdict.Next;
    if (tenant === '' && route.tenant !== null) {
      return x.refuse(REFUSALS.tenant_unknown, `no tenant in ${route.tenant.from}`);
    }
    if (route.cell >= 0) {
      x.cell = route.cell;
      return Verdict.Next;
    }
    if (tenant === '') return x.refuse(REFUSALS.tenant_unknown, 'the route names neither a cell nor a tenant');
    x.cell = this.#of(x.revision).cellOf(tenant);
    return x.cell >= 0 ? Verdict.Next : x.refuse(REFUSALS.cell_unavailable, 'no cell takes tenants');
  }

  #of(revision: Revision): TenantCells {
    if (this.#revision === revision && this.#cells !== null) return this.#cells;
    let cells = this.#tenants.get(revision);
    if (cells === undefined) {
      cells = new TenantCells(revision);
      this.#tenants.set(revision, cells);
    }
    this.#revision = revision;
    this.#cells = cells;
    return cells;
  }
}
