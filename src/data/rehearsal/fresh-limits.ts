/**
 * Limits of a rehearsal. Every request meets buckets that nobody has taken from, and one request alone is always within those; the buckets of the traffic are one table for the
 * whole process and are left alone.
 */
import {
  LIMIT_ALLOWED,
  LIMIT_BURST,
  LIMIT_COLUMNS,
  LIMIT_REMAINING,
  LIMIT_RESET_MS,
  LIMIT_RETRY_MS,
  LIMIT_EMISSION_NS,
  LIMIT_ROWS,
  type LimitsAddon,
} from '../../native/limits.ts';

const NS_PER_MS = 1e6;

/** What of the addon concerns taking limits. */
export type FreshLimits = Pick<LimitsAddon, 'limitsBlock' | 'limitsText' | 'limitsAddress' | 'limitsTake'>;

export function freshLimits(): FreshLimits {
  const block = new Float64Array(LIMIT_ROWS * LIMIT_COLUMNS);
  return {
    limitsBlock: () => block,
    limitsText: () => undefined,
    limitsAddress: () => undefined,
    limitsTake: (count) => {
      for (let row = 0; row < count; row++) {
        const at = row * LIMIT_COLUMNS;
        block[at + LIMIT_ALLOWED] = 1;
        block[at + LIMIT_REMAINING] = (block[at + LIMIT_BURST] ?? 1) - 1;
        block[at + LIMIT_RETRY_MS] = 0;
        block[at + LIMIT_RESET_MS] = (block[at + LIMIT_EMISSION_NS] ?? 0) / NS_PER_MS;
      }
      return true;
    },
  };
}
