/**
 * Regression tests of the Core Rule Set: each test's bytes are built as go-ftw builds them, read leniently, and run through all phases of the engine with the answer
 * that the tests' own upstream would give. What is a matter of HTTP goes through a socket of a gateway instead (`http-layer.ts`).
 */
import type { CaseResult } from '../result.ts';
import type { SuiteOptions } from '../suites.ts';
import { type CrsCase, readCases } from './cases.ts';
import { crsFiles, Engine } from './engine.ts';
import { EXCEPTIONS, type ExceptionRow } from './exceptions.ts';
import { HttpLayer } from './http-layer.ts';
import { judgeLog } from './judge.ts';
import { answerOf } from './reflect.ts';
import { readRequest, requestBytes } from './request.ts';

export async function runCrs({ data, progress, note }: SuiteOptions): Promise<CaseResult[]> {
  const cases = readCases(data);
  const files = crsFiles(data);
  if (files === undefined) return [];
  const engine = new Engine(files);
  const socket = new HttpLayer();
  const excused = new Map<string, string[]>();
  try {
    const results: CaseResult[] = [];
    for (const one of cases) {
      const { result, by } = await runCase(engine, socket, one);
      results.push(result);
      if (by !== undefined) excused.set(by.class, [...(excused.get(by.class) ?? []), one.id]);
    }
    progress(
      `crs: ${results.length} tests, ${results.length - [...excused.values()].flat().length} of them by the engine alone`,
    );
    for (const { class: name, reason } of EXCEPTIONS) {
      const ids = excused.get(name) ?? [];
      if (ids.length > 0) note(`through a socket, ${name} (${ids.length}): ${ids.join(', ')}\n  ${reason}`);
    }
    return results;
  } finally {
    await socket.stop();
    engine.release();
  }
}

async function runCase(
  engine: Engine,
  socket: HttpLayer,
  one: CrsCase,
): Promise<{ result: CaseResult; by?: ExceptionRow }> {
  const base = { id: `crs/${one.id}`, set: one.set, stall: false };
  let by: ExceptionRow | undefined;
  for (const stage of one.stages) {
    const bytes = requestBytes(stage.input);
    const applying = (when: ExceptionRow['when']): ExceptionRow | undefined =>
      EXCEPTIONS.find((row) => row.when === when && row.applies(stage, bytes));
    let row = applying('instead');
    if (row === undefined) {
      const request = readRequest(bytes);
      const wrong = judgeLog(stage.output, engine.trace(request, answerOf(request)));
      if (wrong === undefined) continue;
      row = applying('otherwise');
      if (row === undefined) return { result: { ...base, mark: 'fail', ...wrong, outcome: 'wrong' } };
    }
    by = row;
    const { status, stalled } = await socket.send(bytes);
    const wanted = row.statuses(stage, bytes);
    if (stalled || !wanted.includes(status)) {
      const expected = `${row.class}: status ${wanted.map((s) => s ?? 'none').join(' or ')}`;
      const result = {
        ...base,
        stall: stalled,
        mark: 'fail',
        expected,
        got: `status ${status ?? 'none'}`,
        outcome: 'answered',
      } as const;
      return { result, by };
    }
  }
  const outcome = by === undefined ? 'as expected' : by.class;
  const result = { ...base, mark: 'pass', expected: '', got: '', outcome } as const;
  return by === undefined ? { result } : { result, by };
}
