/** Deadlines of one attempt: the route's, and what is left of all attempts together. */
import type { ForwardLimits } from '../../snapshot/route-plans.ts';
import type { Exchange } from '../exchange.ts';
import type { ForwardPlan } from '../transport/transport.ts';

/** What is left is never told as nothing, which would mean that there is no deadline. */
const LEFT_MS_MIN = 1;

/** Sets those of the attempt that begins at `x.now`. */
export function setDeadlines(x: Exchange, limits: ForwardLimits, plan: ForwardPlan): void {
  const total = limits.totalTimeoutMs ?? 0;
  const perTry = limits.retry?.perTryTimeoutMs ?? 0;
  const head = perTry === 0 ? limits.headTimeoutMs : Math.min(perTry, limits.headTimeoutMs);
  plan.connectTimeoutMs = limits.connectTimeoutMs;
  plan.headTimeoutMs = head;
  plan.idleTimeoutMs = limits.idleTimeoutMs;
  // A clock that was set back gives no request more than it had.
  plan.totalTimeoutMs = total === 0 ? 0 : Math.max(LEFT_MS_MIN, Math.min(total, total - (x.now - x.startedAt)));
}
