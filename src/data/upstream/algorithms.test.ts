import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { keyedHash } from '../../base/keyed-hash.ts';
import { Prng } from '../../base/prng.ts';
import { Algorithm, BALANCE_DEFAULT } from '../../snapshot/balance.ts';
import type { BalancePlan } from '../../snapshot/balance.ts';
import { EndpointColumns } from '../../snapshot/endpoint-columns.ts';
import type { EndpointPlan } from '../../snapshot/cell-plans.ts';
import { CellMembers } from './cell-members.ts';
import { Chooser, NO_HASH } from './choose.ts';
import { FailedSlots } from './failed-slots.ts';

const NOW = 1_800_000_000_000;

function endpoint(slot: number, more: Partial<EndpointPlan> = {}): EndpointPlan {
  return {
    slot,
    identity: `c/10.0.0.${slot}:80`,
    cell: 0,
    host: `10.0.0.${slot}`,
    port: 80,
    tls: null,
    capacity: 1_000,
    connectionsMax: 8,
    http2: false,
    ...more,
  };
}

/** A cell with fixed chance; requests stay in flight until they are ended. */
class Cell {
  readonly columns = new EndpointColumns(EndpointColumns.create());
  readonly chooser = new Chooser(this.columns, 1);
  readonly members: CellMembers;
  readonly prng = new Prng(11);

  constructor(plan: Partial<BalancePlan>, endpoints: readonly EndpointPlan[]) {
    this.members = new CellMembers(endpoints, { ...BALANCE_DEFAULT, ...plan });
  }

  choose(hash = NO_HASH, now = NOW, preferred = -1, failedSlot = -1): number {
    const chosen = this.chooser.choose(
      this.members,
      now,
      this.prng.uint32(),
      failedOf(failedSlot),
      true,
      hash,
      preferred,
    );
    return chosen === null ? -1 : chosen.slot;
  }

  /** Choices by slot over `count` requests; every one ends at once unless `stay`. */
  counts(count: number, { stay = false, now = NOW, hashes = false } = {}): number[] {
    const seen = this.members.endpoints.map(() => 0);
    for (let i = 0; i < count; i++) {
      const slot = this.choose(hashes ? keyedHash(`key-${i}`, 1, 2) : NO_HASH, now);
      if (slot < 0) continue;
      seen[slot] = (seen[slot] ?? 0) + 1;
      if (stay) this.columns.inflight[slot] = (this.columns.inflight[slot] ?? 0) + 1;
    }
    return seen;
  }
}

const near = (actual: readonly number[], expected: readonly number[], by: number): void => {
  for (const [i, n] of actual.entries())
    assert.ok(Math.abs(n - (expected[i] ?? 0)) <= by, `${actual.join()} is not near ${expected.join()}`);
};

const weighted = [endpoint(0, { weight: 1 }), endpoint(1, { weight: 2 }), endpoint(2, { weight: 5 })];

test('round-robin gives exactly the shares of the weights, and spreads them', () => {
  const cell = new Cell({ algorithm: Algorithm.RoundRobin }, weighted);
  assert.deepEqual(cell.counts(800), [100, 200, 500]);
  const eight = Array.from({ length: 8 }, () => cell.choose());
  assert.deepEqual(
    eight.toSorted((a, b) => a - b),
    [0, 1, 1, 2, 2, 2, 2, 2],
  );
  assert.ok(!/2,2,2,2/.test(eight.join()), 'the heavy one does not get all of its turns at once');
});

test('least-request: fewest in flight by weight, and by weight in turn when all are idle', () => {
  const cell = new Cell({ algorithm: Algorithm.LeastRequest }, weighted);
  assert.deepEqual(cell.counts(800), [100, 200, 500]);
  near(cell.counts(800, { stay: true }), [100, 200, 500], 1);
  cell.columns.inflight[2] = 0;
  assert.equal(cell.choose(), 2);
});

test('p2c: shares by weight when idle, and the busy one is avoided', () => {
  const cell = new Cell({ algorithm: Algorithm.P2c }, weighted);
  near(cell.counts(8_000), [1_000, 2_000, 5_000], 250);
  const even = new Cell(
    { algorithm: Algorithm.P2c },
    [0, 1, 2, 3].map((slot) => endpoint(slot)),
  );
  even.columns.inflight[0] = 500;
  assert.equal(even.counts(2_000)[0], 0, 'it is the busier one of any two');
  even.columns.inflight[0] = 0;
  near(even.counts(2_000, { stay: true }), [500, 500, 500, 500], 3);
});

test('ring-hash: the same key goes to the same endpoint, keys spread by weight, in every lane alike', () => {
  const plan = { algorithm: Algorithm.RingHash, hash: { by: 'path' } as const, k0: 3, k1: 4 };
  const cell = new Cell(plan, weighted);
  const other = new Cell(plan, weighted);
  for (let i = 0; i < 500; i++) {
    const hash = keyedHash(`user-${i}`, 3, 4);
    assert.equal(cell.choose(hash), other.choose(hash));
  }
  near(cell.counts(8_000, { hashes: true }), [1_000, 2_000, 5_000], 500);
  near(cell.counts(8_000), [1_000, 2_000, 5_000], 500);
});

test('ring-hash: who comes or goes moves only what it takes or had', () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.integer({ min: 0, max: 200 }), { minLength: 2, maxLength: 12 }),
      fc.nat(),
      (slots, pick) => {
        const plan = { algorithm: Algorithm.RingHash, hash: { by: 'path' } as const };
        const all = slots.map((slot) => endpoint(slot));
        const gone = slots[pick % slots.length];
        const before = new Cell(plan, all);
        const after = new Cell(
          plan,
          all.filter(({ slot }) => slot !== gone),
        );
        for (let i = 0; i < 200; i++) {
          const hash = keyedHash(`k${i}`, 0, 0);
          const was = before.choose(hash);
          if (was !== gone) assert.equal(after.choose(hash), was);
          // The same when it is only out for a while.
          before.columns.ejected[gone ?? 0] = 1;
          if (was !== gone) assert.equal(before.choose(hash), was);
          before.columns.ejected[gone ?? 0] = 0;
        }
      },
    ),
    { numRuns: 30 },
  );
});

test('ring-hash with hashBalanceFactor: no endpoint gets more than its bound', () => {
  const plan = { algorithm: Algorithm.RingHash, hash: { by: 'path' } as const, hashBalanceFactor: 125 };
  const cell = new Cell(
    plan,
    [0, 1, 2, 3].map((slot) => endpoint(slot)),
  );
  const hash = keyedHash('everybody asks for this', 0, 0);
  const seen = [0, 0, 0, 0];
  for (let i = 0; i < 400; i++) {
    const slot = cell.choose(hash);
    seen[slot] = (seen[slot] ?? 0) + 1;
    cell.columns.inflight[slot] = (cell.columns.inflight[slot] ?? 0) + 1;
  }
  assert.ok(Math.max(...seen) <= Math.ceil(1.25 * 100) + 1, seen.join());
});

test('slow start: the share grows evenly over the window, whatever the algorithm', () => {
  for (const algorithm of Object.values(Algorithm)) {
    const plan = { algorithm, slowStartMs: 10_000, hash: { by: 'path' } as const };
    const cell = new Cell(plan, [endpoint(0), endpoint(1), endpoint(2), endpoint(3, { since: NOW })]);
    const share = (ageMs: number): number => (cell.counts(4_000, { now: NOW + ageMs, hashes: true })[3] ?? 0) / 4_000;
    const [begin, half, end] = [share(0), share(5_000), share(10_000)];
    const full = algorithm === Algorithm.RingHash ? end : 0.25;
    assert.ok(begin > 0 && begin < 0.06, `${algorithm}: ${begin}`);
    assert.ok(half > 0.3 * full && half < 0.75 * full, `${algorithm}: ${half}`);
    assert.ok(Math.abs(end - full) < 0.03, `${algorithm}: ${end}`);
  }
});

test('slow start: one that came back begins as one that came, and its latest return counts', () => {
  const cell = new Cell({ slowStartMs: 10_000 }, [endpoint(0), endpoint(1), endpoint(2), endpoint(3, { since: NOW })]);
  const share = (now: number): number => (cell.counts(4_000, { now })[3] ?? 0) / 4_000;
  near([share(NOW + 20_000)], [0.25], 0.03);
  cell.columns.returnedAt[3] = NOW + 20_000;
  assert.ok(share(NOW + 20_000) < 0.06);
  near([share(NOW + 30_000)], [0.25], 0.03);
  cell.columns.returnedAt[3] = NOW + 40_000;
  assert.ok(share(NOW + 40_000) < 0.06);
  cell.columns.resetSlot(3);
  near([share(NOW + 40_000)], [0.25], 0.03);
});

test('slow start: those that came together share as if they had always been there, at every age', () => {
  const old = [endpoint(0), endpoint(1), endpoint(2)];
  const young = old.map((e) => ({ ...e, since: NOW }));
  for (const ageMs of [0, 1, 300, 4_000, 9_999]) {
    for (const algorithm of Object.values(Algorithm)) {
      const plan = { algorithm, slowStartMs: 10_000, hash: { by: 'path' } as const };
      const now = NOW + ageMs;
      const [asEver, fresh] = [new Cell(plan, old), new Cell(plan, young)];
      for (let i = 0; i < 200; i++) {
        const hash = algorithm === Algorithm.RingHash ? keyedHash(`key-${i}`, 1, 2) : NO_HASH;
        assert.equal(fresh.choose(hash, now), asEver.choose(hash, now), `${algorithm} at ${ageMs} ms`);
      }
    }
  }
});

test('slow start: where all came lately, the older ones have more', () => {
  const cell = new Cell({ slowStartMs: 10_000 }, [endpoint(0, { since: NOW }), endpoint(1, { since: NOW + 4_000 })]);
  const counts = cell.counts(4_000, { now: NOW + 5_000 });
  // A fifth of the other's share: half of the requests that do not pass it over.
  near(counts, [3_600, 400], 100);
});

test('slow start: those that came lately share as ever when there are no others', () => {
  const cell = new Cell({ slowStartMs: 10_000 }, [endpoint(0, { since: NOW }), endpoint(1, { since: NOW })]);
  const counts = cell.counts(2_000);
  assert.equal((counts[0] ?? 0) + (counts[1] ?? 0), 2_000);
  near(counts, [1_000, 1_000], 150);
});

test('slow start: nothing spills to the next zone or priority since one of the first has just come back, whatever the algorithm', () => {
  for (const algorithm of Object.values(Algorithm)) {
    const plan = { algorithm, slowStartMs: 10_000, zone: 'a', hash: { by: 'path' } as const };
    const cell = new Cell(plan, [
      endpoint(0, { zone: 'a' }),
      endpoint(1, { zone: 'b' }),
      endpoint(2, { zone: 'a', priority: 1 }),
    ]);
    assert.deepEqual(cell.counts(400, { hashes: true }), [400, 0, 0]);
    cell.columns.ejected[0] = 1;
    assert.deepEqual(cell.counts(400, { hashes: true }), [0, 400, 0]);
    cell.columns.ejected[0] = 0;
    cell.columns.returnedAt[0] = NOW;
    for (const ageMs of [0, 100, 5_000, 10_000]) {
      assert.deepEqual(cell.counts(400, { now: NOW + ageMs, hashes: true }), [400, 0, 0], `${algorithm}: ${ageMs} ms`);
    }
  }
});

test('slow start: shares count beside those of the same tier, also where another one takes what the first cannot bear', () => {
  const zones = ['a', 'a', 'a', 'b', 'b'];
  const since = [0, NOW, 0, NOW, NOW];
  const cell = new Cell(
    { slowStartMs: 10_000, zone: 'a' },
    zones.map((zone, slot) => endpoint(slot, { zone, since: since[slot] ?? 0 })),
  );
  // Two of three are healthy and bear 1.4 × 2 / 3 of all; of that the new one has a twentieth. In the other zone both came together.
  cell.columns.ejected[2] = 1;
  near(cell.counts(6_000), [5_320, 280, 0, 200, 200], 120);
});

test('panic: below the threshold the ejected are used as well, above it and at 0 they are not; the refused never', () => {
  const four = [0, 1, 2, 3].map((slot) => endpoint(slot));
  const cell = new Cell({ panicThreshold: 0.5 }, four);
  cell.columns.ejected[0] = cell.columns.ejected[1] = 1;
  assert.deepEqual(cell.counts(400).slice(0, 2), [0, 0], 'half of them are healthy');
  cell.columns.ejected[2] = 1;
  near(cell.counts(4_000), [1_000, 1_000, 1_000, 1_000], 150);
  assert.ok(cell.chooser.panicked);
  cell.columns.downUntil[1] = NOW / 1000 + 2;
  assert.equal(cell.counts(400)[1], 0);
  const never = new Cell({ panicThreshold: 0 }, four);
  never.columns.ejected.fill(1, 0, 3);
  assert.deepEqual(never.counts(100), [0, 0, 0, 100]);
  never.columns.ejected[3] = 1;
  assert.equal(never.choose(), -1);
});

test('the own zone comes first and spills as its endpoints fail', () => {
  const zones = ['a', 'a', 'a', 'a', 'b', 'b', 'b', 'b'];
  for (const algorithm of Object.values(Algorithm)) {
    const cell = new Cell(
      { zone: 'a', algorithm },
      zones.map((zone, slot) => endpoint(slot, { zone })),
    );
    const own = (): number => {
      const counts = cell.counts(4_000);
      return counts.slice(0, 4).reduce((sum, n) => sum + n, 0) / 4_000;
    };
    assert.equal(own(), 1);
    cell.columns.ejected[0] = 1;
    assert.equal(own(), 1, 'three of four bear it');
    cell.columns.ejected[1] = 1;
    // 1.4 × 2 of 4.
    assert.ok(Math.abs(own() - 0.7) < 0.04, `${own()}`);
    cell.columns.ejected.fill(1, 0, 4);
    assert.equal(own(), 0);
  }
});

test('a zone whose endpoints are all full spills, whoever was to get it', () => {
  const cell = new Cell({ zone: 'a' }, [endpoint(0, { zone: 'a', capacity: 1 }), endpoint(1, { zone: 'b' })]);
  cell.columns.inflight[0] = 1;
  assert.deepEqual(cell.counts(50), [0, 50]);
});

test('priorities come in their order', () => {
  const cell = new Cell({}, [endpoint(0, { priority: 1 }), endpoint(1), endpoint(2, { priority: 7 })]);
  assert.deepEqual(cell.counts(50), [0, 50, 0]);
  cell.columns.ejected[1] = 1;
  assert.deepEqual(cell.counts(50), [50, 0, 0]);
});

test('a preferred member gets the request as long as it can be used, and another one when it cannot', () => {
  const cell = new Cell({ zone: 'a' }, [endpoint(0, { zone: 'a' }), endpoint(1, { zone: 'b' })]);
  assert.equal(cell.choose(NO_HASH, NOW, 1), 1);
  cell.columns.ejected[1] = 1;
  assert.equal(cell.choose(NO_HASH, NOW, 1), 0);
  cell.columns.ejected[1] = 0;
  assert.equal(cell.choose(NO_HASH, NOW, 1, 1), 0, 'not after it has failed for this request');
});

test('whatever stands how, what is chosen may be used, and nothing is refused that could be served', () => {
  const one = fc.record({
    ejected: fc.integer({ min: 0, max: 1 }),
    down: fc.constantFrom(0, NOW / 1000 + 2),
    inflight: fc.integer({ min: 0, max: 3 }),
    weight: fc.integer({ min: 1, max: 300 }),
    zone: fc.constantFrom('', 'a', 'b'),
    priority: fc.integer({ min: 0, max: 7 }),
    since: fc.constantFrom(0, NOW - 5_000, NOW + 5_000),
  });
  fc.assert(
    fc.property(
      fc.array(one, { minLength: 1, maxLength: 12 }),
      fc.constantFrom(...Object.values(Algorithm)),
      fc.constantFrom(0, 0.5, 1),
      fc.constantFrom(0, 100, 150),
      fc.integer({ min: -1, max: 0x7fffffff }),
      (all, algorithm, panicThreshold, hashBalanceFactor, hash) => {
        const endpoints = all.map(({ weight, zone, priority, since }, slot) =>
          endpoint(slot, { weight, zone, priority, since, capacity: 2 }),
        );
        const cell = new Cell(
          { algorithm, panicThreshold, hashBalanceFactor, zone: 'a', slowStartMs: 10_000 },
          endpoints,
        );
        for (const [slot, e] of all.entries()) {
          cell.columns.ejected[slot] = e.ejected;
          cell.columns.downUntil[slot] = e.down;
          cell.columns.inflight[slot] = e.inflight;
        }
        const usable = all.map((e) => e.ejected === 0 && e.down === 0 && e.inflight < 2);
        const chosen = cell.choose(hash);
        if (chosen < 0) assert.ok(!usable.includes(true));
        else {
          const e = all[chosen];
          assert.ok(e !== undefined && e.down === 0 && e.inflight < 2);
          assert.ok(e.ejected === 0 || panicThreshold > 0);
        }
      },
    ),
    { numRuns: 2_000 },
  );
});

function failedOf(...slots: readonly number[]): FailedSlots {
  const failed = new FailedSlots();
  for (const slot of slots) if (slot >= 0) failed.add(slot);
  return failed;
}
