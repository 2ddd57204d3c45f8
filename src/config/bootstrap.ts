/** The bootstrap: what a gateway must know before it has a bundle. Local; all paths are relative to its file. */
import Type, { type Static } from 'typebox';
import { GuardrailConfig } from './guardrail.ts';
import { OverloadConfig } from './overload.ts';
import { RolloutConfig } from './rollout.ts';
import { WebhooksConfig } from './webhook.ts';
import { Bytes, Cidr, closed, Id, Labels, LocalPath, Ms, SecretPlace, SecretPlaces, word } from './fields.ts';

const Port = (description: string, fallback?: number) =>
  Type.Integer({ minimum: 0, maximum: 65_535, description, ...(fallback === undefined ? {} : { default: fallback }) });

/** Certificates of one listener; each costs a key in memory and a place in the table of names. */
const CERTIFICATES_MAX = 1_000;

/** Cipher suites that there are, by their IANA names. */
const CIPHER_SUITES = [
  'TLS_AES_256_GCM_SHA384',
  'TLS_AES_128_GCM_SHA256',
  'TLS_CHACHA20_POLY1305_SHA256',
  'TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384',
  'TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256',
  'TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256',
  'TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384',
  'TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256',
  'TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256',
] as const;

export const CertificateConfig = closed(
  {
    certificateFile: LocalPath('PEM: certificate, then intermediates.'),
    keyFile: LocalPath('PEM: private key.'),
    ocspFile: Type.Optional(LocalPath('DER: OCSP response that is stapled to the handshake (RFC 6066).')),
    names: Type.Array(
      Type.String({
        pattern: '^(\\*\\.)?[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*$',
        maxLength: 253,
        description: 'Server name, or `*.` and a domain.',
        examples: ['shop.example.com', '*.example.com'],
      }),
      {
        default: [],
        maxItems: 256,
        description: 'Server names (SNI) that choose this certificate; those that it holds unless given.',
      },
    ),
  },
  'A certificate with its key.',
);

export const ClientCertificatesConfig = closed(
  {
    mode: word(
      ['off', 'optional', 'required'],
      'off = clients are asked for none; optional = asked, and served without one; required = not served without one. One that cannot be verified is never served.',
      'required',
    ),
    caFile: Type.Optional(LocalPath('PEM: the authorities that are believed.')),
  },
  'Certificates of clients (mutual TLS).',
);

export const ListenerTlsConfig = closed(
  {
    certificateFile: Type.Optional(
      LocalPath('PEM: certificate, then intermediates. For one certificate; several are listed under `certificates`.'),
    ),
    keyFile: Type.Optional(LocalPath('PEM: private key.')),
    certificates: Type.Optional(
      Type.Array(CertificateConfig, {
        minItems: 1,
        maxItems: CERTIFICATES_MAX,
        description:
          'Certificates, chosen by the server name that the client asks for (SNI); the first serves clients that name none, or an unknown one.',
      }),
    ),
    minVersion: word(['1.2', '1.3'], 'Lowest TLS version.', '1.2'),
    cipherSuites: Type.Array(word([...CIPHER_SUITES], 'Cipher suite, by its IANA name.'), {
      default: [],
      maxItems: CIPHER_SUITES.length,
      description:
        'Cipher suites in order of preference; of a TLS version that none of them belongs to, all are offered. Empty: all of them, AES-128 first; for clients that put ChaCha20 first, in their order.',
    }),
    clientCertificates: Type.Optional(ClientCertificatesConfig),
  },
  'TLS; without it the listener speaks plain HTTP. Changed files are taken while it runs, without dropping connections.',
);
export type ListenerTlsConfig = Static<typeof ListenerTlsConfig>;
export type CertificateConfig = Static<typeof CertificateConfig>;

/** The certificates of a listener, in whichever of the two ways they are written. */
export function certificatesOf(tls: ListenerTlsConfig): readonly CertificateConfig[] {
  const { certificateFile, keyFile } = tls;
  if (certificateFile === undefined || keyFile === undefined) return tls.certificates ?? [];
  return [{ certificateFile, keyFile, names: [] }];
}

export const ListenerConfig = closed(
  {
    id: Id('Name of the listener.'),
    address: Type.String({ default: '0.0.0.0', maxLength: 64, description: 'IP address to listen on.' }),
    port: Port('Port to listen on; 0 = any free one.'),
    tls: Type.Optional(ListenerTlsConfig),
    http2: Type.Optional(
      Type.Boolean({
        description:
          'Speak HTTP/2: with TLS by ALPN, without by prior knowledge (h2c). Unless given: with TLS yes; without no, for a proxy in front that does not know h2c would pass it on unexamined.',
      }),
    ),
    proxyProtocolFrom: Type.Array(Cidr, {
      default: [],
      maxItems: 256,
      description:
        'Load balancers in front whose connections begin with a PROXY header (v1 or v2), which tells the address of the client; connections from elsewhere have none.',
    }),
    forwardedFrom: Type.Array(Cidr, {
      default: [],
      maxItems: 256,
      description: 'Proxies in front whose X-Forwarded-For is believed on this listener.',
    }),
  },
  'Where the gateway listens.',
);
export type ListenerConfig = Static<typeof ListenerConfig>;

export const DownstreamConfig = closed(
  {
    connectionsMax: Type.Integer({
      minimum: 16,
      maximum: 1_048_576,
      default: 65_536,
      description: 'Connections open at once in each lane; new ones beyond it are closed.',
    }),
    connectionsPerAddressMax: Type.Integer({
      minimum: 1,
      maximum: 1_048_576,
      default: 65_536,
      description: 'Of these from one client address (IPv6: one /64).',
    }),
    handshakeTimeoutMs: Ms('From accept to the end of the TLS handshake.', 100, 600_000, 10_000),
    headTimeoutMs: Ms("From a request head's first byte to its end.", 100, 600_000, 10_000),
    idleTimeoutMs: Ms('Between two requests of a connection.', 100, 86_400_000, 60_000),
    writeTimeoutMs: Ms(
      'For a client that takes nothing of what waits for it (of HTTP/2: less than bodyRateMin).',
      100,
      3_600_000,
      30_000,
    ),
    bodyRateMin: Type.Integer({
      minimum: 0,
      maximum: 1_073_741_824,
      default: 128,
      description:
        'Slowest request body, judged over 10 s, but for gRPC calls to HTTP/2 endpoints; 0 = none is too slow. Unit: bytes per second.',
    }),
  },
  'Bounds and deadlines of connections from clients.',
  {},
);

export const DnsConfig = closed(
  {
    servers: Type.Array(
      Type.String({
        pattern: '^([0-9.]+(:[0-9]{1,5})?|[0-9A-Fa-f:]+|\\[[0-9A-Fa-f:]+\\](:[0-9]{1,5})?)$',
        maxLength: 64,
        description: 'Address of a server, with its port unless it is 53.',
        examples: ['10.0.0.2', '10.0.0.2:5353', '[fd00::2]:53'],
      }),
      {
        default: [],
        maxItems: 8,
        description: 'Servers that are asked for the names of endpoints, in turn; those of this machine unless given.',
      },
    ),
    timeoutMs: Ms('For the first try of a server; later ones wait longer.', 50, 60_000, 2_000),
    tries: Type.Integer({ minimum: 1, maximum: 10, default: 2, description: 'Tries of each server.' }),
    ttlMinMs: Ms('A name is asked for again no sooner than this, whatever its TTL.', 100, 3_600_000, 1_000),
    ttlMaxMs: Ms('And no later.', 1_000, 86_400_000, 300_000),
    negativeHoldMs: Ms(
      'A name that servers say to be gone (NXDOMAIN, or without addresses) keeps its endpoints so long.',
      0,
      86_400_000,
      30_000,
    ),
  },
  'How names of endpoints are resolved.',
  {},
);
export type DnsConfig = Static<typeof DnsConfig>;

export const RegistryConfig = closed(
  {
    usernameFrom: Type.Optional(SecretPlace('User name')),
    passwordFrom: Type.Optional(SecretPlace('Password')),
    dockerConfigFile: Type.Optional(
      LocalPath("Docker's `config.json` with user names and passwords by registry; read anew when it is needed."),
    ),
    tokenHosts: Type.Array(
      Type.String({
        pattern: '^[A-Za-z0-9.-]{1,253}(:[0-9]{1,5})?$',
        description: 'Host, with its port unless it is the default one.',
        examples: ['auth.registry.example'],
      }),
      {
        default: [],
        maxItems: 8,
        description: "Hosts besides the registry's own that may be sent the password for a token.",
      },
    ),
    proxy: Type.Optional(
      Type.String({
        pattern: '^(none|https?://[^\\s]+)$',
        maxLength: 1_024,
        description:
          'HTTP proxy for everything but this machine itself; `none` = no proxy. Unless given: HTTPS_PROXY and NO_PROXY of the environment.',
        examples: ['http://proxy.example:3128', 'none'],
      }),
    ),
    insecure: Type.Boolean({ default: false, description: 'Plain HTTP to a registry that is not on loopback.' }),
    caFile: Type.Optional(LocalPath('PEM of a private certificate authority.')),
  },
  'How to speak with the registry.',
);
export type RegistryConfig = Static<typeof RegistryConfig>;

const BundleSource = Type.String({
  minLength: 1,
  maxLength: 1_024,
  description: '`oci:<directory>[:tag]` or `registry.example/repo:tag`.',
});

export const MirrorConfig = closed(
  { source: BundleSource, registry: Type.Optional(RegistryConfig) },
  'Another place that holds the same bundles.',
);

export const BootstrapConfig = closed(
  {
    listeners: Type.Array(ListenerConfig, { minItems: 1, maxItems: 16, description: 'Where traffic comes in.' }),
    bundle: closed(
      {
        source: BundleSource,
        mirrors: Type.Array(MirrorConfig, {
          default: [],
          maxItems: 4,
          description:
            'Places that are asked in turn while the source does not answer. What they say is verified like everything else; only newer bundles are taken from them.',
        }),
        seed: Type.Optional(
          LocalPath(
            '`oci:<directory>[:tag]`: a signed bundle, for example in the image, to start with where nothing is kept and no source answers.',
          ),
        ),
        silentAfterMs: Ms(
          'Without an answer of any source for so long the gateway is called stale; it serves on.',
          60_000,
          86_400_000,
          600_000,
        ),
        pollMs: Ms('Time between polls, ± 20 %.', 5_000, 3_600_000, 30_000),
        registry: Type.Optional(RegistryConfig),
        guardrail: Type.Optional(GuardrailConfig),
      },
      'Where bundles come from.',
    ),
    gateway: closed(
      {
        id: Type.Optional(
          Type.String({
            pattern: '^[A-Za-z0-9]([A-Za-z0-9._:-]{0,126}[A-Za-z0-9])?$',
            description:
              'Name of this gateway, unlike that of any other: its place in the order in which a channel index shows a bundle to gateways. The host name unless given.',
            examples: ['edge-eu-1'],
          }),
        ),
        labels: Labels(
          'What it is, such as region or cell: bundles and channel indexes select by labels. Those of the trust policy come first; `zone` is one too.',
        ),
      },
      'What this gateway is among others.',
      {},
    ),
    rollout: RolloutConfig,
    webhooks: WebhooksConfig,
    trustFile: LocalPath('The trust policy.'),
    stateDir: LocalPath('Where verified bundles and state are kept; created if absent.'),
    probes: closed(
      {
        address: Type.String({ default: '0.0.0.0', maxLength: 64, description: 'IP address, or localhost.' }),
        port: Port('Port of /healthz, /readyz, /metrics and /scaling.', 9901),
      },
      'Probe listener.',
      {},
    ),
    admin: closed(
      {
        address: Type.String({
          default: '127.0.0.1',
          maxLength: 64,
          description: 'IP address, or localhost; beyond loopback a token is required.',
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
    transport: word(
      ['native', 'uws'],
      'What moves the bytes: native = the engine of this gateway; uws = uWebSockets.js and undici, without HTTP/2, client certificates and PROXY headers.',
      'native',
    ),
    downstream: DownstreamConfig,
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
    overload: OverloadConfig,
    cache: closed(
      {
        bytesMax: Bytes('Answers that each lane stores, all routes together.', 1_048_576, 17_179_869_184, 67_108_864),
        entriesMax: Type.Integer({
          minimum: 16,
          maximum: 4_194_304,
          default: 16_384,
          description: 'Addresses of which each lane stores answers.',
        }),
      },
      'Memory of the response cache. Routes say whether they use it.',
      {},
    ),
    recordSlots: Type.Integer({
      minimum: 64,
      maximum: 1_048_576,
      default: 8_192,
      description: 'Decision records kept per lane for explain.',
    }),
    secrets: SecretPlaces,
    endpointFiles: Type.Record(Type.String(), LocalPath('The file; YAML or JSON.'), {
      default: {},
      description:
        'Name that a cell may use → endpoints file on this machine. It is looked at all the time; changes need no bundle.',
    }),
    dns: DnsConfig,
    countryFile: Type.Optional(
      LocalPath('MaxMind DB (MMDB) that tells the country of an address; taken anew when it is replaced.'),
    ),
    zone: Type.String({
      default: '',
      maxLength: 64,
      description: 'Where this gateway stands: endpoints of the same zone come first.',
      examples: ['eu-central-1a'],
    }),
    drainDelayMs: Ms('After SIGTERM: not ready, but still accepting.', 0, 600_000, 5_000),
    drainDeadlineMs: Ms('After that: time for open requests.', 0, 3_600_000, 30_000),
    accessLog: word(['stdout', 'off'], 'Where the access log goes.', 'stdout'),
    allowFaults: Type.Boolean({
      default: false,
      description: 'For tests: the admin listener may make a lane throw and hold up the control thread.',
    }),
  },
  'The bootstrap.',
);
export type BootstrapConfig = Static<typeof BootstrapConfig>;
