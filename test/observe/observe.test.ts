import assert from 'node:assert/strict';
import { performance } from 'node:perf_hooks';
import { test } from 'node:test';
import { run as bench } from '../../bench/micro/observe.ts';
import { accountOf } from '../../src/admin/account.ts';
import { explainText, readAccount } from '../../src/admin/explain.ts';
import type { Exchange } from '../../src/data/exchange.ts';
import type { BugReport } from '../../src/data/observe.ts';
import { BUG_REPORTS_PER_TICK_MAX, Observe, SEQ_GAP } from '../../src/data/observe.ts';
import { REFUSAL_LIST, REFUSALS } from '../../src/data/refusal.ts';
import type { RowNames } from '../../src/snapshot/lane-columns.ts';
import {
  Count,
  Gauge,
  LaneColumns,
  POLICY_OUTCOMES,
  ROUTES_MEASURED_MAX,
  ROUTE_ROWS,
  ROW_NONE,
  ROW_OTHER,
  STATUS_CLASSES,
} from '../../src/snapshot/lane-columns.ts';
import { Read, RecordCopy, RecordReader } from '../../src/snapshot/record-reader.ts';
import { createRecords, Int, RECORD_SLOTS_MIN, RecordFlag, Span, Wide } from '../../src/snapshot/records.ts';
import { STAGE_INDEX } from '../../src/snapshot/stages.ts';
import { givenExchange, givenRoute, givenSnapshot, givenWire } from './given.ts';

function given() {
  const laneColumns = LaneColumns.create();
  const records = createRecords(RECORD_SLOTS_MIN);
  const bugs: BugReport[] = [];
  let now = 5;
  const observe = new Observe({ laneColumns, records, tick: () => now, onBug: (b) => bugs.push(b) });
  // Reads what main would read: other views over the same memory.
  const columns = new LaneColumns(laneColumns);
  return {
    observe,
    columns,
    reader: new RecordReader(records),
    records,
    laneColumns,
    bugs,
    at: (t: number) => (now = t),
  };
}

/** Row of a name as main finds it. */
function rowOf(names: RowNames, name: string): number {
  for (let row = 0; row < names.used; row++) if (names.name(row) === name) return row;
  return -1;
}

test('the record of an answered exchange says all that the stages decided', () => {
  const { observe, reader } = given();
  observe.ended(givenExchange());
  observe.close();
  const r = new RecordCopy();
  assert.equal(reader.read(0, r), Read.Ok);
  assert.equal(r.wide(Wide.Seq), 42);
  assert.equal(r.wide(Wide.TotalUs), 5000);
  assert.equal(r.span(Span.UpstreamUs), 3250);
  assert.equal(r.span(Span.Stage + STAGE_INDEX.waf), 14.5);
  assert.equal(r.int(Int.Revision), 7);
  assert.equal(r.int(Int.Route), 0);
  assert.equal(r.int(Int.Endpoint), 3);
  assert.equal(r.int(Int.Refusal), -1);
  assert.equal(r.int(Int.Status), 200);
  assert.equal(r.int(Int.Flags), RecordFlag.Secure);
  assert.equal(r.text('subject'), 'user-17');
  assert.equal(r.text('tenant'), 'acme');
  assert.equal(r.text('host'), 'shop.example');
  assert.equal(r.text('path'), '/v1/orders/17');
  assert.equal(r.text('clientRequestId'), 'mobile-8841');
  assert.equal(r.text('method'), '');
});

test('what the handshake told is recorded of refused requests, and where the endpoint is told of the certificate', () => {
  const tls = {
    version: 'TLSv1.3',
    cipher: 'TLS_AES_128_GCM_SHA256',
    serverName: 'shop.example',
    alpn: 'h2',
    ja4: 't13d1516h2_8daaf6152771_02713d6af862',
    client: { subject: 'CN=alice', sans: [], fingerprint: 'ab'.repeat(32) },
  };
  let asked = 0;
  const wire = Object.defineProperty(givenWire(), 'tls', { get: () => (asked++, tls) });
  const { observe, reader } = given();
  const r = new RecordCopy();
  const told = (change: (x: Exchange) => void): string[] => {
    const x = givenExchange();
    x.wire = wire;
    change(x);
    observe.ended(x);
    assert.equal(reader.read((reader.written - 1) >>> 0, r), Read.Ok);
    return [r.text('ja4'), r.text('certificate'), r.text('clientRequestId')];
  };
  assert.deepEqual(
    told(() => undefined),
    ['', '', 'mobile-8841'],
  );
  assert.equal(asked, 0, 'others pay nothing for it');
  const known = [tls.ja4, tls.client.fingerprint, 'mobile-8841'];
  assert.deepEqual(
    told((x) => x.refuse(REFUSALS.rate_limited, 'limit per-address')),
    known,
  );
  assert.deepEqual(
    told((x) => (x.route = givenRoute('orders', 0, { forwardClientCertificate: true }))),
    known,
  );
  observe.close();
  const account = accountOf(r, null, '3f2a1b', 0);
  assert.deepEqual(account.tls, { ja4: tls.ja4, client: { fingerprint: tls.client.fingerprint } });
  assert.match(explainText(account), /\n +ja4 +t13d1516h2_.*\n +certificate +(ab){32}\n/);
  assert.deepEqual(readAccount(JSON.stringify(account)), account);
  assert.equal(readAccount(JSON.stringify({ ...account, tls: 'x' })), null);
});

test('a request that normalize refused is recorded as it was received', () => {
  const { observe, reader, columns } = given();
  const x = givenExchange();
  x.begin(
    givenWire({
      method: 'BREW',
      peerAddress: new Uint8Array([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9]),
    }),
    x.revision,
  );
  x.refuse(REFUSALS.bad_target, 'percent sign without two digits at byte 7');
  x.refusedAt = 0;
  x.at = 0;
  x.status = REFUSALS.bad_target.status;
  observe.ended(x);
  observe.close();
  const r = new RecordCopy();
  assert.equal(reader.read(0, r), Read.Ok);
  assert.ok(r.flag(RecordFlag.Raw));
  assert.equal(r.text('method'), 'BREW');
  assert.equal(r.text('host'), 'Shop.Example');
  assert.equal(r.text('path'), '/v1/orders/../orders/17');
  assert.equal(r.text('clientAddress'), '2001:db8:0:0:0:0:0:9');
  assert.equal(r.text('detail'), 'percent sign without two digits at byte 7');
  assert.equal(r.int(Int.Refusal), REFUSALS.bad_target.index);
  assert.equal(columns.requests[ROW_NONE * STATUS_CLASSES.length + 4], 1);
  assert.equal(columns.refusals[REFUSALS.bad_target.index], 1);
});

test('what is counted adds up', () => {
  const { observe, columns, at } = given();
  at(2);
  observe.ended(givenExchange());
  const denied = givenExchange();
  denied.policy = 3;
  denied.upstreamStatus = 0;
  denied.status = REFUSALS.policy_denied.status;
  denied.refuse(REFUSALS.policy_denied, 'policy shop-access');
  observe.ended(denied);
  const cached = givenExchange();
  cached.policy = 2;
  cached.attempts = 2;
  cached.aborted = true;
  observe.ended(cached);
  observe.turnedAway(REFUSALS.overloaded, 1);
  observe.close();
  const orders = rowOf(columns.routeNames, 'orders');
  assert.equal(columns.requests[orders * STATUS_CLASSES.length + 2], 2);
  assert.equal(columns.requests[orders * STATUS_CLASSES.length + 4], 1);
  assert.equal(columns.requestUs.count, 3);
  assert.equal(columns.requestUs.sum, 6000);
  assert.equal(columns.upstreamUs.count, 2);
  assert.equal(columns.policyUs.count, 2);
  assert.equal(columns.stageUs[STAGE_INDEX.waf]?.count, 3);
  assert.equal(columns.stageUs[STAGE_INDEX.match]?.count, 0);
  const policy = rowOf(columns.policyNames, 'shop-access') * POLICY_OUTCOMES.length;
  assert.deepEqual(Array.from(columns.policies.subarray(policy, policy + POLICY_OUTCOMES.length)), [0, 1, 1, 1, 0, 0]);
  assert.equal(columns.refusals[REFUSALS.policy_denied.index], 1);
  assert.equal(columns.refusals[REFUSALS.overloaded.index], 1);
  assert.equal(columns.counts[Count.TurnedAway], 1);
  assert.equal(columns.counts[Count.Retries], 1);
  assert.equal(columns.counts[Count.Aborted], 1);
  assert.equal(columns.counts[Count.BytesOut], 1536);
});

test('a sampled exchange has every stage counted', () => {
  const { observe, columns } = given();
  const x = givenExchange();
  x.timed = true;
  x.stageUs.fill(2);
  observe.ended(x);
  observe.close();
  assert.deepEqual(
    columns.stageUs.map((h) => h.count),
    columns.stageUs.map(() => 1),
  );
});

test('routes beyond the bound are counted as other', () => {
  const { observe, columns } = given();
  const snapshot = givenSnapshot();
  const routes = ROUTES_MEASURED_MAX + 50;
  for (let i = 0; i < routes; i++) observe.ended(givenExchange(snapshot, i + 1, givenRoute(`route-${i}`, i)));
  observe.ended(givenExchange(snapshot, 9999, givenRoute('route-0', 0)));
  observe.close();
  assert.equal(columns.routeNames.used, ROUTE_ROWS);
  const answered = (row: number): number => columns.requests[row * STATUS_CLASSES.length + 2] ?? 0;
  assert.equal(answered(rowOf(columns.routeNames, 'route-0')), 2);
  assert.equal(answered(ROW_OTHER), 50);
});

test('names survive a restart of the lane, are cut at their bound, and may be any text', () => {
  const { observe, laneColumns } = given();
  const name = 'bestellungen-ä'.repeat(20);
  const row = observe.columns.routeNames.row(name);
  observe.columns.routeNames.row('orders');
  observe.close();
  const again = new LaneColumns(laneColumns);
  assert.equal(again.routeNames.row('orders'), row + 1);
  assert.ok(name.startsWith(again.routeNames.name(row)));
  assert.equal(again.routeNames.used, row + 2);
});

test('a stage that throws is counted, reported and named in the record', () => {
  const { observe, columns, reader, bugs } = given();
  const x = givenExchange();
  observe.bug('waf', new TypeError('x is not iterable'), x);
  x.refuse(REFUSALS.internal_error, 'a stage threw');
  observe.ended(x);
  for (let i = 0; i < BUG_REPORTS_PER_TICK_MAX * 2; i++) observe.bug('waf', Object.create(null), x);
  const seen = bugs.length;
  observe.tick({ at: 1, openExchanges: 0, openConnections: 0, revision: 0 });
  observe.bug('unknown stage', 'text', x);
  observe.close();
  assert.equal(seen, BUG_REPORTS_PER_TICK_MAX);
  assert.equal(bugs.length, seen + 1);
  assert.deepEqual([bugs[0]?.stage, bugs[0]?.id, bugs[0]?.message], ['waf', x.id, 'TypeError: x is not iterable']);
  assert.match(bugs[0]?.stack ?? '', /observe\.test/);
  assert.equal(columns.faults[STAGE_INDEX.waf], BUG_REPORTS_PER_TICK_MAX * 2 + 1);
  assert.equal(columns.faults.at(-1), 1);
  const r = new RecordCopy();
  assert.equal(reader.read(0, r), Read.Ok);
  assert.equal(r.text('detail'), 'stage waf threw TypeError: x is not iterable');
});

test('a restarted lane gives out no request id twice', () => {
  const { observe, records, laneColumns } = given();
  assert.equal(observe.seqBefore, 0);
  observe.ended(givenExchange(givenSnapshot(), 500));
  observe.close();
  const next = new Observe({ laneColumns, records, tick: () => 0, onBug: () => undefined });
  assert.equal(next.seqBefore, 500 + SEQ_GAP);
  next.close();
});

test('the tick publishes the values of the moment', () => {
  const { observe, columns } = given();
  const from = performance.now();
  while (performance.now() - from < 2);
  observe.tick({ at: 1234, openExchanges: 5, openConnections: 6, revision: 7 });
  observe.close();
  const g = columns.gauges;
  assert.deepEqual(
    [Gauge.TickedAt, Gauge.OpenExchanges, Gauge.OpenConnections, Gauge.Revision].map((i) => g[i]),
    [1234, 5, 6, 7],
  );
  for (const i of Object.values(Gauge)) assert.ok(Number.isFinite(g[i]) && (g[i] ?? -1) >= 0, `gauge ${i}`);
  assert.ok((g[Gauge.HeapBytes] ?? 0) > 0);
});

test('every refusal has a counter of its own', () => {
  const { observe, columns } = given();
  for (const row of REFUSAL_LIST) observe.turnedAway(row, 1);
  observe.close();
  assert.deepEqual(
    Array.from(columns.refusals.subarray(0, REFUSAL_LIST.length)),
    REFUSAL_LIST.map(() => 1),
  );
});

test('the bench runs', () => {
  for (const row of bench(500)) assert.ok(Number.isFinite(row.ours) && row.ours >= 0, row.metric);
});
