/**
 * What a lane counts: one block of shared memory per lane, written by that lane alone and read without locks by main, which renders it for
 * Prometheus and the admin listener. Counters are doubles (exact up to 2^53) and only grow; main sums them over the lanes. A restarted lane goes on
 * counting in the block of the one before it.
 *
 * Labels that come from a bundle (route, policy) are bounded: a lane gives a row to each of the first names that it serves and counts the rest as
 * `other`, so that no bundle and no sequence of bundles can grow the metrics. Main joins the rows of different lanes by their names.
 */
import { RIVALRY_CELLS, RIVALRY_ROWS, type RivalryRow } from './rivalry-columns.ts';
import { MIRROR_OUTCOMES } from './mirror.ts';
import { STAGES } from './stages.ts';

/** Routes with rows of their own, first served first; the rest is counted as `other`. */
export const ROUTES_MEASURED_MAX = 200;
/** Policies likewise. */
export const POLICIES_MEASURED_MAX = 64;
/** Cells likewise. */
export const CELLS_MEASURED_MAX = 64;
/** Bytes of a name; what is longer is cut, and names that are equal up to there are counted as one. */
export const NAME_BYTES_MAX = 120;
/** Refusal codes that can be counted. */
export const REFUSAL_CODES_MAX = 64;

/** Row of what has no name (no route matched). */
export const ROW_NONE = 0;
/** Row of what came after the table was full. */
export const ROW_OTHER = 1;
const ROWS_RESERVED = 2;
export const ROUTE_ROWS = ROUTES_MEASURED_MAX + ROWS_RESERVED;
export const POLICY_ROWS = POLICIES_MEASURED_MAX + ROWS_RESERVED;
export const CELL_ROWS = CELLS_MEASURED_MAX + ROWS_RESERVED;

/** 0 = no head was sent, 1 … 5 = 1xx … 5xx. */
export const STATUS_CLASSES = ['none', '1xx', '2xx', '3xx', '4xx', '5xx'] as const;
/** What the WAF can say, as the exchange stores it. */
export const WAF_VERDICTS = ['none', 'pass', 'detected', 'blocked', 'exhausted', 'failed'] as const;
/** What authenticate can find. */
export const CREDENTIALS = ['none', 'cached_token', 'verified_token'] as const;
/** What authorize can find. */
export const POLICY_OUTCOMES = ['none', 'allowed', 'allowed_cached', 'denied', 'denied_cached', 'failed'] as const;

/**
 * What became of a request in a cell: an endpoint of it answered; it was asked in vain or said 5xx; its standby served in its place; nobody could be asked. The first two are counted
 * for the cell that served, the others for the one that the request belonged to.
 */
export const CELL_OUTCOMES = ['answered', 'failed', 'failed_over', 'unavailable'] as const;
export const CellOutcome = { Answered: 0, Failed: 1, FailedOver: 2, Unavailable: 3 } as const;

/** What the response cache did, as the exchange stores it: not asked; answered from it; answered with what was stale; with what the upstream has said is still right; fetched; passed by. */
export const CACHE_OUTCOMES = ['none', 'hit', 'stale', 'validated', 'miss', 'bypass'] as const;

/** Content codings that the gateway makes, by the transport's numbers. */
export const COMPRESSED_BY = ['gzip', 'br', 'zstd'] as const;
/** Classes of requests, the most important first; what routes hold are places in it. */
export const REQUEST_CLASSES = ['critical', 'default', 'sheddable'] as const;
/** The class of a route that names none. */
export const DEFAULT_CLASS = REQUEST_CLASSES.indexOf('default');

/** Upper bounds of the buckets, µs; a last one without bound follows. */
export const REQUEST_BOUNDS_US = [
  100, 250, 500, 1000, 2500, 5000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000,
  10_000_000, 30_000_000,
] as const;
export const STAGE_BOUNDS_US = [1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 100_000] as const;

/** Values of the moment, set once a second. */
export const Gauge = {
  /** When the lane ticked last: monotonic ms of all threads (`base/shared-tick.ts`). */
  TickedAt: 0,
  Revision: 1,
  OpenExchanges: 2,
  OpenConnections: 3,
  DelayP50Us: 4,
  DelayP99Us: 5,
  DelayMaxUs: 6,
  /** Share of the last second in which the loop was busy, 0 … 1. */
  Utilization: 7,
  HeapBytes: 8,
  /** Of the response cache. */
  CacheBytes: 9,
  CacheAddresses: 10,
  CacheWaiting: 11,
  /** Share of all requests that is turned away, 0 … 1, and the delay that stands in the lane, ms; every 100 ms. */
  ShedShare: 12,
  QueueMs: 13,
} as const;
const GAUGES = 16;

/** Outcomes of hedges, in the order of `Hedged` of src/data/exchange.ts. */
export const HEDGE_OUTCOMES = ['won', 'lost', 'denied'] as const;

/** Single counters. */
export const Count = {
  BytesIn: 0,
  BytesOut: 1,
  Aborted: 2,
  Retries: 3,
  TurnedAway: 4,
  CacheStored: 5,
  CacheEvicted: 6,
  CacheCollapsed: 7,
  RetryBudgetSpent: 8,
  CompressBusy: 9,
  /** Requests that were turned away under overload, by class, in the order of the classes. */
  ShedCritical: 10,
  ShedDefault: 11,
  ShedSheddable: 12,
  /** And because too many were under way in their cell, or of their tenant there. */
  BulkheadCell: 13,
  BulkheadTenant: 14,
  BulkheadAdaptive: 15,
  /** Second attempts beside slow ones, in the order of `HEDGE_OUTCOMES`. */
  HedgesWon: 16,
  HedgesLost: 17,
  HedgesDenied: 18,
  /** Under overload, before their class was known. */
  ShedUnread: 19,
} as const;
const COUNTS = 32;

/** Doubles of a histogram: the buckets, the one without bound, the sum in µs. */
const histogramWidth = (bounds: readonly number[]): number => bounds.length + 2;
export const REQUEST_WIDTH = histogramWidth(REQUEST_BOUNDS_US);
export const STAGE_WIDTH = histogramWidth(STAGE_BOUNDS_US);

const DOUBLES =
  ROUTE_ROWS * STATUS_CLASSES.length +
  POLICY_ROWS * POLICY_OUTCOMES.length +
  REFUSAL_CODES_MAX +
  WAF_VERDICTS.length +
  CREDENTIALS.length +
  CACHE_OUTCOMES.length +
  COMPRESSED_BY.length * 3 +
  (STAGES.length + 1) +
  COUNTS +
  GAUGES +
  REQUEST_WIDTH * 2 +
  STAGE_WIDTH * (STAGES.length + 1) +
  CELL_ROWS * (CELL_OUTCOMES.length + REQUEST_WIDTH) +
  RIVALRY_ROWS * (RIVALRY_CELLS + REQUEST_WIDTH) +
  ROUTE_ROWS * MIRROR_OUTCOMES.length;
const NAME_BYTES = NAME_BYTES_MAX + 1;
/** Words that say how many names each table holds; an even number. */
const NAMES_USED = 4;
/** Bytes of one lane's block. */
export const LANE_COLUMN_BYTES = DOUBLES * 8 + NAMES_USED * 4 + (ROUTE_ROWS + POLICY_ROWS + CELL_ROWS) * NAME_BYTES;

/** The views over one lane's block. */
export class LaneColumns {
  /** `[route row * STATUS_CLASSES.length + class]`. */
  readonly requests: Float64Array;
  /** `[policy row * POLICY_OUTCOMES.length + outcome]`. */
  readonly policies: Float64Array;
  /** By index into the refusal table. */
  readonly refusals: Float64Array;
  readonly waf: Float64Array;
  readonly credentials: Float64Array;
  readonly cache: Float64Array;
  /** By algorithm: answers, their bytes before, and after. */
  readonly compressedAnswers: Float64Array;
  readonly compressedIn: Float64Array;
  readonly compressedOut: Float64Array;
  /** Stages that threw, by index into STAGES; the last is the pipeline itself. */
  readonly faults: Float64Array;
  readonly counts: Float64Array;
  readonly gauges: Float64Array;
  readonly requestUs: Histogram;
  /** From hand-over to the upstream's response head. */
  readonly upstreamUs: Histogram;
  /** Evaluations of a policy, without those answered from the decision cache. */
  readonly policyUs: Histogram;
  readonly stageUs: readonly Histogram[];
  /** The active revision and the other one, while two are live. */
  readonly rivalry: readonly RivalryRow[];
  readonly routeNames: RowNames;
  readonly policyNames: RowNames;
  /** `[cell row * CELL_OUTCOMES.length + outcome]`. */
  readonly cells: Float64Array;
  /** From hand-over to the upstream's response head, by row. */
  readonly cellUs: readonly Histogram[];
  readonly cellNames: RowNames;
  /** `[route row * MIRROR_OUTCOMES.length + outcome]`. */
  readonly mirrors: Float64Array;

  constructor(memory: SharedArrayBuffer) {
    let at = 0;
    const doubles = (n: number): Float64Array => {
      const view = new Float64Array(memory, at, n);
      at += n * 8;
      return view;
    };
    this.requests = doubles(ROUTE_ROWS * STATUS_CLASSES.length);
    this.policies = doubles(POLICY_ROWS * POLICY_OUTCOMES.length);
    this.refusals = doubles(REFUSAL_CODES_MAX);
    this.waf = doubles(WAF_VERDICTS.length);
    this.credentials = doubles(CREDENTIALS.length);
    this.cache = doubles(CACHE_OUTCOMES.length);
    this.compressedAnswers = doubles(COMPRESSED_BY.length);
    this.compressedIn = doubles(COMPRESSED_BY.length);
    this.compressedOut = doubles(COMPRESSED_BY.length);
    this.faults = doubles(STAGES.length + 1);
    this.counts = doubles(COUNTS);
    this.gauges = doubles(GAUGES);
    this.requestUs = new Histogram(REQUEST_BOUNDS_US, doubles(REQUEST_WIDTH));
    this.upstreamUs = new Histogram(REQUEST_BOUNDS_US, doubles(REQUEST_WIDTH));
    this.policyUs = new Histogram(STAGE_BOUNDS_US, doubles(STAGE_WIDTH));
    this.stageUs = STAGES.map(() => new Histogram(STAGE_BOUNDS_US, doubles(STAGE_WIDTH)));
    this.cells = doubles(CELL_ROWS * CELL_OUTCOMES.length);
    this.cellUs = Array.from({ length: CELL_ROWS }, () => new Histogram(REQUEST_BOUNDS_US, doubles(REQUEST_WIDTH)));
    this.rivalry = Array.from({ length: RIVALRY_ROWS }, () => ({
      counts: doubles(RIVALRY_CELLS),
      requestUs: new Histogram(REQUEST_BOUNDS_US, doubles(REQUEST_WIDTH)),
    }));
    this.mirrors = doubles(ROUTE_ROWS * MIRROR_OUTCOMES.length);
    const used = new Int32Array(memory, at, NAMES_USED);
    at += NAMES_USED * 4;
    this.routeNames = new RowNames(used, 0, new Uint8Array(memory, at, ROUTE_ROWS * NAME_BYTES));
    at += ROUTE_ROWS * NAME_BYTES;
    this.policyNames = new RowNames(used, 1, new Uint8Array(memory, at, POLICY_ROWS * NAME_BYTES));
    at += POLICY_ROWS * NAME_BYTES;
    this.cellNames = new RowNames(used, 2, new Uint8Array(memory, at, CELL_ROWS * NAME_BYTES));
  }

  static create(): SharedArrayBuffer {
    return new SharedArrayBuffer(LANE_COLUMN_BYTES);
  }
}

/** Counts in buckets of fixed bounds, and the sum: what Prometheus calls a histogram, before it is made cumulative. */
export class Histogram {
  readonly bounds: readonly number[];
  readonly cells: Float64Array;

  constructor(bounds: readonly number[], cells: Float64Array) {
    this.bounds = bounds;
    this.cells = cells;
  }

  observe(us: number): void {
    const { bounds, cells } = this;
    let i = 0;
    while (i < bounds.length && us > (bounds[i] as number)) i++;
    cells[i] = (cells[i] as number) + 1;
    const sum = bounds.length + 1;
    cells[sum] = (cells[sum] as number) + us;
  }

  /** Observations of all buckets. */
  get count(): number {
    let n = 0;
    for (let i = 0; i <= this.bounds.length; i++) n += this.cells[i] as number;
    return n;
  }

  /** µs. */
  get sum(): number {
    return this.cells[this.bounds.length + 1] as number;
  }
}

/** Names of rows: given out by the lane, one writer; read by main. */
export class RowNames {
  readonly #used: Int32Array;
  readonly #at: number;
  readonly #bytes: Uint8Array;
  readonly #rows: number;
  readonly #known = new Map<string, number>();

  constructor(used: Int32Array, at: number, bytes: Uint8Array) {
    this.#used = used;
    this.#at = at;
    this.#bytes = bytes;
    this.#rows = bytes.length / NAME_BYTES;
    for (let row = ROWS_RESERVED; row < this.used; row++) this.#known.set(this.name(row), row);
  }

  /** Rows that have names, the reserved ones included. */
  get used(): number {
    return Math.max(Atomics.load(this.#used, this.#at), ROWS_RESERVED);
  }

  /** The lane's: row of a name, given at its first use; ROW_OTHER when the table is full. */
  row(name: string): number {
    return this.#known.get(name) ?? this.#give(name);
  }

  name(row: number): string {
    if (row === ROW_NONE) return 'none';
    if (row === ROW_OTHER) return 'other';
    const at = row * NAME_BYTES;
    // Buffer.from copies out of shared memory only what is asked for.
    return Buffer.from(this.#bytes.subarray(at + 1, at + 1 + (this.#bytes[at] ?? 0))).toString('utf8');
  }

  #give(name: string): number {
    const row = this.used;
    if (row >= this.#rows) return ROW_OTHER;
    const at = row * NAME_BYTES;
    const { written } = new TextEncoder().encodeInto(name, this.#bytes.subarray(at + 1, at + NAME_BYTES));
    this.#bytes[at] = written;
    this.#known.set(name, row);
    Atomics.store(this.#used, this.#at, row + 1);
    return row;
  }
}
