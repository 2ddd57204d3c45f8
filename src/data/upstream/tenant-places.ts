/** Where the tenants of one revision live: their pin, else their place on the ring. */
import { present } from '../../base/assert.ts';
import { Recent } from '../../base/recent.ts';
import { ANY_REGION, liesIn, regionsOf } from '../../snapshot/regions.ts';
import { Ring } from '../../snapshot/ring.ts';
import type { Snapshot } from '../../snapshot/snapshot.ts';

/** Tenants whose cell a lane remembers, per revision: spares a SHA-256 of about a microsecond. */
export const TENANT_CELLS_MAX = 10_000;

/** Where a tenant lives. */
export interface TenantPlace {
  /** Index of its cell; -1: no cell takes it. */
  readonly cell: number;
  /** Where it may be served. */
  readonly regions: number;
}

export class TenantPlaces {
  readonly #snapshot: Snapshot;
  readonly #ring: Ring;
  readonly #known = new Recent<string, TenantPlace>(TENANT_CELLS_MAX);

  constructor(snapshot: Snapshot) {
    this.#snapshot = snapshot;
    this.#ring = new Ring(snapshot.ring);
  }

  of(tenant: string): TenantPlace {
    const known = this.#known.get(tenant);
    if (known !== undefined) return known;
    const { pins, regions: plan, cells } = this.#snapshot;
    const regions = regionsOf(plan, tenant);
    const cell =
      pins.get(tenant) ??
      (regions === ANY_REGION
        ? this.#ring.cellOf(tenant)
        : this.#ring.cellAmong(tenant, (at) => liesIn(regions, present(cells[at], 'cell'))));
    const place = { cell, regions };
    this.#known.set(tenant, place);
    return place;
  }
}
