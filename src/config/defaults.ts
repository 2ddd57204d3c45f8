/** What holds for every route that does not say otherwise. */
import Type, { type Static } from 'typebox';
import { CorsConfig } from './cors.ts';
import { DegradationConfig } from './degradation.ts';
import { StrictTransportConfig } from './strict-transport.ts';
import { ErrorPagesConfig } from './static.ts';
import { Bytes, Cidr, closed, Id } from './fields.ts';
import { RetryOnConfig, RetryStatusesConfig } from './retry.ts';
import { Timeouts } from './route.ts';

export const DefaultsConfig = closed(
  {
    timeouts: Type.Optional(Timeouts),
    bodyBytesMax: Bytes('Largest request body.', 0, 1_099_511_627_776, 10_485_760),
    retries: Type.Integer({
      minimum: 0,
      maximum: 5,
      default: 1,
      description: 'Further attempts on other endpoints when the request can safely be sent again.',
    }),
    retryOn: Type.Optional(RetryOnConfig('connect-failure and reset unless given.')),
    retryStatuses: Type.Optional(RetryStatusesConfig('None unless given.')),
    degradation: Type.Optional(DegradationConfig),
    securityHeaders: Type.Boolean({ default: true, description: 'Add security headers to answers.' }),
    strictTransport: Type.Optional(StrictTransportConfig),
    cors: Type.Optional(CorsConfig),
    errorPages: Type.Optional(ErrorPagesConfig),
    limits: Type.Array(Id('A limit of `limits.yaml`.'), {
      default: [],
      maxItems: 8,
      description: 'Limits of every route.',
    }),
    forwardedFrom: Type.Array(Cidr, {
      default: [],
      maxItems: 256,
      description: 'Proxies in front whose X-Forwarded-For is believed.',
    }),
    accessLogSample: Type.Number({
      minimum: 0,
      maximum: 1,
      default: 1,
      description: 'Share of answered requests with an access-log line; refusals always have one.',
    }),
    maskedQuery: Type.Array(Type.String({ minLength: 1, maxLength: 128, description: 'Parameter.' }), {
      default: [],
      maxItems: 128,
      description: 'Query parameters whose values are masked in records and logs, besides the built-in list.',
    }),
  },
  '`defaults.yaml`: what holds for every route that does not say otherwise.',
);
export type DefaultsConfig = Static<typeof DefaultsConfig>;
