import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { TestWire, testRoute } from '../../../test/harness/wire.ts';
import { ROUTE_NONE, type RouterAddon } from '../../native/router.ts';
import type { RoutePlan } from '../../snapshot/route-plans.ts';
import { buildRing, Ring } from '../../snapshot/ring.ts';
import { Exchange } from '../exchange.ts';
import type { Revision } from '../lane/revision.ts';
import { Rival } from './rival.ts';

const CELLS = ['one', 'two', 'three'];
const RING = buildRing(CELLS.map((id, index) => ({ id, index })));
const PINNED = 'pinned-to-three';

/** Of a request by this tenant, which goes to this route; null: to none. All identities would see it. */
function takes(route: Partial<RoutePlan> | null, tenant: string, cells: readonly number[] | null): boolean {
  const plan = route === null ? null : testRoute({ cell: -1, ...route });
  const active = {
    entries: [0],
    route: () => plan,
    snapshot: { router: 1, issuers: [], cells: CELLS.map((id) => ({ id })), ring: RING, pins: new Map([[PINNED, 2]]) },
  } as unknown as Revision;
  const router = { routerFind: () => (plan === null ? ROUTE_NONE : 0) } as unknown as RouterAddon;
  const rival = new Rival({ router, active, revision: active, key: { k0: 1, k1: 2 } });
  rival.share = 1;
  rival.cells = cells;
  const x = new Exchange(0);
  x.begin(new TestWire({ headers: tenant === '' ? [] : ['x-tenant', tenant] }), active);
  x.clientAddress = '192.0.2.7';
  return rival.takes(x);
}

const BY_HEADER: Partial<RoutePlan> = { tenant: { from: 'header', name: 'x-tenant' } };

describe('a candidate that has reached some cells', () => {
  it('is seen by requests of routes into these, and of no others', () => {
    assert.deepEqual(
      [0, 1, 2].map((cell) => takes({ cell }, 'acme', [0, 2])),
      [true, false, true],
    );
  });

  it('is seen by tenants who live there, by their pin or their place on the ring', () => {
    const ring = new Ring(RING);
    for (let i = 0; i < 200; i++) {
      const tenant = `tenant-${i}`;
      assert.equal(takes(BY_HEADER, tenant, [1]), ring.cellOf(tenant) === 1, tenant);
    }
    assert.deepEqual([takes(BY_HEADER, PINNED, [2]), takes(BY_HEADER, PINNED, [0, 1])], [true, false]);
  });

  it('is seen where the head does not tell the cell only when it has reached all', () => {
    const split = { split: { by: [], seeds: [1, 2] as const, arms: [] } };
    for (const [route, tenant] of [
      [null, 'acme'],
      [split, 'acme'],
      [{ tenant: null }, 'acme'],
      [BY_HEADER, ''],
      [BY_HEADER, 'no tenant at all'],
    ] as [Partial<RoutePlan> | null, string][]) {
      assert.equal(takes(route, tenant, [0, 1]), false);
      assert.equal(takes(route, tenant, null), true);
    }
  });
});
