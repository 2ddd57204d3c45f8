/** What every bench is. */
import type { RoundsOptions } from './rounds.ts';
import type { Figure } from './row.ts';

/** What a bench is told. */
export interface BenchOptions extends RoundsOptions {
  /** Length of the soak of `memory`, seconds. */
  readonly soakSeconds: number;
  /** Bundles that `swaps` publishes. */
  readonly swaps: number;
}
export type Bench = (options: BenchOptions) => Promise<readonly Figure[]>;
