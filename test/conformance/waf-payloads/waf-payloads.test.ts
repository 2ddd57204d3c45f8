/** Payloads are placed as their sets say, and the rates of the shared sets are no worse than they were. */
import assert from 'node:assert/strict';
import { resolve } from 'node:path';
import { test } from 'node:test';
import { DataDirectory } from '../data.ts';
import { isUnsendable, inForm, inGrpc, inJson, inMultipart, inParameter, inPath, inSoap, requestOf } from './place.ts';
import { readCsv } from './sets.ts';
import { type RatesOfSets, runPayloads } from './suite.ts';

const DATA = resolve(import.meta.dirname, '../../../../shared/data');

test('a payload stands where its set says, and a target is one that a client could send', () => {
  assert.equal(inPath('a b<\xe9').target, '/a%20b%3C%E9');
  assert.equal(inParameter("1'#%20").target, "/?q=1'%23%20");
  assert.equal(String(inForm('a+b').body), 'q=a+b');
  assert.match(String(inMultipart('x\r\ny').body), /name="q"\r\n\r\nx\r\ny\r\n--/);
  assert.deepEqual(JSON.parse(String(inJson('"\xc3\xa9').body)), { test: true, q: '"é' });
  assert.match(String(inSoap('<a>').body), /&lt;a&gt;/);
  assert.deepEqual([...(inGrpc('a'.repeat(300)).body ?? [])].slice(0, 8), [0, 0, 0, 1, 0x2f, 0x0a, 0xac, 0x02]);
  const own = requestOf('GET', '/', [['user-agent', 'x']]).headers?.filter(([name]) => /^user-agent$/i.test(name));
  assert.deepEqual(own, [['user-agent', 'x']]);
  assert.ok(isUnsendable(requestOf('GET', '/', [['a', 'b\nc']])) && !isUnsendable(inPath('a\nb')));
});

test('CSV has quotes, commas and line ends in its fields', () => {
  assert.deepEqual(readCsv('a,"b ""c"", d"\r\n,"x\ny"\n'), [
    ['a', 'b "c", d'],
    ['', 'x\ny'],
  ]);
});

test('the Core Rule Set as delivered detects most attacks of the shared sets and refuses few benign requests', async () => {
  const data = new DataDirectory(DATA);
  const notes: string[] = [];
  let rates: RatesOfSets = {};
  const results = await runPayloads({
    data,
    upstreamPort: 0,
    progress: () => undefined,
    note: (line) => {
      notes.push(line);
    },
    extra: (_, value) => {
      rates = value as RatesOfSets;
    },
  });
  if (data.missing.length > 0) {
    assert.notEqual(process.env['CI'], 'true', `missing: ${data.missing.map(({ path }) => path).join(', ')}`);
    return;
  }
  process.stdout.write(`${notes.filter((note) => note.includes('level 1')).join('\n')}\n`);
  assert.ok(results.length > 15_000);
  for (const [set, detectedMin, falseMax] of [
    ['waf-httpparams', 0.98, 0.001],
    ['waf-nemesida-bypass', 0.75, 0.01],
    ['waf-gotestwaf', 0.45, 0.1],
  ] as const) {
    const level = rates[set]?.['level1'];
    assert.ok(level !== undefined && level.detectionRate >= detectedMin, `${set}: ${level?.detectionRate} detected`);
    assert.ok(level.falsePositiveRate <= falseMax, `${set}: ${level.falsePositiveRate} refused`);
  }
});
