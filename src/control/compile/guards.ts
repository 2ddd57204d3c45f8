/** What protects a cell: from `cells.yaml` to what lanes and control read. */
import { Value } from 'typebox/value';
import type { CellConfig } from '../../config/cell.ts';
import { OutlierDetectionConfig } from '../../config/guards.ts';
import type { CellGuards, OutlierPlan, RetryBudgetPlan } from '../../snapshot/guards.ts';

/** Envoy's defaults. */
const RETRY_BUDGET: RetryBudgetPlan = { budgetPercent: 20, minRetryConcurrency: 3 };
/** For cells that say nothing. */
const OUTLIER = Value.Create(OutlierDetectionConfig);

/** `slot`: the cell's own row in the shared columns. */
export function guardsOf(cell: CellConfig, slot: number): CellGuards {
  const { circuitBreaker, cellCircuitBreaker, outlierDetection = OUTLIER } = cell;
  return {
    slot,
    retryBudget: cell.retryBudget ?? RETRY_BUDGET,
    ...(circuitBreaker === undefined ? {} : { endpointCircuit: circuitBreaker }),
    ...(cellCircuitBreaker === undefined ? {} : { cellCircuit: cellCircuitBreaker }),
    ...outlierOf(outlierDetection),
    ...(cell.bulkhead === undefined ? {} : { bulkhead: cell.bulkhead }),
  };
}

function outlierOf({ enabled, ...outlier }: OutlierDetectionConfig): { outlier?: OutlierPlan } {
  return enabled ? { outlier } : {};
}
