import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EndpointColumns, ENDPOINT_SLOTS } from '../../snapshot/endpoint-columns.ts';
import type { CellPlan, EndpointPlan, HealthPlan } from '../../snapshot/cell-plans.ts';
import { averaged, Health, scoreOf } from './health.ts';

const plan: HealthPlan = { alpha: 0.3, latencyGoodMs: 50, latencyBadMs: 500, errorBad: 0.05 };
const cell: CellPlan = { id: 'c', region: '', endpoints: [0], health: plan, probe: null };

function endpoint(slot: number, identity = `c/h:${9000 + slot}`): EndpointPlan {
  return {
    slot,
    identity,
    cell: 0,
    host: 'h',
    port: 9000 + slot,
    tls: null,
    capacity: 10,
    connectionsMax: 8,
    http2: false,
  };
}

/** Two lanes; slot 5 is watched. */
function given(): {
  columns: EndpointColumns;
  health: Health;
  count: (lane: number, n: number, bad: number, ms: number) => void;
} {
  const columns = new EndpointColumns(EndpointColumns.create());
  const health = new Health({ columns, laneCount: 2 });
  health.activate({ cells: [cell], endpoints: [endpoint(5)] });
  const count = (lane: number, answers: number, failures: number, latencyMs: number): void => {
    const row = lane * ENDPOINT_SLOTS + 5;
    columns.answers[row] = ((columns.answers[row] as number) + answers) | 0;
    columns.failures[row] = ((columns.failures[row] as number) + failures) | 0;
    columns.latencyMs[row] = (columns.latencyMs[row] as number) + latencyMs;
  };
  return { columns, health, count };
}

const healthOf = (columns: EndpointColumns): number => columns.health[5] ?? 0;

const scores: readonly [answers: number, failures: number, meanMs: number, score: number][] = [
  [100, 0, 0, 1],
  [100, 0, 50, 1],
  [100, 0, 275, 0.75],
  [100, 0, 500, 0.5],
  [100, 0, 5000, 0.5],
  [1000, 25, 10, 0.75],
  [100, 5, 10, 0.5],
  [100, 100, 10, 0.5],
  [100, 50, 900, 0],
];
for (const [answers, failures, mean, score] of scores) {
  test(`${failures} failures of ${answers} at ${mean} ms score ${score}`, () => {
    const got = scoreOf({ answers, failures, latencyMs: mean * answers }, plan);
    assert.ok(Math.abs(got - score) < 1e-9, `${got}`);
  });
}

test('health is a moving average and stays within 0 and 1', () => {
  assert.equal(averaged(1, 0, 0.3), 0.7);
  assert.equal(averaged(0.5, 1, 0.3), 0.65);
  assert.equal(averaged(0.013, 0, 0.3), 0, 'below the floor it is 0');
  assert.equal(averaged(0, 1, 1), 1);
  assert.equal(averaged(Number.NaN, 0.5, 0.3), 0);
});

test('a tick sees what all lanes counted since the last one, over wraps of the counts', () => {
  const { columns, health, count } = given();
  count(0, 0x7fff_fff0, 0, 0);
  health.tick();
  columns.health[5] = 1;
  count(0, 60, 0, 60 * 275);
  count(1, 40, 0, 40 * 275);
  health.tick();
  assert.ok(Math.abs(healthOf(columns) - (1 - 0.3 * 0.25)) < 1e-9);
});

test('a second without requests changes nothing', () => {
  const { columns, health } = given();
  columns.health[5] = 0.4;
  health.tick();
  assert.equal(columns.health[5], 0.4);
});

test('a probe counts when there was no request, and only then, and once', () => {
  const { columns, health, count } = given();
  columns.health[5] = 0;
  health.probed(endpoint(5), true, 10);
  health.tick();
  assert.ok(Math.abs(healthOf(columns) - 0.3) < 1e-9);
  health.tick();
  assert.ok(Math.abs(healthOf(columns) - 0.3) < 1e-9, 'an old probe is no sample');
  health.probed(endpoint(5), true, 10);
  count(0, 10, 10, 9_000);
  health.tick();
  assert.ok(Math.abs(healthOf(columns) - 0.21) < 1e-9);
});

test('an endpoint that always fails gets to 0, and back by answering', () => {
  const { columns, health, count } = given();
  for (let s = 0; s < 20; s++) {
    count(0, 3, 3, 1_500);
    health.tick();
  }
  assert.equal(columns.health[5], 0);
  for (let s = 0; s < 10; s++) {
    count(1, 1, 0, 5);
    health.tick();
  }
  assert.ok(healthOf(columns) > 0.95);
});

test('what was counted for another endpoint in the row is no sample of the new one', () => {
  const { columns, health, count } = given();
  count(0, 100, 100, 1e6);
  columns.resetSlot(5);
  health.activate({ cells: [cell], endpoints: [endpoint(5, 'c/other:1')] });
  health.tick();
  assert.equal(columns.health[5], 1);
  health.probed(endpoint(5), false, 10);
  health.tick();
  assert.equal(columns.health[5], 1, 'nor is a probe of the old one');
});

test('an endpoint that stays over snapshots loses no count', () => {
  const { columns, health, count } = given();
  count(0, 100, 100, 1e6);
  health.activate({ cells: [cell], endpoints: [endpoint(5), endpoint(6)] });
  health.tick();
  assert.equal(columns.health[5], 0.7);
});
