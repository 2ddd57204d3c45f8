/** The endpoints of a cell at the moment, as a lane chooses among them. Immutable: a change makes another one. */
import { present } from '../../base/assert.ts';
import type { EndpointPlan, Snapshot } from '../../snapshot/snapshot.ts';

export class CellMembers {
  readonly endpoints: readonly EndpointPlan[];

  constructor(endpoints: readonly EndpointPlan[]) {
    this.endpoints = endpoints;
  }
}

/** Of each cell of a snapshot, by index. */
export function membersOf({ cells, endpoints }: Pick<Snapshot, 'cells' | 'endpoints'>): CellMembers[] {
  return cells.map((cell) => new CellMembers(cell.endpoints.map((i) => present(endpoints[i], 'endpoint'))));
}
