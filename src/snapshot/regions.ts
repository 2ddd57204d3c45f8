/**
 * In which regions a tenant may be served (docs/cells.md). Regions of a bundle are bits of a number, so that the question costs one operation. Every choice of a cell asks
 * it: the ring, pins, routes, splits, failover, mirrors; and `balance` asks again of whatever was chosen, before anything goes out.
 */
import type { CellPlan, RegionPlan } from './cell-plans.ts';

/** Every cell, also those that name no region. */
export const ANY_REGION = -1;

/** Regions in which a tenant may be served; without a tenant, or without restrictions, all. */
export function regionsOf(plan: RegionPlan | undefined, tenant: string): number {
  if (plan === undefined || tenant === '') return ANY_REGION;
  return plan.tenants.get(tenant) ?? plan.others;
}

/** The cell lies in one of these regions. A cell without a region lies in none: who is kept to regions never gets there. */
export function liesIn(regions: number, cell: CellPlan): boolean {
  return regions === ANY_REGION || (regions & (cell.regionBit ?? 0)) !== 0;
}
