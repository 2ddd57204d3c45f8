import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { buildRing, Ring } from '../../snapshot/ring.ts';
import { isOff, type PlanInput, planCells, SKEW_MAX } from './cells-plan.ts';

const cells = (n: number): { id: string; region: string }[] =>
  Array.from({ length: n }, (_, i) => ({ id: `cell-${i}`, region: i % 2 === 0 ? 'eu' : 'us' }));
const tenants = (n: number, weight: (i: number) => number = () => 1): { id: string; weight: number }[] =>
  Array.from({ length: n }, (_, i) => ({ id: `tenant-${i}`, weight: weight(i) }));
const input = (over: Partial<PlanInput>): PlanInput => ({
  before: cells(10),
  after: cells(10),
  pins: new Map(),
  regions: new Map(),
  tenants: [],
  ...over,
});

test('shares are those of the ring, exactly: ten cells spread from -7 to +9 percent', () => {
  const { before, arcs } = planCells(input({}));
  assert.ok(Math.abs(before.reduce((sum, c) => sum + c.share, 0) - 1) < 1e-12);
  const skews = before.map((c) => c.skew);
  assert.ok(Math.min(...skews) > -0.07 && Math.min(...skews) < -0.06, `${Math.min(...skews)}`);
  assert.ok(Math.max(...skews) < 0.09 && Math.max(...skews) > 0.08, `${Math.max(...skews)}`);
  assert.deepEqual(arcs, [], 'nothing changes, so nothing moves');
});

test('a cell that joins takes its share from all and gives nothing; one that leaves gives all of it', () => {
  const joins = planCells(input({ after: cells(11), tenants: tenants(5_000) }));
  assert.ok(joins.arcs.every((a) => a.to === 'cell-10'));
  const its = joins.after.find((c) => c.cell === 'cell-10')?.share ?? 0;
  assert.ok(Math.abs(joins.arcs.reduce((sum, a) => sum + a.share, 0) - its) < 1e-12);
  assert.ok(joins.moves.length > 0 && joins.moves.every((m) => m.to === 'cell-10'));
  const leaves = planCells(input({ before: cells(11), after: cells(10), tenants: tenants(5_000) }));
  assert.deepEqual(
    leaves.moves.map((m) => [m.tenant, m.to, m.from]),
    joins.moves.map((m) => [m.tenant, m.from, m.to]),
  );
});

test('who lives where is what the gateway says', () => {
  const all = cells(7);
  const ring = new Ring(buildRing(all.map(({ id }, index) => ({ id, index }))));
  const { moves } = planCells(input({ before: [], after: all, tenants: tenants(500) }));
  for (const m of moves) assert.equal(m.to, all[ring.cellOf(m.tenant)]?.id);
});

test('with the pins it proposes every cell is within 5 percent, and pinned tenants stay', () => {
  const pins = new Map([['tenant-3', 'cell-2']]);
  const { after, mend, mended } = planCells(input({ tenants: tenants(5_000), pins }));
  assert.ok(
    after.some((c) => isOff(c.loadSkew)),
    'there is something to mend',
  );
  assert.ok(mend.length > 0 && mend.length < 500, `${mend.length} pins`);
  for (const c of mended) assert.ok(!isOff(c.loadSkew), `${c.cell} ${c.loadSkew}`);
  assert.ok(mend.every((m) => m.tenant !== 'tenant-3'));
});

test('nobody is pinned out of their regions; who fits nowhere is told', () => {
  const regions = new Map([
    ['', ['eu']],
    ['tenant-0', ['asia']],
  ]);
  const { mend, moves, homeless } = planCells(input({ before: [], tenants: tenants(500), regions }));
  const regionOf = new Map(cells(10).map((c) => [c.id, c.region]));
  assert.ok(moves.every((m) => m.to === '' || regionOf.get(m.to) === 'eu'));
  assert.ok(mend.every((m) => regionOf.get(m.to) === 'eu'));
  assert.deepEqual(homeless, ['tenant-0']);
});

test('any weights: it ends, no tenant is pinned twice, and no cell ends further off than it began', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 6 }),
      fc.array(fc.double({ min: 0, max: 1e6, noNaN: true }), { maxLength: 60 }),
      (n, weights) => {
        const plan = planCells(
          input({ before: cells(n), after: cells(n), tenants: tenants(weights.length, (i) => weights[i] ?? 1) }),
        );
        assert.equal(new Set(plan.mend.map((m) => m.tenant)).size, plan.mend.length);
        const worst = (list: readonly { readonly loadSkew: number }[]): number =>
          Math.max(0, ...list.map((c) => Math.abs(c.loadSkew)));
        assert.ok(worst(plan.mended) <= Math.max(worst(plan.after), SKEW_MAX) + 1e-9);
      },
    ),
  );
});
