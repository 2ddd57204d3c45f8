/** A policy as one lane asks it: encoder, cache and instance in one. */
import { DecisionCache, type CachedDecision } from './decision-cache.ts';
import { compileInput, fieldReaders, type InputEncoder, type InputSource } from './input.ts';
import { OpaInstance, type OpaSpec } from './opa-instance.ts';
import { isFailure, Outcome } from './outcome.ts';
import { RecentDecisions } from './recent-decisions.ts';

export interface EvaluatorSpec extends OpaSpec {
  /** Fields of the input. */
  readonly input: readonly string[];
  /** The same input always gives the same decision. */
  readonly pure: boolean;
  /** Decisions kept when pure; 0 = none. */
  readonly cacheEntries: number;
}

const ALLOWED: CachedDecision = Object.freeze({ outcome: Outcome.Allow, reason: '' });
const DENIED: CachedDecision = Object.freeze({ outcome: Outcome.Deny, reason: '' });

export class PolicyEvaluator {
  readonly #encode: InputEncoder;
  readonly #instance: OpaInstance;
  readonly #cache: DecisionCache | null;
  readonly #recent: RecentDecisions | null;

  /** The last decision came from the cache. */
  cached = false;
  /** Of the last decision, as in OpaInstance. */
  reason = '';
  detail = '';

  /** Throws PolicyError when the module cannot be instantiated. */
  constructor(spec: EvaluatorSpec) {
    this.#encode = compileInput(spec.name, spec.input);
    this.#instance = new OpaInstance(spec);
    this.#cache = spec.pure && spec.cacheEntries > 0 ? new DecisionCache(spec.cacheEntries) : null;
    const readers = this.#cache === null ? null : fieldReaders(spec.input);
    this.#recent = readers === null ? null : new RecentDecisions(readers);
  }

  /** Moving average of evaluations, cache hits left out. Unit: microseconds. */
  get averageUs(): number {
    return this.#instance.averageUs;
  }

  /** Decides about a request. Never throws. `entrypoint` is an index into the spec's list. */
  decide(source: InputSource, entrypoint: number): Outcome {
    const recent = this.#recent?.get(source, entrypoint);
    if (recent !== undefined) return this.#again(recent);
    const input = this.#encode(source);
    const cache = this.#cache;
    const known = cache === null ? undefined : cache.get(input, entrypoint);
    if (known !== undefined) {
      this.#recent?.put(source, entrypoint, known);
      return this.#again(known);
    }
    const instance = this.#instance;
    const outcome = instance.evaluate(input, entrypoint, source.now);
    this.cached = false;
    this.reason = instance.reason;
    this.detail = instance.detail;
    if (cache !== null && !isFailure(outcome)) {
      const kept = this.#keep(outcome);
      cache.put(input, entrypoint, kept);
      this.#recent?.put(source, entrypoint, kept);
    }
    return outcome;
  }

  #again(known: CachedDecision): Outcome {
    this.cached = true;
    this.reason = known.reason;
    this.detail = '';
    return known.outcome;
  }

  #keep(outcome: Outcome): CachedDecision {
    if (this.reason === '') return outcome === Outcome.Allow ? ALLOWED : DENIED;
    return { outcome, reason: this.reason };
  }
}
