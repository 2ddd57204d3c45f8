/** Policies are tried in a thread of their own before they are activated: what loops, aborts or answers in a wrong shape never reaches a lane. */
import { Worker } from 'node:worker_threads';
import { workerEntry } from '../../base/worker-entry.ts';
import type { OpaSpec } from '../../policy/opa-instance.ts';
import type { Outcome } from '../../policy/outcome.ts';
import { PolicyError, type PolicyErrorCode } from '../../policy/policy-error.ts';

/** One question to a policy. */
export interface Probe {
  /** JSON text of the input. */
  readonly input: string;
  /** Index into the spec's entrypoints. */
  readonly entrypoint: number;
  readonly nowMs: number;
}

export interface SandboxTask {
  readonly spec: OpaSpec;
  readonly probes: readonly Probe[];
  /** How often the first probe is asked again: for its time, and so that the engine has optimised the module before it serves. */
  readonly timedRounds: number;
  /** Every result must be of this kind; absent: of any. */
  readonly result?: ResultKind;
}

/** True or false; `{allow, reason}`. */
export type ResultKind = 'boolean' | 'decision';

export interface SandboxReport {
  /** By probe. */
  readonly results: readonly {
    readonly outcome: Outcome;
    readonly detail: string;
    readonly reason: string;
    /** Of policies that answer something else than a decision (`OpaSpec.answerBytesMax`). */
    readonly answer: string;
  }[];
  /** Built-ins that the module asks of the host. */
  readonly builtins: readonly string[];
  /** Median of the timed rounds. Unit: microseconds. */
  readonly medianUs: number;
  /** The first result that is not of the kind that the task asks for; null: there was none. */
  readonly otherKind: { readonly probe: number; readonly answer: string } | null;
  readonly memoryPages: number;
}

/** What the thread says: first that it is ready, then one message per task. */
export type SandboxMessage = 'ready' | SandboxVerdict;

export type SandboxVerdict = { readonly index: number } & (
  | { readonly ok: true; readonly report: SandboxReport }
  | { readonly ok: false; readonly code: PolicyErrorCode; readonly what: string }
);

/** Time that one policy may take for loading, all probes and rounds. Unit: milliseconds. */
export const SANDBOX_DEADLINE_MS = 5_000;
/** Time for the thread itself to start, on however busy a machine; no policy runs in it. Unit: milliseconds. */
const START_MS_MAX = 30_000;
/** Memory of the thread outside of the modules. Unit: MiB. */
const HEAP_MB_MAX = 128;

/** What came of one policy. */
export type SandboxResult = SandboxReport | PolicyError;

/**
 * Tries the policies one after another in one thread. Every policy gets a result; one that does not answer within the deadline gets the error
 * `deadline`, its thread is ended, and the others go on in a new one.
 */
export async function trySandboxed(
  tasks: readonly SandboxTask[],
  deadlineMs: number = SANDBOX_DEADLINE_MS,
): Promise<readonly SandboxResult[]> {
  const results: SandboxResult[] = [];
  while (results.length < tasks.length) await runThread(tasks, results, deadlineMs);
  return results;
}

/** Runs the tasks that have no result yet until all have one or one did not answer. Adds at least one result. */
function runThread(tasks: readonly SandboxTask[], results: SandboxResult[], deadlineMs: number): Promise<void> {
  const rest = tasks.slice(results.length);
  return new Promise((resolve) => {
    const worker = new Worker(workerEntry('policy-sandbox'), {
      workerData: rest,
      name: 'policy-sandbox',
      resourceLimits: { maxOldGenerationSizeMb: HEAP_MB_MAX },
      // Nothing of the environment or the command line is of use to a policy.
      env: {},
      execArgv: [],
    });
    let timer: NodeJS.Timeout | undefined;
    let over = false;
    /** Ends the thread; with a code, the policy that is being tried is to blame. */
    const finish = (code?: PolicyErrorCode, what = ''): void => {
      if (over) return;
      over = true;
      clearTimeout(timer);
      const blamed = tasks[results.length];
      if (code !== undefined && blamed !== undefined) results.push(new PolicyError(code, blamed.spec.name, what));
      void worker.terminate().then(() => resolve());
    };
    const arm = (ms: number, code: PolicyErrorCode, what: string): void => {
      clearTimeout(timer);
      timer = setTimeout(() => finish(code, what), ms);
    };
    const armPolicy = (): void =>
      arm(
        deadlineMs,
        'deadline',
        `did not answer within ${deadlineMs} ms: a rule loops or its data is too large to load; simplify it, or look up keys instead of scanning`,
      );
    worker.on('message', (message: SandboxMessage) => {
      if (over) return;
      if (message !== 'ready') {
        const name = rest[message.index]?.spec.name ?? '';
        results.push(message.ok ? message.report : new PolicyError(message.code, name, message.what));
      }
      if (results.length === tasks.length) finish();
      else armPolicy();
    });
    worker.on('error', (error: Error) => finish('trapped', `the sandbox failed: ${error.message}`));
    worker.on('exit', (exitCode: number) => finish('trapped', `the sandbox ended with code ${exitCode}`));
    arm(START_MS_MAX, 'trapped', `the sandbox did not start within ${START_MS_MAX} ms`);
  });
}
