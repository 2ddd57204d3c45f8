/** What protects a cell: from `cells.yaml` to what lanes and control read. */
import type { CellConfig } from '../../config/cell.ts';
import type { CellGuards, RetryBudgetPlan } from '../../snapshot/guards.ts';

/** Envoy's defaults. */
const RETRY_BUDGET: RetryBudgetPlan = { budgetPercent: 20, minRetryConcurrency: 3 };

/** `slot`: the cell's own row in the shared columns. */
export function guardsOf(cell: CellConfig, slot: number): CellGuards {
  return { slot, retryBudget: cell.retryBudget ?? RETRY_BUDGET };
}
