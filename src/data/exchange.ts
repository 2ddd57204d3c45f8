/**
 * One request and its response, and everything that the stages decide about it. Pooled: a lane makes at most `exchangesMax` of them and
 * uses them again, so every field is reset in `begin` and nothing may be kept from one use to the next but by copying it.
 */
import { ANY_REGION } from '../snapshot/regions.ts';
import type { EndpointPlan } from '../snapshot/cell-plans.ts';
import type { RoutePlan } from '../snapshot/route-plans.ts';
import type { Caching } from './cache/caching.ts';
import type { Revision } from './lane/revision.ts';
import type { RefusalRow } from './refusal.ts';
import type { Mirroring } from './mirror/mirroring.ts';
import type { KeptRequest } from './waf/kept.ts';
import type { ForwardPlan, Wire } from './transport/transport.ts';
import { STAGES } from '../snapshot/stages.ts';
import { Verdict } from './verdict.ts';
import { FailedSlots } from './upstream/failed-slots.ts';
import type { Attempt } from './upstream/hedging.ts';

/** Method codes: bit positions of the router's method mask. `Other` is any further token that the route may allow by name. */
export const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'CONNECT', 'TRACE'] as const;
export const METHOD_OTHER = METHODS.length;

/** What the WAF said; `None` = not asked. */
export const WafVerdict = { None: 0, Pass: 1, Detected: 2, Blocked: 3, Exhausted: 4, Failed: 5 } as const;
export type WafVerdict = (typeof WafVerdict)[keyof typeof WafVerdict];

/** What authenticate found. */
export const Credential = { None: 0, CachedToken: 1, VerifiedToken: 2 } as const;
export type Credential = (typeof Credential)[keyof typeof Credential];

/** What authorize found. */
export const PolicyOutcome = { None: 0, Allowed: 1, AllowedCached: 2, Denied: 3, DeniedCached: 4, Failed: 5 } as const;
export type PolicyOutcome = (typeof PolicyOutcome)[keyof typeof PolicyOutcome];

/** What the response cache did; places in `CACHE_OUTCOMES`. */
export const CacheOutcome = { None: 0, Hit: 1, Stale: 2, Validated: 3, Miss: 4, Bypass: 5 } as const;
export type CacheOutcome = (typeof CacheOutcome)[keyof typeof CacheOutcome];

/** Claims of a verified token; shared by all requests with that token, so frozen. */
export interface Identity {
  /** Index into `snapshot.issuers`. */
  readonly issuer: number;
  readonly issuerId: string;
  readonly subject: string;
  readonly claims: Readonly<Record<string, unknown>>;
  readonly roles: readonly string[];
  /** Flat header, value, … made from claims for the upstream. */
  readonly headers: readonly string[];
  /** Epoch seconds. */
  readonly expiresAt: number;
}

/** What became of a second attempt beside a slow one; places in `HEDGE_OUTCOMES`, but for `None`. */
export const Hedged = { None: 0, Won: 1, Lost: 2, Denied: 3 } as const;
export type Hedged = (typeof Hedged)[keyof typeof Hedged];

const noPlan: ForwardPlan = {
  endpoint: null as unknown as EndpointPlan,
  target: '/',
  authority: '',
  connectTimeoutMs: 0,
  headTimeoutMs: 0,
  idleTimeoutMs: 0,
  totalTimeoutMs: 0,
  bodyBytesMax: 0,
  showAnswer: false,
  trailers: true,
  hedgeAfterMs: 0,
};

export class Exchange {
  /** Place in the lane's pool. */
  readonly slot: number;
  /** Grows with every wait and every use: a late wake for a finished exchange is recognised by it. Read it before saying Wait. */
  ticket = 0;
  /** False while it lies in the pool. */
  live = false;

  wire!: Wire;
  revision!: Revision;
  /** Index of the stage that is entered next. */
  at = 0;
  /** Epoch ms at begin or at the last wake: the stages' only time. */
  now = 0;
  /** Epoch ms at begin. */
  startedAt = 0;
  /** `performance.now()` at begin, for durations. */
  startedTick = 0;
  /** 32 random bits, drawn anew for every run of the pipeline: the stages' only chance. */
  random = 0;
  /** Number of this request in its lane; with lane and instance it makes `id`. */
  seq = 0;
  /** Request id: `<instance>-<lane>-<seq>`, hexadecimal. */
  id = '';

  // normalize
  /** Index into METHODS, or METHOD_OTHER. */
  methodCode = 0;
  /** Lower-case, without port and trailing dot. */
  host = '';
  /** Decoded once, dot segments resolved; what router, WAF paths, policies and the upstream see. */
  path = '';
  /** Percent-encoded form of `path` as it goes upstream. */
  encodedPath = '';
  query = '';
  /** Address of the client, after trusted forwarding headers; textual, canonical. */
  clientAddress = '';
  /** The client came through TLS: to us, or to a trusted proxy in front that says so. */
  secure = false;
  /** The client's own X-Request-Id, if it sent a sane one. */
  clientRequestId = '';

  // match
  route: RoutePlan | null = null;

  // admit, limit
  /** Index into `snapshot.limits` of the most restrictive limit seen, or -1. */
  limit = -1;
  limitRemaining = 0;

  // waf
  waf: WafVerdict = WafVerdict.None;
  wafScore = 0;
  /** Outbound score, of the answer. */
  wafAnswerScore = 0;
  /** JSON text: `[{"rule":942100,"variable":"ARGS:q","value":"…masked…","message":"…"}]`; empty when nothing matched. */
  wafMatches = '';
  /** What its rules need of the request to see the answer; null: they do not want to. */
  kept: KeptRequest | null = null;

  // authenticate
  credential: Credential = Credential.None;
  identity: Identity | null = null;

  // authorize
  policy: PolicyOutcome = PolicyOutcome.None;

  // route, balance
  tenant = '';
  /** Index into `snapshot.cells`, or -1. */
  cell = -1;
  /** The cell that it belongs to, before another one stood in; -1 until balance. */
  home = -1;
  /** Regions in which its tenant may be served, bits; see snapshot/regions.ts. */
  regions = ANY_REGION;
  endpoint: EndpointPlan | null = null;
  /** True while it is counted as in flight on `endpoint`. */
  inflight = false;
  /** `endpoint` was not in rotation without a doubt when the attempt began: that it resets is no news. */
  doubted = false;
  /** Attempts made so far, the running one included. */
  attempts = 0;
  /** Rows of the circuits, of the endpoint and of its cell, by whose permit it passed; -1 = none. */
  endpointPermit = -1;
  cellPermit = -1;
  /** Place of its tenant among those with requests under way; -1 = not counted. */
  tenantPlace = -1;
  /** Row of the cell in whose retry budget it has a place; -1 = none. */
  retryRow = -1;
  /** A second attempt that is under way beside the one that the fields above are about. */
  hedge: Attempt | null = null;
  hedged: Hedged = Hedged.None;
  /** How many of `attempts` were hedges: 0 or 1. */
  hedges = 0;
  /** Endpoints that failed for this exchange; not chosen again as long as there are others. */
  readonly failed = new FailedSlots();
  readonly plan: ForwardPlan = { ...noPlan };
  cache: CacheOutcome = CacheOutcome.None;
  /** It is also sent to a mirror. */
  mirror: Mirroring | null = null;
  /** What its way upstream means to the response cache. */
  caching: Caching | null = null;
  /** Host and path upstream when the route rewrites them, or where a redirect leads; `''` otherwise. For the record. */
  rewritten = '';
  /** Where the route redirects it; `''` = nowhere, null = not asked yet. */
  location: string | null = null;
  /** A CORS preflight, which the gateway answers. */
  preflight = false;

  // the end
  refusal: RefusalRow | null = null;
  /** Index of the stage that refused, or -1. */
  refusedAt = -1;
  /** Seconds after which the client may try again, should this end in a refusal; 0 = unsaid. Whoever is served after all is not told. */
  retryAfterS = 0;
  /** Why, for the decision record; never for the client. */
  detail = '';
  /** Status from upstream; 0 before its head. */
  upstreamStatus = 0;
  /** From hand-over to the response head, ms. */
  upstreamMs = 0;
  handedTick = 0;
  /** The upstream's answer is shown to `respond`; nothing of it has gone out. */
  shown = false;
  status = 0;
  bytesIn = 0;
  bytesOut = 0;
  aborted = false;
  /** It does not hold its revision any more: a tunnel that may last for days needs nothing of it. */
  letGo = false;

  /** Microseconds per stage; waf, authenticate and authorize always, all of them when `timed`. */
  readonly stageUs = new Float64Array(STAGES.length);
  timed = false;
  /** A stage's own memory between Wait and the next entry: 0 on first entry of each stage. */
  phase = 0;
  /** What a completed wait delivered, typed by the stage that asked. */
  delivered: unknown = null;

  constructor(slot: number) {
    this.slot = slot;
  }

  /** `return x.refuse(REFUSALS.rate_limited, 'limit per-address')`. */
  refuse(row: RefusalRow, detail: string): typeof Verdict.Refuse {
    this.refusal = row;
    this.detail = detail;
    return Verdict.Refuse;
  }

  /** Makes the exchange new for its next use. */
  begin(wire: Wire, revision: Revision): void {
    this.live = true;
    this.wire = wire;
    this.revision = revision;
    this.at = 0;
    this.id = '';
    this.methodCode = 0;
    this.host = '';
    this.path = '';
    this.encodedPath = '';
    this.query = '';
    this.clientAddress = '';
    this.secure = false;
    this.clientRequestId = '';
    this.route = null;
    this.limit = -1;
    this.limitRemaining = 0;
    this.waf = WafVerdict.None;
    this.wafScore = 0;
    this.wafAnswerScore = 0;
    this.wafMatches = '';
    this.kept = null;
    this.credential = Credential.None;
    this.identity = null;
    this.policy = PolicyOutcome.None;
    this.tenant = '';
    this.cell = -1;
    this.home = -1;
    this.regions = ANY_REGION;
    this.mirror = null;
    this.endpoint = null;
    this.inflight = false;
    this.doubted = false;
    this.attempts = 0;
    this.endpointPermit = -1;
    this.cellPermit = -1;
    this.tenantPlace = -1;
    this.retryRow = -1;
    this.hedge = null;
    this.hedged = Hedged.None;
    this.hedges = 0;
    this.failed.clear();
    this.cache = CacheOutcome.None;
    this.caching = null;
    this.rewritten = '';
    this.location = null;
    this.preflight = false;
    this.refusal = null;
    this.refusedAt = -1;
    this.retryAfterS = 0;
    this.detail = '';
    this.upstreamStatus = 0;
    this.upstreamMs = 0;
    this.handedTick = 0;
    this.shown = false;
    this.status = 0;
    this.bytesIn = 0;
    this.bytesOut = 0;
    this.aborted = false;
    this.letGo = false;
    // A call of `fill` costs more than these few stores.
    const { stageUs } = this;
    for (let i = 0; i < stageUs.length; i++) stageUs[i] = 0;
    this.timed = false;
    this.phase = 0;
    this.delivered = null;
  }

  /** Back into the pool: lets go of what it held (an idle exchange would keep a whole old snapshot alive) and makes every ticket that is still out there late. */
  end(): void {
    this.live = false;
    this.ticket++;
    this.wire = undefined as unknown as Wire;
    this.revision = undefined as unknown as Revision;
    this.identity = null;
    this.route = null;
    this.endpoint = null;
    this.hedge = null;
    this.caching = null;
    this.mirror?.ended();
    this.mirror = null;
    this.delivered = null;
    this.kept?.release();
    this.kept = null;
  }
}
