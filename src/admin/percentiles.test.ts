import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EXACT_PER_SECOND, Percentiles } from './percentiles.ts';

test('beyond what one second records exactly, one value in sixteen stands for as many', () => {
  const seen = new Percentiles(0);
  seen.advance(0);
  for (let i = 0; i < EXACT_PER_SECOND; i++) seen.record('request', 100);
  for (let i = 0; i < EXACT_PER_SECOND; i++) seen.record('request', 1_000);
  const [p25 = 0, p75 = 0] = seen.of('request', [0.25, 0.75]) ?? [];
  assert.ok(Math.abs(p25 - 100) < 2 && Math.abs(p75 - 1_000) < 20, `${p25}, ${p75}`);
});

test('each second begins exact again', () => {
  const seen = new Percentiles(0);
  for (let i = 0; i < 2 * EXACT_PER_SECOND; i++) seen.record('policy', 100);
  seen.advance(1_000);
  for (let i = 0; i < EXACT_PER_SECOND; i++) seen.record('policy', 7);
  assert.ok(Math.abs((seen.of('policy', [0.25])?.[0] ?? 0) - 7) < 0.2);
});
