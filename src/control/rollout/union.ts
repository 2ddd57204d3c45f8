/** What control must follow while two snapshots are live: the issuers and endpoints of both. */
import type { Snapshot } from '../../snapshot/snapshot.ts';

export type Followed = Pick<Snapshot, 'issuers' | 'cells' | 'endpoints'>;

/** Both together. What both have counts as the active one says it. */
export function unionOf(active: Followed, other: Followed | null): Followed {
  if (other === null) return active;
  const urls = new Set(active.issuers.map((issuer) => issuer.jwksUrl));
  const identities = new Set(active.endpoints.map((endpoint) => endpoint.identity));
  return {
    issuers: [...active.issuers, ...other.issuers.filter((issuer) => !urls.has(issuer.jwksUrl))],
    cells: [...active.cells, ...other.cells],
    endpoints: [
      ...active.endpoints,
      ...other.endpoints
        .filter((endpoint) => !identities.has(endpoint.identity))
        .map((endpoint) => ({ ...endpoint, cell: endpoint.cell + active.cells.length })),
    ],
  };
}
