/**
 * A policy that has become slow rests: a lane cannot stop an evaluation that runs, but it can refuse to begin the next one. The moving average takes
 * each sample at no more than four times the budget, so one long pause of the machine does not trip it, ten slow evaluations in a row do.
 */

/** Average beyond which a policy rests, unless said otherwise. Unit: microseconds. */
export const BUDGET_US_DEFAULT = 5_000;
/** How long it rests before one evaluation is tried. Unit: milliseconds. */
export const REST_MS = 1_000;

const WEIGHT = 1 / 32;
const SAMPLE_FACTOR_MAX = 4;

export class EvaluationBudget {
  readonly #budgetUs: number;
  #averageUs = 0;
  #restsUntilMs = 0;

  constructor(budgetUs: number = BUDGET_US_DEFAULT) {
    this.#budgetUs = budgetUs;
  }

  /** Moving average. Unit: microseconds. */
  get averageUs(): number {
    return this.#averageUs;
  }

  /** False while the policy rests. */
  mayBegin(nowMs: number): boolean {
    // A rest that is longer than any was written before the clock was set back.
    return nowMs >= this.#restsUntilMs || nowMs < this.#restsUntilMs - REST_MS;
  }

  /** Takes the time of one evaluation. */
  took(us: number, nowMs: number): void {
    const sample = Math.min(us, this.#budgetUs * SAMPLE_FACTOR_MAX);
    this.#averageUs += (sample - this.#averageUs) * WEIGHT;
    if (this.#averageUs <= this.#budgetUs) return;
    this.#restsUntilMs = nowMs + REST_MS;
    // Just below the budget: the evaluation that is tried after the rest decides alone whether it rests again.
    this.#averageUs = this.#budgetUs * (1 - WEIGHT / 2);
  }
}
