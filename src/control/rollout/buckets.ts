/** What a histogram of times says; within a bucket they are taken to lie evenly. */
import { REQUEST_BOUNDS_US } from '../../snapshot/lane-columns.ts';

/** A quantile, µs; 0 when nothing was counted, Infinity beyond the last bound. */
export function percentile(buckets: readonly number[], quantile: number): number {
  const total = buckets.reduce((a, b) => a + b, 0);
  const rank = total * quantile;
  let below = 0;
  for (const [i, n] of buckets.entries()) {
    if (n > 0 && below + n >= rank) {
      const [from, to] = boundsOf(i);
      return from + ((to - from) * (rank - below)) / n;
    }
    below += n;
  }
  return 0;
}

/** How many took longer than `us`. What took longer than the last bound did. */
export function slowerThan(buckets: readonly number[], us: number): number {
  let above = 0;
  for (const [i, n] of buckets.entries()) {
    const [from, to] = boundsOf(i);
    if (from >= us || to === Number.POSITIVE_INFINITY) above += n;
    else if (to > us) above += (n * (to - us)) / (to - from);
  }
  return above;
}

function boundsOf(bucket: number): readonly [from: number, to: number] {
  return [REQUEST_BOUNDS_US[bucket - 1] ?? 0, REQUEST_BOUNDS_US[bucket] ?? Number.POSITIVE_INFINITY];
}
