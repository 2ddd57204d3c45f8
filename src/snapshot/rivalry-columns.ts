/**
 * What is counted of two revisions that are live at once: a row each in the lane's block of shared memory, written by that lane, read by main, which compares
 * them. Nothing is counted while only one is live.
 */

/** Cells of a row before its histogram of durations. */
export const Rivalry = {
  /** Whose row it is; 0 = nobody's. Written last, when the cells are zero. */
  Revision: 0,
  Requests: 1,
  /** Answers 5xx, those that never began, and those that broke off by the upstream's fault. */
  Failed: 2,
  /** Refusals of ours below 500. */
  Refused: 3,
  /** Policies that gave no decision. */
  PolicyErrors: 4,
  /** Policies that said no. */
  Denied: 5,
} as const;
export const RIVALRY_CELLS = 6;

/** Row of the active revision, row of the other. */
export const RIVALRY_ROWS = 2;

/** One row: counts, and a histogram of durations. */
export interface RivalryRow {
  readonly counts: Float64Array;
  readonly requestUs: { readonly cells: Float64Array; observe(us: number): void };
}

/** The lane's: makes a row count for a revision from zero on. */
export function openRow(row: RivalryRow, revision: number): void {
  row.counts[Rivalry.Revision] = 0;
  row.counts.fill(0);
  row.requestUs.cells.fill(0);
  row.counts[Rivalry.Revision] = revision;
}
