/**
 * The compiled configuration: what control makes once and every lane shares. Immutable; replaced whole by one reference; numbered
 * by revision. Everything in here can be structured-cloned; what is large is a handle (native registry), a `SharedArrayBuffer` or a
 * `WebAssembly.Module`, so that a lane activates it without compiling anything.
 */
import type {
  CorsPlan,
  DirectPlan,
  FilesPlan,
  FileTable,
  PagePlan,
  PathChange,
  RedirectParts,
} from './respond-plans.ts';
import type { MadeEdits, TextPart } from './variables.ts';

import type { BalancePlan } from './balance.ts';
import type { CellGuards, RetryPlan } from './guards.ts';

/** Handle of something in the addon's process-wide registry. */
export type NativeHandle = number;

export interface Snapshot {
  /** Grows by one with every activation of this process. */
  readonly revision: number;
  /** Digest of the bundle's manifest, `sha256:…`. */
  readonly digest: string;
  /** The release's sequence number. */
  readonly seq: number;
  /** Native router over `routes`, by index. */
  readonly router: NativeHandle;
  /** Expressions that rewrite paths; 0 = none. */
  readonly rewrites: NativeHandle;
  readonly routes: RouteTable;
  /** Files that routes answer with; absent: none. */
  readonly files?: FileTable;
  /** Pages in the place of refusals, by index; absent: none. */
  readonly pages?: readonly PagePlan[];
  /** Those for requests of no route. */
  readonly pagesOfNoRoute?: readonly number[];
  /** Native WAF program; -1 when the bundle has no rules. */
  readonly waf: NativeHandle;
  readonly wafLimits: WafLimits;
  readonly issuers: readonly IssuerPlan[];
  readonly limits: readonly LimitPlan[];
  readonly policies: readonly PolicyPlan[];
  readonly cells: readonly CellPlan[];
  /** All endpoints of all cells; `CellPlan.endpoints` indexes it. Where some are discovered: those of the moment when the snapshot was made. */
  readonly endpoints: readonly EndpointPlan[];
  readonly ring: RingPlan;
  /** Tenant id → cell index, explicit pins. */
  readonly pins: ReadonlyMap<string, number>;
  /** Where tenants may be served; absent: anywhere. */
  readonly regions?: RegionPlan;
  /** What the services depend on; absent: nothing is declared. */
  readonly degradation?: DegradationPlan;
  readonly trust: AddressTrust;
  readonly observe: ObservePlan;
}

/**
 * Routes as JSON texts in shared memory: a lane reads a route when it first serves it, so activating many thousand costs nothing.
 * Route `i` is the bytes `offsets[i] .. offsets[i+1]`, UTF-8.
 */
export interface RouteTable {
  readonly count: number;
  readonly text: SharedArrayBuffer;
  /** Uint32 × (count + 1). */
  readonly offsets: SharedArrayBuffer;
  /** Uint32 for each entry of the native router: index of its route. A route has an entry for each of its hosts. */
  readonly entries: SharedArrayBuffer;
}

export interface RoutePlan {
  readonly id: string;
  readonly index: number;
  /** Methods without a code that it takes, by name; absent: all of them. */
  readonly otherMethods?: readonly string[];
  /** Predicates beyond host, path and method; all must hold. */
  readonly headers: readonly HeaderPredicate[];
  /** Public routes ask for no token; `reason` says why. */
  readonly public: boolean;
  /** Indices into `issuers`, tried by the token's `iss`. */
  readonly issuers: readonly number[];
  /** Index into `policies`, or -1 (public routes only). */
  readonly policy: number;
  /** Entrypoint of the policy, as an index into `PolicyPlan.entrypoints`. */
  readonly entrypoint: number;
  /** Indices into `limits` whose keys need no identity. */
  readonly admit: readonly number[];
  /** Indices into `limits` whose keys need an identity. */
  readonly limit: readonly number[];
  readonly waf: WafRoutePlan;
  readonly tenant: TenantSource | null;
  /** Fixed cell by index, or -1: split, pin, else the ring. */
  readonly cell: number;
  /** Its requests go to one of several cells. */
  readonly split?: SplitPlan;
  /** A share of its requests is also sent elsewhere. */
  readonly mirror?: MirrorPlan;
  readonly respond: RespondPlan;
  /** Answers are stored and used again; absent: not. */
  readonly cache?: CachePlan;
  /** Answers are compressed for clients that ask for it; absent: not. */
  readonly compress?: CompressPlan;
  readonly forward: ForwardLimits;
  /** Importance under overload; absent: class `default`. */
  readonly priority?: PriorityPlan;
  /** WebSocket handshakes are relayed. */
  readonly websocket: boolean;
  /** The endpoint is told of the client certificate in X-Forwarded-Client-Cert. */
  readonly forwardClientCertificate: boolean;
}

/** Importance of a route's requests under overload. */
export interface PriorityPlan {
  /** 0 critical, 1 default, 2 sheddable. */
  readonly class: number;
  /** Field by which a request may have a lower class, lower-case; `''` = none. */
  readonly header: string;
}

export interface HeaderPredicate {
  /** Lower-case. */
  readonly name: string;
  /** Exact value; null: presence is enough. */
  readonly value: string | null;
  /** The predicate must not hold. */
  readonly not: boolean;
}

export type TenantSource =
  | { readonly from: 'claim'; readonly name: string }
  | { readonly from: 'header'; readonly name: string }
  /** Label of the host, 0 = leftmost. */
  | { readonly from: 'host'; readonly label: number }
  /** Segment of the path, 0 = first. */
  | { readonly from: 'path'; readonly segment: number }
  | { readonly from: 'sni'; readonly label: number }
  | { readonly from: 'fixed'; readonly name: string };

export interface WafRoutePlan {
  readonly mode: 'off' | 'detect' | 'block';
  /** Native profile (mode, exclusions, thresholds, budget); -1 when off. */
  readonly profile: NativeHandle;
  /** Bytes of the body that are inspected; 0 = the head only. */
  readonly bodyBytes: number;
  /** What happens to a body longer than `bodyBytes`: refused, or its beginning inspected and the rest passed. */
  readonly beyond: 'refuse' | 'partial';
  /** What happens to a body with Content-Encoding: refused, decoded for inspection in the pool, or passed with only the head inspected. */
  readonly coded: 'refuse' | 'decode' | 'pass';
  /** What happens to a request whose budget ends before all rules have run: refused, or passed and recorded. */
  readonly exhausted: 'block' | 'log';
  /** What happens when the pool's queue is full: refused, or matched in the lane. */
  readonly queueFull: 'refuse' | 'lane';
  /** Share of requests found in detect mode whose matches are recorded, 0 … 1. */
  readonly detectSample: number;
  /** Inspection of answers; null = none. */
  readonly answer: WafAnswerPlan | null;
}

/** How much of an answer is inspected. */
export interface WafAnswerPlan {
  /** Bytes of the body that are held back and inspected; 0 = the head only. */
  readonly bodyBytes: number;
  /** What happens to a longer body: passed after its beginning was inspected, or the answer refused. */
  readonly beyond: 'pass' | 'refuse';
  /** What happens to a body with Content-Encoding, although it was asked for without: rules see it decoded, or it is refused, or passed with its head inspected. */
  readonly coded: 'decode' | 'refuse' | 'pass';
  /** Media types whose bodies are inspected, lower-case, without parameters; `text/*` is all of a kind. */
  readonly types: readonly string[];
}

export interface WafLimits {
  /** Packed requests up to this many bytes are matched in the lane; longer ones in the pool. */
  readonly laneBytesMax: number;
  /** Some rule reads what TLS handshakes told, so that requests are packed with it. */
  readonly readsTls: boolean;
}

export interface ForwardLimits {
  readonly connectTimeoutMs: number;
  readonly headTimeoutMs: number;
  readonly idleTimeoutMs: number;
  readonly bodyBytesMax: number;
  /** Further attempts on another endpoint when the request can safely be sent again: 0 … 5. */
  readonly retries: number;
  /** When; absent: after failed and reset connections. */
  readonly retry?: RetryPlan;
  /** From the request's head to the end of its answer, all attempts together, ms; absent or 0 = none. */
  readonly totalTimeoutMs?: number;
}

export interface RespondPlan extends PathChange {
  /** Answered instead of being forwarded. */
  readonly redirect: RedirectPlan | null;
  /** Host of the upstream request, made for each request when it has parts; `null` keeps the client's. */
  readonly host: string | readonly TextPart[] | null;
  readonly request: HeaderEdits;
  readonly answer: HeaderEdits;
  /** Further edits, whose values are made for each request; null = none. */
  readonly cors: CorsPlan | null;
  /** The gateway answers by itself. */
  readonly direct: DirectPlan | null;
  readonly files: FilesPlan | null;
  /** Indices of pages in the place of refusals, those that come first first. */
  readonly pages: readonly number[];
  readonly requestMade: MadeEdits | null;
  readonly answerMade: MadeEdits | null;
  /** Value of `Strict-Transport-Security` (RFC 6797), sent over TLS only; `''` = none. */
  readonly strictTransport: string;
  /** A stage looks at the upstream's answer before it goes on. Costs a call of JavaScript an answer. */
  readonly showAnswer: boolean;
}

/** A share of a route's requests is copied to another cell. */
export interface MirrorPlan {
  /** Index into `Snapshot.cells`. */
  readonly cell: number;
  /** 0 … 1. */
  readonly share: number;
  readonly methods: readonly string[];
  /** Of requests. */
  readonly bodyBytesMax: number;
  /** Lower-case. */
  readonly compareHeaders: readonly string[];
  /** Longest body of an answer that is compared; 0 = none is. */
  readonly compareBodyBytesMax: number;
  readonly timeoutMs: number;
}

/** Requests of a route among several cells. */
export interface SplitPlan {
  /** What is hashed: the first that a request has. */
  readonly by: readonly SplitKey[];
  readonly seeds: readonly [number, number];
  readonly arms: readonly SplitArm[];
}

export type SplitKey =
  | { readonly from: 'tenant' | 'address' }
  | { readonly from: 'cookie'; readonly name: string }
  /** Lower-case. */
  | { readonly from: 'header'; readonly name: string };

export interface SplitArm {
  /** Index into `Snapshot.cells`. */
  readonly cell: number;
  /** End of its part of the scale 0 … 2^32; it begins where the one before ends. 0: no part of it. */
  readonly below: number;
  /** Any that holds sends a request here. */
  readonly when: readonly SplitMatch[];
}

export interface SplitMatch {
  readonly from: 'header' | 'cookie' | 'country';
  /** Of `country`: ISO codes, any of them. */
  readonly countries?: readonly string[];
  /** Header names are lower-case. */
  readonly name: string;
  /** Null: presence is enough. */
  readonly value: string | null;
}

/** The response cache of a route (RFC 9111). */
export interface CachePlan {
  /** Longest body that is stored. */
  readonly bodyBytesMax: number;
  /** For answers that do not say themselves. */
  readonly staleWhileRevalidateMs: number;
  readonly staleIfErrorMs: number;
  /** Answers that set cookies are not stored, stored without the cookie, or stored as they are. */
  readonly setCookie: 'skip' | 'strip' | 'store';
  /** Cache-Control of requests counts. */
  readonly requestDirectives: boolean;
  /** How long a request waits for another's fetch; 0 = not. */
  readonly collapseTimeoutMs: number;
}

/** Compression of a route's answers. */
export interface CompressPlan {
  /** Says all of it: plans with equal keys are equal. */
  readonly key: string;
  /** In order of preference among those that a client takes equally gladly. */
  readonly algorithms: readonly ('gzip' | 'br' | 'zstd')[];
  /** Media types in lower case: `text/html`, `text/*`, `*+json`. */
  readonly types: readonly string[];
  /** Shorter bodies stay as they are, bytes. */
  readonly bytesMin: number;
  readonly levels: { readonly gzip: number; readonly br: number; readonly zstd: number };
}

export interface RedirectPlan {
  readonly status: number;
  /** `https` changes the scheme and keeps the rest; otherwise a literal location, or what changes of the client's address. */
  readonly to: 'https' | { readonly location: string } | RedirectParts;
  /** Port of the `https` location; 443 is left out of it. */
  readonly httpsPort: number;
}

/** Flat name, value, name, value …; names lower-case. */
export interface HeaderEdits {
  readonly set: readonly string[];
  readonly add: readonly string[];
  readonly remove: readonly string[];
  /** Of answers only: set unless the upstream says it. */
  readonly absent?: readonly string[];
  /** Of answers only: added to the list that the field holds. */
  readonly append?: readonly string[];
}

export interface IssuerPlan {
  readonly id: string;
  /** Value of `iss`. */
  readonly issuer: string;
  readonly audiences: readonly string[];
  /** Pinned algorithms, e.g. `ES256`. */
  readonly algorithms: readonly string[];
  readonly clockSkewSeconds: number;
  /** Longest accepted token, bytes. */
  readonly tokenBytesMax: number;
  /** Claims that must be present. */
  readonly requiredClaims: readonly string[];
  /** Claim → request header for the upstream; client-sent copies are always removed. Flat claim, header, … */
  readonly claimHeaders: readonly string[];
  /** Claim (dots descend) that holds the roles for policies. */
  readonly rolesClaim: string;
  /** Inline keys (JWKS as JSON text), or null when they come from `jwksUrl`. */
  readonly jwks: string | null;
  /** Control fetches it and publishes keys to the lanes by message. */
  readonly jwksUrl: string | null;
  readonly jwksRefreshMs: number;
  /** At most one refetch for an unknown `kid` in this time. */
  readonly jwksCooldownMs: number;
}

/** One part of a limit's key. */
export type LimitKeyPart =
  | { readonly from: 'address' }
  | { readonly from: 'tenant' }
  | { readonly from: 'route' }
  | { readonly from: 'host' }
  /** Fingerprint of the TLS client. */
  | { readonly from: 'ja4' }
  /** SHA-256 of the client certificate. */
  | { readonly from: 'certificate' }
  | { readonly from: 'claim'; readonly name: string }
  | { readonly from: 'header'; readonly name: string };

export interface LimitPlan {
  readonly id: string;
  /** Stable identity: buckets outlive snapshots by it. 32-bit hash of the id. */
  readonly identity: number;
  readonly key: readonly LimitKeyPart[];
  /** Requests in `windowMs`, evenly spaced (GCRA), with `burst` at once. */
  readonly requests: number;
  readonly windowMs: number;
  readonly burst: number;
  /** `detect` counts and never refuses. */
  readonly mode: 'enforce' | 'detect';
}

/** A policy that has been inspected and tried; what `PolicyEvaluator` takes. */
export interface PolicyPlan {
  readonly name: string;
  readonly module: WebAssembly.Module;
  /** JSON text of the data document. */
  readonly data: string;
  readonly entrypoints: readonly string[];
  /** Fields of the projected input. */
  readonly input: readonly string[];
  /** The same input always gives the same decision: it may be cached. */
  readonly pure: boolean;
  /** Decisions kept per lane when pure. */
  readonly cacheEntries: number;
  /** Unit: pages of 64 KiB. */
  readonly memoryPagesMax: number;
  /** Patterns are literals and few, so compiled ones may be kept between evaluations. */
  readonly literalPatterns: boolean;
  /** SHA-256 of the module, hex. */
  readonly digest: string;
}

/** Bits of regions, see regions.ts. */
export interface RegionPlan {
  /** Tenant id → its regions. */
  readonly tenants: ReadonlyMap<string, number>;
  /** Of tenants that are not among them. */
  readonly others: number;
}

export interface CellPlan {
  readonly id: string;
  readonly region: string;
  /** The bit of its region; absent: none, so that nobody who is kept to regions gets here. */
  readonly regionBit?: number;
  /** Index of the cell that takes over when this one cannot be used; absent: none does. */
  readonly standby?: number;
  /** Indices into `Snapshot.endpoints`. */
  readonly endpoints: readonly number[];
  readonly health: HealthPlan;
  readonly probe: ProbePlan | null;
  /** Absent: nothing is bounded and nothing opens. */
  readonly guards?: CellGuards;
  /** Absent: by health and free capacity, and nothing else. */
  readonly balance?: BalancePlan;
}

export interface HealthPlan {
  /** Weight of the newest second in the moving average, 0 … 1. */
  readonly alpha: number;
  readonly latencyGoodMs: number;
  readonly latencyBadMs: number;
  /** Share of failed requests at which the error score is 0. */
  readonly errorBad: number;
}

export interface ProbePlan {
  readonly path: string;
  readonly intervalMs: number;
  readonly timeoutMs: number;
  /** Failures in a row that eject, successes in a row that admit. */
  readonly failures: number;
  readonly successes: number;
}

export interface EndpointPlan {
  /** Row in the shared endpoint columns; stable for an identity over snapshots. */
  readonly slot: number;
  /** `cell/host:port`, or `cell/name/host:port` of what a name led to: identity of pools, health and in-flight counts. */
  readonly identity: string;
  readonly cell: number;
  readonly host: string;
  readonly port: number;
  readonly tls: EndpointTls | null;
  /** Requests at once that it is built for: the capacity of the balancing weight. */
  readonly capacity: number;
  /** Connections per lane. */
  readonly connectionsMax: number;
  /** Requests of a lane that wait for one; absent: the transport's own bound. */
  readonly pendingMax?: number;
  /** HTTP/2 rather than HTTP/1.1: by ALPN under TLS, by prior knowledge without (RFC 9113 §3). */
  readonly http2: boolean;
  /** Its share beside the others, for algorithms that go by weight; absent: 1. */
  readonly weight?: number;
  /** Where it stands; absent or empty: nobody said. */
  readonly zone?: string;
  /** Those of the lowest number come first; absent: 0. */
  readonly priority?: number;
  /** Host that it is sent unless the route sets one; absent or empty: the client's. */
  readonly authority?: string;
  /** Epoch ms since when it is known; absent or 0: for ever. */
  readonly since?: number;
  /** Value of the cookie that binds clients to it; absent or empty: none. */
  readonly cookie?: string;
}

export interface EndpointTls {
  readonly serverName: string;
  /** PEM; null = the system's roots. */
  readonly ca: string | null;
  /** Who we say we are when asked; absent: nobody. */
  readonly identity?: TlsIdentity;
}

/** A certificate with its key, for the client side. */
export interface TlsIdentity {
  /** PEM: certificate, then intermediates. */
  readonly chain: string;
  /** PEM. */
  readonly key: string;
}

/** SHA-256 ring: sorted 64-bit positions and the cell at each. */
export interface RingPlan {
  /** BigUint64 × n, ascending. */
  readonly positions: SharedArrayBuffer;
  /** Uint16 × n. */
  readonly cells: SharedArrayBuffer;
  readonly count: number;
}

export interface DegradationPlan {
  readonly dependencies: readonly DependencyPlan[];
  /** How long it must be seen down to count so, and up. */
  readonly downAfterMs: number;
  readonly upAfterMs: number;
  readonly retryAfterSeconds: number;
}

export interface DependencyPlan {
  readonly name: string;
  /** What it is for. */
  readonly for: string;
  readonly critical: boolean;
  /** `of`: an issuer's or a cell's id, host and port, or one of the gateway's own parts. */
  readonly watch: { readonly kind: 'issuer' | 'cell' | 'address' | 'part'; readonly of: string };
}

export interface AddressTrust {
  /** CIDRs whose `X-Forwarded-For` is believed. */
  readonly forwardedFrom: readonly string[];
}

export interface ObservePlan {
  /** Share of answered requests that get an access-log line, 0 … 1; refusals always do. */
  readonly accessLogSample: number;
  /** Query parameters whose values are masked, lower-case. */
  readonly maskedQuery: readonly string[];
}

/** Where a lane listens. Comes from the bootstrap, not from a bundle. */
export interface ListenerPlan {
  readonly id: string;
  readonly address: string;
  readonly port: number;
  readonly tls: ListenerTls | null;
  /** HTTP/2 is spoken: by ALPN under TLS, by prior knowledge without. */
  readonly http2: boolean;
  /** Networks whose connections begin with a PROXY header, v1 or v2 (CIDRs); those from elsewhere have none. */
  readonly proxyProtocolFrom: readonly string[];
  /** Proxies in front whose forwarding headers are believed (CIDRs). */
  readonly forwardedFrom: readonly string[];
}

/** TLS of a listener; replaced whole when its files change (message `tls`). */
export interface ListenerTls {
  /** Files of the first certificate: for transports that read files themselves, and for messages. */
  readonly certificateFile: string;
  readonly keyFile: string;
  readonly minVersion: '1.2' | '1.3';
  /**
   * As control read them, so that all lanes have the same, at a restart too. The first serves clients that name no server, or an unknown one. Absent: the files
   * above are read by the transport.
   */
  readonly certificates?: readonly ListenerCertificate[];
  /** IANA names in order of preference; absent or empty: the provider's own. */
  readonly cipherSuites?: readonly string[];
  /** Absent: clients are asked for none. */
  readonly clientCertificates?: ClientCertificates;
}

export interface ListenerCertificate {
  /** For messages. */
  readonly certificateFile: string;
  readonly keyFile: string;
  /** PEM: certificate, then intermediates. */
  readonly chainPem: Uint8Array;
  readonly keyPem: Uint8Array;
  /** OCSP response to staple (RFC 6066 §8), DER; null = none. */
  readonly ocspDer: Uint8Array | null;
  /** Server names that choose it; empty: those of the certificate. */
  readonly names: readonly string[];
}

export interface ClientCertificates {
  /** `optional`: a client without one is served too; one that cannot be verified never is. */
  readonly mode: 'optional' | 'required';
  /** For messages. */
  readonly caFile: string;
  /** PEM of the authorities that are believed. */
  readonly caPem: Uint8Array;
}

/** Bounds and deadlines of a lane's downstream connections. Comes from the bootstrap. */
export interface DownstreamPlan {
  /** Connections open at once in a lane, and of these from one client address (IPv6: one /64). */
  readonly connectionsMax: number;
  readonly connectionsPerAddressMax: number;
  /** From accept to the end of the TLS handshake, ms. */
  readonly handshakeTimeoutMs: number;
  /** From a request head's first byte to its end, ms. */
  readonly headTimeoutMs: number;
  /** Between two requests of a connection, ms. */
  readonly idleTimeoutMs: number;
  /** A client that takes nothing of what waits for it, ms. */
  readonly writeTimeoutMs: number;
  /** Slowest request body, bytes a second; 0 = none. */
  readonly bodyRateMin: number;
}
