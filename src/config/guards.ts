/** What protects the endpoints of a cell, and the gateway from them (docs/resilience.md). */
import Type, { type Static } from 'typebox';
import { closed, Ms } from './fields.ts';

export const RetryBudgetConfig = closed(
  {
    budgetPercent: Type.Integer({
      minimum: 0,
      maximum: 100,
      default: 20,
      description: "Percent of the cell's requests in flight that may be further attempts.",
    }),
    minRetryConcurrency: Type.Integer({
      minimum: 0,
      maximum: 1_000,
      default: 3,
      description: 'So many at once are always allowed.',
    }),
  },
  'How many further attempts the cell bears. Beyond it what failed is answered as it is.',
);
export type RetryBudgetConfig = Static<typeof RetryBudgetConfig>;

const Percent = (description: string, fallback: number) =>
  Type.Integer({ minimum: 1, maximum: 100, default: fallback, description });

const circuit = (description: string) =>
  closed(
    {
      failureRateThreshold: Percent('Percent of the calls in the window that failed, at which it opens.', 50),
      slowCallRateThreshold: Percent('Percent of the calls in the window that were slow, at which it opens.', 100),
      slowCallDurationThresholdMs: Ms('Time to the response head from which on a call is slow.', 1, 3_600_000, 60_000),
      slidingWindowMs: Ms('The time that is looked at.', 1_000, 600_000, 10_000),
      minimumNumberOfCalls: Type.Integer({
        minimum: 1,
        maximum: 1_000_000,
        default: 100,
        description: 'With fewer calls in the window nothing is judged.',
      }),
      waitDurationInOpenStateMs: Ms('How long it is open before calls are tried again.', 100, 3_600_000, 60_000),
      permittedNumberOfCallsInHalfOpenState: Type.Integer({
        minimum: 1,
        maximum: 100,
        default: 10,
        description: 'Calls whose outcome decides whether it closes or opens again.',
      }),
    },
    description,
  );

export const CircuitBreakerConfig = circuit(
  'A circuit breaker of each endpoint: one that fails or is slow too often gets no requests for a while, then a few. Failures are 5xx and attempts without an answer.',
);
export const CellCircuitBreakerConfig = circuit(
  'A circuit breaker of the cell as a whole: while it is open, requests are refused with circuit_open, or served by the standby.',
);

export const OutlierDetectionConfig = closed(
  {
    enabled: Type.Boolean({ default: true, description: 'Outliers are ejected.' }),
    consecutive5xx: Type.Integer({
      minimum: 0,
      maximum: 1_000_000,
      default: 5,
      description: 'Failures in a row (5xx, or no answer) that eject; 0 = not looked at.',
    }),
    consecutiveGatewayFailure: Type.Integer({
      minimum: 0,
      maximum: 1_000_000,
      default: 0,
      description: 'Gateway failures in a row (502, 503, 504, or no answer) that eject; 0 = not looked at.',
    }),
    intervalMs: Ms('Between two looks at success rates.', 1_000, 3_600_000, 10_000),
    baseEjectionTimeMs: Ms('How long an endpoint is ejected, times how often it was.', 100, 3_600_000, 30_000),
    maxEjectionTimeMs: Ms('And never longer.', 100, 86_400_000, 300_000),
    maxEjectionPercent: Type.Integer({
      minimum: 0,
      maximum: 100,
      default: 10,
      description:
        "Percent of the cell's endpoints that may be ejected at once. One may always be, unless this is 0 or it is the only one; never all.",
    }),
    successRateMinimumHosts: Type.Integer({
      minimum: 0,
      maximum: 512,
      default: 5,
      description: 'So many endpoints must have had enough requests before success rates are compared; 0 = never.',
    }),
    successRateRequestVolume: Type.Integer({
      minimum: 1,
      maximum: 1_000_000,
      default: 100,
      description: 'Requests in an interval that are enough.',
    }),
    successRateStdevFactor: Type.Integer({
      minimum: 0,
      maximum: 100_000,
      default: 1_900,
      description: 'Thousandths of the standard deviation below the mean success rate from which on one is an outlier.',
    }),
  },
  'Ejection of endpoints that do worse than the others of their cell.',
);
export type OutlierDetectionConfig = Static<typeof OutlierDetectionConfig>;

const Most = (description: string) =>
  Type.Integer({ minimum: 0, maximum: 10_000_000, default: 0, description: `${description} 0 = no bound.` });

const AdaptiveConfig = closed(
  {
    minRequests: Type.Integer({ minimum: 1, maximum: 100_000, default: 8, description: 'Never fewer than so many.' }),
    maxRequests: Type.Integer({
      minimum: 1,
      maximum: 100_000,
      default: 1_000,
      description: 'Never more, and as many until something is known.',
    }),
    tolerancePercent: Type.Integer({
      minimum: 5,
      maximum: 1_000,
      default: 50,
      description:
        'So much longer than without a queue may the median time to the response head be before the bound falls.',
    }),
  },
  'A bound of requests under way that each lane finds by the gradient of the time to the response head. Critical requests may take all of it, default ones nine tenths, sheddable ones seven.',
);

export const BulkheadConfig = closed(
  {
    maxRequests: Most('Requests under way in the cell, over all lanes.'),
    maxRequestsPerTenant: Most('Of these, requests of one tenant.'),
    adaptive: Type.Optional(AdaptiveConfig),
  },
  'How many requests may be under way in the cell at once. What is beyond is refused with bulkhead_full, and not served by the standby.',
);
