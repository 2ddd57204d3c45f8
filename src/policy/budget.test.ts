import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EvaluationBudget, REST_MS } from './budget.ts';

/** A budget that rests at `now`. */
function resting(now: number): EvaluationBudget {
  const budget = new EvaluationBudget(100);
  for (let i = 0; i < 1_000 && budget.mayBegin(now); i++) budget.took(1_000, now);
  return budget;
}

test('a slow policy rests for its time and is tried again', () => {
  const now = 1_000_000_000;
  const budget = resting(now);
  assert.equal(budget.mayBegin(now + REST_MS - 1), false);
  assert.equal(budget.mayBegin(now + REST_MS), true);
});

test('a clock that is set back does not make the rest longer: its routes would be refused until the old time comes again', () => {
  const now = 1_000_000_000;
  assert.equal(resting(now).mayBegin(now - 3_600_000), true);
});
