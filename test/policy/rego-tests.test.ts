/** Tests beside a policy are part of building it. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, type TestContext, test } from 'node:test';
import { findOpa } from '../../src/control/policy/rego.ts';
import { runTests, type TestedSource } from '../../src/control/policy/rego-tests.ts';

const opa = findOpa(process.env['PATH']);
const root = mkdtempSync(join(tmpdir(), 'cnx-rego-tests-'));
after(() => rmSync(root, { recursive: true }));

const POLICY = `package made

default allow := false

allow if input.method == data.method

allow if input.path == "/open"
`;
const WHOLE = `package made_test

import data.made

test_method if made.allow with input as {"method": "GET"}

test_path if made.allow with input as {"path": "/open"}

test_other if not made.allow with input as {}
`;

/** What building says of a policy with these tests; empty: nothing. */
async function said(t: TestContext, tests: string | null, coverageMin = 100): Promise<string | null> {
  if (opa === null) {
    t.diagnostic('opa is not on the PATH: its tests were not run');
    return null;
  }
  const file = join(root, 'made.rego');
  const testFile = join(root, 'made_test.rego');
  rmSync(testFile, { force: true });
  writeFileSync(file, POLICY);
  writeFileSync(join(root, 'data.json'), '{"method": "GET"}');
  if (tests !== null) writeFileSync(testFile, tests);
  const source: TestedSource = {
    name: 'made',
    file,
    rego: 'v1',
    entrypoints: ['made/allow'],
    dataFile: join(root, 'data.json'),
    coverageMin,
  };
  try {
    await runTests(source, opa);
    return '';
  } catch (error) {
    return (error as Error).message;
  }
}

test('tests that pass and reach every line let a policy through, and so does having none', async (t) => {
  const whole = await said(t, WHOLE);
  if (whole === null) return;
  assert.equal(whole, '');
  assert.equal(await said(t, null), '');
});

test('one that fails does not', async (t) => {
  const failing = await said(t, WHOLE.replace('not made.allow', 'made.allow'));
  if (failing === null) return;
  assert.match(failing, /policy "made": its tests fail: [^]*test_other: FAIL/);
});

test('lines that nothing tries are named, unless less is asked for in writing', async (t) => {
  const partly = WHOLE.replace(/test_path[^\n]*\n/, '');
  const missing = await said(t, partly);
  if (missing === null) return;
  assert.match(
    missing,
    /its tests reach 66 % of made\.rego, 100 % are asked for: nothing tries line 7; .*`coverageMin`/,
  );
  assert.equal(await said(t, partly, 60), '');
});
