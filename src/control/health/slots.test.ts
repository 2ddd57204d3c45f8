import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { EndpointColumns, ENDPOINT_SLOTS } from '../../snapshot/endpoint-columns.ts';
import { EndpointSlots, SLOT_REST_MS, SlotsFull } from './slots.ts';

function given(capacity: number): { columns: EndpointColumns; slots: EndpointSlots; pass: (ms: number) => void } {
  const columns = new EndpointColumns(EndpointColumns.create());
  let passed = 0;
  // A clock that is set ahead with every look says nothing about how long a row has rested.
  let now = 1_800_000_000_000;
  const slots = new EndpointSlots({
    columns,
    laneCount: 2,
    now: () => (now += 2 * SLOT_REST_MS),
    tick: () => passed,
    capacity,
  });
  return { columns, slots, pass: (ms) => (passed += ms) };
}

test('an identity keeps its row and what is known of it over snapshots', () => {
  const { columns, slots, pass } = given(8);
  const first = slots.lease(['a', 'b']);
  const b = first.slotOf('b');
  columns.health[b] = 0.25;
  const second = slots.lease(['c', 'b']);
  first.release();
  pass(SLOT_REST_MS * 2);
  assert.equal(second.slotOf('b'), b);
  assert.equal(columns.health[b], 0.25);
  second.release();
  const third = slots.lease(['b']);
  assert.equal(third.slotOf('b'), b);
  assert.equal(columns.health[b], 0.25);
});

test('a row goes on only when no snapshot holds it, it has rested, and nothing is in flight on it', () => {
  const { columns, slots, pass } = given(1);
  const a = slots.lease(['a']);
  const again = slots.lease(['a']);
  a.release();
  a.release();
  pass(SLOT_REST_MS);
  assert.throws(() => slots.lease(['b']), SlotsFull, 'held by another snapshot');
  again.release();
  assert.throws(() => slots.lease(['b']), SlotsFull, 'not rested');
  pass(SLOT_REST_MS);
  columns.inflight[ENDPOINT_SLOTS + 0] = 1;
  assert.throws(() => slots.lease(['b']), SlotsFull, 'in flight in a lane');
  columns.inflight[ENDPOINT_SLOTS + 0] = 0;
  columns.health[0] = 0;
  columns.ejected[0] = 1;
  columns.downUntil[0] = 7;
  assert.equal(slots.lease(['b']).slotOf('b'), 0);
  assert.deepEqual([columns.health[0], columns.ejected[0], columns.downUntil[0]], [1, 0, 0], 'and is as new');
});

test('a table without room says so, and gives none of what was asked for', () => {
  const { slots } = given(2);
  slots.lease(['a']);
  assert.throws(() => slots.lease(['a', 'b', 'c']), /1 more are wanted than the 2 that can be known at once/);
  assert.equal(slots.lease(['b']).slotOf('b'), 1);
});

test('no two identities ever share a row', () => {
  const names = ['a', 'b', 'c', 'd', 'e', 'f', 'g'];
  const step = fc.record({
    take: fc.subarray(names, { maxLength: 4 }),
    drop: fc.nat(3),
    ms: fc.constantFrom(0, 1, SLOT_REST_MS),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 20 }), (steps) => {
      const { slots, pass } = given(5);
      const live: { names: string[]; lease: ReturnType<EndpointSlots['lease']> }[] = [];
      for (const { take, drop, ms } of steps) {
        pass(ms);
        try {
          live.push({ names: take, lease: slots.lease(take) });
        } catch (error) {
          assert.ok(error instanceof SlotsFull);
        }
        const owner = new Map<number, string>();
        for (const { names: held, lease } of live) {
          for (const name of held) {
            const slot = lease.slotOf(name);
            assert.equal(owner.get(slot) ?? name, name);
            owner.set(slot, name);
          }
        }
        if (live.length > 2) live.splice(drop % live.length, 1)[0]?.lease.release();
      }
    }),
  );
});
