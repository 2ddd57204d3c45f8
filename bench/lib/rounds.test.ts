import assert from 'node:assert/strict';
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { test } from 'node:test';
import { interleaved } from './rounds.ts';

test('a request that failed ends it, also in a round that is measured again since others disturbed it', async (t) => {
  const { readFileSync } = fs;
  let ticks = 0;
  t.mock.method(fs, 'readFileSync', (path: string, encoding: 'utf8') => {
    if (path !== '/proc/stat') return readFileSync(path, encoding);
    ticks += 100;
    // Until the second try begins others take all there is.
    return `cpu ${Math.max(0, ticks - 200)} 0 0 0 0 0 0 ${Math.min(200, ticks)} 0 0\n`;
  });
  syncBuiltinESMExports();
  t.after(() => {
    t.mock.restoreAll();
    syncBuiltinESMExports();
  });
  let loads = 0;
  const target = { name: 'it', pid: process.pid, load: { url: 'http://127.0.0.1:1/', connections: 1, seconds: 1 } };
  const done = interleaved(
    [target],
    { rounds: 1, seconds: 1, tries: 2 },
    () => Promise.resolve(),
    () => {
      const failed = ++loads === 2 ? 1 : 0;
      return Promise.resolve({ requests: 10, seconds: 1, rate: 10, p50Ms: 1, p99Ms: 1, failed });
    },
  );
  await assert.rejects(done, /1 of 10 requests failed/);
});
