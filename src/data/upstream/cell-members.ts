/** The endpoints of a cell at the moment, as a lane chooses among them. A change makes another one. */
import { present } from '../../base/assert.ts';
import { Algorithm, BALANCE_DEFAULT } from '../../snapshot/balance.ts';
import type { BalancePlan } from '../../snapshot/balance.ts';
import type { EndpointPlan } from '../../snapshot/cell-plans.ts';
import type { Snapshot } from '../../snapshot/snapshot.ts';
import { HashRing } from './hash-ring.ts';

/** Endpoints that a choice looks at; control gives a cell no more. */
export const MEMBERS_MAX = 512;
/** Steps from the endpoints that come first to those that come last: priorities, and in each of them the own zone before others. */
export const TIERS_MAX = 16;

export class CellMembers {
  readonly endpoints: readonly EndpointPlan[];
  readonly plan: BalancePlan;
  /** By member, 0 first. */
  readonly tier: Uint8Array;
  readonly tiers: number;
  readonly weight: Float64Array;
  /** State of the weighted turns. */
  readonly turn: Float64Array;
  /** Null unless the algorithm asks for it. */
  readonly ring: HashRing | null;
  /** Member by the value of its cookie. */
  readonly #byCookie = new Map<string, number>();
  readonly #cookies = new Map<EndpointPlan, string>();

  constructor(endpoints: readonly EndpointPlan[], plan: BalancePlan = BALANCE_DEFAULT) {
    this.endpoints = endpoints.length > MEMBERS_MAX ? endpoints.slice(0, MEMBERS_MAX) : endpoints;
    this.plan = plan;
    this.weight = Float64Array.from(this.endpoints, (e) => e.weight ?? 1);
    this.turn = new Float64Array(this.endpoints.length);
    const steps = this.endpoints.map((e) => 2 * (e.priority ?? 0) + (plan.zone === '' || e.zone === plan.zone ? 0 : 1));
    const order = [...new Set(steps)].sort((a, b) => a - b);
    this.tiers = Math.min(order.length, TIERS_MAX);
    this.tier = Uint8Array.from(steps, (step) => Math.min(order.indexOf(step), TIERS_MAX - 1));
    this.ring = plan.algorithm === Algorithm.RingHash ? new HashRing(this.endpoints, plan.k0, plan.k1) : null;
    const { sticky } = plan;
    if (sticky === null) return;
    for (const [i, endpoint] of this.endpoints.entries()) {
      const value = endpoint.cookie ?? '';
      if (value === '') continue;
      this.#byCookie.set(value, i);
      this.#cookies.set(endpoint, `${sticky.cookie}=${value}${sticky.attributes}`);
    }
  }

  /** Member that a cookie names; -1: none that is here. */
  named(cookie: string | undefined): number {
    return cookie === undefined ? -1 : (this.#byCookie.get(cookie) ?? -1);
  }

  /** The Set-Cookie that binds a client to an endpoint; empty: none. */
  cookieOf(endpoint: EndpointPlan): string {
    return this.#cookies.get(endpoint) ?? '';
  }
}

/** Of each cell of a snapshot, by index. */
export function membersOf({ cells, endpoints }: Pick<Snapshot, 'cells' | 'endpoints'>): CellMembers[] {
  return cells.map(
    (cell) =>
      new CellMembers(
        cell.endpoints.map((i) => present(endpoints[i], 'endpoint')),
        cell.balance,
      ),
  );
}
