/** Bundles that were not taken, for status and metrics. */
import type { RejectionView } from '../admin/control-view.ts';

/** Those that the status page shows. */
export const REJECTIONS_MAX = 20;

type Event = (level: 'warn', message: string, fields: Record<string, unknown>) => void;

export class Rejections {
  /** Newest first. */
  readonly newest: RejectionView[] = [];
  /** All, by the step that said no. */
  readonly counts: Record<string, number> = {};
  /** Those for which a policy is to blame. */
  policyLoadFailures = 0;
  readonly #event: Event;
  readonly #now: () => number;

  constructor(event: Event, now: () => number) {
    this.#event = event;
    this.#now = now;
  }

  add(digest: string, seq: number | null, step: string, reason: string): void {
    this.counts[step] = (this.counts[step] ?? 0) + 1;
    this.newest.unshift({ at: this.#now(), digest, seq, step, reason });
    this.newest.splice(REJECTIONS_MAX);
    this.#event('warn', 'bundle rejected', { digest, seq, step, reason });
  }
}
