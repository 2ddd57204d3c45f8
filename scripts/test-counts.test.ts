import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { cargoCounts, nodeCounts } from './test-counts.ts';

const dir = mkdtempSync(join(tmpdir(), 'cnx-counts-'));
after(() => rmSync(dir, { recursive: true }));

/** What Node's runner prints for files with these contents. */
function ran(...files: string[]): string {
  const paths = files.map((content, i) => {
    const path = join(dir, `${i}.test.ts`);
    writeFileSync(path, `import { it } from 'node:test';\n${content}`);
    return path;
  });
  const env: NodeJS.ProcessEnv = { ...process.env, FORCE_COLOR: '0' };
  // Set for test files by the runner above this one; with it, the inner one would report to it.
  delete env['NODE_TEST_CONTEXT'];
  return spawnSync(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', '--test', '--test-reporter=spec', ...paths],
    {
      encoding: 'utf8',
      env,
    },
  ).stdout;
}

describe('counts of node:test', () => {
  it('are fine when tests ran and all passed', () => {
    const counts = nodeCounts(ran("it('a', () => {});", "it('b', () => {}); it('c', () => {});"));
    assert.equal(counts.problem, null);
    assert.equal(counts.passed, 3);
    assert.ok(counts.closing.includes('ℹ tests 3'));
  });
  it('are a problem when one failed, was skipped, is to do, or a file holds none', () => {
    const good = "it('a', () => {});";
    assert.match(nodeCounts(ran(good, "it('b', () => { throw new Error('no'); });")).problem ?? '', /1 failed/);
    assert.match(nodeCounts(ran(good, "it.skip('b', () => {});")).problem ?? '', /1 skipped/);
    assert.match(nodeCounts(ran(good, "it.todo('b');")).problem ?? '', /1 to do/);
    assert.match(nodeCounts(ran(good, '')).problem ?? '', /without a test: .*1\.test\.ts/);
    assert.equal(nodeCounts('').problem, 'nothing ran');
  });
});

describe('counts of cargo test', () => {
  const line = (passed: number, failed: number, ignored: number): string =>
    `test result: ok. ${passed} passed; ${failed} failed; ${ignored} ignored; 0 measured; 0 filtered out; finished in 0.00s\n`;
  it('are added over the crates', () => {
    const counts = cargoCounts(`noise\n${line(3, 0, 0)}${line(0, 0, 0)}${line(4, 0, 0)}`);
    assert.deepEqual(
      { passed: counts.passed, lines: counts.closing.length, problem: counts.problem },
      { passed: 7, lines: 2, problem: null },
    );
  });
  it('are a problem when nothing ran, one was ignored or failed', () => {
    assert.equal(cargoCounts(line(0, 0, 0)).problem, 'nothing ran');
    assert.match(cargoCounts(line(1, 0, 2)).problem ?? '', /2 ignored/);
    assert.match(cargoCounts(line(1, 1, 0)).problem ?? '', /1 failed/);
  });
});
