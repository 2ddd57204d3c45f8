/**
 * The compiled configuration: what control makes once and every lane shares. Immutable; replaced whole by one reference; numbered
 * by revision. Everything in here can be structured-cloned; what is large is a handle (native registry), a `SharedArrayBuffer` or a
 * `WebAssembly.Module`, so that a lane activates it without compiling anything.
 */
import type { CellPlan, EndpointPlan, RegionPlan, RingPlan } from './cell-plans.ts';
import type { FileTable, PagePlan } from './respond-plans.ts';
import type { RouteTable, WafLimits } from './route-plans.ts';

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
  /** The most important class that one of them has (`REQUEST_CLASSES`). */
  readonly highestClass: number;
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
  /** Of the address. */
  | { readonly from: 'country' }
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
