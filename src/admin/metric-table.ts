/**
 * Every metric: name, type, unit, labels, meaning. The only list of them; `metrics.ts` owes each a reader and `docs/metrics.md` is made from it
 * (`npm run generate`). Names are `cnx_…_seconds|_bytes|_total|_ratio`, but for those that the architecture fixes.
 */

export interface MetricRow {
  readonly type: 'counter' | 'gauge' | 'histogram';
  /** What a value is; '' = a count. */
  readonly unit: string;
  readonly labels: readonly string[];
  readonly help: string;
}

const row = (type: MetricRow['type'], unit: string, labels: readonly string[], help: string): MetricRow => ({
  type,
  unit,
  labels,
  help,
});

export const METRICS = {
  // Requests
  cnx_requests_total: row(
    'counter',
    '',
    ['route', 'class'],
    'Requests that ended, by route and class of the status that the client saw (none: no answer was begun).',
  ),
  cnx_request_duration_seconds: row(
    'histogram',
    'seconds',
    [],
    'From the request head to the last byte of the answer.',
  ),
  cnx_request_duration_quantile_seconds: row(
    'gauge',
    'seconds',
    ['quantile'],
    'Percentiles of the same over the last one to two minutes, within 1 %.',
  ),
  cnx_request_body_bytes_total: row('counter', 'bytes', [], 'Bytes of request bodies taken from clients.'),
  cnx_response_body_bytes_total: row('counter', 'bytes', [], 'Bytes of response bodies handed to clients.'),
  cnx_requests_aborted_total: row(
    'counter',
    '',
    [],
    'Requests that ended early: the client went away, or the answer broke off after it had begun.',
  ),
  cnx_requests_in_flight: row('gauge', '', ['lane'], 'Requests that are open, once a second.'),
  cnx_connections_open: row('gauge', '', ['lane'], 'Downstream connections that are open, once a second.'),
  cnx_refusals_total: row(
    'counter',
    '',
    ['code', 'blame'],
    'Answers that the gateway gave by itself, by code (refusals.md) and whose fault it was.',
  ),
  cnx_turned_away_total: row(
    'counter',
    '',
    [],
    'Requests turned away before any stage (no snapshot yet, exchangesMax reached, or unread under overload). Counted among the refusals too.',
  ),
  // Stages
  cnx_stage_duration_seconds: row(
    'histogram',
    'seconds',
    ['stage'],
    'Time in a stage. Always taken for waf, authenticate and authorize, for the others in one request of 64.',
  ),
  cnx_stage_faults_total: row(
    'counter',
    '',
    ['stage'],
    'Stages that threw: bugs of the gateway. The request was answered 500 internal_error.',
  ),
  cnx_waf_verdicts_total: row('counter', '', ['verdict'], 'What the WAF said (none: not asked).'),
  cnx_waf_duration_quantile_seconds: row(
    'gauge',
    'seconds',
    ['quantile'],
    'Percentiles of the time in the WAF over the last one to two minutes.',
  ),
  cnx_waf_pool_waiting: row('gauge', '', [], 'Requests that wait for a thread of the WAF pool.'),
  cnx_waf_lent_bodies: row(
    'gauge',
    '',
    [],
    'Bodies that rules read in the memory of the transport, in lanes and in the WAF pool: each until its exchange is over.',
  ),
  cnx_waf_lent_bytes: row('gauge', 'bytes', [], 'Memory of these bodies.'),
  cnx_waf_pool_utilization_ratio: row(
    'gauge',
    'ratio',
    [],
    'Share of the time that the threads of the WAF pool were busy.',
  ),
  cnx_credentials_total: row(
    'counter',
    '',
    ['kind'],
    'What authenticate found: no token, a token from the cache, a token whose signature was verified.',
  ),
  cnx_policy_outcomes_total: row('counter', '', ['policy', 'outcome'], 'Decisions of policies, by policy.'),
  cnx_policy_eval_seconds: row(
    'histogram',
    'seconds',
    [],
    'Evaluation of a policy, without decisions out of the cache.',
  ),
  cnx_policy_eval_quantile_seconds: row(
    'gauge',
    'seconds',
    ['quantile'],
    'Percentiles of the same over the last one to two minutes.',
  ),
  policy_eval_latency_p99: row(
    'gauge',
    'seconds',
    [],
    '99th percentile of policy evaluation over the last one to two minutes.',
  ),
  policy_eval_errors: row('counter', '', [], 'Policy evaluations that failed; each was a refusal.'),
  policy_deny_rate: row(
    'gauge',
    'ratio',
    [],
    'Share of policy decisions that were a denial, over the last one to two minutes.',
  ),
  policy_version_mismatch: row(
    'gauge',
    '',
    [],
    '1: the source names another bundle than the one that serves or is being tried, or a lane serves another revision than the active one. A bundle that is on its way does not count until it is refused. Look at `cnx status`.',
  ),
  policy_load_failures: row('counter', '', [], 'Policies that could not be loaded; their bundle was rejected.'),
  // The response cache
  cnx_cache_requests_total: row(
    'counter',
    '',
    ['outcome'],
    'Requests that asked the response cache, by what it did: hit, stale (served beyond its lifetime), validated (the upstream said that it is still right), miss, bypass.',
  ),
  cnx_cache_stored_total: row('counter', '', [], 'Answers that were stored, those that were freshened among them.'),
  cnx_cache_evicted_total: row('counter', '', [], 'Stored answers that went because there was no room.'),
  cnx_cache_collapsed_total: row('counter', '', [], 'Requests that waited for the fetch of another one.'),
  cnx_cache_waiting: row('gauge', '', ['lane'], 'Requests that wait for the fetch of another one, once a second.'),
  cnx_cache_bytes: row('gauge', 'bytes', ['lane'], 'Bytes of stored answers, once a second.'),
  cnx_cache_addresses: row('gauge', '', ['lane'], 'Addresses of which answers are stored, once a second.'),
  // Compression
  cnx_compressed_answers_total: row(
    'counter',
    '',
    ['algorithm'],
    'Answers that were compressed, counted when they are over.',
  ),
  cnx_compressed_in_bytes_total: row('counter', 'bytes', ['algorithm'], 'Bytes of these before compression.'),
  cnx_compressed_out_bytes_total: row('counter', 'bytes', ['algorithm'], 'Bytes of these after it.'),
  cnx_compress_busy_total: row(
    'counter',
    '',
    [],
    'Answers that were not compressed because encoders take as much memory as they may: many large answers to slow clients at once.',
  ),
  // Upstream
  cnx_upstream_duration_seconds: row(
    'histogram',
    'seconds',
    [],
    'From handing a request over to the response head of the upstream.',
  ),
  cnx_upstream_duration_quantile_seconds: row(
    'gauge',
    'seconds',
    ['quantile'],
    'Percentiles of the same over the last one to two minutes.',
  ),
  cnx_upstream_retries_total: row('counter', '', [], 'Further attempts on another endpoint.'),
  cnx_cell_requests_total: row(
    'counter',
    '',
    ['cell', 'outcome'],
    'Requests by cell: answered and failed (5xx, or no answer) are counted for the cell that was asked; failed_over (its standby served) and unavailable (refused: nobody could be asked) for the one they belonged to.',
  ),
  cnx_cell_duration_seconds: row(
    'histogram',
    'seconds',
    ['cell'],
    'From the hand-over to the response head of an endpoint of the cell.',
  ),
  cnx_shed_total: row(
    'counter',
    '',
    ['class'],
    'Requests that were turned away since a lane was overloaded, by the class of their route or header (critical, default, sheddable); unread: before their route was looked for, so without a record.',
  ),
  cnx_shed_share: row('gauge', '', ['lane'], 'Share of all requests that a lane turns away, 0 to 1, every 100 ms.'),
  cnx_lane_queue_seconds: row('gauge', 'seconds', ['lane'], 'Delay that stands in a lane, as overload sees it.'),
  cnx_bulkhead_refusals_total: row(
    'counter',
    '',
    ['of'],
    'Requests refused since too many were under way in their cell (of: cell), of their tenant there (of: tenant), or in their lane (of: adaptive).',
  ),
  cnx_upstream_hedges_total: row(
    'counter',
    '',
    ['outcome'],
    'Second attempts beside slow ones: whose answer was taken (won) or not (lost), and those that were not made (denied).',
  ),
  cnx_upstream_retries_denied_total: row(
    'counter',
    '',
    [],
    'Further attempts that were not made, since the retry budget of the cell was spent.',
  ),
  cnx_scale_current: row('gauge', '', ['scope'], 'Endpoints of a cell (scope `cell/<id>`); 1 for the gateway.'),
  cnx_scale_desired: row(
    'gauge',
    '',
    ['scope'],
    'How many there should be by the table of rules and 70 % of the capacity (cells.md).',
  ),
  cnx_scale_out: row('gauge', '', ['scope'], '1: more than 70 % of the capacity is in use.'),
  cnx_scale_rule_active: row('gauge', '', ['scope', 'rule'], '1: the rule asks for more now.'),
  cnx_scale_decisions_total: row('counter', '', ['scope', 'rule'], 'How often the rule has asked for more.'),
  cnx_load_requests_per_second: row('gauge', '', ['scope'], 'Requests a second over the last ten seconds.'),
  cnx_load_predicted_requests_per_second: row(
    'gauge',
    '',
    ['scope'],
    'The same, predicted 15 minutes ahead (Holt-Winters over five minutes each, 288 a day).',
  ),
  cnx_mode: row(
    'gauge',
    '',
    [],
    'How far the gateway has stepped back (degradation.md): 0 normal, 1 degraded, 2 limited, 3 survival.',
  ),
  cnx_mode_changes_total: row('counter', '', ['mode'], 'How often each mode was entered.'),
  cnx_dependency_down: row('gauge', '', ['dependency'], '1: the declared dependency counts as down.'),
  cnx_mirrored_total: row(
    'counter',
    '',
    ['route', 'outcome'],
    'Requests that were copied to a mirror, by how the answers compare (traffic.md): same, partly, status, headers, body, failed, alone, dropped.',
  ),
  cnx_endpoint_health_ratio: row(
    'gauge',
    'ratio',
    ['cell', 'endpoint'],
    'Health of an endpoint, 0 to 1; weighs its share of the requests.',
  ),
  cnx_endpoint_in_flight: row('gauge', '', ['cell', 'endpoint'], 'Requests in flight on an endpoint, over all lanes.'),
  cnx_endpoint_out: row(
    'gauge',
    '',
    ['cell', 'endpoint'],
    '1: out of rotation, by the prober, as an outlier, by its circuit, or after a refused or reset connection.',
  ),
  cnx_endpoint_circuit_state: row(
    'gauge',
    '',
    ['cell', 'endpoint'],
    'Circuit breaker of an endpoint: 0 closed, 1 open, 2 half-open.',
  ),
  cnx_endpoint_circuit_changes_total: row(
    'counter',
    '',
    ['cell', 'endpoint'],
    'Changes of the circuit of an endpoint.',
  ),
  cnx_endpoint_outlier: row('gauge', '', ['cell', 'endpoint'], '1: ejected as an outlier of its cell.'),
  cnx_cell_circuit_state: row('gauge', '', ['cell'], 'Circuit breaker of a cell: 0 closed, 1 open, 2 half-open.'),
  cnx_cell_circuit_changes_total: row('counter', '', ['cell'], 'Changes of the circuit of a cell.'),
  cnx_outlier_ejections_total: row('counter', '', [], 'Endpoints that were ejected as outliers.'),
  cnx_outlier_ejections_overflow_total: row(
    'counter',
    '',
    [],
    'Endpoints that would have been ejected as outliers had not as many been already as may be.',
  ),
  cnx_cell_endpoints: row(
    'gauge',
    '',
    ['cell'],
    'Endpoints of a cell, written down or discovered, in rotation or not.',
  ),
  cnx_discovery_sources: row(
    'gauge',
    '',
    ['state'],
    'Names and files that endpoints come from, by how they stand; `stale`: what was good last serves on.',
  ),
  cnx_discovery_lookups_total: row(
    'counter',
    '',
    ['outcome'],
    'DNS questions for endpoints: answered, denied (no such name or record), failed (no server has said either).',
  ),
  // Bundle and control
  bundle_info: row('gauge', '', ['digest', 'seq'], 'Always 1; the labels say which bundle serves.'),
  cnx_bundle_activated_timestamp_seconds: row(
    'gauge',
    'seconds',
    [],
    'When the active bundle was activated, Unix time.',
  ),
  cnx_bundle_activation_duration_seconds: row(
    'gauge',
    'seconds',
    [],
    'What the bundle that serves took from being seen at its source to serving on all lanes; 0 = it was kept here, or tried by a share of identities first.',
  ),
  cnx_bundle_revision: row('gauge', '', [], 'Revision that is active; grows by one with each activation.'),
  cnx_bundle_revisions_held: row(
    'gauge',
    '',
    [],
    'Revisions that are compiled: what serves or is tried, and older ones that open requests hold. At 32 the next bundle waits.',
  ),
  cnx_bundle_rejections_total: row('counter', '', ['step'], 'Bundles that were not taken, by the step that said no.'),
  cnx_rollout_share_ratio: row(
    'gauge',
    'ratio',
    [],
    'Share of identities that see a bundle which is being tried; 0 = none is.',
  ),
  cnx_rollouts_total: row(
    'counter',
    '',
    ['outcome'],
    'Bundles that were tried, by how that ended: `promoted`, `reverted` (they did worse), `superseded` (something else was to serve).',
  ),
  cnx_channel_seq: row(
    'gauge',
    '',
    [],
    'Sequence of the channel index that is followed, also while it cannot be had; 0 = none is: the tag names a bundle itself, and that was taken.',
  ),
  cnx_channel_canary: row('gauge', '', [], '1: a channel index assigns a canary to this gateway, not what is stable.'),
  cnx_audit_failed: row(
    'gauge',
    '',
    [],
    '1: the audit log could not be written last time; entries wait, up to a bound.',
  ),
  cnx_audit_entries: row('gauge', '', [], 'Number of the last entry of the audit log.'),
  cnx_webhook_waiting: row(
    'gauge',
    '',
    ['webhook'],
    'Events that a receiver has not been told of yet; 1,000 at most, then the oldest go.',
  ),
  cnx_webhook_dropped_total: row(
    'counter',
    '',
    ['webhook'],
    'Events that a receiver will never be told of: too many waited, on the disk or for it, or the disk refused them.',
  ),
  cnx_bundle_source_contact_timestamp_seconds: row(
    'gauge',
    'seconds',
    [],
    'When the source of bundles last answered, Unix time; 0 = never.',
  ),
  cnx_bundle_stale: row(
    'gauge',
    '',
    [],
    '1: the bundle is beyond its expiry or the source has been silent for too long. It is still served.',
  ),
  cnx_bundle_seen_info: row('gauge', '', ['digest'], 'Always 1; the label says what the source named last.'),
  cnx_bundle_source_state: row(
    'gauge',
    '',
    ['state'],
    '1 for the state that the source is in: `current`, `starting`, `pending_signature`, `rejected`, `missing`, `unreachable`, `failing` (here, such as a full disk).',
  ),
  cnx_bundle_signature_overdue: row(
    'gauge',
    '',
    [],
    '1: what the source names has been without enough good signatures for more than five minutes.',
  ),
  cnx_bundle_seq: row('gauge', '', [], 'Sequence number of the bundle that serves; 0 = none.'),
  cnx_bundle_highest_seq: row('gauge', '', [], 'Highest sequence number that was ever active in this trust epoch.'),
  cnx_bundle_floor_seq: row('gauge', '', [], 'Bundles below this sequence number are refused.'),
  cnx_bundle_expiry_timestamp_seconds: row(
    'gauge',
    'seconds',
    [],
    'When the bundle that serves is stale by its own word or by that of its keys, Unix time; 0 = never.',
  ),
  cnx_bundle_store_failed: row('gauge', '', [], '1: the state directory could not be written last time.'),
  cnx_trust_epoch: row('gauge', '', [], 'Epoch of the trust policy that counts.'),
  cnx_trust_refused: row(
    'gauge',
    '',
    [],
    '1: the trust policy file was changed to something that cannot be used; the former one counts.',
  ),
  cnx_certificate_expiry_timestamp_seconds: row(
    'gauge',
    'seconds',
    ['listener'],
    'When the first of the certificates that a listener serves ends, Unix time.',
  ),
  cnx_certificates_refused: row(
    'gauge',
    '',
    ['listener'],
    '1: certificate files were changed to something that cannot be used; the former ones serve.',
  ),
  // Lanes
  cnx_lane_event_loop_delay_seconds: row(
    'gauge',
    'seconds',
    ['lane', 'quantile'],
    'How late timers of a lane fired during the last second; quantile 1 is the worst.',
  ),
  cnx_lane_utilization_ratio: row(
    'gauge',
    'ratio',
    ['lane'],
    'Share of the last second that the loop of a lane was busy.',
  ),
  cnx_lane_heap_bytes: row('gauge', 'bytes', ['lane'], 'JavaScript heap in use by a lane.'),
  cnx_lane_revision: row('gauge', '', ['lane'], 'Revision that a lane serves.'),
  cnx_lane_restarts: row('gauge', '', ['lane'], 'Times that a lane died and was started again within the last minute.'),
  cnx_main_event_loop_delay_seconds: row(
    'gauge',
    'seconds',
    ['quantile'],
    'How late timers fired in the thread that runs control, log and admin, since the last scrape.',
  ),
  // Log and records
  cnx_log_lines_total: row('counter', '', [], 'Lines of the log that were written.'),
  cnx_log_dropped_total: row(
    'counter',
    '',
    [],
    'Lines of the log that were dropped, since whoever reads it was too slow.',
  ),
  cnx_log_skipped_total: row(
    'counter',
    '',
    [],
    'Lines of requests that were due and not made, since there were more than LOG_LINES_PER_SECOND_MAX (5,000) in one second.',
  ),
  cnx_log_queued_bytes: row('gauge', 'bytes', [], 'Bytes that wait to be written to the log.'),
  cnx_records_total: row('counter', '', ['lane'], 'Decision records that were read.'),
  cnx_records_lost_total: row(
    'counter',
    '',
    ['lane'],
    'Decision records that were overwritten before they were read: missing in log and percentiles, not in counters.',
  ),
  // Process
  cnx_build_info: row('gauge', '', ['version', 'node'], 'Always 1; the labels say what runs.'),
  cnx_process_start_timestamp_seconds: row('gauge', 'seconds', [], 'When the process started, Unix time.'),
  cnx_process_cpu_seconds_total: row('counter', 'seconds', [], 'CPU time of all threads, user and system.'),
  cnx_process_resident_memory_bytes: row('gauge', 'bytes', [], 'Resident memory of the process.'),
} as const satisfies Readonly<Record<string, MetricRow>>;

export type MetricName = keyof typeof METRICS;

/** Labels whose values are bounded by a name, for the documentation. */
export const LABEL_BOUNDS: Readonly<Record<string, string>> = {
  route:
    'Id of the route: the first `ROUTES_MEASURED_MAX` (200) that are served, `other` beyond, `none` when no route matched.',
  cell: 'Id of the cell: the first `CELLS_MEASURED_MAX` (64) that are asked, `other` beyond.',
  scope: '`gateway`, or `cell/<id>` for the first 64 cells of the active bundle.',
  policy: 'Id of the policy: the first `POLICIES_MEASURED_MAX` (64), `other` beyond.',
  endpoint:
    '`cell/host:port` of the first `ENDPOINTS_MEASURED_MAX` (500) endpoints of the active bundle; `cell/name/host:port` of those that a name or file led to.',
  lane: 'Index of the lane, at most 64.',
  code: 'Code of the refusal.',
  quantile: '`0.5`, `0.9`, `0.99`, `0.999`; `1` is the maximum.',
};
