import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Masker, matchesNotTold } from '../../admin/masking.ts';
import { native } from '../../native.ts';
import { packRequest, verdictBytes, WAF_VERDICT_BYTES_MAX } from '../../native/waf.ts';
import { TEXTS } from '../../snapshot/records.ts';
import { Exchange } from '../exchange.ts';
import { noteAnswer, noteRequest } from './verdict-note.ts';

const waf = native();
const masker = new Masker([]);

/** So many rules that match, and one that refuses for their sake; the verdict over a request with long values. */
function verdictOf(rules: number, target: string): Buffer {
  const lines = Array.from(
    { length: rules },
    (_, i) =>
      `SecRule REQUEST_HEADERS:X-With-${i} "@rx ." "id:${942_000 + i},phase:1,pass,log,msg:'SQL injection of kind ${i}, as this message says',setvar:tx.score=+1"`,
  );
  const rule = `SecRule TX:score "@ge 1" "id:949110,phase:1,deny,log,msg:'Too many points'"`;
  const text = [...lines, rule].join('\n');
  const program = waf.wafCompile([{ name: 'r.conf', bytes: Buffer.from(text) }]);
  const buffer = Buffer.alloc(65_536);
  const headers = Array.from({ length: rules }, (_, i): [string, string] => [`x-with-${i}`, 'é"x'.repeat(60)]);
  const length = packRequest(buffer, { method: 'GET', target, headers });
  const out = Buffer.alloc(WAF_VERDICT_BYTES_MAX);
  waf.wafInspect(program, waf.wafProfile(program, { mode: 'block' }), buffer, length, out);
  waf.wafRelease(program);
  return out;
}

const room = TEXTS.find(([name]) => name === 'wafMatches')?.[2] ?? 0;

for (const rules of [1, 5, 12, 20, 40, 60, 80]) {
  test(`of ${rules} rules that match all are told or counted, and the one that refuses always is told`, () => {
    const x = new Exchange(0);
    const why = noteRequest(x, verdictOf(rules, '/'));
    assert.match(why, new RegExp(`^rule 949110, score \\d+, ${rules + 1} match`));
    const matches = masker.matches(x.wafMatches);
    assert.ok(Buffer.byteLength(x.wafMatches) <= room);
    const decides = matches.filter((m) => m.decides);
    // The verdict of the engine itself has room for 64 matches: of more, those that come first.
    assert.deepEqual(
      decides.map((m) => m.rule),
      rules < 64 ? [949_110] : [],
    );
    assert.equal(matches.length + matchesNotTold(x.wafMatches), rules + 1);
    if (rules <= 20) assert.equal(matches.length, rules + 1, 'twenty find room');
    assert.deepEqual(
      matches.map((m) => m.rule),
      matches.map((m) => m.rule).toSorted((a, b) => a - b),
      'in their order',
    );
    if (rules <= 2) assert.match(matches[0]?.message ?? '', /kind 0, as this message says/);
  });
}

test('those of the answer follow those of the request, and both fit', () => {
  const x = new Exchange(0);
  noteRequest(x, verdictOf(40, '/'));
  noteAnswer(x, verdictOf(40, '/'));
  assert.ok(Buffer.byteLength(x.wafMatches) <= room);
  const matches = masker.matches(x.wafMatches);
  assert.equal(matches.filter((m) => m.decides).length, 2);
  assert.equal(matches.length + matchesNotTold(x.wafMatches), 82);
});

test('a verdict that is like the one before but for its work is told alike, any other as what it is', () => {
  const told = (out: Buffer): readonly [string, number, string] => {
    const x = new Exchange(0);
    const why = noteRequest(x, out);
    return [why, x.wafScore, x.wafMatches];
  };
  const one = verdictOf(1, '/');
  const another = verdictOf(2, '/');
  const first = told(one);
  const more = Buffer.from(one);
  more.writeBigUInt64LE(more.readBigUInt64LE(16) + 5n, 16);
  assert.deepEqual(told(more), first);
  for (const at of [8, 12, 28, verdictBytes(one) - 1]) {
    const changed = Buffer.from(one);
    changed[at] = (changed[at] ?? 0) ^ 1;
    assert.notDeepEqual(told(changed), first, `byte ${at}`);
    assert.deepEqual(told(one), first);
  }
  assert.notDeepEqual(told(another), first);
  // What came after it in the same memory is no part of a verdict.
  assert.deepEqual(told(one.subarray(0, verdictBytes(one))), first);
  assert.equal(told(verdictOf(60, '/'))[0], told(verdictOf(60, '/'))[0]);
});
