import assert from 'node:assert/strict';
import { test } from 'node:test';
import { present } from '../../base/assert.ts';
import { LaneColumns } from '../../snapshot/lane-columns.ts';
import { openRow, Rivalry } from '../../snapshot/rivalry-columns.ts';
import { RevisionWindow } from './window.ts';

function given(lanes: number): {
  columns: LaneColumns[];
  window: RevisionWindow;
  add: (lane: number, n: number, failed?: number) => void;
} {
  const columns = Array.from({ length: lanes }, () => new LaneColumns(LaneColumns.create()));
  const rowOf = (lane: number) => present(columns[lane]?.rivalry[1], 'row');
  for (let i = 0; i < lanes; i++) openRow(rowOf(i), 7);
  const add = (lane: number, n: number, failed = 0): void => {
    const row = rowOf(lane);
    row.counts[Rivalry.Requests] = (row.counts[Rivalry.Requests] ?? 0) + n;
    row.counts[Rivalry.Failed] = (row.counts[Rivalry.Failed] ?? 0) + failed;
    for (let i = 0; i < n; i++) row.requestUs.observe(300);
  };
  return { columns, window: new RevisionWindow(columns, 1, 7, 60_000), add };
}

test('what lanes counted is summed, and what is older than the window is forgotten', () => {
  const { window, add } = given(2);
  window.look(0);
  add(0, 10, 1);
  add(1, 5);
  window.look(1_000);
  assert.deepEqual([window.tally().requests, window.tally().failed], [15, 1]);
  assert.deepEqual(window.tally().buckets.slice(0, 4), [0, 0, 15, 0]);
  for (let s = 2; s < 70; s++) window.look(s * 1_000);
  assert.equal(window.tally().requests, 0);
  assert.equal(window.requests, 15);
});

test('a lane that was started anew counts from zero, and another revision’s row does not count', () => {
  const { columns, window, add } = given(1);
  add(0, 10);
  window.look(0);
  const row = present(columns[0]?.rivalry[1], 'row');
  openRow(row, 7);
  add(0, 3);
  window.look(1_000);
  assert.equal(window.requests, 13);
  openRow(row, 8);
  add(0, 100);
  window.look(2_000);
  assert.equal(window.requests, 13);
});
