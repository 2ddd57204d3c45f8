/** A mirror as lanes read it. */
import type { CellsConfig } from '../../config/cell.ts';
import type { MirrorConfig } from '../../config/mirror.ts';
import type { MirrorPlan } from '../../snapshot/route-plans.ts';
import type { Report } from './report.ts';

/** `path`: of the route. That the cell exists has been checked. */
export function compileMirror(config: MirrorConfig, cells: CellsConfig, path: string, report: Report): MirrorPlan {
  const cell = cells.cells.findIndex(({ id }) => id === config.cell);
  if (cells.cells[cell]?.endpoints.some(({ protocol }) => protocol === 'http2') === true)
    report('routes', `${path}/mirror/cell`, 'mirrors speak HTTP/1.1; name a cell whose endpoints do');
  return {
    cell,
    share: config.share,
    methods: config.methods,
    bodyBytesMax: config.bodyBytesMax,
    compareHeaders: (config.compare?.headers ?? []).map((name) => name.toLowerCase()),
    compareBodyBytesMax: config.compare?.bodyBytesMax ?? 0,
    timeoutMs: config.timeoutMs,
  };
}
