/** Cells and their endpoints: isolated groups of addresses that answer. */
import Type, { type Static } from 'typebox';
import { BalanceConfig } from './balance.ts';
import {
  BulkheadConfig,
  CellCircuitBreakerConfig,
  CircuitBreakerConfig,
  OutlierDetectionConfig,
  RetryBudgetConfig,
} from './guards.ts';
import { closed, HostPort, Id, Ms, NAME, SecretName, word } from './fields.ts';

/** Endpoints of a cell, written or discovered; further ones are told and left out. */
export const CELL_ENDPOINTS_MAX = 512;

export const HealthConfig = closed(
  {
    alpha: Type.Number({
      minimum: 0.01,
      maximum: 1,
      default: 0.3,
      description: 'Weight of the newest second in the moving average.',
    }),
    latencyGoodMs: Ms('Latency up to which the latency score is 1.', 1, 60_000, 50),
    latencyBadMs: Ms('Latency at which the latency score is 0.', 2, 600_000, 500),
    errorBad: Type.Number({
      minimum: 0.001,
      maximum: 1,
      default: 0.05,
      description: 'Share of failed requests at which the error score is 0.',
    }),
  },
  'How health is scored: the mean of a latency and an error score, averaged over seconds.',
);

export const ProbeConfig = closed(
  {
    path: Type.String({
      pattern: '^/[!-~]*$',
      maxLength: 1024,
      default: '/',
      description: 'Asked with GET; any 2xx or 3xx is a success.',
      examples: ['/healthz'],
    }),
    intervalMs: Ms('Time between probes.', 100, 600_000, 5_000),
    timeoutMs: Ms('Until a probe counts as failed.', 10, 60_000, 2_000),
    failures: Type.Integer({ minimum: 1, maximum: 20, default: 3, description: 'Failures in a row that eject.' }),
    successes: Type.Integer({
      minimum: 1,
      maximum: 20,
      default: 2,
      description: 'Successes in a row that admit again.',
    }),
  },
  'Active health checks.',
);

export const EndpointIdentityConfig = closed(
  { certificateSecret: SecretName, keySecret: SecretName },
  'Secrets that hold our certificate (PEM: certificate, then intermediates) and its key (PEM), for an endpoint that asks for one (mutual TLS).',
);

export const EndpointTlsConfig = closed(
  {
    serverName: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 255,
        description:
          'Name that the certificate must hold; sent as SNI. Unless given: the name of the endpoint, or the target of its SRV record; needed for addresses and files.',
      }),
    ),
    ca: Type.Optional(
      Type.String({
        maxLength: 262_144,
        description: "PEM of the certificate authority; the system's roots unless given.",
      }),
    ),
    clientCertificate: Type.Optional(EndpointIdentityConfig),
  },
  'TLS to the endpoint.',
);

export const EndpointCapacity = Type.Integer({
  minimum: 1,
  maximum: 100_000,
  default: 256,
  description: 'Requests at once that it is built for.',
});

export const EndpointWeight = Type.Integer({
  minimum: 1,
  maximum: 65_535,
  default: 1,
  description:
    'Its share beside the others, for every algorithm but `health`, which goes by capacity. SRV records bring their own.',
});

export const EndpointZone = Type.String({
  default: '',
  maxLength: 64,
  description: "Where it stands. Endpoints in the gateway's own zone come first.",
  examples: ['eu-central-1a'],
});

export const EndpointPriority = Type.Integer({
  minimum: 0,
  maximum: 7,
  default: 0,
  description: 'Those of the lowest number come first; the next ones as these fail. SRV records bring their own.',
});

export const EndpointConfig = closed(
  {
    address: Type.Optional(
      Type.String({
        ...HostPort,
        description:
          'Host and port; IPv6 in brackets. All addresses of a name are endpoints (A, AAAA); it is asked for again by TTL.',
        examples: ['10.0.0.7:8080', 'orders.internal:8080'],
      }),
    ),
    srv: Type.Optional(
      Type.String({
        pattern: '^[A-Za-z0-9_-]+(\\.[A-Za-z0-9_-]+)*\\.?$',
        maxLength: 253,
        description: 'Name of SRV records; all addresses of all their targets are endpoints.',
        examples: ['_http._tcp.orders.internal'],
      }),
    ),
    file: Type.Optional(
      Type.String({
        pattern: NAME,
        description: 'Name of an endpoints file; only the bootstrap says where it is (`endpointFiles`).',
        examples: ['orders'],
      }),
    ),
    family: word(['all', 'ipv4', 'ipv6'], 'Which addresses of a name are used.', 'all'),
    capacity: EndpointCapacity,
    weight: EndpointWeight,
    zone: EndpointZone,
    priority: EndpointPriority,
    passHost: Type.Boolean({
      default: true,
      description:
        "true = it is sent the Host that the client said, unless the route sets one; false = the endpoint's own name (of an address: the address), with its port unless it is the default one.",
    }),
    connectionsMax: Type.Integer({
      minimum: 1,
      maximum: 10_000,
      default: 128,
      description: 'Connections from each lane.',
    }),
    pendingMax: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 100_000,
        description:
          'Requests of each lane that wait for a connection; twice connectionsMax, and never fewer than 64, unless given. Of the native transport.',
      }),
    ),
    protocol: word(
      ['http1', 'http2'],
      'What the endpoint speaks. http2: with TLS by ALPN, without by prior knowledge; needed for gRPC.',
      'http1',
    ),
    tls: Type.Optional(EndpointTlsConfig),
  },
  'Where requests can go: exactly one of address, srv, file.',
);
export type EndpointConfig = Static<typeof EndpointConfig>;

const Region = (options: object) => Type.String({ pattern: '^([a-z0-9][a-z0-9._-]{0,62})?$', ...options });
const Regions = (options: object) =>
  Type.Array(Region({ minLength: 1, description: 'Region of a cell.', examples: ['eu-west'] }), {
    maxItems: 31,
    ...options,
  });

export const CellConfig = closed(
  {
    id: Id("Name of the cell; it decides the cell's places on the ring."),
    region: Region({ default: '', description: 'Region: `tenantRegions` and `defaultRegions` keep tenants to some.' }),
    standby: Type.Optional(
      Id('A cell that serves in its place while none of its endpoints can be used. Without it: 503.'),
    ),
    endpoints: Type.Array(EndpointConfig, {
      minItems: 1,
      maxItems: CELL_ENDPOINTS_MAX,
      description: 'Its endpoints.',
    }),
    health: Type.Optional(HealthConfig),
    probe: Type.Optional(ProbeConfig),
    retryBudget: Type.Optional(RetryBudgetConfig),
    bulkhead: Type.Optional(BulkheadConfig),
    circuitBreaker: Type.Optional(CircuitBreakerConfig),
    cellCircuitBreaker: Type.Optional(CellCircuitBreakerConfig),
    outlierDetection: Type.Optional(OutlierDetectionConfig),
    balance: Type.Optional(BalanceConfig),
    tenants: Type.Boolean({
      default: true,
      description: 'Takes part in the ring. `false`: only pins and routes lead to it.',
    }),
  },
  'An isolated group of endpoints.',
);
export type CellConfig = Static<typeof CellConfig>;

export const CellsConfig = closed(
  {
    cells: Type.Array(CellConfig, { minItems: 1, maxItems: 256, description: 'All cells.' }),
    pins: Type.Record(Type.String(), Id('A cell.'), {
      default: {},
      description: 'Tenant id → cell, before the ring is asked.',
    }),
    tenantRegions: Type.Record(Type.String(), Regions({ minItems: 1, description: 'Its regions.' }), {
      default: {},
      description:
        'Tenant id → regions in which it may be served. No ring, pin, route, split, standby, retry or mirror leads out of them.',
    }),
    defaultRegions: Regions({
      default: [],
      description: 'Regions of every tenant that `tenantRegions` does not name; empty = all.',
    }),
  },
  '`cells.yaml`: where requests can go.',
);
export type CellsConfig = Static<typeof CellsConfig>;
