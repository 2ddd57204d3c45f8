/** How the endpoints of a cell share its requests: what control compiles and lanes choose by (docs/balancing.md). */

export const Algorithm = { Health: 0, RoundRobin: 1, LeastRequest: 2, P2c: 3, RingHash: 4 } as const;
export type Algorithm = (typeof Algorithm)[keyof typeof Algorithm];

/** What of a request is hashed. */
export type HashSource =
  | { readonly by: 'address' }
  | { readonly by: 'path' }
  | { readonly by: 'tenant' }
  /** Lower-case. */
  | { readonly by: 'header'; readonly name: string }
  | { readonly by: 'cookie'; readonly name: string };

export interface BalancePlan {
  readonly algorithm: Algorithm;
  /** Where the gateway stands; empty: nobody said. */
  readonly zone: string;
  /** Null: nothing. */
  readonly hash: HashSource | null;
  /** Key of all hashes: whoever does not know it cannot choose his endpoint. */
  readonly k0: number;
  readonly k1: number;
  /** Most requests in flight on one endpoint, in percent of the mean, before the ring goes on to the next; 0 = any. */
  readonly hashBalanceFactor: number;
  /** Time in which an endpoint that came gets from a tenth to all of its share; 0 = at once. */
  readonly slowStartMs: number;
  /** Share of healthy endpoints below which those that only probes have ejected are used as well, 0 … 1; 0 = never. */
  readonly panicThreshold: number;
  /** Null: clients are not bound to endpoints. */
  readonly sticky: StickyPlan | null;
}

export interface StickyPlan {
  readonly cookie: string;
  /** What follows the value, `; Path=/; HttpOnly …`. */
  readonly attributes: string;
}

/** What holds where nothing is said; slow start and panic are Envoy's. */
export const BALANCE_DEFAULT: BalancePlan = {
  algorithm: Algorithm.Health,
  zone: '',
  hash: null,
  k0: 0,
  k1: 0,
  hashBalanceFactor: 0,
  slowStartMs: 0,
  panicThreshold: 0,
  sticky: null,
};
