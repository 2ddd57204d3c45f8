import assert from 'node:assert/strict';
import { test } from 'node:test';
import { withoutBegin } from './paced.ts';

test('the first second is left out of rates and times, not of what failed', () => {
  const answer = (atMs: number, us: number, status = 200) => ({ at: atMs * 1_000, status, us, waitedUs: 0, kind: 0 });
  const answers = [
    answer(0, 90_000),
    answer(10, 5, -1),
    answer(999, 80_000, 503),
    answer(1_000, 10),
    answer(2_999, 20),
  ];
  const { requests, rate, p99Ms, failed } = withoutBegin(answers, 2);
  assert.deepEqual([requests, rate, p99Ms], [2, 1, 0.01]);
  assert.equal(failed, 2);
});
