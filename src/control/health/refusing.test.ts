import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EndpointColumns, SUSPECTED } from '../../snapshot/endpoint-columns.ts';
import type { EndpointPlan } from '../../snapshot/cell-plans.ts';
import { RefusingWatch } from './refusing.ts';

const endpoints = (count: number): EndpointPlan[] =>
  Array.from({ length: count }, (_, slot) => ({ slot, identity: `c/h:${slot}` }) as EndpointPlan);

function given(count: number) {
  const columns = new EndpointColumns(EndpointColumns.create());
  const said: string[] = [];
  const watch = new RefusingWatch(columns, (identity, out) => said.push(`${identity} ${out ? 'refused' : 'accepted'}`));
  watch.activate(endpoints(count));
  const looks = (times: number): string[] => {
    said.length = 0;
    for (let n = 0; n < times; n++) watch.tick();
    return said.splice(0);
  };
  return { columns, watch, looks };
}

test('an endpoint that refuses is told of once, also while it refuses now and then, and once when it answers for a second', () => {
  const { columns, looks } = given(2);
  assert.deepEqual(looks(3), []);
  columns.downUntil[1] = 1_800_000_000;
  assert.deepEqual(looks(5), ['c/h:1 refused']);
  for (let n = 0; n < 5; n++) {
    columns.downUntil[1] = 0;
    assert.deepEqual(looks(5), []);
    columns.downUntil[1] = 1_800_000_003;
    assert.deepEqual(looks(1), []);
  }
  columns.downUntil[1] = 0;
  assert.deepEqual(looks(20), ['c/h:1 accepted']);
});

test('a reset connection is no news', () => {
  const { columns, looks } = given(1);
  columns.downUntil[0] = SUSPECTED;
  assert.deepEqual(looks(20), []);
});

test('many at once are told of in turns, and none is forgotten', () => {
  const { columns, looks } = given(100);
  columns.downUntil.fill(1_800_000_000, 0, 100);
  assert.equal(looks(1).length, 32);
  assert.equal(looks(10).length, 68);
});

test('who has left is not said to be back', () => {
  const { columns, watch, looks } = given(2);
  columns.downUntil[1] = 1_800_000_000;
  assert.deepEqual(looks(1), ['c/h:1 refused']);
  watch.activate(endpoints(1));
  columns.downUntil[1] = 0;
  assert.deepEqual(looks(20), []);
});
