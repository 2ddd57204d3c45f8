/** Routes: which requests go where, and what is asked of them on the way. */
import Type, { type Static } from 'typebox';
import { CacheConfig } from './cache.ts';
import { CompressConfig } from './compress.ts';
import { CorsConfig } from './cors.ts';
import { closed, HeaderName, Id, Ms, word } from './fields.ts';
import { MirrorConfig } from './mirror.ts';
import { RespondConfig } from './respond.ts';
import { SplitConfig } from './split.ts';
import { RoutePriorityConfig } from './overload.ts';
import { HedgeConfig } from './hedge.ts';
import { RetryOnConfig, RetryStatusesConfig } from './retry.ts';
import { RouteWaf } from './waf-tuning.ts';

export const PathMatch = closed(
  {
    exact: Type.Optional(
      Type.String({ pattern: '^/', maxLength: 2048, description: 'The whole path.', examples: ['/health'] }),
    ),
    prefix: Type.Optional(
      Type.String({
        pattern: '^/',
        maxLength: 2048,
        examples: ['/api'],
        description: 'A path and all below it: `/api` matches `/api` and `/api/x`, not `/apix`.',
      }),
    ),
    template: Type.Optional(
      Type.String({
        pattern: '^/',
        maxLength: 2048,
        examples: ['/users/{id}'],
        description: 'A path with parameters: `/users/{id}`; `{rest...}` at the end takes all that follows.',
      }),
    ),
    regex: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 1024,
        description:
          'A regular expression over the whole path (linear time; no look-around, no back-references). Tried last.',
      }),
    ),
  },
  'Exactly one of exact, prefix, template, regex. Compared with the normalised path.',
);

export const HeaderMatch = closed(
  {
    name: HeaderName,
    value: Type.Optional(
      Type.String({ maxLength: 1024, description: 'Exact value; without it the presence of the field is enough.' }),
    ),
    not: Type.Boolean({ default: false, description: 'The predicate must not hold.' }),
  },
  'A predicate over one header field.',
);

const HostPattern = Type.String({
  pattern: '^(\\*|(\\*\\.)?[a-z0-9.-]+|\\[[0-9a-f:.]+\\])$',
  maxLength: 255,
  description: 'Host name, lower-case and without port.',
  examples: ['shop.example.com', '*.example.com', '*'],
});

const Method = Type.String({
  pattern: '^[A-Z][A-Z-]{0,31}$',
  description: 'Method, in capitals.',
  examples: ['GET', 'POST'],
});

export const RouteMatch = closed(
  {
    hosts: Type.Array(HostPattern, {
      default: ['*'],
      minItems: 1,
      maxItems: 64,
      description: 'Host names without port, lower-case: exact, `*.example.com` (one or more labels), or `*`.',
    }),
    path: PathMatch,
    methods: Type.Array(Method, {
      default: [],
      maxItems: 16,
      description: 'Methods; empty = all. GET includes HEAD.',
    }),
    headers: Type.Array(HeaderMatch, { default: [], maxItems: 8, description: 'Header predicates; all must hold.' }),
  },
  'What a request must look like. The most specific route wins: host, then path, then header predicates.',
);

export const TenantConfig = closed(
  {
    claim: Type.Optional(Type.String({ maxLength: 128, description: 'Claim of the token; dots descend.' })),
    header: Type.Optional(HeaderName),
    hostLabel: Type.Optional(Type.Integer({ minimum: 0, maximum: 8, description: 'Label of the host; 0 = leftmost.' })),
    pathSegment: Type.Optional(
      Type.Integer({ minimum: 0, maximum: 15, description: 'Segment of the path; 0 = first.' }),
    ),
    sniLabel: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 8,
        description: 'Label of the TLS server name, which the request must be for; 0 = leftmost.',
      }),
    ),
    fixed: Type.Optional(Id('A tenant for all requests of the route.')),
  },
  'Where the tenant id comes from: exactly one.',
);

export const Timeouts = closed(
  {
    connectMs: Ms('Until the upstream connection stands.', 10, 60_000, 2_000),
    headMs: Ms('Until the response head has arrived.', 10, 3_600_000, 30_000),
    idleMs: Ms('Longest silence in the response body; 0 = none.', 0, 3_600_000, 60_000),
    perTryMs: Ms('Until the response head of one attempt, where another one may follow; 0 = headMs.', 0, 3_600_000, 0),
    totalMs: Ms("From the request's head to the end of its answer, all attempts together; 0 = none.", 0, 86_400_000, 0),
  },
  'Deadlines of the upstream side.',
);
export type Timeouts = Static<typeof Timeouts>;

/** The same, with what is absent taken from `defaults.yaml`. */
export const RouteTimeouts = closed(
  {
    connectMs: Type.Optional(
      Type.Integer({
        minimum: 10,
        maximum: 60_000,
        description: 'Until the upstream connection stands. Unit: milliseconds.',
      }),
    ),
    headMs: Type.Optional(
      Type.Integer({
        minimum: 10,
        maximum: 3_600_000,
        description: 'Until the response head has arrived. Unit: milliseconds.',
      }),
    ),
    idleMs: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 3_600_000,
        description: 'Longest silence in the response body; 0 = none. Unit: milliseconds.',
      }),
    ),
    perTryMs: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 3_600_000,
        description:
          'Until the response head of one attempt, where another one may follow; 0 = headMs. Unit: milliseconds.',
      }),
    ),
    totalMs: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 86_400_000,
        description:
          "From the request's head to the end of its answer, all attempts together; 0 = none. Event streams and long downloads end there, too. Unit: milliseconds.",
      }),
    ),
  },
  'Deadlines of the upstream side; what is absent comes from `defaults.yaml`.',
);

export const PolicyUse = closed(
  {
    name: Id('A policy of `policies.yaml`.'),
    entrypoint: Type.Optional(
      Type.String({ maxLength: 256, description: "Entrypoint, e.g. `authz/allow`; the policy's first unless said." }),
    ),
  },
  'The policy that decides.',
);

export const RouteConfig = closed(
  {
    id: Id('Name of the route, unique in the bundle.'),
    match: RouteMatch,
    access: word(
      ['protected', 'public'],
      'protected = issuers and a policy are required; public = neither, with a reason.',
      'protected',
    ),
    reason: Type.Optional(
      Type.String({
        minLength: 8,
        maxLength: 512,
        description: 'Why the route is public. Shown in reviews and `cnx routes`.',
      }),
    ),
    issuers: Type.Array(Id('An issuer of `issuers.yaml`.'), {
      default: [],
      maxItems: 16,
      description: 'Issuers whose tokens are accepted.',
    }),
    policy: Type.Optional(PolicyUse),
    limits: Type.Array(Id('A limit of `limits.yaml`.'), {
      default: [],
      maxItems: 8,
      description: 'Limits of this route, besides those of `defaults.yaml`.',
    }),
    waf: Type.Optional(RouteWaf),
    tenant: Type.Optional(TenantConfig),
    cell: Type.Optional(Id('A cell of `cells.yaml`; without it the tenant decides.')),
    split: Type.Optional(SplitConfig),
    mirror: Type.Optional(MirrorConfig),
    respond: Type.Optional(RespondConfig),
    cors: Type.Optional(CorsConfig),
    cache: Type.Optional(CacheConfig),
    compress: Type.Optional(CompressConfig),
    priority: Type.Optional(RoutePriorityConfig),
    timeouts: Type.Optional(RouteTimeouts),
    bodyBytesMax: Type.Optional(
      Type.Integer({ minimum: 0, maximum: 1_099_511_627_776, description: 'Largest request body. Unit: bytes.' }),
    ),
    retries: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 5,
        description: 'Further attempts on other endpoints when the request can safely be sent again.',
      }),
    ),
    retryOn: Type.Optional(RetryOnConfig('What is absent comes from `defaults.yaml`.')),
    retryStatuses: Type.Optional(RetryStatusesConfig('What is absent comes from `defaults.yaml`.')),
    hedge: Type.Optional(HedgeConfig),
    websocket: Type.Boolean({ default: false, description: 'WebSocket handshakes are relayed.' }),
    forwardClientCertificate: Type.Boolean({
      default: false,
      description:
        "Tell the endpoint of the client certificate in X-Forwarded-Client-Cert (Envoy's form: Hash, Subject, URI, DNS). A client's own field of that name never passes.",
    }),
  },
  'A route.',
);
export type RouteConfig = Static<typeof RouteConfig>;

export const RoutesConfig = closed(
  { routes: Type.Array(RouteConfig, { minItems: 1, maxItems: 100_000, description: 'All routes.' }) },
  '`routes.yaml`: which requests go where.',
);
export type RoutesConfig = Static<typeof RoutesConfig>;
