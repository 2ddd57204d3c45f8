/**
 * What finding a tenant's cell costs: `node bench/micro/ring.ts`. Prints one JSON row per case. Every look-up's answer is checked against a plain scan first, so that
 * a wrong one cannot win.
 */
import assert from 'node:assert/strict';
import { performance } from 'node:perf_hooks';
import { pathToFileURL } from 'node:url';
import { buildRing, Ring } from '../../src/snapshot/ring.ts';
import type { Snapshot } from '../../src/snapshot/snapshot.ts';
import type { Revision } from '../../src/data/lane/revision.ts';
import { Route } from '../../src/data/stages/route.ts';
import { testPaths, TestWire, testExchange, testRoute } from '../../test/harness/wire.ts';

export interface MicroRow {
  readonly name: string;
  readonly metric: string;
  readonly unit: string;
  readonly ours: number;
}

const ROUNDS = 5;
const CELLS = 100;
const TENANTS = 1_000;

export function run(calls = 200_000): MicroRow[] {
  const rows: MicroRow[] = [];
  const measure = (metric: string, n: number, body: (i: number) => void): void => {
    let least = Number.POSITIVE_INFINITY;
    for (let r = 0; r < ROUNDS; r++) {
      const from = performance.now();
      for (let i = 0; i < n; i++) body(i);
      least = Math.min(least, ((performance.now() - from) * 1e6) / n);
    }
    rows.push({ name: 'ring', metric, unit: 'ns', ours: Math.round(least) });
  };
  const cells = Array.from({ length: CELLS }, (_, index) => ({ id: `cell-${index}`, index }));
  const plan = buildRing(cells);
  const ring = new Ring(plan);
  const positions = new BigUint64Array(plan.positions);
  const owners = new Uint16Array(plan.cells);
  for (let i = 0; i < 1_000; i++) {
    const high = Math.imul(i, 0x9e3779b1) >>> 0;
    const at = positions.findIndex((p) => p >= BigInt(high) << 32n);
    assert.equal(ring.cellAt(high, 0), owners[at < 0 ? 0 : at]);
  }
  let sum = 0;
  measure(`position to cell, ${CELLS} cells`, calls, (i) => {
    sum += ring.cellAt(Math.imul(i, 0x9e3779b1) >>> 0, i);
  });
  const tenants = Array.from({ length: TENANTS }, (_, i) => `tenant-${i}`);
  measure('tenant to cell, with its SHA-256', calls, (i) => {
    sum += ring.cellOf(tenants[i % TENANTS] ?? '');
  });
  const stage = new Route(testPaths);
  const revision = { snapshot: { ring: plan, pins: new Map() } as Partial<Snapshot> } as Revision;
  const exchanges = tenants.map((tenant) =>
    testExchange(
      new TestWire({ headers: ['x-tenant-id', tenant] }),
      revision,
      testRoute({ cell: -1, tenant: { from: 'header', name: 'x-tenant-id' } }),
    ),
  );
  measure('the stage, tenant from a header, known to the lane', calls, (i) => {
    const x = exchanges[i % TENANTS] as (typeof exchanges)[number];
    x.tenant = '';
    stage.enter(x);
    sum += x.cell;
  });
  measure('building a ring of 100 cells', 1, () => buildRing(cells));
  assert.ok(sum > 0);
  return rows;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  for (const row of run()) console.log(JSON.stringify(row));
}
