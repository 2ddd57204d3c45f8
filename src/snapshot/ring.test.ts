import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { buildRing, cellPositions, Ring, VIRTUAL_NODES } from './ring.ts';
import type { RingPlan } from './cell-plans.ts';

const cells = (n: number): { id: string; index: number }[] =>
  Array.from({ length: n }, (_, index) => ({ id: `cell-${index}`, index }));

const tenants = Array.from({ length: 20_000 }, (_, i) => `tenant-${i}`);

/** A ring of literal positions. */
function ringOf(nodes: readonly (readonly [position: bigint, cell: number])[]): Ring {
  const plan: RingPlan = {
    positions: new SharedArrayBuffer(nodes.length * 8),
    cells: new SharedArrayBuffer(nodes.length * 2),
    count: nodes.length,
  };
  new BigUint64Array(plan.positions).set(nodes.map((n) => n[0]));
  new Uint16Array(plan.cells).set(nodes.map((n) => n[1]));
  return new Ring(plan);
}

test('positions are the first 8 bytes, big-endian, of SHA-256 over cell:vnode:i', () => {
  // From `printf cell-a:vnode:0 | sha256sum | cut -c1-16`.
  const positions = cellPositions('cell-a');
  assert.equal(positions.length, VIRTUAL_NODES);
  assert.equal(positions[0], 0x9705ec8f042649b0n);
  assert.equal(positions[1], 0xf1542f6c6c23750en);
  assert.equal(positions[149], 0xb9a4e48a238e23fbn);
});

test('a tenant lives at the first position clockwise of the first 8 bytes of its SHA-256', () => {
  // From `printf acme | sha256sum`: 822b33ad87c148a0.
  const acme = 0x822b33ad87c148a0n;
  assert.equal(ringOf([[acme - 1n, 1], [acme + 1n, 2], [acme + 2n, 3]]).cellOf('acme'), 2); // biome-ignore format: a table
  assert.equal(
    ringOf([
      [acme - 1n, 1],
      [acme, 2],
      [acme + 1n, 3],
    ]).cellOf('acme'),
    2,
    'its own position counts',
  );
  assert.equal(
    ringOf([
      [1n, 7],
      [acme - 1n, 1],
    ]).cellOf('acme'),
    7,
    'past the last position comes the first',
  );
});

test('positions are compared as unsigned 64-bit numbers, low half included', () => {
  const ring = ringOf([
    [0x0000_0001_ffff_ffffn, 1],
    [0x7fff_ffff_0000_0000n, 2],
    [0x8000_0000_0000_0000n, 3],
    [0x8000_0000_8000_0000n, 4],
    [0xffff_ffff_ffff_fffen, 5],
  ]);
  const at = (p: bigint): number => ring.cellAt(Number(p >> 32n), Number(p & 0xffff_ffffn));
  assert.equal(at(0n), 1);
  assert.equal(at(0x1_ffff_ffffn), 1);
  assert.equal(at(0x2_0000_0000n), 2);
  assert.equal(at(0x7fff_ffff_0000_0001n), 3);
  assert.equal(at(0x8000_0000_0000_0001n), 4);
  assert.equal(at(0x8000_0000_8000_0001n), 5);
  assert.equal(at(0xffff_ffff_ffff_ffffn), 1);
});

test('an empty ring has no cell', () => {
  assert.equal(new Ring(buildRing([])).cellOf('acme'), -1);
});

test('every look-up agrees with a plain scan over big integers', () => {
  const plan = buildRing(cells(5));
  const ring = new Ring(plan);
  const positions = new BigUint64Array(plan.positions);
  const owners = new Uint16Array(plan.cells);
  fc.assert(
    fc.property(fc.bigInt({ min: 0n, max: 0xffff_ffff_ffff_ffffn }), (p) => {
      const at = positions.findIndex((q) => q >= p);
      assert.equal(ring.cellAt(Number(p >> 32n), Number(p & 0xffff_ffffn)), owners[at === -1 ? 0 : at]);
    }),
  );
});

test('ten cells own the ring within -7 to +9 percent of a tenth each', () => {
  // Exact, by the arcs: nothing is sampled. The spread is a property of these ten names; of 150 virtual nodes one expects 8 % either way.
  const plan = buildRing(cells(10));
  const positions = new BigUint64Array(plan.positions);
  const owners = new Uint16Array(plan.cells);
  const arcs = Array.from({ length: 10 }, () => 0n);
  for (let i = 0; i < plan.count; i++) {
    const before = positions[i === 0 ? plan.count - 1 : i - 1] as bigint;
    const cell = owners[i] as number;
    arcs[cell] = (arcs[cell] as bigint) + BigInt.asUintN(64, (positions[i] as bigint) - before);
  }
  const shares = arcs.map((arc) => Number(arc) / 2 ** 64);
  for (const [cell, share] of shares.entries()) {
    assert.ok(share > 0.093 && share < 0.109, `cell-${cell} owns ${(share * 100).toFixed(2)} %`);
  }
});

test('a cell that joins takes tenants only for itself, about its share', () => {
  const before = new Ring(buildRing(cells(10)));
  const after = new Ring(buildRing(cells(11)));
  let moved = 0;
  for (const tenant of tenants) {
    const now = after.cellOf(tenant);
    if (now === before.cellOf(tenant)) continue;
    assert.equal(now, 10, `${tenant} moved between cells that were there before`);
    moved++;
  }
  const share = moved / tenants.length;
  assert.ok(share > 0.5 / 11 && share < 1.5 / 11, `moved ${share}`);
});

test('the order in which cells are written does not matter', () => {
  const a = buildRing(cells(4));
  const b = buildRing(cells(4).reverse());
  assert.deepEqual(new BigUint64Array(a.positions), new BigUint64Array(b.positions));
  assert.deepEqual(new Uint16Array(a.cells), new Uint16Array(b.cells));
});
