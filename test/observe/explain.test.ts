import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { requestIdPrefix } from '../../src/data/request-id.ts';
import { accountOf, parseRequestId, requestId, whyUnread } from '../../src/admin/account.ts';
import { explainText, explanationOf, printable, readAccount } from '../../src/admin/explain.ts';
import { RevisionNames } from '../../src/admin/names.ts';
import { Prng } from '../../src/base/prng.ts';
import type { Exchange } from '../../src/data/exchange.ts';
import { CacheOutcome, Credential, PolicyOutcome, WafVerdict } from '../../src/data/exchange.ts';
import { Observe } from '../../src/data/observe.ts';
import { REFUSALS } from '../../src/data/refusal.ts';
import type { RefusalRow } from '../../src/data/refusal.ts';
import { LaneColumns } from '../../src/snapshot/lane-columns.ts';
import { Read, RecordCopy, RecordReader } from '../../src/snapshot/record-reader.ts';
import { createRecords, RECORD_BYTES } from '../../src/snapshot/records.ts';
import type { StageName } from '../../src/snapshot/stages.ts';
import { STAGE_INDEX } from '../../src/snapshot/stages.ts';
import { givenExchange, givenSnapshot, givenWire } from './given.ts';

/** Ends the exchange 5.125 ms after it began and gives the account of its record. */
function account(x: Exchange, named = true) {
  const records = createRecords();
  const observe = new Observe({
    laneColumns: LaneColumns.create(),
    records,
    tick: () => 5.125,
    onBug: () => undefined,
  });
  observe.ended(x);
  observe.close();
  const copy = new RecordCopy();
  assert.equal(new RecordReader(records).read(0, copy), Read.Ok);
  return accountOf(copy, named ? new RevisionNames(givenSnapshot()) : null, '3f2a1b', 0);
}

/** As the pipeline refuses: what later stages would have set is not set. */
function refused(stage: StageName, row: RefusalRow, detail: string): Exchange {
  const x = givenExchange();
  const at = STAGE_INDEX[stage];
  x.at = x.refusedAt = at;
  x.refuse(row, detail);
  x.status = row.status;
  x.upstreamStatus = 0;
  x.bytesOut = 180;
  if (at < STAGE_INDEX.match) x.route = null;
  if (at < STAGE_INDEX.waf) x.waf = WafVerdict.None;
  if (at <= STAGE_INDEX.authenticate) {
    x.credential = Credential.None;
    x.identity = null;
  }
  if (at < STAGE_INDEX.authorize) x.policy = PolicyOutcome.None;
  if (at < STAGE_INDEX.route) {
    x.tenant = '';
    x.cell = -1;
  }
  if (at < STAGE_INDEX.balance) {
    x.endpoint = null;
    x.attempts = 0;
  }
  for (let i = at + 1; i < x.stageUs.length; i++) x.stageUs[i] = 0;
  return x;
}

const CASES: Readonly<Record<string, () => Exchange>> = {
  answered: () => givenExchange(),
  'answered-timed': () => {
    const x = givenExchange();
    x.timed = true;
    x.attempts = 2;
    for (let i = 0; i < x.stageUs.length; i++) x.stageUs[i] = i === 6 ? 1250 : i + 0.25;
    return x;
  },
  'waf-blocked': () => {
    const x = refused('waf', REFUSALS.waf_blocked, 'score 10 reached the threshold 5');
    x.waf = WafVerdict.Blocked;
    x.wafScore = 10;
    x.wafMatches = JSON.stringify([
      { rule: 942100, variable: 'ARGS:q', value: "1' OR '1'='1", message: 'SQL injection' },
      { rule: 942190, variable: 'ARGS:token', value: "x' UNION SELECT 1", message: 'SQL injection' },
    ]);
    return x;
  },
  'policy-denied': () => {
    const x = refused('authorize', REFUSALS.policy_denied, 'policy shop-access, entrypoint authz/allow');
    x.policy = PolicyOutcome.DeniedCached;
    return x;
  },
  'rate-limited': () => {
    const x = refused('admit', REFUSALS.rate_limited, 'limit per-address');
    x.limitRemaining = 0;
    return x;
  },
  'bad-target': () => {
    const x = givenExchange();
    x.begin(givenWire({ path: '/a\u001b[2J%zz', host: 'Shop.Example', query: 'access_token=abc' }), x.revision);
    x.refuse(REFUSALS.bad_target, 'percent sign without two digits at byte 6');
    x.refusedAt = x.at = 0;
    x.status = REFUSALS.bad_target.status;
    return x;
  },
  unreachable: () => {
    const x = refused(
      'forward',
      REFUSALS.upstream_unreachable,
      'eu-1/127.0.0.1:9003: connection refused or not made in time',
    );
    x.attempts = 2;
    return x;
  },
  'no-endpoint-left': () => refused('balance', REFUSALS.no_endpoint, 'cell eu-1: no endpoint is in rotation'),
  'broken-off': () => {
    const x = givenExchange();
    x.aborted = true;
    x.detail = 'eu-1/127.0.0.1:9003: answer broke off';
    return x;
  },
  'left-while-waiting': () => {
    const x = refused('waf', REFUSALS.waf_failed, '');
    x.refusal = null;
    x.refusedAt = -1;
    x.aborted = true;
    x.status = 0;
    x.bytesOut = 0;
    return x;
  },
  'out-of-cache': () => {
    const x = refused(
      'balance',
      REFUSALS.static_only,
      'survival: a critical dependency is down, and nothing goes upstream',
    );
    x.refusal = null;
    x.refusedAt = -1;
    x.status = 200;
    x.cache = CacheOutcome.Stale;
    return x;
  },
  redirected: () => {
    const x = refused('respond', REFUSALS.no_endpoint, '');
    x.refusal = null;
    x.refusedAt = -1;
    x.status = 308;
    x.identity = null;
    x.credential = Credential.None;
    x.policy = PolicyOutcome.None;
    x.limit = -1;
    x.waf = WafVerdict.None;
    x.cell = -1;
    x.endpoint = null;
    x.attempts = 0;
    x.stageUs.fill(0);
    return x;
  },
};

for (const [name, make] of Object.entries(CASES)) {
  test(`explained as in explain/${name}.txt`, () => {
    const expected = readFileSync(new URL(`explain/${name}.txt`, import.meta.url), 'utf8');
    const a = account(make());
    assert.equal(explainText(a), expected);
    const line = readAccount(JSON.stringify({ kind: 'request', ...a }));
    assert.ok(line !== null);
    assert.equal(explainText(line), expected, 'a line of the log is explained alike');
  });
}

test('the JSON form holds the same stages', () => {
  const e = explanationOf(account(CASES['waf-blocked']?.() as Exchange));
  assert.deepEqual(
    e.stages.map((s) => s.decision),
    ['passed', 'passed', 'passed', 'refused', ...Array.from({ length: 7 }, () => 'not reached')],
  );
  assert.equal(e.stages[3]?.us, 14.5);
  assert.ok(!JSON.stringify(e).includes('UNION'));
});

test('a record of a revision that is too long ago is told by numbers, all query values masked', () => {
  const a = account(givenExchange(), false);
  assert.equal(a.bundle, null);
  assert.deepEqual(
    [a.route, a.cell, a.endpoint, a.issuer, a.policy?.id, a.limit?.id, a.query],
    ['route #0', 'cell #0', 'endpoint #3', 'issuer #0', 'policy #0', 'limit #0', 'page=***&token=***'],
  );
  assert.match(explainText(a), /revision 7 in lane 0/);
});

test('request ids are what the pipeline writes', () => {
  for (const [lane, seq] of [
    [0, 1],
    [63, 2 ** 32 + 5],
    [255, Number.MAX_SAFE_INTEGER],
  ] as const) {
    assert.deepEqual(parseRequestId(requestId('0a1b2c', lane, seq)), { instance: '0a1b2c', lane, seq });
  }
  for (const id of [
    '',
    'x',
    '3f2a1b-00-2a',
    '3F2A1B-00-0000002A',
    '3f2a1b-00-0000002a\n',
    '3f2a1b-0-0000002a',
    '../../etc',
  ]) {
    assert.equal(parseRequestId(id), null, id);
    assert.equal(whyUnread(id), null, id);
  }
  const unread = `${requestIdPrefix('0a1b2c', 3)}s0000002a`;
  assert.equal(parseRequestId(unread), null);
  assert.match(whyUnread(unread) ?? '', /shed: lane 3 was overloaded/);
});

test('nothing from outside can write on the terminal', () => {
  assert.equal(printable('a\u001b[31m\r\n\u202e\u0007z'), 'a\\u{1b}[31m\\u{d}\\u{a}\\u{202e}\\u{7}z');
  assert.equal(printable('ä µ 日本'), 'ä µ 日本');
});

test('lines of a log that are something else are no accounts', () => {
  const a = account(givenExchange());
  assert.notEqual(readAccount(JSON.stringify(a)), null);
  for (const line of [
    '',
    'x',
    '[]',
    'null',
    '1',
    '{}',
    '{"kind":"event","message":"x"}',
    JSON.stringify({ ...a, waf: null }),
  ]) {
    assert.equal(readAccount(line), null, line);
  }
  for (const field of Object.keys(a)) {
    const { [field as 'id']: _, ...rest } = a;
    const read = readAccount(JSON.stringify(rest));
    if (read !== null) assert.doesNotThrow(() => explainText(read), `without ${field}`);
  }
});

test('any bytes in a record are told without a throw, on one line each, without control characters', () => {
  const names = new RevisionNames(givenSnapshot());
  const copy = new RecordCopy();
  fc.assert(
    fc.property(fc.nat(), fc.constantFrom(256, 128, 16), (seed, range) => {
      const prng = new Prng(seed);
      // Small numbers reach what random ones miss: indices that exist, lengths that fit.
      for (let i = 0; i < RECORD_BYTES; i++) copy.bytes[i] = range === 16 && i % 4 !== 0 ? 0 : prng.uint32() % range;
      for (const known of [names, null]) {
        const a = accountOf(copy, known, '3f2a1b', 0);
        assert.equal(JSON.stringify(a).includes('\n'), false);
        // oxlint-disable-next-line no-control-regex
        assert.doesNotMatch(explainText(a), /[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/u);
      }
    }),
    { numRuns: 300 },
  );
});
