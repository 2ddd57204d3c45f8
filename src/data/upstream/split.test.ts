import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { SplitConfig } from '../../config/split.ts';
import { Value } from 'typebox/value';
import { compileSplit } from '../../control/compile/split.ts';
import type { CellPlan } from '../../snapshot/cell-plans.ts';
import type { SplitPlan } from '../../snapshot/route-plans.ts';
import type { Snapshot } from '../../snapshot/snapshot.ts';
import { TestWire, testExchange, testRoute } from '../../../test/harness/wire.ts';
import type { Identity } from '../exchange.ts';
import { CellLatency } from './cell-latency.ts';
import { splitCell } from './split.ts';

const CLIENTS = 20_000;
const places = new Map([
  ['v1', 0],
  ['v2', 1],
  ['v3', 2],
]);
const cells = [{ regionBit: 1 }, { regionBit: 2 }, { regionBit: 4 }] as unknown as CellPlan[];

function plan(over: object, routeId = 'shop'): SplitPlan {
  const config = Value.Default(SplitConfig, { by: ['cookie:sid', 'address'], ...over }) as SplitConfig;
  return compileSplit(config, routeId, places);
}

function cellOf(split: SplitPlan, headers: readonly string[], address = '192.0.2.7', regions = -1): number {
  const x = testExchange(new TestWire({ headers }), {}, testRoute());
  x.clientAddress = address;
  x.regions = regions;
  return splitCell(x, split, cells);
}

const of = (split: SplitPlan, client: number): number => cellOf(split, ['cookie', `sid=${client}`]);
const two = (first: number, second: number, more: object = {}): object => ({
  cells: [
    { cell: 'v1', weight: first },
    { cell: 'v2', weight: second },
  ],
  ...more,
});

test('clients are spread by the weights, and each stays where it is', () => {
  const split = plan(two(90, 10));
  let canary = 0;
  for (let i = 0; i < CLIENTS; i++) canary += of(split, i);
  // Four standard deviations of a binomial around 10 %.
  const sigma = Math.sqrt(CLIENTS * 0.1 * 0.9);
  assert.ok(Math.abs(canary - CLIENTS * 0.1) < 4 * sigma, `${canary} of ${CLIENTS}`);
  for (let i = 0; i < 100; i++) assert.equal(of(split, i), of(plan(two(90, 10)), i), 'also after it is compiled anew');
});

test('a part that grows keeps who was in it', () => {
  const before = plan(two(95, 5));
  const after = plan(two(80, 20));
  for (let i = 0; i < CLIENTS; i++) if (of(before, i) === 1) assert.equal(of(after, i), 1);
});

test('routes choose apart unless they share a key', () => {
  const differ = (a: SplitPlan, b: SplitPlan): number => {
    let n = 0;
    for (let i = 0; i < 2_000; i++) if (of(a, i) !== of(b, i)) n++;
    return n;
  };
  assert.ok(differ(plan(two(1, 1), 'shop'), plan(two(1, 1), 'cart')) > 800, 'as chance would have it: half');
  assert.equal(differ(plan(two(1, 1, { key: 'k' }), 'shop'), plan(two(1, 1, { key: 'k' }), 'cart')), 0);
});

test('what is not there is passed over, and the address is last', () => {
  const split = plan({ ...two(1, 1), by: ['cookie:sid', 'header:X-User'] });
  const byUser = cellOf(split, ['x-user', 'u1'], '192.0.2.1');
  assert.equal(cellOf(split, ['x-user', 'u1'], '192.0.2.2'), byUser);
  const addresses = new Set(Array.from({ length: 50 }, (_, i) => cellOf(split, [], `192.0.2.${i}`)));
  assert.equal(addresses.size, 2);
});

test('a header or cookie sends a request to its cell whatever the weights say', () => {
  const split = plan({
    cells: [
      { cell: 'v1', weight: 1 },
      { cell: 'v2', when: [{ header: 'X-Canary', value: 'always' }, { cookie: 'canary' }] },
    ],
  });
  for (let i = 0; i < 50; i++) assert.equal(of(split, i), 0, 'no weight: only those that match');
  assert.equal(cellOf(split, ['x-canary', 'always']), 1);
  assert.equal(cellOf(split, ['x-canary', 'never']), 0);
  assert.equal(cellOf(split, ['cookie', 'a=b; canary=1']), 1);
});

test("a claim's field is the token's word, whatever the client says", () => {
  const snapshot = { issuers: [{ claimHeaders: ['plan', 'x-plan'] }] } as unknown as Snapshot;
  const chosen = plan({
    cells: [
      { cell: 'v1', weight: 1 },
      { cell: 'v2', when: [{ header: 'X-Plan', value: 'internal' }] },
    ],
  });
  const cell = (split: SplitPlan, said: string, claim: string | null): number => {
    const x = testExchange(new TestWire({ headers: ['x-plan', said] }), { snapshot }, testRoute());
    x.clientAddress = '192.0.2.7';
    x.identity = claim === null ? null : ({ headers: ['x-plan', claim] } as unknown as Identity);
    return splitCell(x, split, cells);
  };
  assert.equal(cell(chosen, 'internal', null), 0);
  assert.equal(cell(chosen, 'internal', 'free'), 0);
  assert.equal(cell(chosen, 'free', 'internal'), 1);
  const hashed = plan(two(1, 1, { by: ['header:X-Plan'] }));
  for (const claim of [null, 'free']) {
    const places = Array.from({ length: 50 }, (_, i) => cell(hashed, `said-${i}`, claim));
    assert.equal(new Set(places).size, 1, 'a client does not choose its version');
  }
});

test('no split leads out of the regions of a tenant', () => {
  const split = plan({
    cells: [
      { cell: 'v1', weight: 90 },
      { cell: 'v2', weight: 10, when: [{ header: 'x-canary' }] },
      { cell: 'v3', when: [{ cookie: 'preview' }] },
    ],
  });
  fc.assert(
    fc.property(fc.nat(7), fc.nat(), fc.boolean(), fc.boolean(), (regions, client, canary, preview) => {
      const cookie = `sid=${client}${preview ? '; preview=1' : ''}`;
      const cell = cellOf(split, ['cookie', cookie, ...(canary ? ['x-canary', '1'] : [])], '192.0.2.1', regions);
      if (cell >= 0) assert.ok(((1 << cell) & regions) !== 0);
      else assert.equal(regions & 3, 0, 'refused only when no cell with a weight is allowed');
    }),
  );
});

const NOW = 1_800_000_000_000;
const near = cells.map((cell, slot) => ({ ...cell, guards: { slot } })) as unknown as CellPlan[];

/** Shares of the cells among so many clients, when each takes so long (null: nobody knows). */
function shares(split: SplitPlan, took: readonly (number | null)[], regions = -1, now = NOW): number[] {
  const latency = new CellLatency();
  for (const [slot, ms] of took.entries()) if (ms !== null) latency.took(slot, ms, NOW);
  const counts = near.map(() => 0);
  for (let i = 0; i < 4_000; i++) {
    const x = testExchange(new TestWire({ headers: ['cookie', `sid=${i}`] }), {}, testRoute());
    x.regions = regions;
    x.now = now;
    x.random = Math.imul(i, 0x9e3779b9) >>> 0;
    const cell = splitCell(x, split, near, latency);
    counts[cell] = (counts[cell] ?? 0) + 1 / 4_000;
  }
  return counts;
}

const three = { cells: ['v1', 'v2', 'v3'].map((cell) => ({ cell, weight: 1 })), prefer: 'latency' };

test('by latency: the quickest cell gets nearly all, those that are about as quick share by weight', () => {
  const [far = 1, quick = 0, slow = 1] = shares(plan(three), [80, 20, 60]);
  assert.ok(quick > 0.98 && far > 0 && slow > 0, 'the others are asked now and then');
  const [a = 0, b = 0, c = 1] = shares(plan(three), [20, 24, 60]);
  assert.ok(a > 0.3 && b > 0.3 && c < 0.01, `${a} ${b} ${c}`);
});

test('by latency: what nobody knows, or only from long ago, gets its part by weight', () => {
  const unknown = shares(plan(three), [80, 20, null]);
  assert.ok((unknown[2] ?? 0) > 0.3 && (unknown[0] ?? 1) < 0.01, unknown.join());
  const old = shares(plan(three), [80, 20, 60], -1, NOW + 60_000);
  assert.ok(
    old.every((share) => share > 0.3),
    old.join(),
  );
});

test('by latency: no quick cell leads out of the regions of a tenant', () => {
  const [first = 1, second = 0, third = 1] = shares(plan(three), [5, 80, 5], 2);
  assert.deepEqual([first, Math.round(second), third], [0, 1, 0]);
});

test('unless it is asked for, how long cells take changes nothing', () => {
  const even = shares(plan({ cells: three.cells }), [500, 5, 500]);
  assert.ok(
    even.every((share) => share > 0.3),
    even.join(),
  );
});
