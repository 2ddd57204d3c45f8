/** Cells and their endpoints, compiled. */
import type { BalancePlan } from './balance.ts';
import type { CellGuards } from './guards.ts';

/** Bits of regions, see regions.ts. */
export interface RegionPlan {
  /** Tenant id → its regions. */
  readonly tenants: ReadonlyMap<string, number>;
  /** Of tenants that are not among them. */
  readonly others: number;
}

export interface CellPlan {
  readonly id: string;
  readonly region: string;
  /** The bit of its region; absent: none, so that nobody who is kept to regions gets here. */
  readonly regionBit?: number;
  /** Index of the cell that takes over when this one cannot be used; absent: none does. */
  readonly standby?: number;
  /** Indices into `Snapshot.endpoints`. */
  readonly endpoints: readonly number[];
  readonly health: HealthPlan;
  readonly probe: ProbePlan | null;
  /** Absent: nothing is bounded and nothing opens. */
  readonly guards?: CellGuards;
  /** Absent: by health and free capacity, and nothing else. */
  readonly balance?: BalancePlan;
}

export interface HealthPlan {
  /** Weight of the newest second in the moving average, 0 … 1. */
  readonly alpha: number;
  readonly latencyGoodMs: number;
  readonly latencyBadMs: number;
  /** Share of failed requests at which the error score is 0. */
  readonly errorBad: number;
}

export interface ProbePlan {
  readonly path: string;
  readonly intervalMs: number;
  readonly timeoutMs: number;
  /** Failures in a row that eject, successes in a row that admit. */
  readonly failures: number;
  readonly successes: number;
}

export interface EndpointPlan {
  /** Row in the shared endpoint columns; stable for an identity over snapshots. */
  readonly slot: number;
  /** `cell/host:port`, or `cell/name/host:port` of what a name led to: identity of pools, health and in-flight counts. */
  readonly identity: string;
  readonly cell: number;
  readonly host: string;
  readonly port: number;
  readonly tls: EndpointTls | null;
  /** Requests at once that it is built for: the capacity of the balancing weight. */
  readonly capacity: number;
  /** Connections per lane. */
  readonly connectionsMax: number;
  /** Requests of a lane that wait for one; absent: the transport's own bound. */
  readonly pendingMax?: number;
  /** HTTP/2 rather than HTTP/1.1: by ALPN under TLS, by prior knowledge without (RFC 9113 §3). */
  readonly http2: boolean;
  /** Its share beside the others, for algorithms that go by weight; absent: 1. */
  readonly weight?: number;
  /** Where it stands; absent or empty: nobody said. */
  readonly zone?: string;
  /** Those of the lowest number come first; absent: 0. */
  readonly priority?: number;
  /** Host that it is sent unless the route sets one; absent or empty: the client's. */
  readonly authority?: string;
  /** Epoch ms since when it is known; absent or 0: for ever. */
  readonly since?: number;
  /** Value of the cookie that binds clients to it; absent or empty: none. */
  readonly cookie?: string;
}

export interface EndpointTls {
  readonly serverName: string;
  /** PEM; null = the system's roots. */
  readonly ca: string | null;
  /** Who we say we are when asked; absent: nobody. */
  readonly identity?: TlsIdentity;
}

/** A certificate with its key, for the client side. */
export interface TlsIdentity {
  /** PEM: certificate, then intermediates. */
  readonly chain: string;
  /** PEM. */
  readonly key: string;
}

/** SHA-256 ring: sorted 64-bit positions and the cell at each. */
export interface RingPlan {
  /** BigUint64 × n, ascending. */
  readonly positions: SharedArrayBuffer;
  /** Uint16 × n. */
  readonly cells: SharedArrayBuffer;
  readonly count: number;
}
