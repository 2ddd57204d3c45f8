/** What every bench is. */
import type { Figure } from './row.ts';

/** What a bench is told. */
export interface BenchOptions {
  readonly rounds: number;
  readonly seconds: number;
  /** Length of the soak of `memory`, seconds. */
  readonly soakSeconds: number;
  /** Bundles that `swaps` publishes. */
  readonly swaps: number;
}
export type Bench = (options: BenchOptions) => Promise<readonly Figure[]>;
