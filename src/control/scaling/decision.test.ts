import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Decider, type Measures, RULES } from './decision.ts';

const MINUTE = 60_000;
const calm: Measures = { cpu: 0.7, memory: 0.5, queue: 0, latency: 0.05, errors: 0, surge: 1 };

/** The table of the issue: measure, a value beyond its bound, minutes until it counts, what ten become, minutes of rest. */
const TABLE = [
  ['cpu', 0.71, 5, 12, 3],
  ['memory', 0.81, 3, 13, 5],
  ['queue', 101, 1, 15, 2],
  ['latency', 0.301, 2, 13, 3],
  ['errors', 0.011, 0, 20, 10],
  ['surge', 1.51, 0, 15, 15],
] as const;

for (const [measure, beyond, minutes, becomes, rest] of TABLE) {
  test(`${measure} beyond its bound for ${minutes} minutes asks ${becomes} of 10, again after ${rest}`, () => {
    const decider = new Decider();
    const measures = { ...calm, [measure]: beyond };
    // 0.71 of 10 at 70 % is 11 by capacity alone.
    const before = measure === 'cpu' ? 11 : 10;
    const at = (ms: number, current = 10): number => decider.decide(measures, current, ms).desired;
    if (minutes > 0) {
      assert.equal(at(0), before);
      assert.equal(at(minutes * MINUTE - 1), before);
    }
    const fires = minutes * MINUTE;
    assert.equal(at(fires), becomes);
    assert.deepEqual(decider.decide(measures, 10, fires + 1).reasons, [measure]);
    assert.equal(
      at(fires + 2, becomes),
      Math.max(becomes, measure === 'cpu' ? Math.ceil((becomes * 0.71) / 0.7) : 0),
      'what came is enough',
    );
    assert.equal(at(fires + rest * MINUTE - 1), becomes, 'it rests');
    assert.equal(decider.fired()[measure], 1);
    at(fires + rest * MINUTE);
    assert.equal(decider.fired()[measure], 2, 'still beyond after its rest');
    const after = decider.decide(calm, 10, fires + 2 * rest * MINUTE);
    assert.deepEqual([after.desired, after.reasons], [10, []], 'nothing more is asked for when it is over');
  });
}

test('the table has six rules, and what several ask for is not multiplied', () => {
  assert.deepEqual(
    RULES.map((r) => r.measure),
    TABLE.map(([measure]) => measure),
  );
  const all = { cpu: 0.7, memory: 0.9, queue: 500, latency: 1, errors: 0.5, surge: 3 };
  assert.equal(new Decider().decide(all, 10, 0).desired, 20);
});

test('what is interrupted begins anew, and what is unknown asks for nothing', () => {
  const decider = new Decider();
  const slow = { ...calm, latency: 0.5 };
  decider.decide(slow, 10, 0);
  decider.decide(calm, 10, MINUTE);
  assert.equal(decider.decide(slow, 10, 2 * MINUTE).desired, 10);
  assert.equal(decider.decide(slow, 10, 3 * MINUTE).desired, 10);
  assert.equal(decider.decide(slow, 10, 4 * MINUTE).desired, 13);
  const unknown = { cpu: NaN, memory: NaN, queue: 0, latency: NaN, errors: NaN, surge: NaN };
  assert.deepEqual(new Decider().decide(unknown, 4, 0), { current: 4, desired: 4, scaleOut: false, reasons: [] });
});

test('the capacity in use says how many would do, at 70 percent, and when to scale out', () => {
  const used = (cpu: number): { desired: number; scaleOut: boolean } => {
    const { desired, scaleOut } = new Decider().decide({ ...calm, cpu }, 10, 0);
    return { desired, scaleOut };
  };
  assert.deepEqual(used(0.7), { desired: 10, scaleOut: false });
  assert.deepEqual(used(0.9), { desired: 13, scaleOut: true });
  assert.deepEqual(used(0.35), { desired: 5, scaleOut: false });
  assert.deepEqual(used(0), { desired: 1, scaleOut: false });
});
