/** What a route says, compiled. */
import type { HedgePlan, RetryPlan } from './guards.ts';
import type { CorsPlan, DirectPlan, FilesPlan, PathChange, RedirectParts } from './respond-plans.ts';
import type { NativeHandle } from './snapshot.ts';
import type { MadeEdits, TextPart } from './variables.ts';

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
  /** Absent: one attempt at a time. */
  readonly hedge?: HedgePlan;
}

export interface RespondPlan extends PathChange {
  /** Answered instead of being forwarded. */
  readonly redirect: RedirectPlan | null;
  /** Host of the upstream request, made for each request when it has parts; `null` keeps the client's. */
  readonly host: string | readonly TextPart[] | null;
  readonly request: HeaderEdits;
  readonly answer: HeaderEdits;
  /** Security headers of refusals that come before the answer's edits are made; they stand in `answer` too. Null = none. */
  readonly security: HeaderEdits | null;
  readonly cors: CorsPlan | null;
  /** The gateway answers by itself. */
  readonly direct: DirectPlan | null;
  readonly files: FilesPlan | null;
  /** Indices of pages in the place of refusals, those that come first first. */
  readonly pages: readonly number[];
  /** Statuses of the upstream's own answers that a page replaces, flat: from, to, from, to …; absent: none. */
  readonly intercept?: readonly number[];
  /** Further edits, whose values are made for each request; null = none. */
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
  /** Cells may take so many times as long as the quickest and still share; absent: how long they take is not looked at. */
  readonly slowest?: number;
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
