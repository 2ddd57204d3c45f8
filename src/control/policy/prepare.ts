/** From the bytes of a module to a policy that may serve: inspected, tried in the sandbox, and refused with a reason otherwise. */
import { createHash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { BUILTINS } from '../../policy/builtins.ts';
import type { EvaluatorSpec } from '../../policy/evaluator.ts';
import { OUTCOME_WORDS, Outcome } from '../../policy/outcome.ts';
import { PolicyError } from '../../policy/policy-error.ts';
import { inspectModule } from './inspect.ts';
import { probesOf } from './probes.ts';
import { SANDBOX_DEADLINE_MS, trySandboxed, type Probe, type ResultKind, type SandboxReport } from './sandbox.ts';

/** A policy as the bundle gives it. */
export interface PolicySource {
  readonly name: string;
  readonly wasm: Uint8Array<ArrayBuffer>;
  /** JSON text of the data document; `''` = none. */
  readonly data: string;
  readonly entrypoints: readonly string[];
  readonly input: readonly string[];
  readonly pure: boolean;
  /** What its rules promise to answer; absent: either kind. */
  readonly result?: ResultKind;
  readonly cacheEntries: number;
  /** Unit: pages of 64 KiB. */
  readonly memoryPagesMax: number;
}

/** A policy that may serve. Everything a lane needs; structured-cloneable. */
export interface PreparedPolicy extends EvaluatorSpec {
  /** SHA-256 of the module, hex. */
  readonly digest: string;
  /** Median evaluation in the sandbox. Unit: microseconds. */
  readonly medianUs: number;
}

export type PrepareResult =
  | { readonly ok: true; readonly policies: readonly PreparedPolicy[] }
  | { readonly ok: false; readonly errors: readonly PolicyError[] };

/** Rounds after the probes; V8 has optimised a module after about a hundred. */
const TIMED_ROUNDS = 200;

/** Policies that have passed and are not tried again: most bundles change no policy, and a thread and its trials cost some 150 ms. */
const PASSED_MAX = 64;
const passed = new LRUCache<string, PreparedPolicy>({ max: PASSED_MAX });

interface Trial {
  readonly spec: PreparedPolicy;
  readonly probes: readonly Probe[];
  readonly key: string;
  readonly result: ResultKind | undefined;
}

/**
 * Inspects and tries all policies of a bundle. Every error at once; never throws for a bad policy. A policy that has passed in this process, the same in
 * everything, is given as it was, with its compiled module.
 */
export async function preparePolicies(
  sources: readonly PolicySource[],
  deadlineMs: number = SANDBOX_DEADLINE_MS,
): Promise<PrepareResult> {
  const errors: PolicyError[] = [];
  const trials: Trial[] = [];
  const ready = new Map<string, PreparedPolicy>();
  for (const source of sources) {
    const key = identityOf(source);
    const known = passed.get(key);
    if (known !== undefined) {
      ready.set(source.name, known);
      continue;
    }
    try {
      trials.push({ ...inspect(source), key, result: source.result });
    } catch (error) {
      if (!(error instanceof PolicyError)) throw error;
      errors.push(error);
    }
  }
  const tasks = trials.map(({ spec, probes, result }) => ({
    spec,
    probes,
    timedRounds: TIMED_ROUNDS,
    ...(result === undefined ? {} : { result }),
  }));
  const results = await trySandboxed(tasks, deadlineMs);
  for (const [i, { spec, probes, key }] of trials.entries()) {
    const result = results[i] as SandboxReport | PolicyError;
    const error = result instanceof PolicyError ? result : judge(spec, probes, result);
    if (error !== null) errors.push(error);
    else if (!(result instanceof PolicyError)) {
      const prepared = { ...spec, medianUs: result.medianUs };
      passed.set(key, prepared);
      ready.set(spec.name, prepared);
    }
  }
  if (errors.length > 0) return { ok: false, errors };
  return { ok: true, policies: sources.map((s) => ready.get(s.name) as PreparedPolicy) };
}

/** Everything that a verdict depends on, as a digest. */
function identityOf({ wasm, ...rest }: PolicySource): string {
  return createHash('sha256').update(JSON.stringify(rest)).update('\0').update(wasm).digest('hex');
}

/** Throws PolicyError. */
function inspect(source: PolicySource): { readonly spec: PreparedPolicy; readonly probes: readonly Probe[] } {
  const { wasm, result: _, ...rest } = source;
  const { module, literalPatterns } = inspectModule(source.name, wasm, source.memoryPagesMax);
  if (source.pure && source.input.includes('time.now_ns')) {
    throw new PolicyError(
      'not_pure',
      source.name,
      'is declared pure and takes time.now_ns, which is never the same twice; set `pure: false` or drop the field',
    );
  }
  const probes = probesOf(source.name, source.input, source.entrypoints.length);
  const digest = createHash('sha256').update(wasm).digest('hex');
  return { spec: { ...rest, module, literalPatterns, digest, medianUs: 0 }, probes };
}

/** What the sandbox found to be wrong, or null. */
function judge(spec: PreparedPolicy, probes: readonly Probe[], report: SandboxReport): PolicyError | null {
  const impure = report.builtins.filter((name) => BUILTINS.get(name)?.pure === false);
  if (spec.pure && impure.length > 0) {
    return new PolicyError(
      'not_pure',
      spec.name,
      `is declared pure and calls ${impure.join(', ')}; set \`pure: false\``,
    );
  }
  for (const [i, { outcome, detail }] of report.results.entries()) {
    if (outcome === Outcome.Allow || outcome === Outcome.Deny) continue;
    const probe = probes[i] as Probe;
    const asked = `${spec.entrypoints[probe.entrypoint] ?? ''} answered ${OUTCOME_WORDS[outcome] ?? ''} (${detail}) to the input ${excerpt(probe.input)}`;
    if (outcome === Outcome.Undefined)
      return new PolicyError('undefined_result', spec.name, `${asked}; add \`default … := false\``);
    if (outcome === Outcome.WrongShape)
      return new PolicyError('wrong_shape', spec.name, `${asked}; see "Decisions" in docs/policy.md`);
    return new PolicyError(outcome === Outcome.Trapped ? 'trapped' : 'aborted', spec.name, asked);
  }
  if (report.otherKind !== null) {
    const { probe, answer } = report.otherKind;
    const { entrypoint, input } = probes[probe] as Probe;
    return new PolicyError(
      'wrong_shape',
      spec.name,
      `${spec.entrypoints[entrypoint] ?? ''} answered ${excerpt(answer)} to the input ${excerpt(input)}, which is not what \`result\` promises`,
    );
  }
  return null;
}

/** Most characters of an input in a message. */
const EXCERPT_LENGTH = 160;

function excerpt(input: string): string {
  return input.length <= EXCERPT_LENGTH ? input : `${input.slice(0, EXCERPT_LENGTH)} … (${input.length} characters)`;
}
