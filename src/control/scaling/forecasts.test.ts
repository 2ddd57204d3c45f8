import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { REQUEST_BOUNDS_US } from '../../snapshot/lane-columns.ts';
import { Forecasts, SCOPES_MAX } from './forecasts.ts';
import { BUCKET_MS } from './holt-winters.ts';
import { quantileUs } from './quantile.ts';

const root = mkdtempSync(join(tmpdir(), 'cnx-forecasts-'));
after(() => rmSync(root, { recursive: true, force: true }));

/** A bucket of so many requests a second, looked at every ten seconds. */
function pass(forecasts: Forecasts, bucket: number, perSecond: number): void {
  for (let at = 0; at < BUCKET_MS; at += 10_000)
    forecasts.count('cell/a', perSecond * 10, 10_000, bucket * BUCKET_MS + at);
}

test('whole buckets are predicted from, and kept over a restart', async () => {
  const file = join(root, 'state', 'forecast.json');
  const first = new Forecasts(file);
  assert.equal(await first.load(), null, 'none is no fault');
  for (let bucket = 1_000; bucket < 1_004; bucket++) pass(first, bucket, 50);
  assert.ok(Math.abs(first.ahead('cell/a') - 50) < 1e-9);
  assert.ok(Math.abs(first.surge('cell/a') - 1) < 1e-9);
  assert.ok(Number.isNaN(first.ahead('cell/b')));
  await first.save();
  const second = new Forecasts(file);
  assert.equal(await second.load(), null);
  assert.ok(Math.abs(second.ahead('cell/a') - 50) < 1e-9);
  assert.ok(Number.isNaN(second.surge('cell/a')), 'not before it has seen a bucket itself');
});

test('a bucket that was hardly looked at is left out', () => {
  const forecasts = new Forecasts(join(root, 'none.json'));
  forecasts.count('cell/a', 1_000, 10_000, 5 * BUCKET_MS);
  forecasts.count('cell/a', 1_000, 10_000, 6 * BUCKET_MS);
  assert.ok(Number.isNaN(forecasts.ahead('cell/a')));
});

test('a file that cannot be used is told and left', async () => {
  for (const text of ['{', '[]', '{"format":2,"scopes":{}}', '{"format":1,"scopes":null}']) {
    const file = join(root, 'bad.json');
    writeFileSync(file, text);
    assert.match((await new Forecasts(file).load()) ?? '', /bad\.json/, text);
  }
  const file = join(root, 'half.json');
  writeFileSync(file, '{"format":1,"scopes":{"cell/a":{"level":1}}}');
  const forecasts = new Forecasts(file);
  assert.equal(await forecasts.load(), null);
  assert.ok(Number.isNaN(forecasts.ahead('cell/a')));
  await forecasts.save();
  assert.match(readFileSync(file, 'utf8'), /level/, 'nothing has changed, so nothing is written');
});

test('scopes are bounded, and those that are gone are forgotten', () => {
  const forecasts = new Forecasts(join(root, 'none.json'));
  for (let i = 0; i < SCOPES_MAX; i++) assert.equal(forecasts.count(`cell/${i}`, 1, 1_000, 0), true);
  assert.equal(forecasts.count('cell/more', 1, 1_000, 0), false);
  forecasts.retain(new Set(['cell/1']));
  assert.equal(forecasts.count('cell/more', 1, 1_000, 0), true);
});

test('a percentile is that of what came in between', () => {
  const before = new Float64Array(REQUEST_BOUNDS_US.length + 1);
  const now = Float64Array.from(before);
  before[0] = now[0] = 1_000_000;
  const slow = REQUEST_BOUNDS_US.indexOf(500_000);
  now[slow] = 100;
  const p99 = quantileUs(0.99, now, before);
  assert.ok(p99 > 250_000 && p99 <= 500_000, `${p99}`);
  assert.ok(Number.isNaN(quantileUs(0.99, before, before)));
  now[REQUEST_BOUNDS_US.length] = 1e9;
  assert.equal(quantileUs(0.99, now, before), REQUEST_BOUNDS_US.at(-1));
});
