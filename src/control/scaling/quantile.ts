/** A quantile of what came between two readings of a histogram. */
import { REQUEST_BOUNDS_US } from '../../snapshot/lane-columns.ts';

/** µs, interpolated within its bucket; NaN without any. `before`: an earlier reading; one that is shorter counts as 0. */
export function quantileUs(q: number, now: Float64Array, before: Float64Array): number {
  const counts = Array.from(now, (n, i) => Math.max(0, n - (before[i] ?? 0)));
  const total = counts.reduce((sum, n) => sum + n, 0);
  if (total === 0) return Number.NaN;
  let left = q * total;
  for (const [i, n] of counts.entries()) {
    const low = i === 0 ? 0 : (REQUEST_BOUNDS_US[i - 1] as number);
    // Beyond the last bound nothing is known but that it is beyond.
    const high = REQUEST_BOUNDS_US[i] ?? low;
    if (left <= n) return low + (high - low) * (n === 0 ? 0 : left / n);
    left -= n;
  }
  return REQUEST_BOUNDS_US.at(-1) as number;
}
