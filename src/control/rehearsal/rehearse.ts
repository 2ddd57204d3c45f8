/**
 * A bundle's own tests, played off the request path in a thread of their own, over the snapshot that is to serve and by the code that serves. A thread that does not answer in time is
 * ended, and its bundle goes nowhere.
 */
import { Worker } from 'node:worker_threads';
import { workerEntry } from '../../base/worker-entry.ts';
import type { BundleConfig, Part } from '../../config/bundle.ts';
import type { Document, Problem } from '../../config/document.ts';
import { addonPath } from '../../native.ts';
import type { RehearsalMessage, RehearsalSetup } from '../../snapshot/rehearsal.ts';
import type { Snapshot } from '../../snapshot/snapshot.ts';
import { differences } from './judge.ts';
import { requestOf } from './requests.ts';

/** Time that one test may take. Unit: milliseconds. */
export const TEST_DEADLINE_MS = 5_000;
/** Time for all tests of a bundle. Unit: milliseconds. */
export const TESTS_DEADLINE_MS = 60_000;
/** Time for the thread itself to start and to open the snapshot, on however busy a machine. Unit: milliseconds. */
const START_MS_MAX = 30_000;
/** Memory of the thread beside what is shared. Unit: MiB. */
const HEAP_MB_MAX = 256;
/** Failing tests that are told. */
export const FAILURES_TOLD_MAX = 20;

/** The thread did not start: nobody knows what the tests would have said. */
export class RehearsalError extends Error {
  override readonly name = 'RehearsalError';
}

export interface Deadlines {
  readonly testMs: number;
  readonly allMs: number;
}

/** Plays all tests of a bundle; what fails is told as problems of its document. Nothing is asked of any upstream. Throws RehearsalError when it could not be done. */
export async function rehearse(
  config: BundleConfig,
  documents: ReadonlyMap<Part, Document>,
  snapshot: Snapshot,
  deadlines: Deadlines = { testMs: TEST_DEADLINE_MS, allMs: TESTS_DEADLINE_MS },
): Promise<readonly Problem[]> {
  const { tests } = config.tests;
  if (tests.length === 0) return [];
  const document = documents.get('tests');
  const problems: Problem[] = [];
  let failed = 0;
  const fail = (index: number, message: string): void => {
    if (++failed > FAILURES_TOLD_MAX) return;
    const path = `/tests/${index}`;
    const said = `the test "${tests[index]?.name ?? ''}" fails: ${message}`;
    problems.push(document?.problem(path, said) ?? { file: 'tests', line: 0, column: 0, path, message: said });
  };
  await play(
    { addonPath: addonPath(), snapshot, requests: tests.map((test) => requestOf(test, config)) },
    deadlines,
    (message) => {
      const test = tests[message.index];
      if (test === undefined) return;
      if (!message.ok) fail(message.index, message.why);
      else {
        const lines = differences(test.expect, message.rehearsed);
        const { detail } = message.rehearsed;
        if (lines.length > 0) fail(message.index, `${lines.join('; ')}${detail === '' ? '' : ` (${detail})`}`);
      }
    },
    fail,
  );
  if (failed > FAILURES_TOLD_MAX) {
    const message = `${failed - FAILURES_TOLD_MAX} more tests fail`;
    problems.push(
      document?.problem('/tests', message) ?? { file: 'tests', line: 0, column: 0, path: '/tests', message },
    );
  }
  return problems;
}

/** Runs the thread until it has answered to all requests, or one was late. */
function play(
  setup: RehearsalSetup,
  deadlines: Deadlines,
  answered: (message: Exclude<RehearsalMessage, 'ready'>) => void,
  late: (index: number, message: string) => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(workerEntry('rehearsal'), {
      workerData: setup,
      name: 'rehearsal',
      resourceLimits: { maxOldGenerationSizeMb: HEAP_MB_MAX },
      // Nothing of the environment or the command line is of use to a bundle.
      env: {},
      execArgv: [],
    });
    let timer: NodeJS.Timeout | undefined;
    let over = false;
    let next = 0;
    let until = Number.POSITIVE_INFINITY;
    const finish = (failure?: RehearsalError): void => {
      if (over) return;
      over = true;
      clearTimeout(timer);
      const ended = (): void => (failure === undefined ? resolve() : reject(failure));
      void worker.terminate().then(ended);
    };
    const arm = (ms: number, then: () => void): void => {
      clearTimeout(timer);
      timer = setTimeout(then, ms);
    };
    const armTest = (): void => {
      const leftMs = until - performance.now();
      if (leftMs < deadlines.testMs)
        arm(Math.max(0, leftMs), () => {
          late(next, `all tests together may take ${deadlines.allMs} ms, and they did not end within that time`);
          finish();
        });
      else
        arm(deadlines.testMs, () => {
          late(next, `nothing was decided within ${deadlines.testMs} ms`);
          finish();
        });
    };
    worker.on('message', (message: RehearsalMessage) => {
      if (over) return;
      if (message === 'ready') until = performance.now() + deadlines.allMs;
      else {
        next = message.index + 1;
        answered(message);
      }
      if (next === setup.requests.length) finish();
      else armTest();
    });
    const broken = (what: string): void => {
      // Once it has begun, the test that it was at is to blame: it may have filled the memory.
      if (until === Number.POSITIVE_INFINITY) finish(new RehearsalError(what));
      else {
        if (!over) late(next, what);
        finish();
      }
    };
    worker.on('error', (error: Error) => broken(`the thread that plays tests failed: ${error.message}`));
    worker.on('exit', (code: number) => broken(`the thread that plays tests ended with code ${code}`));
    arm(START_MS_MAX, () => broken(`the thread that plays tests did not start within ${START_MS_MAX} ms`));
  });
}
