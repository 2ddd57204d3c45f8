/** What can be wrong within and between cells: bounds that contradict each other, a standby that helps nobody, tenants that may not be where they are put. */
import type { CellConfig, CellsConfig } from './cell.ts';
import { pointerPart } from './document.ts';
import { suggestion } from './nearest.ts';
import type { RouteConfig } from './route.ts';

/** Distinct regions that a bundle may name where tenants are kept to some: each is a bit of a positive 32-bit number (snapshot/regions.ts). */
const REGIONS_MAX = 31;

export function standbyProblems(b: CellsConfig, note: (path: string, message: string) => void): void {
  for (const [i, cell] of b.cells.entries())
    if (cell.standby === cell.id) note(`/cells/${i}/standby`, 'a cell cannot stand in for itself; name another one');
}

/** Bounds of a cell's guards of which one would never count. */
export function guardProblems(
  { bulkhead, outlierDetection }: CellConfig,
  note: (path: string, message: string) => void,
): void {
  const adaptive = bulkhead?.adaptive;
  if (adaptive !== undefined && adaptive.minRequests > adaptive.maxRequests)
    note('/bulkhead/adaptive/minRequests', `must not be greater than maxRequests (${adaptive.maxRequests})`);
  if (outlierDetection !== undefined && outlierDetection.baseEjectionTimeMs > outlierDetection.maxEjectionTimeMs)
    note(
      '/outlierDetection/baseEjectionTimeMs',
      `must not be greater than maxEjectionTimeMs (${outlierDetection.maxEjectionTimeMs})`,
    );
}

type Note = (part: 'cells' | 'routes', path: string, message: string) => void;

/** Every place that would put a tenant where it may not be. What only happens in a failure is a warning (control/build/warnings.ts). */
export function regionProblems(b: CellsConfig, routes: readonly RouteConfig[], note: Note): void {
  const cells = new Map(b.cells.map((cell) => [cell.id, cell]));
  const regions = [...new Set(b.cells.map((cell) => cell.region).filter((region) => region !== ''))];
  const restricted = [...Object.entries(b.tenantRegions), ['', b.defaultRegions] as const];
  if (restricted.every(([, allowed]) => allowed.length === 0)) return;
  if (regions.length > REGIONS_MAX)
    note('cells', '/cells', `${regions.length} regions; at most ${REGIONS_MAX} are possible with tenantRegions`);
  for (const [tenant, allowed] of restricted) {
    const path = tenant === '' ? '/defaultRegions' : `/tenantRegions/${pointerPart(tenant)}`;
    for (const [i, region] of allowed.entries())
      if (!regions.includes(region))
        note('cells', `${path}/${i}`, `no cell is in region "${region}"${suggestion(region, regions)}`);
    const onRing = b.cells.some((cell) => cell.tenants && allowed.includes(cell.region));
    if (allowed.length > 0 && !onRing && !Object.hasOwn(b.pins, tenant) && b.cells.some((cell) => cell.tenants))
      note(
        'cells',
        path,
        `no cell that takes tenants is in ${allowed.join(', ')}; say \`tenants: true\` in one, or pin the tenant`,
      );
  }
  const own = new Map(Object.entries(b.tenantRegions));
  const mayNot = (tenant: string, cell: CellConfig | undefined): boolean => {
    const allowed = own.get(tenant) ?? b.defaultRegions;
    return cell !== undefined && allowed.length > 0 && !allowed.includes(cell.region);
  };
  for (const [tenant, id] of Object.entries(b.pins))
    if (mayNot(tenant, cells.get(id))) note('cells', `/pins/${pointerPart(tenant)}`, outside(tenant, cells.get(id)));
  for (const [i, route] of routes.entries()) {
    const tenant = route.tenant?.fixed;
    if (tenant === undefined || route.cell === undefined) continue;
    if (mayNot(tenant, cells.get(route.cell)))
      note('routes', `/routes/${i}/cell`, outside(tenant, cells.get(route.cell)));
  }
}

function outside(tenant: string, cell: CellConfig | undefined): string {
  const region = cell?.region ?? '';
  return `tenant "${tenant}" may not be served in ${region === '' ? 'a cell without a region' : `region ${region}`}; name a cell in one of its regions`;
}
