/** What may be followed by another attempt. The words are Envoy's. */
import Type from 'typebox';

/** Conditions, by the name that an operator writes. */
export const RETRY_CONDITIONS = [
  'connect-failure',
  'reset',
  'gateway-error',
  '5xx',
  'retriable-4xx',
  'cancelled',
  'deadline-exceeded',
  'internal',
  'resource-exhausted',
  'unavailable',
] as const;

export const RetryOnConfig = (absent: string) =>
  Type.Array(
    Type.Enum([...RETRY_CONDITIONS], {
      description:
        'connect-failure: nothing was sent. reset: closed before the response head. gateway-error: 502, 503, 504 and no head in time. 5xx: any of these. retriable-4xx: 409. The others: gRPC statuses.',
    }),
    {
      maxItems: RETRY_CONDITIONS.length,
      uniqueItems: true,
      description: `What is tried again on another endpoint, if it is safe to. ${absent}`,
      examples: [['connect-failure', 'reset', 'gateway-error']],
    },
  );

export const RetryStatusesConfig = (absent: string) =>
  Type.Array(Type.Integer({ minimum: 300, maximum: 599, description: 'A status.' }), {
    maxItems: 32,
    uniqueItems: true,
    description: `Statuses that are tried again, too, of requests with idempotent methods. ${absent}`,
    examples: [[429]],
  });
