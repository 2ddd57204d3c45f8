/** The engine beside Debian's libmodsecurity 3: the requests of the Core Rule Set's own tests, and mutations of them. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { resolve } from 'node:path';
import { test } from 'node:test';
import { DataDirectory } from '../data.ts';
import { readCases } from './cases.ts';
import { differences, EXPLAINED } from './differential.ts';
import { crsFiles } from './engine.ts';
import { Mutations } from './mutations.ts';
import { answerOf } from './reflect.ts';
import { readRequest, requestBytes } from './request.ts';

const DATA = resolve(import.meta.dirname, '../../../../shared/data');
/** libmodsecurity takes some 10 ms each: enough to see every rule file, few enough for every run. */
const CASES_MAX = Number(process.env['CRS_DIFFERENTIAL_CASES'] ?? 300);
const SEED = Number(process.env['CRS_DIFFERENTIAL_SEED'] ?? 20_261_121);

function hasOracle(): boolean {
  try {
    execFileSync('c++', ['-x', 'c++', '-fsyntax-only', '-include', 'modsecurity/modsecurity.h', '/dev/null'], {
      stdio: 'ignore',
    });
    return true;
  } catch {
    return false;
  }
}

test('the rules that log are those that log in libmodsecurity 3, but for differences of explained classes', async () => {
  const data = new DataDirectory(DATA);
  const cases = readCases(data);
  const files = crsFiles(data);
  if (files === undefined || cases.length === 0 || !hasOracle()) {
    assert.notEqual(process.env['CI'], 'true', 'the rule set, its tests or libmodsecurity-dev is missing');
    return;
  }
  const requests = cases.flatMap((one) => one.stages.map((stage) => readRequest(requestBytes(stage.input))));
  const mutations = new Mutations(requests, SEED);
  const step = Math.max(1, Math.floor((2 * requests.length) / CASES_MAX));
  const corpus = requests.filter((_, i) => i % step === 0);
  const mutated = Array.from({ length: corpus.length }, () => mutations.next());
  const exchanges = [...corpus, ...mutated].map((request) => ({ request, response: answerOf(request) }));
  const found = await differences(files, exchanges);
  const told = new Map<string, number>();
  for (const name of found.flatMap((one) => one.classes)) told.set(name, (told.get(name) ?? 0) + 1);
  const classes = [...told].map(([name, n]) => `${name} ${n}`).join(', ');
  process.stdout.write(
    `crs differential: ${exchanges.length - found.length} of ${exchanges.length} exchanges log the same rules; explained: ${classes}\n`,
  );
  const unexplained = found.filter((one) => one.unexplained.length > 0);
  assert.deepEqual(
    unexplained.map(({ unexplained: rules, exchange: { request } }) => ({
      rules,
      request: { ...request, body: String(request.body) },
    })),
    [],
  );
  assert.ok(found.length < exchanges.length / 2);
  for (const { reason } of EXPLAINED) assert.ok(reason.length > 40);
});
