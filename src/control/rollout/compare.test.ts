import assert from 'node:assert/strict';
import { test } from 'node:test';
import { REQUEST_BOUNDS_US } from '../../snapshot/lane-columns.ts';
import { percentile, slowerThan } from './buckets.ts';
import { EMPTY_TALLY, objection, type Tally } from './compare.ts';

const tolerance = {
  failedAboveMax: 0.001,
  refusedAboveMax: 0.1,
  policyErrorsAboveMax: 0.001,
  p99FactorMax: 2,
  p99AddedMsMax: 50,
};
/** So many answers of each time, µs; the time is the upper bound of a bucket, or beyond all. */
const took = (...of: readonly (readonly [us: number, answers: number])[]): number[] => {
  const buckets = Array.from({ length: REQUEST_BOUNDS_US.length + 1 }, () => 0);
  for (const [us, answers] of of) {
    const bucket = REQUEST_BOUNDS_US.findIndex((bound) => us <= bound);
    buckets[bucket < 0 ? REQUEST_BOUNDS_US.length : bucket] = answers;
  }
  return buckets;
};
const tally = (more: Partial<Tally>): Tally => ({
  ...EMPTY_TALLY,
  requests: 1000,
  buckets: took([10_000, 1000]),
  ...more,
});
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
  assert.match(
    judge({ buckets: took([10_000, 970], [250_000, 30]) }) ?? '',
    /^p99 of the time to answer: 2\d\d ms, the active bundle 10 ms$/,
  );
  assert.match(
    judge({ buckets: took([10_000, 900], [Number.POSITIVE_INFINITY, 100]) }) ?? '',
    /beyond the last bucket/,
  );
});

test('a few events are no evidence, and neither is what chance explains', () => {
  assert.equal(judge({ requests: 10, failed: 4 }), null);
  assert.equal(judge({ requests: 200, failed: 6 }, { requests: 100_000, failed: 2_000 }), null);
  assert.equal(judge({ buckets: took([25_000, 1000]) }), null, 'twice as slow, but by little');
  assert.equal(judge({ requests: 50, buckets: took([1_000_000, 50]) }), null, 'too few for a percentile');
  assert.equal(
    judge({ requests: 100, buckets: took([10_000, 97], [1_000_000, 3]) }),
    null,
    'a pause that met three of a hundred',
  );
  assert.equal(
    judge({ buckets: took([10_000, 982], [1_000_000, 18]) }),
    null,
    'p99 is far beyond, but chance may have given 18 of 1,000',
  );
});

test('without anything to compare with, failures count and refusals do not', () => {
  assert.match(judge({ failed: 20 }, null) ?? '', /^failed/);
  assert.equal(judge({ refused: 900, buckets: took([10_000_000, 1000]) }, null), null);
});

test('a percentile lies within its bucket, and so does what is slower than a time', () => {
  assert.equal(percentile(took(), 0.99), 0);
  assert.equal(percentile(took([100, 100]), 0.99), 99);
  const both = took([100, 100], [Number.POSITIVE_INFINITY, 100]);
  assert.equal(percentile(both, 0.99), Number.POSITIVE_INFINITY);
  assert.deepEqual(
    [0, 25, 100, 1e9].map((us) => slowerThan(both, us)),
    [200, 175, 100, 100],
  );
});
