import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stillUsed } from '../data/lane/revision.ts';
import { sharesOf, usedNowhere } from './lanes.ts';

test('a request that lasts holds back its own revision, not those that came and went after it', () => {
  const revisions = [{ open: 1 }, { open: 0 }, { open: 0 }, { open: 2 }, { open: 0 }];
  assert.deepEqual(stillUsed(revisions), [revisions[0], revisions[3], revisions[4]]);
  assert.deepEqual(stillUsed([{ open: 0 }]).length, 1, 'the active one stays');

  const lanes = [
    { revision: 5, inUse: [1, 4, 5] },
    { revision: 5, inUse: [5] },
  ];
  assert.deepEqual(
    [1, 2, 3, 4, 5].filter((revision) => usedNowhere(lanes, revision)),
    [2, 3],
  );
});

test('what a lane may still be given is not given back: it starts anew, or has not answered yet', () => {
  const lanes = [
    { revision: 5, inUse: [5] },
    { revision: 0, inUse: [] },
  ];
  assert.equal(usedNowhere(lanes, 4), false);
  assert.equal(
    usedNowhere(
      [
        { revision: 5, inUse: [5] },
        { revision: 4, inUse: [4] },
      ],
      4,
    ),
    false,
  );
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
