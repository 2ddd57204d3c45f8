/** Tenants whose cell has a standby that they may not use: in a failure they are refused while others are served. Allowed, and worth knowing before it happens. */
import { present } from '../../base/assert.ts';
import { liesIn } from '../../snapshot/regions.ts';
import { Ring } from '../../snapshot/ring.ts';
import type { Snapshot } from '../../snapshot/snapshot.ts';

/** Tenants that a warning names. */
const NAMED_MAX = 3;

export function standbyWarnings(snapshot: Pick<Snapshot, 'cells' | 'pins' | 'regions' | 'ring'>): string[] {
  const { cells, pins, regions } = snapshot;
  if (regions === undefined) return [];
  const ring = new Ring(snapshot.ring);
  const left = new Map<number, string[]>();
  for (const [tenant, allowed] of regions.tenants) {
    const home = pins.get(tenant) ?? ring.cellAmong(tenant, (at) => liesIn(allowed, present(cells[at], 'cell')));
    const standby = cells[cells[home]?.standby ?? -1];
    if (standby === undefined || liesIn(allowed, standby)) continue;
    left.set(home, [...(left.get(home) ?? []), tenant]);
  }
  return [...left].map(([home, tenants]) => {
    const cell = present(cells[home], 'cell');
    const standby = present(cells[cell.standby ?? -1], 'standby');
    const named = tenants.slice(0, NAMED_MAX).join(', ');
    const more = tenants.length > NAMED_MAX ? ` and ${tenants.length - NAMED_MAX} more` : '';
    return (
      `when cell ${cell.id} is out, its standby ${standby.id} (${standby.region === '' ? 'no region' : `region ${standby.region}`}) may not serve ${named}${more}: ` +
      'they are refused with 503; take a standby in their regions'
    );
  });
}
