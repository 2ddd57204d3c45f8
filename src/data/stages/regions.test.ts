/** The one promise of regions: whatever fails, however a cell was chosen, no request of a tenant gets to an endpoint outside of its regions. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { EndpointColumns, SUSPECTED } from '../../snapshot/endpoint-columns.ts';
import { buildRing } from '../../snapshot/ring.ts';
import type { CellPlan, EndpointPlan } from '../../snapshot/cell-plans.ts';
import type { Snapshot } from '../../snapshot/snapshot.ts';
import { testPaths, TestWire, testExchange, testRoute } from '../../../test/harness/wire.ts';
import { FailReason } from '../transport/transport.ts';
import { membersOf } from '../upstream/cell-members.ts';
import { Chooser } from '../upstream/choose.ts';
import { EndpointUse } from '../upstream/endpoint-use.ts';
import { Verdict } from '../verdict.ts';
import { Balance } from './balance.ts';
import { Route } from './route.ts';

const health = { alpha: 0.3, latencyGoodMs: 50, latencyBadMs: 500, errorBad: 0.05 };
const CELLS = 5;
const ENDPOINTS_EACH = 2;
const REGIONS = 3;
/** Attempts of one exchange, more than any route allows. */
const ATTEMPTS = 4;

const cellSpec = fc.record({
  /** 0: none. */
  region: fc.nat(REGIONS),
  standby: fc.option(fc.nat(CELLS - 1)),
  tenants: fc.boolean(),
});
const endpointState = fc.record({
  ejected: fc.boolean(),
  down: fc.constantFrom(0, SUSPECTED, 1, Number.MAX_SAFE_INTEGER),
  health: fc.constantFrom(0, 0.2, 1),
  full: fc.boolean(),
});

const world = fc.record({
  cells: fc.array(cellSpec, { minLength: CELLS, maxLength: CELLS }),
  states: fc.array(endpointState, { minLength: CELLS * ENDPOINTS_EACH, maxLength: CELLS * ENDPOINTS_EACH }),
  allowed: fc.nat((1 << REGIONS) - 1),
  others: fc.boolean(),
  pin: fc.option(fc.nat(CELLS - 1)),
  fixed: fc.option(fc.nat(CELLS - 1)),
  tenant: fc.constantFrom('acme', 'globex', 'initech', 'umbrella'),
  reasons: fc.array(fc.constantFrom(FailReason.Connect, FailReason.Reset, FailReason.Timeout), {
    minLength: ATTEMPTS,
    maxLength: ATTEMPTS,
  }),
  random: fc.nat(),
});

function snapshotOf(w: typeof world extends fc.Arbitrary<infer T> ? T : never): Snapshot {
  const cells = w.cells.map(
    (c, i): CellPlan => ({
      id: `cell-${i}`,
      region: c.region === 0 ? '' : `r${c.region}`,
      ...(c.region === 0 ? {} : { regionBit: 1 << (c.region - 1) }),
      ...(c.standby === null || c.standby === i ? {} : { standby: c.standby }),
      endpoints: Array.from({ length: ENDPOINTS_EACH }, (_, e) => i * ENDPOINTS_EACH + e),
      health,
      probe: null,
    }),
  );
  const endpoints = w.states.map(
    (_, slot): EndpointPlan => ({
      slot,
      identity: `e/${slot}`,
      cell: Math.floor(slot / ENDPOINTS_EACH),
      host: 'h',
      port: 1,
      tls: null,
      capacity: 2,
      connectionsMax: 2,
      http2: false,
    }),
  );
  return {
    cells,
    endpoints,
    ring: buildRing(w.cells.flatMap((c, index) => (c.tenants ? [{ id: `cell-${index}`, index }] : []))),
    pins: new Map(w.pin === null ? [] : [[w.tenant, w.pin]]),
    regions: w.others
      ? { tenants: new Map(), others: w.allowed }
      : { tenants: new Map([[w.tenant, w.allowed]]), others: -1 },
  } as Partial<Snapshot> as Snapshot;
}

test('no tenant leaves its regions, whatever is down, full, pinned, fixed or standing by, and however often it is tried again', () => {
  fc.assert(
    fc.property(world, (w) => {
      const snapshot = snapshotOf(w);
      const columns = new EndpointColumns(EndpointColumns.create());
      for (const [slot, s] of w.states.entries()) {
        columns.ejected[slot] = s.ejected ? 1 : 0;
        columns.downUntil[slot] = s.down === Number.MAX_SAFE_INTEGER ? Math.floor(Date.now() / 1000) + 2 : s.down;
        columns.health[slot] = s.health;
        columns.inflight[slot] = s.full ? 2 : 0;
      }
      const use = new EndpointUse(columns, 0);
      const balance = new Balance(new Chooser(columns, 1), use);
      const x = testExchange(
        new TestWire({ headers: ['t', w.tenant] }),
        { snapshot, members: membersOf(snapshot) },
        testRoute({ cell: w.fixed ?? -1, tenant: { from: 'header', name: 't' } }),
      );
      x.now = Date.now();
      x.random = w.random;
      if (new Route(testPaths).enter(x) === Verdict.Refuse) return;
      for (const reason of w.reasons) {
        if (balance.enter(x) === Verdict.Refuse) return;
        const at = snapshot.cells[x.endpoint?.cell ?? -1];
        assert.equal(x.endpoint?.cell, x.cell, 'an endpoint of the cell that the record names');
        assert.ok(((at?.regionBit ?? 0) & w.allowed) !== 0, `${w.tenant} got to ${at?.id} in ${at?.region}`);
        use.failed(x, reason);
        if (x.endpoint !== null) x.failed.add(x.endpoint.slot);
      }
    }),
    { numRuns: 2_000 },
  );
});
