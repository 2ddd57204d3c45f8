/** What protects a cell's endpoints, and the gateway from them (docs/resilience.md): compiled from `cells.yaml`, read by lanes and by control. */

/** How many of a cell's requests in flight may be further attempts. */
export interface RetryBudgetPlan {
  /** Percent of the cell's requests in flight. */
  readonly budgetPercent: number;
  /** So many at once are always allowed. */
  readonly minRetryConcurrency: number;
}

/** Protection of one cell. */
export interface CellGuards {
  /** The cell's own row in the shared columns; stable for its name over snapshots. */
  readonly slot: number;
  readonly retryBudget: RetryBudgetPlan;
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
