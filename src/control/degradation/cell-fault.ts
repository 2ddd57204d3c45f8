/** Whether a cell can be used, as the lanes have left it in the shared columns. */
import type { EndpointColumns } from '../../snapshot/endpoint-columns.ts';
import type { Snapshot } from '../../snapshot/snapshot.ts';

/** Why no endpoint of the cell can be used, or null. One that has been refused stays out until it has answered. */
export function cellFault(snapshot: Snapshot | null, columns: EndpointColumns, id: string): string | null {
  const cell = snapshot?.cells.find((c) => c.id === id);
  if (snapshot === null || cell === undefined) return null;
  const out = cell.endpoints.every((i) => {
    const slot = snapshot.endpoints[i]?.slot ?? 0;
    return columns.ejected[slot] !== 0 || (columns.downUntil[slot] ?? 0) > 0 || columns.health[slot] === 0;
  });
  return out ? `all ${cell.endpoints.length} endpoint(s) are out` : null;
}
