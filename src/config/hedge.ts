/** A second attempt beside one that is slow (docs/resilience.md). Envoy's `hedge_policy` and gRPC's `hedgingPolicy` are the models. */
import Type, { type Static } from 'typebox';
import { closed } from './fields.ts';

export const HedgeConfig = closed(
  {
    delayMs: Type.Integer({
      minimum: 1,
      maximum: 60_000,
      description:
        "Without a response head so long after an attempt went out a second one goes to another endpoint of the cell; take the endpoints' p95 or more. Unit: milliseconds.",
      examples: [50],
    }),
    methods: Type.Enum(['safe', 'idempotent'], {
      default: 'safe',
      description:
        'safe: GET, HEAD, OPTIONS, TRACE. idempotent: PUT and DELETE as well; then the attempt that lost may still arrive after what the client sends next.',
    }),
  },
  'A slow request is sent a second time beside the first, and the first answer counts. Within the retry budget of the cell; once a request. Needs `transport: native`.',
);
export type HedgeConfig = Static<typeof HedgeConfig>;
