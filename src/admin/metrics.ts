/**
 * `/metrics`: reads the lanes' columns, control's view and the log, and lets prom-client write them down. Nothing is counted here. Each metric of the
 * table has one reader below; the types see to it that none is forgotten.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { Registry } from 'prom-client';
import type { Metric } from 'prom-client';
import { REFUSAL_LIST } from '../data/refusal.ts';
import type { Histogram } from '../snapshot/lane-columns.ts';
import {
  CACHE_OUTCOMES,
  CELL_OUTCOMES,
  COMPRESSED_BY,
  Count,
  CREDENTIALS,
  Gauge,
  HEDGE_OUTCOMES,
  LaneColumns,
  POLICY_OUTCOMES,
  REQUEST_CLASSES,
  STATUS_CLASSES,
  WAF_VERDICTS,
} from '../snapshot/lane-columns.ts';
import type { RowNames } from '../snapshot/lane-columns.ts';
import { MIRROR_OUTCOMES } from '../snapshot/mirror.ts';
import { MODES } from '../snapshot/mode.ts';
import type { ScaleView } from '../snapshot/scaling.ts';
import { STAGES } from '../snapshot/stages.ts';
import { CIRCUIT_STATES } from '../snapshot/circuit.ts';
import { type ControlView, DISCOVERY_STATES, type EndpointView, SOURCE_STATES } from './control-view.ts';
import type { Drain } from './drain.ts';
import type { LogSink } from './log-sink.ts';
import type { MetricName, MetricRow } from './metric-table.ts';
import { METRICS } from './metric-table.ts';
import type { Measure, Percentiles } from './percentiles.ts';
import { QUANTILES } from './percentiles.ts';

/** Endpoints with series of their own. */
export const ENDPOINTS_MEASURED_MAX = 500;

/** Beside the classes. */
const SHED_UNREAD = ['unread', Count.ShedUnread] as const;
const US_PER_S = 1e6;
const NS_PER_S = 1e9;
const LOOP_RESOLUTION_MS = 20;

export interface MetricsParts {
  readonly version: string;
  /** Epoch ms. */
  readonly startedAt: number;
  /** One block per lane, by lane index. */
  readonly laneColumns: readonly SharedArrayBuffer[];
  readonly control: ControlView;
  readonly drain: Drain;
  readonly percentiles: Percentiles;
  readonly log: LogSink | null;
}

type Labels = Readonly<Record<string, string | number>>;
/** One line. `name` differs from the metric's in the lines of a histogram. */
interface Sample {
  readonly value: number;
  readonly labels: Labels;
  readonly metricName?: string;
}
type Reader = () => Sample[];

const one = (value: number, labels: Labels = {}): Sample[] => [{ value, labels }];

export class Metrics {
  readonly contentType: string;
  readonly #registry = new Registry();
  readonly #parts: MetricsParts;
  readonly #lanes: readonly LaneColumns[];
  readonly #loop = monitorEventLoopDelay({ resolution: LOOP_RESOLUTION_MS });
  #rendering: Promise<string> | null = null;

  constructor(parts: MetricsParts) {
    this.#parts = parts;
    this.#lanes = parts.laneColumns.map((memory) => new LaneColumns(memory));
    this.#loop.enable();
    this.contentType = this.#registry.contentType;
    const readers = this.#readers();
    for (const name of Object.keys(METRICS) as MetricName[]) this.#register(name, METRICS[name], readers[name]);
  }

  /** The text of all metrics. Scrapers that come at once share one. */
  async render(): Promise<string> {
    this.#rendering ??= this.#registry.metrics().finally(() => {
      this.#rendering = null;
      this.#loop.reset();
    });
    return await this.#rendering;
  }

  close(): void {
    this.#loop.disable();
  }

  #register(name: MetricName, row: MetricRow, read: Reader): void {
    // prom-client asks nothing of a metric but this; its own classes would count a second time what the columns hold.
    const metric = {
      name,
      help: row.help,
      type: row.type,
      aggregator: 'sum',
      get: () => Promise.resolve({ name, help: row.help, type: row.type, aggregator: 'sum', values: read() }),
    };
    this.#registry.registerMetric(metric as unknown as Metric);
  }

  #readers(): Readonly<Record<MetricName, Reader>> {
    const { control, drain, log, percentiles } = this.#parts;
    const lanes = this.#lanes;
    const sum = (read: (c: LaneColumns) => number | undefined): Reader => {
      return () => one(lanes.reduce((total, c) => total + (read(c) ?? 0), 0));
    };
    const perLane = (read: (c: LaneColumns, lane: number) => number | undefined): Reader => {
      return () => lanes.map((c, lane) => ({ value: read(c, lane) ?? 0, labels: { lane } }));
    };
    const list = (label: string, names: readonly string[], cells: (c: LaneColumns) => Float64Array): Reader => {
      return () => names.map((name, i) => ({ value: total(lanes.map(cells), i), labels: { [label]: name } }));
    };
    const quantiles = (measure: Measure): Reader => {
      return () =>
        (percentiles.of(measure) ?? []).map((us, i) => ({
          value: us / US_PER_S,
          labels: { quantile: `${QUANTILES[i]}` },
        }));
    };
    const endpoints = (read: (e: EndpointView) => number): Reader => {
      return () =>
        control
          .endpoints()
          .slice(0, ENDPOINTS_MEASURED_MAX)
          .map((e) => ({ value: read(e), labels: { cell: e.cell, endpoint: e.identity } }));
    };
    const scopes = (read: (s: ScaleView) => number | null): Reader => {
      return () =>
        (control.scaling?.() ?? []).flatMap((s) => {
          const value = read(s);
          return value === null ? [] : [{ value, labels: { scope: s.scope } }];
        });
    };
    return {
      cnx_requests_total: () =>
        byRow(
          lanes,
          (c) => c.routeNames,
          (c) => c.requests,
          STATUS_CLASSES,
          ['route', 'class'],
        ),
      cnx_request_duration_seconds: () =>
        histogram(
          'cnx_request_duration_seconds',
          lanes.map((c) => c.requestUs),
        ),
      cnx_request_duration_quantile_seconds: quantiles('request'),
      cnx_request_body_bytes_total: sum((c) => c.counts[Count.BytesIn]),
      cnx_response_body_bytes_total: sum((c) => c.counts[Count.BytesOut]),
      cnx_requests_aborted_total: sum((c) => c.counts[Count.Aborted]),
      cnx_requests_in_flight: perLane((c) => c.gauges[Gauge.OpenExchanges]),
      cnx_connections_open: perLane((c) => c.gauges[Gauge.OpenConnections]),
      cnx_refusals_total: () =>
        REFUSAL_LIST.map((r) => ({
          value: total(
            lanes.map((c) => c.refusals),
            r.index,
          ),
          labels: { code: r.code, blame: r.blame },
        })),
      cnx_turned_away_total: sum((c) => c.counts[Count.TurnedAway]),
      cnx_stage_duration_seconds: () =>
        STAGES.flatMap((stage, i) =>
          histogram(
            'cnx_stage_duration_seconds',
            lanes.map((c) => c.stageUs[i] as Histogram),
            { stage },
          ),
        ),
      cnx_stage_faults_total: list('stage', [...STAGES, 'pipeline'], (c) => c.faults),
      cnx_waf_verdicts_total: list('verdict', WAF_VERDICTS, (c) => c.waf),
      cnx_waf_duration_quantile_seconds: quantiles('waf'),
      cnx_waf_pool_waiting: () => one(control.wafPool()?.waiting ?? 0),
      cnx_waf_lent_bodies: () => one(control.wafPool()?.lentBodies ?? 0),
      cnx_waf_lent_bytes: () => one(control.wafPool()?.lentBytes ?? 0),
      cnx_waf_pool_utilization_ratio: () => one(control.wafPool()?.utilization ?? 0),
      cnx_credentials_total: list('kind', CREDENTIALS, (c) => c.credentials),
      cnx_policy_outcomes_total: () =>
        byRow(
          lanes,
          (c) => c.policyNames,
          (c) => c.policies,
          POLICY_OUTCOMES,
          ['policy', 'outcome'],
        ),
      cnx_policy_eval_seconds: () =>
        histogram(
          'cnx_policy_eval_seconds',
          lanes.map((c) => c.policyUs),
        ),
      cnx_policy_eval_quantile_seconds: quantiles('policy'),
      policy_eval_latency_p99: () => one((percentiles.of('policy', [0.99])?.[0] ?? 0) / US_PER_S),
      policy_eval_errors: sum((c) => policiesFailed(c)),
      policy_deny_rate: () => one(percentiles.denyRate),
      policy_version_mismatch: () => {
        const active = control.active();
        if (active === null) return one(0);
        const { seen } = control.source();
        const lanes = control.lanes().some((l) => l.revision !== active.revision);
        const tried = control.rollout()?.digest;
        return one(lanes || (seen !== null && seen !== active.digest && seen !== tried) ? 1 : 0);
      },
      cnx_rollout_share_ratio: () => one(control.rollout()?.share ?? 0),
      cnx_rollouts_total: () =>
        Object.entries(control.rolloutEnds()).map(([outcome, n]) => ({ labels: { outcome }, value: n })),
      cnx_channel_seq: () => one(control.channel?.()?.seq ?? 0),
      cnx_channel_canary: () => one(control.channel?.()?.role === 'canary' ? 1 : 0),
      cnx_audit_failed: () => one(typeof control.audit()?.fault === 'string' ? 1 : 0),
      cnx_audit_entries: () => one(control.audit()?.n ?? 0),
      cnx_bundle_revisions_held: () => one(control.revisionsHeld?.() ?? 0),
      cnx_webhook_waiting: () =>
        (control.webhooks?.() ?? []).map(({ id, waiting }) => ({ labels: { webhook: id }, value: waiting })),
      cnx_webhook_dropped_total: () =>
        (control.webhooks?.() ?? []).map(({ id, dropped }) => ({ labels: { webhook: id }, value: dropped })),
      policy_load_failures: () => one(control.policyLoadFailures()),
      cnx_cache_requests_total: () => list('outcome', CACHE_OUTCOMES, (c) => c.cache)().slice(1),
      cnx_cache_stored_total: sum((c) => c.counts[Count.CacheStored]),
      cnx_cache_evicted_total: sum((c) => c.counts[Count.CacheEvicted]),
      cnx_cache_collapsed_total: sum((c) => c.counts[Count.CacheCollapsed]),
      cnx_cache_waiting: perLane((c) => c.gauges[Gauge.CacheWaiting]),
      cnx_cache_bytes: perLane((c) => c.gauges[Gauge.CacheBytes]),
      cnx_cache_addresses: perLane((c) => c.gauges[Gauge.CacheAddresses]),
      cnx_compressed_answers_total: list('algorithm', COMPRESSED_BY, (c) => c.compressedAnswers),
      cnx_compressed_in_bytes_total: list('algorithm', COMPRESSED_BY, (c) => c.compressedIn),
      cnx_compressed_out_bytes_total: list('algorithm', COMPRESSED_BY, (c) => c.compressedOut),
      cnx_compress_busy_total: sum((c) => c.counts[Count.CompressBusy]),
      cnx_upstream_duration_seconds: () =>
        histogram(
          'cnx_upstream_duration_seconds',
          lanes.map((c) => c.upstreamUs),
        ),
      cnx_upstream_duration_quantile_seconds: quantiles('upstream'),
      cnx_upstream_retries_total: sum((c) => c.counts[Count.Retries]),
      cnx_cell_requests_total: () =>
        byRow(
          lanes,
          (c) => c.cellNames,
          (c) => c.cells,
          CELL_OUTCOMES,
          ['cell', 'outcome'],
        ),
      cnx_cell_duration_seconds: () => cellHistograms(lanes),
      cnx_shed_total: () =>
        [...REQUEST_CLASSES.map((name, i) => [name, Count.ShedCritical + i] as const), SHED_UNREAD].map(
          ([name, count]) => ({
            value: lanes.reduce((n, c) => n + (c.counts[count] ?? 0), 0),
            labels: { class: name },
          }),
        ),
      cnx_shed_share: perLane((c) => c.gauges[Gauge.ShedShare] ?? 0),
      cnx_lane_queue_seconds: perLane((c) => (c.gauges[Gauge.QueueMs] ?? 0) / 1000),
      cnx_bulkhead_refusals_total: () => [
        { value: lanes.reduce((n, c) => n + (c.counts[Count.BulkheadCell] ?? 0), 0), labels: { of: 'cell' } },
        { value: lanes.reduce((n, c) => n + (c.counts[Count.BulkheadTenant] ?? 0), 0), labels: { of: 'tenant' } },
        { value: lanes.reduce((n, c) => n + (c.counts[Count.BulkheadAdaptive] ?? 0), 0), labels: { of: 'adaptive' } },
      ],
      cnx_upstream_hedges_total: () =>
        HEDGE_OUTCOMES.map((outcome, i) => ({
          value: lanes.reduce((n, c) => n + (c.counts[Count.HedgesWon + i] ?? 0), 0),
          labels: { outcome },
        })),
      cnx_upstream_retries_denied_total: sum((c) => c.counts[Count.RetryBudgetSpent]),
      cnx_scale_current: scopes((s) => s.current),
      cnx_scale_desired: scopes((s) => s.desired),
      cnx_scale_out: scopes((s) => (s.scaleOut ? 1 : 0)),
      cnx_scale_rule_active: () =>
        (control.scaling?.() ?? []).flatMap(({ scope, fired, reasons }) =>
          Object.keys(fired).map((rule) => ({ value: reasons.includes(rule) ? 1 : 0, labels: { scope, rule } })),
        ),
      cnx_scale_decisions_total: () =>
        (control.scaling?.() ?? []).flatMap(({ scope, fired }) =>
          Object.entries(fired).map(([rule, value]) => ({ value, labels: { scope, rule } })),
        ),
      cnx_load_requests_per_second: scopes((s) => s.requestsPerSecond),
      cnx_load_predicted_requests_per_second: scopes((s) => s.predictedPerSecond),
      cnx_mode: () => one(MODES.indexOf(control.mode?.().mode ?? 'normal')),
      cnx_mode_changes_total: () =>
        Object.entries(control.mode?.().entered ?? {}).map(([mode, value]) => ({ value, labels: { mode } })),
      cnx_dependency_down: () =>
        (control.mode?.().dependencies ?? []).map((d) => ({ value: d.down ? 1 : 0, labels: { dependency: d.name } })),
      cnx_mirrored_total: () =>
        byRow(
          lanes,
          (c) => c.routeNames,
          (c) => c.mirrors,
          MIRROR_OUTCOMES,
          ['route', 'outcome'],
        ),
      cnx_endpoint_health_ratio: endpoints((e) => e.health),
      cnx_endpoint_in_flight: endpoints((e) => e.inflight),
      cnx_endpoint_out: endpoints((e) => (e.out === null ? 0 : 1)),
      cnx_endpoint_circuit_state: endpoints((e) => CIRCUIT_STATES.indexOf(e.circuit)),
      cnx_endpoint_circuit_changes_total: endpoints((e) => e.circuitChanges),
      cnx_endpoint_outlier: endpoints((e) => (e.outlier ? 1 : 0)),
      cnx_cell_circuit_state: () =>
        control.faults().cells.map((c) => ({ value: CIRCUIT_STATES.indexOf(c.circuit), labels: { cell: c.cell } })),
      cnx_cell_circuit_changes_total: () =>
        control.faults().cells.map((c) => ({ value: c.circuitChanges, labels: { cell: c.cell } })),
      cnx_outlier_ejections_total: () => one(control.faults().ejections),
      cnx_outlier_ejections_overflow_total: () => one(control.faults().overflows),
      cnx_cell_endpoints: () => {
        const counts = new Map<string, number>();
        for (const { cell } of control.endpoints()) counts.set(cell, (counts.get(cell) ?? 0) + 1);
        return [...counts].map(([cell, value]) => ({ value, labels: { cell } }));
      },
      cnx_discovery_sources: () => {
        const { sources } = control.discovery();
        return DISCOVERY_STATES.map((state) => ({
          value: sources.filter((s) => s.state === state).length,
          labels: { state },
        }));
      },
      cnx_discovery_lookups_total: () =>
        Object.entries(control.discovery().lookups).map(([outcome, value]) => ({ value, labels: { outcome } })),
      bundle_info: () => {
        const active = control.active();
        return active === null ? [] : one(1, { digest: active.digest, seq: active.seq });
      },
      cnx_bundle_activated_timestamp_seconds: () => one((control.active()?.activatedAt ?? 0) / 1000),
      cnx_bundle_activation_duration_seconds: () => one((control.active()?.tookMs ?? 0) / 1000),
      cnx_bundle_revision: () => one(control.active()?.revision ?? 0),
      cnx_bundle_rejections_total: () =>
        Object.entries(control.rejectionCounts()).map(([step, value]) => ({ value, labels: { step } })),
      cnx_bundle_source_contact_timestamp_seconds: () => one((control.source().lastContactAt ?? 0) / 1000),
      cnx_bundle_stale: () => one(control.source().stale ? 1 : 0),
      cnx_bundle_seen_info: () => {
        const { seen } = control.source();
        return seen === null ? [] : one(1, { digest: seen });
      },
      cnx_bundle_source_state: () => {
        const { state: now } = control.source();
        return SOURCE_STATES.map((state) => ({ value: state === now ? 1 : 0, labels: { state } }));
      },
      cnx_bundle_signature_overdue: () => one(control.source().overdue ? 1 : 0),
      cnx_bundle_seq: () => one(control.active()?.seq ?? 0),
      cnx_bundle_highest_seq: () => one(control.trust().highestSeq),
      cnx_bundle_floor_seq: () => one(control.trust().floor),
      cnx_bundle_expiry_timestamp_seconds: () => one((control.active()?.expiresAt ?? 0) / 1000),
      cnx_bundle_store_failed: () => one(control.source().fault === null ? 0 : 1),
      cnx_trust_epoch: () => one(control.trust().epoch),
      cnx_trust_refused: () => one(control.trust().refused === null ? 0 : 1),
      cnx_certificate_expiry_timestamp_seconds: () =>
        (control.certificates?.() ?? []).map(({ listener, until }) => ({ labels: { listener }, value: until / 1000 })),
      cnx_certificates_refused: () =>
        (control.certificates?.() ?? []).map(({ listener, refused }) => ({
          labels: { listener },
          value: refused === null ? 0 : 1,
        })),
      cnx_lane_event_loop_delay_seconds: () =>
        lanes.flatMap((c, lane) =>
          LOOP_QUANTILES.map(([quantile, gauge]) => ({
            value: (c.gauges[gauge] ?? 0) / US_PER_S,
            labels: { lane, quantile },
          })),
        ),
      cnx_lane_utilization_ratio: perLane((c) => c.gauges[Gauge.Utilization]),
      cnx_lane_heap_bytes: perLane((c) => c.gauges[Gauge.HeapBytes]),
      cnx_lane_revision: () => control.lanes().map((l) => ({ value: l.revision, labels: { lane: l.lane } })),
      cnx_lane_restarts: () => control.lanes().map((l) => ({ value: l.restarts, labels: { lane: l.lane } })),
      cnx_main_event_loop_delay_seconds: () => this.#mainDelay(),
      cnx_log_lines_total: () => one(log?.lines ?? 0),
      cnx_log_dropped_total: () => one(log?.dropped ?? 0),
      cnx_log_skipped_total: () => one(drain.skipped),
      cnx_log_queued_bytes: () => one(log?.queuedBytes ?? 0),
      cnx_records_total: perLane((_, lane) => drain.read(lane)),
      cnx_records_lost_total: perLane((_, lane) => drain.lost(lane)),
      cnx_build_info: () => one(1, { version: this.#parts.version, node: process.version }),
      cnx_process_start_timestamp_seconds: () => one(this.#parts.startedAt / 1000),
      cnx_process_cpu_seconds_total: () => {
        const { user, system } = process.cpuUsage();
        return one((user + system) / US_PER_S);
      },
      cnx_process_resident_memory_bytes: () => one(process.memoryUsage.rss()),
    };
  }

  #mainDelay(): Sample[] {
    const loop = this.#loop;
    const late = (ns: number): number =>
      Number.isFinite(ns) ? Math.max(0, ns / NS_PER_S - LOOP_RESOLUTION_MS / 1000) : 0;
    return [
      { value: late(loop.percentile(50)), labels: { quantile: '0.5' } },
      { value: late(loop.percentile(99)), labels: { quantile: '0.99' } },
      { value: late(loop.max), labels: { quantile: '1' } },
    ];
  }
}

const LOOP_QUANTILES = [
  ['0.5', Gauge.DelayP50Us],
  ['0.99', Gauge.DelayP99Us],
  ['1', Gauge.DelayMaxUs],
] as const;

const FAILED = POLICY_OUTCOMES.indexOf('failed');

function policiesFailed(c: LaneColumns): number {
  let failed = 0;
  for (let i = FAILED; i < c.policies.length; i += POLICY_OUTCOMES.length) failed += c.policies[i] as number;
  return failed;
}

function total(columns: readonly Float64Array[], index: number): number {
  return columns.reduce((sum, cells) => sum + (cells[index] ?? 0), 0);
}

/** Rows by name, joined over the lanes: a lane gives its rows in the order in which it met the names. Cells that are 0 are left out. */
function byRow(
  lanes: readonly LaneColumns[],
  names: (c: LaneColumns) => RowNames,
  cells: (c: LaneColumns) => Float64Array,
  columns: readonly string[],
  labels: readonly [row: string, column: string],
): Sample[] {
  const sums = new Map<string, number[]>();
  for (const lane of lanes) {
    const rows = names(lane);
    const values = cells(lane);
    for (let row = 0; row < rows.used; row++) {
      const name = rows.name(row);
      const sum = sums.get(name) ?? columns.map(() => 0);
      sums.set(name, sum);
      for (let i = 0; i < columns.length; i++) sum[i] = (sum[i] ?? 0) + (values[row * columns.length + i] ?? 0);
    }
  }
  return [...sums].flatMap(([name, sum]) =>
    sum.flatMap((value, i) =>
      value === 0 ? [] : [{ value, labels: { [labels[0]]: name, [labels[1]]: columns[i] ?? '' } }],
    ),
  );
}

/** One histogram for each cell that was asked, joined over the lanes by name. */
function cellHistograms(lanes: readonly LaneColumns[]): Sample[] {
  const parts = new Map<string, Histogram[]>();
  for (const lane of lanes) {
    for (let row = 0; row < lane.cellNames.used; row++) {
      const one = lane.cellUs[row];
      if (one === undefined || one.count === 0) continue;
      const cell = lane.cellNames.name(row);
      parts.set(cell, [...(parts.get(cell) ?? []), one]);
    }
  }
  return [...parts].flatMap(([cell, list]) => histogram('cnx_cell_duration_seconds', list, { cell }));
}

/** Histograms of all lanes as Prometheus wants them: cumulative buckets, sum in seconds, count. */
function histogram(name: MetricName, parts: readonly Histogram[], labels: Labels = {}): Sample[] {
  const bounds = parts[0]?.bounds ?? [];
  const samples: Sample[] = [];
  let count = 0;
  for (let i = 0; i <= bounds.length; i++) {
    count += total(
      parts.map((h) => h.cells),
      i,
    );
    const bound = bounds[i];
    const le = bound === undefined ? '+Inf' : `${bound / US_PER_S}`;
    samples.push({ metricName: `${name}_bucket`, value: count, labels: { ...labels, le } });
  }
  const sum = parts.reduce((s, h) => s + h.sum, 0) / US_PER_S;
  samples.push(
    { metricName: `${name}_sum`, value: sum, labels },
    { metricName: `${name}_count`, value: count, labels },
  );
  return samples;
}
