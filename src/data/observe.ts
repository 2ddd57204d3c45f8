/**
 * Always, last: the decision record of every exchange, and what is counted. Everything goes into shared memory that main reads
 * (`snapshot/records.ts`, `snapshot/lane-columns.ts`); nothing here waits, allocates per request, formats or writes to a file.
 *
 * A lane makes one:
 *
 *     const observer = new Observe({ laneColumns, records, tick: () => performance.now(), onBug: (report) => port.postMessage(…) });
 *     // … as PipelineParts.observer, with seqBefore: observer.seqBefore; and once a second from the lane's own timer:
 *     observer.tick({ at: sharedTick(), openExchanges: pipeline.open, openConnections, revision });
 *     // … when the lane ends: observer.close();
 */
import {
  CELL_OUTCOMES,
  CellOutcome,
  COMPRESSED_BY,
  Count,
  Gauge,
  LaneColumns,
  POLICY_OUTCOMES,
  REFUSAL_CODES_MAX,
  ROW_NONE,
  STATUS_CLASSES,
} from '../snapshot/lane-columns.ts';
import { MIRROR_OUTCOMES, type MirrorOutcome } from '../snapshot/mirror.ts';
import { Int, RecordFlag, RecordWriter, Span, Wide } from '../snapshot/records.ts';
import { Rivalry, type RivalryRow } from '../snapshot/rivalry-columns.ts';
import type { WafRoutePlan } from '../snapshot/route-plans.ts';
import { STAGE_INDEX, STAGES } from '../snapshot/stages.ts';
import { assert } from '../base/assert.ts';
import type { Exchange } from './exchange.ts';
import { CacheOutcome, Hedged, METHOD_OTHER, PolicyOutcome, WafVerdict } from './exchange.ts';
import { LoopGauges } from './observe/loop-gauges.ts';
import { peerText } from './observe/peer.ts';
import type { Observer } from './pipeline.ts';
import type { Compressed } from './transport/transport.ts';
import type { RefusalRow } from './refusal.ts';
import { REFUSAL_LIST, REFUSALS } from './refusal.ts';

/** Reports of bugs that a lane sends in one second; all are counted. */
export const BUG_REPORTS_PER_TICK_MAX = 8;
/** Copies of requests, between two ticks, whose differences are told; all are counted. */
export const DIFFERENCES_PER_TICK_MAX = 32;
/** Sequence numbers left out when a lane is restarted: more than it can have given out without an end. */
export const SEQ_GAP = 1 << 20;
/** Characters of a stack that are kept. */
const STACK_CHARS_MAX = 4000;

/** A stage threw. */
export interface BugReport {
  readonly stage: string;
  /** Request id. */
  readonly id: string;
  readonly message: string;
  readonly stack: string;
}

export interface ObserveParts {
  /** From `LaneColumns.create()`. */
  readonly laneColumns: SharedArrayBuffer;
  /** From `createRecords()`. */
  readonly records: SharedArrayBuffer;
  /** Monotonic ms with a fraction, the pipeline's own. */
  readonly tick: () => number;
  /** Told of a stage that threw, at most BUG_REPORTS_PER_TICK_MAX times between two ticks. Must not throw. */
  readonly onBug: (report: BugReport) => void;
}

/** What the lane knows at its tick. */
export interface LaneMoment {
  /** Monotonic ms of all threads. */
  readonly at: number;
  readonly openExchanges: number;
  readonly openConnections: number;
  /** Active revision; 0 = none. */
  readonly revision: number;
  /** Of the response cache; absent: there is none. */
  readonly cache?: {
    readonly bytes: number;
    readonly addresses: number;
    readonly waiting: number;
    /** Since the lane began. */
    readonly stored: number;
    readonly evicted: number;
    readonly collapsed: number;
  };
  /** What the transport has compressed since the lane began; null: it does not. */
  readonly compressed?: Compressed | null;
}

const WAF = STAGE_INDEX.waf;
const AUTHENTICATE = STAGE_INDEX.authenticate;
const AUTHORIZE = STAGE_INDEX.authorize;
/** First status that counts as a failure of the cell (RFC 9110 §15.6). */
const SERVER_ERROR = 500;
const CLASSES = STATUS_CLASSES.length;
const OUTCOMES = POLICY_OUTCOMES.length;
/** Below it a µs value is "not taken", as the record stores 0 for that. */
const TAKEN_US_MIN = 0.001;

assert(REFUSAL_LIST.length <= REFUSAL_CODES_MAX, 'every refusal has a counter');

export class Observe implements Observer {
  readonly columns: LaneColumns;
  readonly #records: RecordWriter;
  readonly #tick: () => number;
  readonly #onBug: (report: BugReport) => void;
  readonly #loop = new LoopGauges();
  /** Texts of bugs of exchanges that have not ended yet: at most one each. */
  readonly #bugs = new Map<Exchange, string>();
  #reports = 0;
  #differences = 0;
  /** The cache's counters at the last tick. */
  #cacheBefore = { stored: 0, evicted: 0, collapsed: 0 };
  #compressedBefore: Compressed = { answers: [], bytesIn: [], bytesOut: [], busy: 0 };

  constructor(parts: ObserveParts) {
    this.columns = new LaneColumns(parts.laneColumns);
    this.#records = new RecordWriter(parts.records);
    this.#tick = parts.tick;
    this.#onBug = parts.onBug;
  }

  /** For `PipelineParts.seqBefore`: 0, or beyond all that a lane before this one in the same ring can have given out. */
  get seqBefore(): number {
    const high = this.#records.seqHigh;
    return high === 0 ? 0 : high + SEQ_GAP;
  }

  ended(x: Exchange): void {
    const totalUs = (this.#tick() - x.startedTick) * 1000;
    this.#count(x, totalUs);
    this.#record(x, totalUs);
  }

  bug(stage: string, error: unknown, x: Exchange): void {
    const { faults } = this.columns;
    const index = (STAGE_INDEX as Record<string, number | undefined>)[stage] ?? STAGES.length;
    faults[index] = (faults[index] ?? 0) + 1;
    // Not String(error): what was thrown may refuse to become a string.
    const message = error instanceof Error ? `${error.name}: ${error.message}` : Object.prototype.toString.call(error);
    if (x.live) this.#bugs.set(x, `stage ${stage} threw ${message}`);
    if (this.#reports++ >= BUG_REPORTS_PER_TICK_MAX) return;
    const stack = error instanceof Error ? (error.stack ?? '').slice(0, STACK_CHARS_MAX) : '';
    this.#onBug({ stage, id: x.id, message: message.slice(0, STACK_CHARS_MAX), stack });
  }

  /** A request was copied to a mirror. True when a difference may be told: at most so many between two ticks. */
  mirrored(route: string, outcome: MirrorOutcome): boolean {
    const c = this.columns;
    const row = c.routeNames.row(route);
    add(c.mirrors, row * MIRROR_OUTCOMES.length + MIRROR_OUTCOMES.indexOf(outcome), 1);
    return this.#differences++ < DIFFERENCES_PER_TICK_MAX;
  }

  turnedAway(row: RefusalRow, count: number): void {
    const { counts, refusals } = this.columns;
    add(counts, Count.TurnedAway, count);
    add(refusals, row.index, count);
  }

  /** Publishes the values of the moment; call it once a second. */
  tick(moment: LaneMoment): void {
    const { gauges } = this.columns;
    gauges[Gauge.OpenExchanges] = moment.openExchanges;
    gauges[Gauge.OpenConnections] = moment.openConnections;
    gauges[Gauge.Revision] = moment.revision;
    if (moment.cache !== undefined) this.#publishCache(moment.cache);
    if (moment.compressed) this.#publishCompressed(moment.compressed);
    this.#loop.publish(gauges);
    gauges[Gauge.TickedAt] = moment.at;
    this.#reports = 0;
    this.#differences = 0;
  }

  #publishCache(cache: NonNullable<LaneMoment['cache']>): void {
    const { gauges, counts } = this.columns;
    gauges[Gauge.CacheBytes] = cache.bytes;
    gauges[Gauge.CacheAddresses] = cache.addresses;
    gauges[Gauge.CacheWaiting] = cache.waiting;
    const before = this.#cacheBefore;
    // A restarted lane counts on in the columns of the one before it.
    add(counts, Count.CacheStored, cache.stored - before.stored);
    add(counts, Count.CacheEvicted, cache.evicted - before.evicted);
    add(counts, Count.CacheCollapsed, cache.collapsed - before.collapsed);
    this.#cacheBefore = cache;
  }

  #publishCompressed(now: Compressed): void {
    const c = this.columns;
    const before = this.#compressedBefore;
    // As above.
    for (let i = 0; i < COMPRESSED_BY.length; i++) {
      add(c.compressedAnswers, i, grown(now.answers, before.answers, i));
      add(c.compressedIn, i, grown(now.bytesIn, before.bytesIn, i));
      add(c.compressedOut, i, grown(now.bytesOut, before.bytesOut, i));
    }
    add(c.counts, Count.CompressBusy, now.busy - before.busy);
    this.#compressedBefore = now;
  }

  /** Lets the thread end: stops watching the loop. */
  close(): void {
    this.#loop.close();
  }

  #count(x: Exchange, totalUs: number): void {
    const c = this.columns;
    const route = x.route === null ? ROW_NONE : c.routeNames.row(x.route.id);
    const statusClass = (x.status / 100) | 0;
    add(c.requests, route * CLASSES + (statusClass < CLASSES ? statusClass : 0), 1);
    c.requestUs.observe(totalUs);
    if (x.upstreamStatus !== 0) c.upstreamUs.observe(x.upstreamMs * 1000);
    add(c.waf, x.waf, 1);
    add(c.credentials, x.credential, 1);
    if (x.cache !== CacheOutcome.None) add(c.cache, x.cache, 1);
    add(c.counts, Count.BytesIn, x.bytesIn);
    add(c.counts, Count.BytesOut, x.bytesOut);
    if (x.refusal !== null) add(c.refusals, x.refusal.index, 1);
    if (x.aborted) add(c.counts, Count.Aborted, 1);
    if (x.attempts > 1) add(c.counts, Count.Retries, x.attempts - 1 - x.hedges);
    if (x.hedged !== Hedged.None) add(c.counts, Count.HedgesWon - 1 + x.hedged, 1);
    const { row } = x.revision;
    if (row !== null) countRow(row, x, totalUs);
    this.#countStages(x);
    if (x.home >= 0) this.#countCell(x);
    if (x.policy !== PolicyOutcome.None) this.#countPolicy(x);
  }

  #countStages(x: Exchange): void {
    const { stageUs } = this.columns;
    const taken = x.stageUs;
    if (x.timed) {
      for (let i = 0; i < taken.length; i++) observeTaken(stageUs[i], taken[i] as number);
      return;
    }
    observeTaken(stageUs[WAF], taken[WAF] as number);
    observeTaken(stageUs[AUTHENTICATE], taken[AUTHENTICATE] as number);
    observeTaken(stageUs[AUTHORIZE], taken[AUTHORIZE] as number);
  }

  #countCell(x: Exchange): void {
    const c = this.columns;
    const { cells } = x.revision.snapshot;
    const row = c.cellNames.row(cells[x.cell]?.id ?? '');
    if (x.attempts > 0) {
      const failed = x.upstreamStatus >= SERVER_ERROR || x.refusal?.blame === 'upstream';
      add(c.cells, row * CELL_OUTCOMES.length + (failed ? CellOutcome.Failed : CellOutcome.Answered), 1);
      if (x.upstreamStatus !== 0) c.cellUs[row]?.observe(x.upstreamMs * 1000);
    }
    if (x.home === x.cell && !isUnavailable(x.refusal)) return;
    const home = c.cellNames.row(cells[x.home]?.id ?? '');
    const outcome = isUnavailable(x.refusal) ? CellOutcome.Unavailable : CellOutcome.FailedOver;
    add(c.cells, home * CELL_OUTCOMES.length + outcome, 1);
  }

  #countPolicy(x: Exchange): void {
    const c = this.columns;
    const plan = x.revision.snapshot.policies[x.route?.policy ?? -1];
    const row = plan === undefined ? ROW_NONE : c.policyNames.row(plan.name);
    add(c.policies, row * OUTCOMES + x.policy, 1);
    const cached = x.policy === PolicyOutcome.AllowedCached || x.policy === PolicyOutcome.DeniedCached;
    if (!cached) c.policyUs.observe(x.stageUs[AUTHORIZE] as number);
  }

  #record(x: Exchange, totalUs: number): void {
    const r = this.#records;
    const { wire, route, stageUs } = x;
    const raw = x.path === '';
    r.open();
    r.wide(Wide.StartedAt, x.startedAt);
    r.wide(Wide.BytesIn, x.bytesIn);
    r.wide(Wide.BytesOut, x.bytesOut);
    r.wide(Wide.TotalUs, totalUs);
    r.span(Span.UpstreamUs, x.upstreamMs * 1000);
    for (let i = 0; i < stageUs.length; i++) r.span(Span.Stage + i, stageUs[i] as number);
    r.int(Int.Revision, x.revision.snapshot.revision);
    r.int(Int.Route, route === null ? -1 : route.index);
    r.int(Int.Policy, route === null ? -1 : route.policy);
    r.int(Int.Limit, x.limit);
    r.int(Int.LimitRemaining, x.limitRemaining);
    r.int(Int.Cell, x.cell);
    r.int(Int.Endpoint, x.endpoint === null ? -1 : x.endpoint.slot);
    r.int(Int.Issuer, x.identity === null ? -1 : x.identity.issuer);
    r.int(Int.Refusal, x.refusal === null ? -1 : x.refusal.index);
    r.int(Int.RefusedAt, x.refusedAt);
    r.int(Int.At, x.at);
    r.int(Int.Status, x.status);
    r.int(Int.UpstreamStatus, x.upstreamStatus);
    r.int(Int.Waf, x.waf);
    r.int(Int.WafScore, x.wafScore);
    r.int(Int.WafAnswerScore, x.wafAnswerScore);
    r.int(Int.Credential, x.credential);
    r.int(Int.PolicyOutcome, x.policy);
    r.int(Int.Attempts, x.attempts);
    r.int(Int.Method, x.methodCode);
    r.int(Int.LocalPort, wire.localPort);
    r.int(Int.PeerPort, wire.peerPort);
    r.int(Int.Cache, x.cache);
    r.int(
      Int.Flags,
      (x.aborted ? RecordFlag.Aborted : 0) |
        (x.timed ? RecordFlag.Timed : 0) |
        (wire.secure ? RecordFlag.Secure : 0) |
        (wire.websocket ? RecordFlag.Websocket : 0) |
        (raw ? RecordFlag.Raw : 0) |
        (route !== null && isFound(x, route.waf.mode) ? RecordFlag.Found : 0),
    );
    // The order of TEXTS.
    r.text(this.#bugs.size === 0 ? x.detail : this.#detail(x));
    r.text(x.wafMatches);
    r.text(raw || x.methodCode === METHOD_OTHER ? wire.method : '');
    r.text(x.clientAddress === '' ? peerText(wire.peerAddress) : x.clientAddress);
    r.text(x.tenant);
    r.text(x.identity === null ? '' : x.identity.subject);
    const tls = x.refusal !== null || route?.forwardClientCertificate === true ? wire.tls : null;
    r.text(tls?.ja4 ?? '');
    r.text(tls?.client?.fingerprint ?? '');
    r.text(x.clientRequestId);
    r.text(x.rewritten);
    r.text(x.host === '' ? wire.host : x.host);
    r.text(raw ? wire.path : x.path);
    r.text(raw ? wire.query : x.query);
    r.commit(x.seq);
  }

  /** The text of the bug, when that is why it was refused. */
  #detail(x: Exchange): string {
    const bug = this.#bugs.get(x);
    this.#bugs.delete(x);
    return bug !== undefined && x.refusal === REFUSALS.internal_error ? bug : x.detail;
  }
}

function isUnavailable(row: RefusalRow | null): boolean {
  return (
    row === REFUSALS.no_endpoint ||
    row === REFUSALS.circuit_open ||
    row === REFUSALS.cell_unavailable ||
    row === REFUSALS.region_forbidden
  );
}

/** For the comparison of two revisions. */
function countRow(row: RivalryRow, x: Exchange, totalUs: number): void {
  const { counts } = row;
  add(counts, Rivalry.Requests, 1);
  const { refusal, status } = x;
  const failed = ((status / 100) | 0) === STATUS_CLASSES.indexOf('5xx');
  if (failed || (refusal === null && (status === 0 ? !x.aborted : x.detail !== '' && x.aborted)))
    add(counts, Rivalry.Failed, 1);
  else if (refusal !== null) add(counts, Rivalry.Refused, 1);
  if (x.policy === PolicyOutcome.Failed) add(counts, Rivalry.PolicyErrors, 1);
  else if (x.policy === PolicyOutcome.Denied || x.policy === PolicyOutcome.DeniedCached) add(counts, Rivalry.Denied, 1);
  row.requestUs.observe(totalUs);
}

function add(cells: Float64Array, index: number, n: number): void {
  cells[index] = (cells[index] as number) + n;
}

/** How much a count of a list has grown. */
function grown(now: readonly number[], before: readonly number[], index: number): number {
  return (now[index] ?? 0) - (before[index] ?? 0);
}

function observeTaken(histogram: { observe(us: number): void } | undefined, us: number): void {
  if (us >= TAKEN_US_MIN) histogram?.observe(us);
}

/** What exclusions are made from: it is told even where answers are not. */
function isFound(x: Exchange, mode: WafRoutePlan['mode']): boolean {
  return mode === 'detect' ? x.wafMatches !== '' : x.waf === WafVerdict.Exhausted && x.refusal === null;
}
