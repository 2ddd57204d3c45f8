/** The endpoints of a cell at the moment, as a lane chooses among them. Immutable: a change makes another one. */
import type { EndpointPlan } from '../../snapshot/snapshot.ts';

export class CellMembers {
  readonly endpoints: readonly EndpointPlan[];

  constructor(endpoints: readonly EndpointPlan[]) {
    this.endpoints = endpoints;
  }
}
