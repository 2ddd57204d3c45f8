/** Whether a cell can serve at all, and which one stands in for it. The one place that says so; see docs/cells.md. */
import { liesIn } from '../../snapshot/regions.ts';
import type { CellPlan } from '../../snapshot/cell-plans.ts';
import { NoChoice } from './choose.ts';

/**
 * A choice that found no endpoint says that the cell cannot be used: all of its endpoints are out. Full is not out: what is too much for one cell must not become too much for
 * the next.
 */
export function isCellOut(reason: NoChoice): boolean {
  return reason !== NoChoice.Full;
}

/** What stands in for a cell that is out. */
export const Standby = { None: -1, Forbidden: -2 } as const;

/** Index of the standby of a cell, `None`, or `Forbidden`: who is kept to `regions` may not go there. */
export function standbyOf(cells: readonly CellPlan[], cell: CellPlan, regions: number): number {
  const standby = cell.standby ?? Standby.None;
  const other = cells[standby];
  if (other === undefined) return Standby.None;
  return liesIn(regions, other) ? standby : Standby.Forbidden;
}
