/** Regions as bits, and the tenants that are kept to some of them. */
import type { CellsConfig } from '../../config/cell.ts';
import { ANY_REGION } from '../../snapshot/regions.ts';
import type { RegionPlan } from '../../snapshot/cell-plans.ts';

export interface CompiledRegions {
  /** By the name of a region. */
  readonly bits: ReadonlyMap<string, number>;
  /** Undefined: nobody is kept to anywhere. */
  readonly plan: RegionPlan | undefined;
}

/** That regions exist and are few enough has been checked with the documents. */
export function compileRegions(config: CellsConfig): CompiledRegions {
  const names = new Set(config.cells.map((cell) => cell.region).filter((region) => region !== ''));
  const tenants = Object.entries(config.tenantRegions);
  if (tenants.length === 0 && config.defaultRegions.length === 0) return { bits: new Map(), plan: undefined };
  const bits = new Map([...names].map((name, i) => [name, 1 << i]));
  const maskOf = (regions: readonly string[]): number => regions.reduce((mask, r) => mask | (bits.get(r) ?? 0), 0);
  return {
    bits,
    plan: {
      tenants: new Map(tenants.map(([tenant, regions]) => [tenant, maskOf(regions)])),
      others: config.defaultRegions.length === 0 ? ANY_REGION : maskOf(config.defaultRegions),
    },
  };
}
