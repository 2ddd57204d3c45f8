import assert from 'node:assert/strict';
import { closeSync, openSync } from 'node:fs';
import { test } from 'node:test';
import {
  DRAIN_INTERVAL_MIN_MS,
  DRAIN_RECORDS_MAX,
  Drain,
  LOG_LINES_PER_SECOND_MAX,
  nextWaitMs,
  sampled,
} from '../../src/admin/drain.ts';
import { LogSink } from '../../src/admin/log-sink.ts';
import { Names, RETIRED_NAMED_MAX } from '../../src/admin/names.ts';
import { Percentiles, VALUE_US_MAX, WINDOW_MS } from '../../src/admin/percentiles.ts';
import type { Exchange } from '../../src/data/exchange.ts';
import { Observe } from '../../src/data/observe.ts';
import { REFUSALS } from '../../src/data/refusal.ts';
import { LaneColumns } from '../../src/snapshot/lane-columns.ts';
import { createRecords, RECORDS_MARGIN } from '../../src/snapshot/records.ts';
import { givenExchange, givenSnapshot } from './given.ts';
import { givenAdmin, INSTANCE } from './given-admin.ts';

interface LogLine {
  readonly kind: string;
  readonly id: string;
  readonly refusal: { readonly code: string } | null;
}

test('refused requests are always logged, answered ones by their share, each the same way every time', async (t) => {
  const given = givenAdmin(t, 1);
  const snapshot = givenSnapshot({ revision: 8, observe: { accessLogSample: 0.25, maskedQuery: [] } });
  given.admin.learn(snapshot);
  const total = 1000;
  for (let seq = 1; seq <= total; seq++) {
    const x = givenExchange(snapshot, seq);
    if (seq % 10 === 0) x.refuse(REFUSALS.no_route, '');
    given.observers[0]?.ended(x);
  }
  const lines = (await given.closedLog()).map((line) => JSON.parse(line) as LogLine);
  assert.ok(lines.every((line) => line.kind === 'request'));
  assert.equal(lines.filter((line) => line.refusal !== null).length, total / 10);
  const answered = lines.filter((line) => line.refusal === null);
  const expected = Array.from({ length: total }, (_, i) => i + 1).filter((seq) => seq % 10 !== 0 && sampled(seq, 0.25));
  assert.deepEqual(
    answered.map((line) => Number.parseInt(line.id.slice(10), 16)),
    expected,
  );
  assert.ok(expected.length > 150 && expected.length < 300, 'about a quarter');
  assert.equal(sampled(1, 0), false);
  assert.equal(sampled(1, 1), true);
});

test('a line of the log is literally this', async (t) => {
  const given = givenAdmin(t, 1);
  const x = givenExchange();
  x.host = 'shop.example';
  x.path = '/a"b\n\u0000\u2028ü';
  x.query = 'token=abc&page=2';
  given.observers[0]?.ended(x);
  const lines = await given.closedLog();
  assert.deepEqual(lines, [
    '{"kind":"request","id":"3f2a1b-00-0000002a","time":"2026-11-21T04:40:00.123Z","lane":0,"revision":7,' +
      '"bundle":{"digest":"sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef","seq":41},' +
      '"method":"GET","scheme":"https","host":"shop.example","path":"/a\\"b\\n\\u0000\\u2028ü","query":"token=***&page=2",' +
      '"raw":false,"websocket":false,"clientAddress":"203.0.113.7","clientPort":51234,"clientRequestId":"mobile-8841",' +
      '"status":200,"aborted":false,"durationMs":5,"bytesIn":0,"bytesOut":512,"at":"forward","refusal":null,"detail":"",' +
      '"route":"orders","limit":{"id":"per-address","remaining":19,"stage":"admit"},' +
      '"waf":{"verdict":"pass","score":0,"matches":[]},"credential":"cached_token","issuer":"main-issuer","subject":"user-17",' +
      '"policy":{"id":"shop-access","outcome":"allowed"},"tenant":"acme","cell":"eu-1","endpoint":"eu-1/127.0.0.1:9003",' +
      '"attempts":1,"upstream":{"status":200,"ms":3.25},"stageUs":{"waf":14.5,"authenticate":1.25,"authorize":9.75},"cut":[]}',
  ]);
});

function givenDrain(slots: number, log: LogSink | null = null, tick: () => number = () => 0) {
  const records = createRecords(slots);
  const observe = new Observe({ laneColumns: LaneColumns.create(), records, tick: () => 1, onBug: () => undefined });
  const names = new Names();
  const snapshot = givenSnapshot();
  names.learn(snapshot);
  const drain = new Drain({
    instance: INSTANCE,
    records: [records],
    names,
    percentiles: new Percentiles(0),
    log,
    tick,
  });
  const end = (from: number, to: number, change: (x: Exchange) => void = () => undefined): void => {
    for (let seq = from; seq <= to; seq++) {
      const x = givenExchange(snapshot, seq);
      change(x);
      observe.ended(x);
    }
    observe.close();
  };
  return { drain, end };
}

test('one turn is bounded', () => {
  const { drain, end } = givenDrain(8192);
  end(1, DRAIN_RECORDS_MAX * 2 + 5);
  assert.deepEqual([drain.turn(), drain.read(0)], [true, DRAIN_RECORDS_MAX]);
  assert.deepEqual([drain.turn(), drain.read(0)], [true, DRAIN_RECORDS_MAX * 2]);
  assert.deepEqual([drain.turn(), drain.read(0)], [false, DRAIN_RECORDS_MAX * 2 + 5]);
  assert.equal(drain.lost(0), 0);
});

test('the next look is due when a few dozen records are there, and never much later or at once', () => {
  for (const [waitMs, found, next] of [
    [100, 0, 100],
    [100, 10, 100],
    [100, 2_200, DRAIN_INTERVAL_MIN_MS],
    [10, 220, DRAIN_INTERVAL_MIN_MS],
    [10, 64, 10],
    [10, 32, 20],
    [2, 1, 100],
    [2, 1_000_000, DRAIN_INTERVAL_MIN_MS],
  ] as const)
    assert.equal(nextWaitMs(waitMs, found), next, `${found} found after ${waitMs} ms`);
  let waitMs = 100;
  for (let i = 0; i < 3; i++) waitMs = nextWaitMs(waitMs, Math.round(waitMs * 6.4));
  assert.equal(waitMs, 10, '6,400 requests a second');
});

test('the lines of one second are bounded; refused ones have an allowance of their own', (t) => {
  const fd = openSync('/dev/null', 'w');
  const log = new LogSink({ fd, now: () => 0, queueBytesMax: 1e9 });
  // What is still to be written would go to whoever gets the descriptor next.
  t.after(async () => {
    await log.flush(20_000);
    closeSync(fd);
  });
  let tick = 1000;
  const { drain, end } = givenDrain(32_768, log, () => tick);
  const all = (): void => {
    while (drain.turn());
  };
  end(1, LOG_LINES_PER_SECOND_MAX + 100);
  all();
  assert.equal(drain.skipped, 100);
  end(1, 50, (x) => void x.refuse(REFUSALS.no_route, ''));
  all();
  assert.equal(drain.skipped, 100);
  tick = 2000;
  end(1, 100);
  all();
  assert.equal(drain.skipped, 100);
});

test('records that were overwritten unread are counted as lost', () => {
  const { drain, end } = givenDrain(128);
  end(1, 100);
  drain.turn();
  assert.deepEqual([drain.read(0), drain.lost(0)], [100, 0]);
  end(101, 1000);
  drain.turn();
  assert.equal(drain.read(0) + drain.lost(0), 1000);
  assert.equal(drain.read(0), 100 + 128 - RECORDS_MARGIN);
});

test('a request is explained while the ring holds it, and only by its whole id', () => {
  const { drain, end } = givenDrain(128);
  end(1, 300);
  const id = (seq: number, instance = INSTANCE, lane = '00'): string =>
    `${instance}-${lane}-${seq.toString(16).padStart(8, '0')}`;
  assert.equal(drain.explain(id(300))?.id, id(300));
  assert.equal(drain.explain(id(250))?.route, 'orders');
  assert.equal(drain.explain(id(10)), null, 'overwritten');
  assert.equal(drain.explain(id(301)), null, 'not yet');
  assert.equal(drain.explain(id(300, 'ffffff')), null, 'another process');
  assert.equal(drain.explain(id(300, INSTANCE, '01')), null, 'another lane');
  assert.equal(drain.explain('nonsense'), null);
});

test('the names of what lanes use are kept however many candidates come after it, and of the rest those of the last few', () => {
  const names = new Names();
  const last = RETIRED_NAMED_MAX + 40;
  names.learn(givenSnapshot({ revision: 1 }));
  for (let revision = 2; revision <= last; revision++) {
    names.learn(givenSnapshot({ revision }));
    if (revision > 2) names.retire(revision - 1);
  }
  assert.equal(names.of(1)?.route(0), 'orders');
  assert.equal(names.of(1)?.route(99), 'route #99');
  assert.equal(names.of(1)?.endpoint(77), 'endpoint #77');
  assert.equal(names.of(last)?.revision, last);
  const known = Array.from({ length: last + 1 }, (_, revision) => revision).filter((n) => names.of(n) !== null);
  assert.deepEqual(known, [
    1,
    ...Array.from({ length: RETIRED_NAMED_MAX + 2 }, (_, i) => last - 1 - RETIRED_NAMED_MAX + i),
  ]);
  // All at once, as when a request ends that held them: its record is still to be read.
  for (const revision of known) names.retire(revision);
  assert.notEqual(names.of(1), null);
  names.learn(givenSnapshot({ revision: last + 1 }));
  assert.equal(known.filter((n) => names.of(n) !== null).length, RETIRED_NAMED_MAX);
  names.retire(last + 99);
  assert.equal(names.of(last + 99), null);
});

test('of a revision that is not known, only what must be told is logged, and every value is masked', async (t) => {
  const given = givenAdmin(t, 1);
  const unknown = givenSnapshot({ revision: 5 });
  const answered = givenExchange(unknown, 1);
  answered.query = 'voucher=AB12';
  given.observers[0]?.ended(answered);
  const refused = givenExchange(unknown, 2);
  refused.query = 'voucher=AB12';
  refused.wafMatches = JSON.stringify([{ rule: 942100, variable: 'ARGS:voucher', value: 'AB12', message: '' }]);
  refused.refuse(REFUSALS.waf_blocked, 'voucher=AB12');
  given.observers[0]?.ended(refused);
  const lines = await given.closedLog();
  assert.deepEqual(
    lines.map((line) => (JSON.parse(line) as LogLine).refusal?.code),
    ['waf_blocked'],
  );
  assert.match(lines[0] ?? '', /voucher=\*\*\*/u);
  assert.doesNotMatch(lines[0] ?? '', /AB12/u);
});

test('percentiles are of the last two windows and hold any value', () => {
  const p = new Percentiles(0);
  assert.equal(p.of('request'), null);
  for (let i = 1; i <= 1000; i++) p.record('request', i);
  const [p50 = 0, p90 = 0, p99 = 0] = p.of('request') ?? [];
  for (const [got, want] of [
    [p50, 500],
    [p90, 900],
    [p99, 990],
  ] as const) {
    assert.ok(Math.abs(got - want) <= want * 0.01, `${got} is about ${want}`);
  }
  for (const odd of [-5, 0, 1e12, 0.01]) p.record('waf', odd);
  assert.ok((p.of('waf', [1])?.[0] ?? 0) <= VALUE_US_MAX * 1.01);
  p.decided(true);
  p.decided(false);
  assert.equal(p.denyRate, 0.5);
  p.advance(WINDOW_MS);
  assert.notEqual(p.of('request'), null, 'the window before');
  p.record('request', 7);
  p.advance(WINDOW_MS * 2);
  const [rest = 0] = p.of('request', [1]) ?? [];
  assert.ok(rest < 8, 'what is older has faded');
  assert.equal(p.denyRate, 0);
  p.advance(WINDOW_MS * 20);
  assert.equal(p.of('request'), null, 'a long silence');
});
