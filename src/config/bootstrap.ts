/** The bootstrap: what a gateway must know before it has a bundle. Local; all paths are relative to its file. */
import Type, { type Static } from 'typebox';
import { Cidr, closed, Id, LocalPath, Ms, SecretPlace, SecretPlaces, word } from './fields.ts';

const Port = (description: string, fallback?: number) =>
  Type.Integer({ minimum: 0, maximum: 65_535, description, ...(fallback === undefined ? {} : { default: fallback }) });

export const ListenerConfig = closed(
  {
    id: Id('Name of the listener.'),
    address: Type.String({ default: '0.0.0.0', maxLength: 64, description: 'Address to listen on.' }),
    port: Port('Port to listen on; 0 = any free one.'),
    tls: Type.Optional(
      closed(
        {
          certificateFile: LocalPath('PEM: certificate, then intermediates.'),
          keyFile: LocalPath('PEM: private key.'),
          minVersion: word(['1.2', '1.3'], 'Lowest TLS version.', '1.2'),
        },
        'TLS; without it the listener speaks plain HTTP.',
      ),
    ),
    forwardedFrom: Type.Array(Cidr, {
      default: [],
      maxItems: 256,
      description: 'Proxies in front whose X-Forwarded-For is believed on this listener.',
    }),
  },
  'Where the gateway listens.',
);

export const RegistryConfig = closed(
  {
    usernameFrom: Type.Optional(SecretPlace('User name')),
    passwordFrom: Type.Optional(SecretPlace('Password')),
    insecure: Type.Boolean({ default: false, description: 'Plain HTTP to a registry that is not on loopback.' }),
    caFile: Type.Optional(LocalPath('PEM of a private certificate authority.')),
  },
  'How to speak with the registry.',
);

export const BootstrapConfig = closed(
  {
    listeners: Type.Array(ListenerConfig, { minItems: 1, maxItems: 16, description: 'Where traffic comes in.' }),
    bundle: closed(
      {
        source: Type.String({
          minLength: 1,
          maxLength: 1_024,
          description: '`oci:<directory>[:tag]` or `registry.example/repo:tag`.',
        }),
        pollMs: Ms('Time between polls, ± 20 %.', 5_000, 3_600_000, 30_000),
        registry: Type.Optional(RegistryConfig),
      },
      'Where bundles come from.',
    ),
    trustFile: LocalPath('The trust policy.'),
    stateDir: LocalPath('Where verified bundles and state are kept; created if absent.'),
    probes: closed(
      {
        address: Type.String({ default: '0.0.0.0', maxLength: 64, description: 'Address.' }),
        port: Port('Port of /healthz, /readyz and /metrics.', 9901),
      },
      'Probe listener.',
      {},
    ),
    admin: closed(
      {
        address: Type.String({
          default: '127.0.0.1',
          maxLength: 64,
          description: 'Address; beyond loopback a token is required.',
        }),
        port: Port('Port of /v1/….', 9902),
        tokenFile: Type.Optional(LocalPath('File with the bearer token that the admin listener asks for.')),
      },
      'Admin listener.',
      {},
    ),
    lanes: Type.Integer({
      minimum: 0,
      maximum: 64,
      default: 0,
      description: 'Threads that serve traffic; 0 = one per core.',
    }),
    wafThreads: Type.Integer({
      minimum: 1,
      maximum: 16,
      default: 1,
      description: 'Threads for WAF matching of what is too long for a lane.',
    }),
    exchangesMax: Type.Integer({
      minimum: 16,
      maximum: 262_144,
      default: 16_384,
      description: 'Requests at once per lane; beyond it 503.',
    }),
    limitBuckets: Type.Integer({
      minimum: 1_024,
      maximum: 67_108_864,
      default: 1_048_576,
      description: 'Buckets of the limit table, 16 bytes each.',
    }),
    recordSlots: Type.Integer({
      minimum: 64,
      maximum: 1_048_576,
      default: 8_192,
      description: 'Decision records kept per lane for explain.',
    }),
    secrets: SecretPlaces,
    drainDelayMs: Ms('After SIGTERM: not ready, but still accepting.', 0, 600_000, 5_000),
    drainDeadlineMs: Ms('After that: time for open requests.', 0, 3_600_000, 30_000),
    accessLog: word(['stdout', 'off'], 'Where the access log goes.', 'stdout'),
    allowFaults: Type.Boolean({ default: false, description: 'For tests: the admin listener may make a lane throw.' }),
  },
  'The bootstrap.',
);
export type BootstrapConfig = Static<typeof BootstrapConfig>;
