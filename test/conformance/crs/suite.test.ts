/** The whole suite of the shared data. */
import assert from 'node:assert/strict';
import { resolve } from 'node:path';
import { test } from 'node:test';
import { DataDirectory } from '../data.ts';
import { markOf, reportOf } from '../result.ts';
import { EXCEPTIONS } from './exceptions.ts';
import { runCrs } from './suite.ts';

const DATA = resolve(import.meta.dirname, '../../../../shared/data');

test('the regression tests of the Core Rule Set pass, all of them', async () => {
  const data = new DataDirectory(DATA);
  const notes: string[] = [];
  const results = await runCrs({
    data,
    upstreamPort: 0,
    progress: () => undefined,
    note: (line) => {
      notes.push(line);
    },
    extra: () => undefined,
  });
  if (data.missing.length > 0) {
    assert.notEqual(process.env['CI'], 'true', `missing: ${data.missing.map(({ path }) => path).join(', ')}`);
    return;
  }
  const report = reportOf('crs', results);
  process.stdout.write(`crs: ${report.passed} of ${report.total} regression tests\n${notes.join('\n')}\n`);
  assert.deepEqual(report.failed, []);
  assert.ok(report.total > 3_000);
  const excused = results.filter((result) => result.outcome !== 'as expected');
  assert.ok(excused.every((result) => EXCEPTIONS.some((row) => row.class === result.outcome)));
  assert.ok(excused.length <= 25, `${excused.length} tests through a socket`);
  assert.ok(results.every((result) => markOf(result) === 'pass'));
});
