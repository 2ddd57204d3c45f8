/** What protects a cell's endpoints, and the gateway from them (docs/resilience.md): compiled from `cells.yaml`, read by lanes and by control. */

/** How many of a cell's requests in flight may be further attempts. */
export interface RetryBudgetPlan {
  /** Percent of the cell's requests in flight. */
  readonly budgetPercent: number;
  /** So many at once are always allowed. */
  readonly minRetryConcurrency: number;
}

/** A circuit breaker; the words are Resilience4j's. */
export interface CircuitPlan {
  /** Percent of the calls in the window that failed, at which it opens. */
  readonly failureRateThreshold: number;
  /** Percent that were slow, at which it opens. */
  readonly slowCallRateThreshold: number;
  /** Time to the response head from which on a call is slow, ms. */
  readonly slowCallDurationThresholdMs: number;
  /** The time that is looked at, ms. */
  readonly slidingWindowMs: number;
  /** With fewer calls in the window nothing is judged. */
  readonly minimumNumberOfCalls: number;
  /** How long it is open, ms. */
  readonly waitDurationInOpenStateMs: number;
  /** 1 … `PERMITS_MAX`. */
  readonly permittedNumberOfCallsInHalfOpenState: number;
}

/** Ejection of endpoints that do worse than the others of their cell; the words are Envoy's. */
export interface OutlierPlan {
  /** Failures in a row that eject; 0 = not looked at. */
  readonly consecutive5xx: number;
  /** Of these: 502, 503, 504 and attempts without an answer. */
  readonly consecutiveGatewayFailure: number;
  /** Between two looks at success rates, ms. */
  readonly intervalMs: number;
  /** Times how often it was ejected, up to the longest, ms. */
  readonly baseEjectionTimeMs: number;
  readonly maxEjectionTimeMs: number;
  /** Percent of the cell's endpoints that may be ejected; one may always be, unless it is the only one. */
  readonly maxEjectionPercent: number;
  /** So many endpoints must have had so many requests in an interval before success rates are compared; 0 = they are not. */
  readonly successRateMinimumHosts: number;
  readonly successRateRequestVolume: number;
  /** Thousandths of the standard deviation below the mean from which on it is an outlier. */
  readonly successRateStdevFactor: number;
}

/** A bound of requests under way that each lane finds by itself. */
export interface AdaptivePlan {
  /** Between these. */
  readonly minRequests: number;
  readonly maxRequests: number;
  /** Percent by which the median time to the response head may exceed what it is without a queue. */
  readonly tolerancePercent: number;
}

/** Requests that may be under way in a cell at once; 0 = no bound. */
export interface BulkheadPlan {
  readonly maxRequests: number;
  /** Of one tenant. */
  readonly maxRequestsPerTenant: number;
  /** Of each lane; absent: none. */
  readonly adaptive?: AdaptivePlan;
}

/** Protection of one cell. */
export interface CellGuards {
  /** The cell's own row in the shared columns; stable for its name over snapshots. */
  readonly slot: number;
  readonly retryBudget: RetryBudgetPlan;
  /** Of each endpoint; absent: none. */
  readonly endpointCircuit?: CircuitPlan;
  /** Of the cell as a whole; absent: none. */
  readonly cellCircuit?: CircuitPlan;
  /** Absent: nothing is ejected. */
  readonly outlier?: OutlierPlan;
  /** Absent: no bounds. */
  readonly bulkhead?: BulkheadPlan;
}

/** Bits of `RetryPlan.on`: what may be followed by another attempt. */
export const RetryOn = {
  /** No connection could be made, or none was to be had: nothing was sent. */
  ConnectFailure: 1 << 0,
  /** The connection was closed before the response head, or the upstream says that it has not read the request. */
  Reset: 1 << 1,
  /** 502, 503, 504, and no response head in time. */
  GatewayError: 1 << 2,
  /** Any 5xx, and no response head in time. */
  ServerError: 1 << 3,
  /** 409. */
  Retriable4xx: 1 << 4,
  /** The statuses of the route's own list. */
  Statuses: 1 << 5,
  /** `grpc-status` of an answer that is nothing but trailers. */
  GrpcCancelled: 1 << 6,
  GrpcDeadlineExceeded: 1 << 7,
  GrpcInternal: 1 << 8,
  GrpcResourceExhausted: 1 << 9,
  GrpcUnavailable: 1 << 10,
} as const;

/** Conditions for which the answer's head must be seen. */
export const RETRY_ON_ANSWER =
  RetryOn.GatewayError |
  RetryOn.ServerError |
  RetryOn.Retriable4xx |
  RetryOn.Statuses |
  RetryOn.GrpcCancelled |
  RetryOn.GrpcDeadlineExceeded |
  RetryOn.GrpcInternal |
  RetryOn.GrpcResourceExhausted |
  RetryOn.GrpcUnavailable;

/** When a route's requests are sent again, beside how often. */
export interface RetryPlan {
  /** Bits of `RetryOn`. */
  readonly on: number;
  /** 300 … 599; only with `RetryOn.Statuses`. */
  readonly statuses: readonly number[];
  /** Until the response head of one attempt, ms; 0 = `headTimeoutMs` alone. */
  readonly perTryTimeoutMs: number;
}

/** When a second attempt goes out beside one that is slow. */
export interface HedgePlan {
  /** Since the attempt was handed over, ms; more than 0. */
  readonly delayMs: number;
  /** Also of methods that are idempotent without being safe. */
  readonly idempotent: boolean;
}
