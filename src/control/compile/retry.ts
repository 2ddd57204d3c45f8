/** When a route's requests are sent again: from the words of `routes.yaml` and `defaults.yaml` to bits. */
import type { BundleConfig } from '../../config/bundle.ts';
import type { RETRY_CONDITIONS } from '../../config/retry.ts';
import type { RouteConfig } from '../../config/route.ts';
import { RETRY_ON_ANSWER, RetryOn, type RetryPlan } from '../../snapshot/guards.ts';
import type { Report } from './report.ts';

const BITS: Readonly<Record<(typeof RETRY_CONDITIONS)[number], number>> = {
  'connect-failure': RetryOn.ConnectFailure,
  reset: RetryOn.Reset,
  'gateway-error': RetryOn.GatewayError,
  '5xx': RetryOn.ServerError,
  'retriable-4xx': RetryOn.Retriable4xx,
  cancelled: RetryOn.GrpcCancelled,
  'deadline-exceeded': RetryOn.GrpcDeadlineExceeded,
  internal: RetryOn.GrpcInternal,
  'resource-exhausted': RetryOn.GrpcResourceExhausted,
  unavailable: RetryOn.GrpcUnavailable,
};
const BY_DEFAULT = ['connect-failure', 'reset'] as const;

/** Null: what holds without a word. `native`: the transport can drop an answer that it has shown, and has deadlines over all attempts. */
export function retryOf(
  route: RouteConfig,
  config: BundleConfig,
  path: string,
  native: boolean,
  report: Report,
): RetryPlan | null {
  const { defaults } = config;
  const words = route.retryOn ?? defaults.retryOn;
  const statuses = route.retryStatuses ?? defaults.retryStatuses ?? [];
  const perTryTimeoutMs = route.timeouts?.perTryMs ?? defaults.timeouts?.perTryMs ?? 0;
  if (words === undefined && statuses.length === 0 && perTryTimeoutMs === 0) return null;
  let on = statuses.length > 0 ? RetryOn.Statuses : 0;
  for (const word of words ?? BY_DEFAULT) on |= BITS[word];
  if (!native && (on & RETRY_ON_ANSWER) !== 0)
    report(
      'routes',
      path,
      'the transport uws cannot try again because of an answer; take `transport: native` in the bootstrap, or leave out `retryStatuses` and all of `retryOn` but connect-failure and reset',
    );
  return { on, statuses, perTryTimeoutMs };
}
