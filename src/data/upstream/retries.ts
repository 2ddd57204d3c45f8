/**
 * Whether a request goes to another endpoint after an attempt that failed, or was answered with what its route does not want to pass on (docs/resilience.md). A
 * request is sent again only when nothing of it is lost, when that changes nothing (its method is idempotent, RFC 9110 §9.2.2, or the attempt never reached the
 * upstream, or the operator has named a gRPC status), while there is time left, and within the budget of its cell.
 */
import type { RetryPlan } from '../../snapshot/guards.ts';
import { RETRY_ON_ANSWER, RetryOn } from '../../snapshot/guards.ts';
import { Count } from '../../snapshot/lane-columns.ts';
import type { ForwardLimits } from '../../snapshot/route-plans.ts';
import type { Exchange } from '../exchange.ts';
import { METHODS } from '../exchange.ts';
import { FailReason } from '../transport/transport.ts';
import type { RetryBudget } from './retry-budget.ts';

/** Upstreams' statuses that the conditions are about (RFC 9110 §15). */
const CONFLICT = 409;
const SERVER_ERROR = 500;
const BAD_GATEWAY = 502;
const GATEWAY_TIMEOUT = 504;
/** For routes that say nothing. */
const BY_DEFAULT: RetryPlan = { on: RetryOn.ConnectFailure | RetryOn.Reset, statuses: [], perTryTimeoutMs: 0 };
/** By method code; a method without one is not known to be idempotent. */
const IDEMPOTENT = METHODS.map((name) => ['GET', 'HEAD', 'PUT', 'DELETE', 'OPTIONS', 'TRACE'].includes(name));
const GRPC = RETRY_ON_ANSWER & ~(RetryOn.GatewayError | RetryOn.ServerError | RetryOn.Retriable4xx | RetryOn.Statuses);

/** `grpc-status` (a decimal number) to the condition that names it. */
const GRPC_STATUS: Readonly<Record<string, number>> = {
  '1': RetryOn.GrpcCancelled,
  '4': RetryOn.GrpcDeadlineExceeded,
  '8': RetryOn.GrpcResourceExhausted,
  '13': RetryOn.GrpcInternal,
  '14': RetryOn.GrpcUnavailable,
};

/** In the record of a request that would have been sent again. */
export const BUDGET_SPENT = 'retry budget spent';

export class Retries {
  readonly #budget: RetryBudget | null;
  readonly #counts: Float64Array | null;

  /** Without a budget every attempt that a route asks for is made. `counts`: those of the lane's columns. */
  constructor(budget: RetryBudget | null = null, counts: Float64Array | null = null) {
    this.#budget = budget;
    this.#counts = counts;
  }

  /** An attempt has failed before its answer: is another one wanted? */
  afterFailure(x: Exchange, reason: FailReason, replayable: boolean, whole: boolean): boolean {
    const limits = x.route?.forward;
    if (limits === undefined || !isLeft(x, limits)) return false;
    const { on } = limits.retry ?? BY_DEFAULT;
    switch (reason) {
      case FailReason.Connect:
      case FailReason.Busy:
        return replayable && (on & (RetryOn.ConnectFailure | RetryOn.ServerError)) !== 0;
      case FailReason.Reset:
        return replayable && (on & (RetryOn.Reset | RetryOn.ServerError)) !== 0;
      case FailReason.Timeout:
        return whole && isIdempotent(x) && (on & (RetryOn.GatewayError | RetryOn.ServerError)) !== 0;
      case FailReason.Invalid:
        return whole && isIdempotent(x) && (on & RetryOn.ServerError) !== 0;
    }
  }

  /** The answer's head is shown: is another attempt wanted in its place? */
  afterAnswer(x: Exchange, whole: boolean): boolean {
    const limits = x.route?.forward;
    if (!whole || limits?.retry === undefined || (limits.retry.on & RETRY_ON_ANSWER) === 0) return false;
    if (!isLeft(x, limits)) return false;
    const { on, statuses } = limits.retry;
    const { status } = x.wire.upstreamAnswer;
    if ((on & GRPC) !== 0 && (on & grpcCondition(x)) !== 0) return true;
    return isIdempotent(x) && (on & conditionsOf(status, statuses)) !== 0;
  }

  /** Takes the place of a further attempt in the cell's budget; false, and a word in the record, when it is spent. `beside`: it is a hedge. */
  take(x: Exchange, beside = false): boolean {
    const guards = x.revision.snapshot.cells[x.cell]?.guards;
    if (this.#budget === null || guards === undefined) return true;
    if (this.#budget.take(guards, beside)) {
      x.retryRow = guards.slot;
      return true;
    }
    if (this.#counts !== null) this.#counts[Count.RetryBudgetSpent] = (this.#counts[Count.RetryBudgetSpent] ?? 0) + 1;
    return false;
  }
}

/** Whether a route may want another attempt because of what an answer says: then its head must be seen. */
export function looksAtAnswers(x: Exchange, limits: ForwardLimits): boolean {
  const { retry } = limits;
  if (retry === undefined || (retry.on & RETRY_ON_ANSWER) === 0 || x.attempts - x.hedges > limits.retries) return false;
  return isIdempotent(x) || (retry.on & GRPC) !== 0;
}

/** One more attempt is allowed, and there is time for it. */
function isLeft(x: Exchange, limits: ForwardLimits): boolean {
  if (x.attempts - x.hedges > limits.retries) return false;
  const total = limits.totalTimeoutMs ?? 0;
  return total === 0 || x.now - x.startedAt < total;
}

/** Whether sending it twice is the same as once (RFC 9110 §9.2.2). */
export function isIdempotent(x: Exchange): boolean {
  return IDEMPOTENT[x.methodCode] === true;
}

/** Bits of the conditions that this status meets. */
export function conditionsOf(status: number, statuses: readonly number[]): number {
  let met = statuses.includes(status) ? RetryOn.Statuses : 0;
  if (status >= SERVER_ERROR) met |= RetryOn.ServerError;
  if (status >= BAD_GATEWAY && status <= GATEWAY_TIMEOUT) met |= RetryOn.GatewayError;
  if (status === CONFLICT) met |= RetryOn.Retriable4xx;
  return met;
}

/** An answer that is nothing but trailers has its `grpc-status` in the head. */
function grpcCondition(x: Exchange): number {
  const status = x.wire.upstreamAnswer.header('grpc-status');
  return status === undefined ? 0 : (GRPC_STATUS[status] ?? 0);
}
