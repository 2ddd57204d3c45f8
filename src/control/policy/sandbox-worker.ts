/**
 * Tries policies where a loop harms nobody: the control plane ends this thread when a policy does not answer in time. Each policy is loaded, asked with
 * its probes, and reported before the next begins.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { OpaInstance } from '../../policy/opa-instance.ts';
import { PolicyError } from '../../policy/policy-error.ts';
import type { ResultKind, SandboxMessage, SandboxReport, SandboxTask, SandboxVerdict } from './sandbox.ts';

/** Longest result that is looked at. Unit: bytes. */
const ANSWER_BYTES_MAX = 16_384;
/** Rounds end after this time: their number is for fast policies. Unit: milliseconds. */
const TIMED_MS_MAX = 100;

parentPort?.postMessage('ready' satisfies SandboxMessage);
for (const [index, task] of (workerData as readonly SandboxTask[]).entries()) {
  parentPort?.postMessage(attempt(index, task));
}

function attempt(index: number, task: SandboxTask): SandboxVerdict {
  try {
    // No rest for slow policies here: the deadline judges them.
    const instance = new OpaInstance({ ...task.spec, budgetUs: Number.MAX_SAFE_INTEGER });
    const results = task.probes.map(({ input, entrypoint, nowMs }) => {
      const outcome = instance.evaluate(input, entrypoint, nowMs);
      return { outcome, detail: instance.detail, reason: instance.reason, answer: instance.answer };
    });
    const times: number[] = [];
    const first = task.probes[0];
    const rounds = first === undefined ? 0 : task.timedRounds;
    const until = performance.now() + TIMED_MS_MAX;
    for (let i = 0; i < rounds && performance.now() < until; i++) {
      const begun = performance.now();
      if (first !== undefined) instance.evaluate(first.input, first.entrypoint, first.nowMs);
      times.push((performance.now() - begun) * 1_000);
    }
    times.sort((a, b) => a - b);
    return {
      index,
      ok: true,
      report: {
        results,
        builtins: instance.builtins,
        otherKind: task.result === undefined ? null : otherKind(task, task.result),
        medianUs: times[times.length >> 1] ?? 0,
        memoryPages: instance.memoryPages,
      },
    };
  } catch (error) {
    return error instanceof PolicyError
      ? { index, ok: false, code: error.code, what: error.what }
      : { index, ok: false, code: 'trapped', what: String(error) };
  }
}

/** The first result of another kind, by another instance that keeps results as they are. */
function otherKind(task: SandboxTask, kind: ResultKind): SandboxReport['otherKind'] {
  const instance = new OpaInstance({
    ...task.spec,
    budgetUs: Number.MAX_SAFE_INTEGER,
    answerBytesMax: ANSWER_BYTES_MAX,
  });
  for (const [probe, { input, entrypoint, nowMs }] of task.probes.entries()) {
    instance.evaluate(input, entrypoint, nowMs);
    if (kindOf(instance.answer) !== kind) return { probe, answer: instance.answer };
  }
  return null;
}

function kindOf(answer: string): ResultKind | null {
  let set: unknown;
  try {
    set = JSON.parse(answer);
  } catch {
    return null;
  }
  const row = (Array.isArray(set) ? set[0] : undefined) as { readonly result?: unknown } | null | undefined;
  if (typeof row?.result === 'boolean') return 'boolean';
  return typeof row?.result === 'object' && row.result !== null ? 'decision' : null;
}
