import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EMPTY_TALLY, objection, type Tally } from './compare.ts';
import { percentile } from './window.ts';

const tolerance = {
  failedAboveMax: 0.001,
  refusedAboveMax: 0.1,
  policyErrorsAboveMax: 0.001,
  p99FactorMax: 2,
  p99AddedMsMax: 50,
};
const tally = (more: Partial<Tally>): Tally => ({ ...EMPTY_TALLY, requests: 1000, p99Us: 10_000, ...more });
const judge = (candidate: Partial<Tally>, active: Partial<Tally> | null = {}): string | null =>
  objection(tally(candidate), active === null ? null : tally(active), tolerance);

test('a candidate that does as well as the active bundle stays, also when both do badly', () => {
  assert.equal(judge({}), null);
  assert.equal(
    judge({ failed: 50, refused: 300, policyErrors: 20 }, { failed: 50, refused: 300, policyErrors: 20 }),
    null,
  );
  assert.equal(judge({}, null), null);
});

test('each kind of doing worse is found, and named', () => {
  assert.match(
    judge({ failed: 12 }) ?? '',
    /^failed answers: 12 of 1000 \(1.2 %\), the active bundle 0 %, tolerated 0.1 % more$/,
  );
  assert.match(judge({ policyErrors: 12 }) ?? '', /^policy errors/);
  assert.match(judge({ refused: 300 }, { refused: 100 }) ?? '', /^refusals/);
  assert.match(judge({ p99Us: 80_000 }) ?? '', /^p99/);
  assert.match(judge({ p99Us: Number.POSITIVE_INFINITY }) ?? '', /beyond the last bucket/);
});

test('a few events are no evidence, and neither is what chance explains', () => {
  assert.equal(judge({ requests: 10, failed: 4 }), null);
  assert.equal(judge({ requests: 200, failed: 6 }, { requests: 100_000, failed: 2_000 }), null);
  assert.equal(judge({ p99Us: 25_000 }), null, 'twice as slow, but by little');
  assert.equal(judge({ requests: 50, p99Us: 900_000 }), null, 'too few for a percentile');
});

test('without anything to compare with, failures count and refusals do not', () => {
  assert.match(judge({ failed: 20 }, null) ?? '', /^failed/);
  assert.equal(judge({ refused: 900, p99Us: 9e6 }, null), null);
});

test('a percentile lies within its bucket', () => {
  const buckets = Array.from({ length: 18 }, () => 0);
  assert.equal(percentile(buckets, 0.99), 0);
  buckets[0] = 100;
  assert.equal(percentile(buckets, 0.99), 99);
  buckets[17] = 100;
  assert.equal(percentile(buckets, 0.99), Number.POSITIVE_INFINITY);
});
