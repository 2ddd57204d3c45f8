import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stillUsed } from '../data/lane/revision.ts';
import { recent, RESTART_WINDOW_MS, sharesOf, usedNowhere } from './lanes.ts';

test('a request that lasts holds back its own revision, not those that came and went after it', () => {
  const revisions = [{ open: 1 }, { open: 0 }, { open: 0 }, { open: 2 }, { open: 0 }];
  const [, second = null, , , last = null] = revisions;
  assert.deepEqual(stillUsed(revisions, [last, null]), [revisions[0], revisions[3], last]);
  assert.deepEqual(stillUsed(revisions, [last, second]), [revisions[0], second, revisions[3], last], 'both live stay');

  const lanes = [
    { revision: 5, rival: 0, inUse: [1, 4, 5] },
    { revision: 5, rival: 0, inUse: [5] },
  ];
  assert.deepEqual(
    [1, 2, 3, 4, 5].filter((revision) => usedNowhere(lanes, { active: 5, rival: 0 }, revision)),
    [2, 3],
  );
});

test('what a lane may still be given is not given back: it starts anew, or has not answered yet', () => {
  const given = { active: 5, rival: 0 };
  const idle = { revision: 5, rival: 0, inUse: [5] };
  assert.equal(usedNowhere([idle, { revision: 0, rival: 0, inUse: [] }], given, 4), false);
  assert.equal(usedNowhere([idle, { revision: 4, rival: 0, inUse: [4] }], given, 4), false);
});

test('a candidate is used while it is live, and is given back when all lanes have let go of it', () => {
  const dividing = { revision: 5, rival: 6, inUse: [5, 6] };
  assert.equal(usedNowhere([dividing], { active: 5, rival: 6 }, 6), false);
  assert.equal(usedNowhere([dividing], { active: 5, rival: 0 }, 6), false, 'the lane has not answered yet');
  assert.equal(usedNowhere([{ revision: 5, rival: 0, inUse: [5, 6] }], { active: 5, rival: 0 }, 6), false, 'it drains');
  assert.equal(usedNowhere([{ revision: 5, rival: 0, inUse: [5] }], { active: 5, rival: 0 }, 6), true);
});

test('a restart counts for a minute, and is then forgotten though the lane does not die again', () => {
  const at = 1_800_000_000_000;
  assert.deepEqual(recent([at, at + 10_000], at + RESTART_WINDOW_MS - 1), [at, at + 10_000]);
  assert.deepEqual(recent([at, at + 10_000], at + RESTART_WINDOW_MS), [at + 10_000]);
  assert.deepEqual(recent([at, at + 10_000], at + 10 * RESTART_WINDOW_MS), []);
});

test('inherited sockets are all taken, as evenly as can be', () => {
  const shares = (laneCount: number): number[][] =>
    Array.from({ length: laneCount }, (_, lane) => sharesOf([5, 0, 2], lane, laneCount));
  assert.deepEqual(shares(1), [[5, 0, 2]]);
  assert.deepEqual(shares(2), [
    [3, 0, 1],
    [2, 0, 1],
  ]);
  assert.deepEqual(shares(3), [
    [2, 0, 1],
    [2, 0, 1],
    [1, 0, 0],
  ]);
});
