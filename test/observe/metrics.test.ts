import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { metricDocs } from '../../src/admin/metric-docs.ts';
import { METRICS } from '../../src/admin/metric-table.ts';
import { REFUSALS } from '../../src/data/refusal.ts';
import type { ObserveParts } from '../../src/data/observe.ts';
import { Observe } from '../../src/data/observe.ts';
import { givenExchange, givenRoute } from './given.ts';
import { get, givenAdmin } from './given-admin.ts';
import { parsePrometheus } from './prometheus-text.ts';

async function scrape(t: Parameters<typeof givenAdmin>[0], fill: (given: ReturnType<typeof givenAdmin>) => void) {
  const given = givenAdmin(t);
  fill(given);
  given.admin.drain.turn();
  const ports = await given.admin.listen({
    probes: { address: '127.0.0.1', port: 0 },
    admin: { address: '127.0.0.1', port: 0, token: null },
  });
  const answer = await get(`http://127.0.0.1:${ports.probes}/metrics`);
  assert.equal(answer.status, 200);
  assert.match(answer.headers.get('content-type') ?? '', /^text\/plain; version=0\.0\.4/);
  return { text: answer.body, families: parsePrometheus(answer.body) };
}

test('every metric of the table is there, with its help and type, and nothing else', async (t) => {
  const { families } = await scrape(t, () => undefined);
  assert.deepEqual([...families.keys()].sort(), Object.keys(METRICS).sort());
  for (const [name, row] of Object.entries(METRICS)) {
    assert.equal(families.get(name)?.type, row.type, name);
    assert.equal(families.get(name)?.help, row.help, name);
  }
});

test('names follow the rule, but for those that the architecture fixes', () => {
  const fixed = new Set([
    'policy_eval_latency_p99',
    'policy_eval_errors',
    'policy_version_mismatch',
    'policy_deny_rate',
    'policy_load_failures',
    'bundle_info',
  ]);
  for (const [name, row] of Object.entries(METRICS)) {
    if (fixed.delete(name)) continue;
    assert.match(name, /^cnx_[a-z0-9_]+$/);
    if (row.type === 'counter') assert.match(name, /_total$/);
    else assert.doesNotMatch(name, /_total$/);
    if (row.unit !== '') assert.match(name, new RegExp(`_${row.unit}(?:_total)?$`), name);
  }
  assert.equal(fixed.size, 0);
});

test('what the lanes counted is summed and labelled', async (t) => {
  const { families } = await scrape(t, ({ observers, columns, control }) => {
    const [a, b] = observers as [Observe, Observe];
    a.columns.routeNames.row('catalog');
    a.ended(givenExchange());
    b.ended(givenExchange());
    const denied = givenExchange();
    denied.policy = 3;
    denied.refuse(REFUSALS.policy_denied, '');
    denied.status = 403;
    b.ended(denied);
    const failed = givenExchange();
    failed.policy = 5;
    b.ended(failed);
    b.tick({ at: 1, openExchanges: 4, openConnections: 9, revision: 7 });
    columns.downUntil[3] = Math.ceil(Date.now() / 1000) + 60;
    control.laneRevision = 6;
  });
  const value = (family: string, series = `${family}{}`): number | undefined =>
    families.get(family)?.samples.get(series);
  assert.equal(value('cnx_requests_total', 'cnx_requests_total{route="orders",class="2xx"}'), 3);
  assert.equal(value('cnx_requests_total', 'cnx_requests_total{route="orders",class="4xx"}'), 1);
  assert.equal(families.get('cnx_requests_total')?.samples.size, 2);
  assert.equal(value('cnx_request_duration_seconds', 'cnx_request_duration_seconds_count{}'), 4);
  assert.equal(value('cnx_request_duration_seconds', 'cnx_request_duration_seconds_sum{}'), 0.02);
  assert.equal(value('cnx_request_duration_seconds', 'cnx_request_duration_seconds_bucket{le="0.005"}'), 4);
  assert.equal(value('cnx_request_duration_seconds', 'cnx_request_duration_seconds_bucket{le="0.0025"}'), 0);
  assert.equal(value('cnx_stage_duration_seconds', 'cnx_stage_duration_seconds_count{stage="waf"}'), 4);
  assert.equal(value('cnx_refusals_total', 'cnx_refusals_total{code="policy_denied",blame="downstream"}'), 1);
  assert.equal(
    value('cnx_policy_outcomes_total', 'cnx_policy_outcomes_total{policy="shop-access",outcome="allowed"}'),
    2,
  );
  assert.equal(value('cnx_requests_in_flight', 'cnx_requests_in_flight{lane="1"}'), 4);
  assert.equal(value('cnx_endpoint_out', 'cnx_endpoint_out{cell="eu-1",endpoint="eu-1/127.0.0.1:9003"}'), 1);
  assert.equal(
    value(
      'bundle_info',
      'bundle_info{digest="sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef",seq="41"}',
    ),
    1,
  );
  assert.equal(value('cnx_records_total', 'cnx_records_total{lane="1"}'), 3);
  assert.equal(value('policy_eval_errors'), 1);
  // 0 or 1 for a gateway, however many lanes lag.
  assert.equal(value('policy_version_mismatch'), 1);
  assert.equal(value('cnx_bundle_source_state', 'cnx_bundle_source_state{state="current"}'), 1);
  assert.equal(value('cnx_bundle_source_state', 'cnx_bundle_source_state{state="rejected"}'), 0);
  assert.equal(value('cnx_bundle_activation_duration_seconds'), 0.125);
  assert.equal(value('cnx_bundle_highest_seq'), 42);
  assert.equal(value('cnx_bundle_floor_seq'), 40);
  assert.equal(value('cnx_trust_epoch'), 2);
  for (const [listener, until, refused] of [
    ['edge', Date.UTC(2026, 11, 1), 0],
    ['mesh', Date.UTC(2026, 11, 2), 1],
  ] as const) {
    const name = 'cnx_certificate_expiry_timestamp_seconds';
    assert.equal(value(name, `${name}{listener="${listener}"}`), until / 1000);
    assert.equal(value('cnx_certificates_refused', `cnx_certificates_refused{listener="${listener}"}`), refused);
  }
  assert.equal(value('policy_load_failures'), 2);
  assert.equal(value('policy_deny_rate'), 0.25);
  const p99 = value('policy_eval_latency_p99') ?? 0;
  assert.ok(p99 > 9.6e-6 && p99 < 9.9e-6, `${p99}`);
  const p50 =
    value('cnx_request_duration_quantile_seconds', 'cnx_request_duration_quantile_seconds{quantile="0.5"}') ?? 0;
  assert.ok(p50 > 0.00495 && p50 < 0.00505, `${p50}`);
});

test('hostile names of routes are escaped, and their number is bounded', async (t) => {
  const { families } = await scrape(t, ({ observers }) => {
    for (const observe of observers) {
      for (let i = 0; i < 400; i++) observe.ended(givenExchange(undefined, i + 1, givenRoute(`r"\\\n{}${i}`, i)));
    }
  });
  const series = [...(families.get('cnx_requests_total')?.samples ?? [])];
  assert.equal(series.length, 201);
  assert.equal(families.get('cnx_requests_total')?.samples.get('cnx_requests_total{route="other",class="2xx"}'), 400);
  assert.equal(
    families.get('cnx_requests_total')?.samples.get('cnx_requests_total{route="r\\"\\\\\\n{}0",class="2xx"}'),
    2,
  );
});

test('docs/metrics.md is made from the table: run npm run generate', () => {
  assert.equal(readFileSync(new URL('../../docs/metrics.md', import.meta.url), 'utf8'), metricDocs());
});

test('the memory of a lane is what the lane expects', () => {
  const parts = {
    laneColumns: new SharedArrayBuffer(64),
    records: new SharedArrayBuffer(64),
    tick: () => 0,
    onBug: () => undefined,
  };
  assert.throws(() => new Observe(parts satisfies ObserveParts), RangeError);
});
