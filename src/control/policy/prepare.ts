/** From the bytes of a module to a policy that may serve: inspected, tried in the sandbox, and refused with a reason otherwise. */
import { createHash } from 'node:crypto';
import { BUILTINS } from '../../policy/builtins.ts';
import type { EvaluatorSpec } from '../../policy/evaluator.ts';
import { OUTCOME_WORDS, Outcome } from '../../policy/outcome.ts';
import { PolicyError } from '../../policy/policy-error.ts';
import { inspectModule } from './inspect.ts';
import { probesOf } from './probes.ts';
import { SANDBOX_DEADLINE_MS, trySandboxed, type Probe, type SandboxReport } from './sandbox.ts';

/** A policy as the bundle gives it. */
export interface PolicySource {
  readonly name: string;
  readonly wasm: Uint8Array<ArrayBuffer>;
  /** JSON text of the data document; `''` = none. */
  readonly data: string;
  readonly entrypoints: readonly string[];
  readonly input: readonly string[];
  readonly pure: boolean;
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

/** Inspects and tries all policies of a bundle. Every error at once; never throws for a bad policy. */
export async function preparePolicies(
  sources: readonly PolicySource[],
  deadlineMs: number = SANDBOX_DEADLINE_MS,
): Promise<PrepareResult> {
  const errors: PolicyError[] = [];
  const tried: { readonly spec: PreparedPolicy; readonly probes: readonly Probe[] }[] = [];
  for (const source of sources) {
    try {
      tried.push(inspect(source));
    } catch (error) {
      if (!(error instanceof PolicyError)) throw error;
      errors.push(error);
    }
  }
  const results = await trySandboxed(
    tried.map((t) => ({ ...t, timedRounds: TIMED_ROUNDS })),
    deadlineMs,
  );
  const policies: PreparedPolicy[] = [];
  for (const [i, { spec, probes }] of tried.entries()) {
    const result = results[i] as SandboxReport | PolicyError;
    const error = result instanceof PolicyError ? result : judge(spec, probes, result);
    if (error !== null) errors.push(error);
    else if (!(result instanceof PolicyError)) policies.push({ ...spec, medianUs: result.medianUs });
  }
  return errors.length > 0 ? { ok: false, errors } : { ok: true, policies };
}

/** Throws PolicyError. */
function inspect(source: PolicySource): { readonly spec: PreparedPolicy; readonly probes: readonly Probe[] } {
  const { wasm, ...rest } = source;
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
  return null;
}

/** Most characters of an input in a message. */
const EXCERPT_LENGTH = 160;

function excerpt(input: string): string {
  return input.length <= EXCERPT_LENGTH ? input : `${input.slice(0, EXCERPT_LENGTH)} … (${input.length} characters)`;
}
