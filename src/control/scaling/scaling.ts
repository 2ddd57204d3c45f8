/** Reads what lanes and columns count, every ten seconds, and keeps for each cell and for the gateway how many there should be. */
import { availableParallelism, totalmem } from 'node:os';
import type { EndpointColumns } from '../../snapshot/endpoint-columns.ts';
import { ENDPOINT_SLOTS } from '../../snapshot/endpoint-columns.ts';
import {
  CELL_OUTCOMES,
  CellOutcome,
  Count,
  type Histogram,
  LaneColumns,
  STATUS_CLASSES,
} from '../../snapshot/lane-columns.ts';
import type { ScaleView } from '../../snapshot/scaling.ts';
import type { EndpointPlan } from '../../snapshot/cell-plans.ts';
import type { Snapshot } from '../../snapshot/snapshot.ts';
import { Decider, type Measures } from './decision.ts';
import { Forecasts } from './forecasts.ts';
import { quantileUs } from './quantile.ts';

/** Between two looks. */
export const LOOK_MS = 10_000;
/** Requests between two looks that a share of errors or a percentile needs. */
export const VOLUME_MIN = 20;
/** Cells that are looked at: as many as have rows of their own. */
const CELLS_MAX = 64;
const US_PER_S = 1e6;
const GATEWAY = 'gateway';

export interface ScalingParts {
  readonly file: string;
  readonly laneColumns: readonly SharedArrayBuffer[];
  readonly columns: EndpointColumns;
  readonly active: () => Snapshot | null;
  /** Requests that wait inside the gateway. */
  readonly waiting: () => number;
  /** The forecast could not be kept, or read. */
  readonly onFault: (reason: string) => void;
  /** Epoch ms. */
  readonly now: () => number;
  /** Monotonic ms. */
  readonly tick: () => number;
}

/** What only grows, at one moment. */
interface Counted {
  readonly requests: number;
  readonly failed: number;
  readonly buckets: Float64Array;
}

interface Scope {
  readonly decider: Decider;
  before: Counted | null;
  view: ScaleView;
}

export class Scaling {
  readonly #parts: ScalingParts;
  readonly #lanes: readonly LaneColumns[];
  readonly #forecasts: Forecasts;
  readonly #scopes = new Map<string, Scope>();
  #cpuBefore = process.cpuUsage();
  #lookedAt: number;
  #timer: NodeJS.Timeout | null = null;

  constructor(parts: ScalingParts) {
    this.#parts = parts;
    this.#lanes = parts.laneColumns.map((memory) => new LaneColumns(memory));
    this.#forecasts = new Forecasts(parts.file);
    this.#lookedAt = parts.tick();
  }

  async start(): Promise<void> {
    const fault = await this.#forecasts.load();
    if (fault !== null) this.#parts.onFault(`the forecast begins anew: ${fault}`);
    this.#timer ??= setInterval(() => this.look(), LOOK_MS).unref();
  }

  /** Keeps what is known. */
  async stop(): Promise<void> {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    await this.#save();
  }

  views(): readonly ScaleView[] {
    return [...this.#scopes.values()].map(({ view }) => view);
  }

  /** One look at everything. */
  look(): void {
    const tick = this.#parts.tick();
    const ms = Math.max(1, tick - this.#lookedAt);
    this.#lookedAt = tick;
    const snapshot = this.#parts.active();
    const cells = (snapshot?.cells ?? []).slice(0, CELLS_MAX);
    const names = new Set([GATEWAY, ...cells.map(({ id }) => `cell/${id}`)]);
    for (const name of this.#scopes.keys()) if (!names.has(name)) this.#scopes.delete(name);
    // Before the first bundle nothing is known of cells: what is predicted for them is kept.
    if (snapshot !== null) this.#forecasts.retain(names);
    this.#gateway(ms, tick);
    for (const cell of cells) {
      const endpoints = cell.endpoints.flatMap((i) => snapshot?.endpoints[i] ?? []);
      this.#cell(cell.id, endpoints, ms, tick);
    }
    void this.#save();
  }

  #gateway(ms: number, tick: number): void {
    const cpu = process.cpuUsage(this.#cpuBefore);
    this.#cpuBefore = process.cpuUsage();
    const limit = process.constrainedMemory();
    const memory = limit > 0 && limit < totalmem() ? limit : totalmem();
    const failedAt = STATUS_CLASSES.indexOf('5xx');
    let requests = 0;
    let failed = 0;
    for (const { requests: cells, counts } of this.#lanes) {
      // What a lane turned away before any stage had no route, but it was asked for.
      const away = counts[Count.TurnedAway] as number;
      requests += away;
      failed += away;
      for (let i = 0; i < cells.length; i++) {
        requests += cells[i] as number;
        if (i % STATUS_CLASSES.length === failedAt) failed += cells[i] as number;
      }
    }
    const counted = { requests, failed, buckets: bucketsOf(this.#lanes.map((lane) => lane.requestUs)) };
    this.#take(GATEWAY, 1, counted, ms, tick, {
      cpu: (cpu.user + cpu.system) / 1000 / ms / availableParallelism(),
      memory: process.memoryUsage.rss() / memory,
      queue: this.#parts.waiting(),
    });
  }

  #cell(id: string, endpoints: readonly EndpointPlan[], ms: number, tick: number): void {
    let requests = 0;
    let failed = 0;
    const histograms: Histogram[] = [];
    for (const lane of this.#lanes) {
      const { cellNames, cells, cellUs } = lane;
      for (let row = 0; row < cellNames.used; row++) {
        if (cellNames.name(row) !== id) continue;
        const at = row * CELL_OUTCOMES.length;
        const its = (cells[at + CellOutcome.Failed] ?? 0) + (cells[at + CellOutcome.Unavailable] ?? 0);
        failed += its;
        requests += its + (cells[at + CellOutcome.Answered] ?? 0);
        const histogram = cellUs[row];
        if (histogram !== undefined) histograms.push(histogram);
      }
    }
    const { inflight } = this.#parts.columns;
    let used = 0;
    let capacity = 0;
    let queue = 0;
    for (const { slot, capacity: its, connectionsMax, http2 } of endpoints) {
      capacity += its;
      for (let lane = 0; lane < this.#lanes.length; lane++) {
        const open = inflight[lane * ENDPOINT_SLOTS + slot] ?? 0;
        used += open;
        // One request a connection (RFC 9112): what is beyond waits for one.
        if (!http2) queue += Math.max(0, open - connectionsMax);
      }
    }
    this.#take(`cell/${id}`, endpoints.length, { requests, failed, buckets: bucketsOf(histograms) }, ms, tick, {
      cpu: capacity === 0 ? Number.NaN : used / capacity,
      memory: Number.NaN,
      queue,
    });
  }

  #take(
    name: string,
    current: number,
    counted: Counted,
    ms: number,
    tick: number,
    known: Pick<Measures, 'cpu' | 'memory' | 'queue'>,
  ): void {
    const scope = this.#scopes.get(name) ?? { decider: new Decider(), before: null, view: nothing(name, current) };
    this.#scopes.set(name, scope);
    const before = scope.before ?? counted;
    scope.before = counted;
    const requests = Math.max(0, counted.requests - before.requests);
    const failed = Math.max(0, counted.failed - before.failed);
    this.#forecasts.count(name, requests, ms, this.#parts.now());
    const perSecond = (requests / ms) * 1000;
    const ahead = this.#forecasts.ahead(name);
    const enough = requests >= VOLUME_MIN;
    const measures: Measures = {
      ...known,
      latency: enough ? quantileUs(0.99, counted.buckets, before.buckets) / US_PER_S : Number.NaN,
      errors: enough ? failed / requests : Number.NaN,
      // What hardly anybody asks for does not surge, whatever its multiple.
      surge: ahead * (LOOK_MS / 1000) >= VOLUME_MIN ? this.#forecasts.surge(name) : Number.NaN,
    };
    scope.view = {
      scope: name,
      ...scope.decider.decide(measures, current, tick),
      measures: Object.fromEntries(
        Object.entries(measures).map(([m, value]: [string, number]) => [m, Number.isFinite(value) ? value : null]),
      ),
      requestsPerSecond: perSecond,
      predictedPerSecond: Number.isFinite(ahead) ? ahead : null,
      seasonal: this.#forecasts.isSeasonal(name),
      fired: scope.decider.fired(),
    };
  }

  async #save(): Promise<void> {
    try {
      await this.#forecasts.save();
    } catch (error) {
      this.#parts.onFault(`the forecast cannot be kept: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
}

function nothing(scope: string, current: number): ScaleView {
  return {
    scope,
    current,
    desired: current,
    scaleOut: false,
    reasons: [],
    measures: {},
    requestsPerSecond: 0,
    predictedPerSecond: null,
    seasonal: false,
    fired: {},
  };
}

/** Counts of the buckets of several histograms with the same bounds; empty without any. */
function bucketsOf(histograms: readonly Histogram[]): Float64Array {
  const first = histograms[0];
  const sum = new Float64Array(first === undefined ? 0 : first.bounds.length + 1);
  for (const { cells } of histograms) for (let i = 0; i < sum.length; i++) sum[i] = (sum[i] ?? 0) + (cells[i] ?? 0);
  return sum;
}
