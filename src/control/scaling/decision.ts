/**
 * When there should be more of something (docs/cells.md): each rule of one table fires when its measure has been beyond its bound for its time, asks for so much more than there is, and then rests. What
 * several ask for is not multiplied: the most counts. Sizes are absolute, so that whoever reads them twice does not scale twice.
 */

/** What is measured. Shares are 0 … 1; NaN: unknown, or too little to tell. */
export interface Measures {
  /** Share of the capacity in use: of a cell its endpoints', of the gateway its CPU. */
  readonly cpu: number;
  readonly memory: number;
  /** Requests that wait. */
  readonly queue: number;
  /** p99, seconds. */
  readonly latency: number;
  /** Share of requests that failed. */
  readonly errors: number;
  /** Load predicted 15 minutes ahead, as a multiple of the last five minutes'. */
  readonly surge: number;
}

export interface Rule {
  readonly measure: keyof Measures;
  readonly above: number;
  readonly forMs: number;
  /** Share of what there is that is asked for on top. */
  readonly more: number;
  readonly coolDownMs: number;
}

const MINUTE = 60_000;

export const RULES: readonly Rule[] = [
  { measure: 'cpu', above: 0.7, forMs: 5 * MINUTE, more: 0.2, coolDownMs: 3 * MINUTE },
  { measure: 'memory', above: 0.8, forMs: 3 * MINUTE, more: 0.3, coolDownMs: 5 * MINUTE },
  { measure: 'queue', above: 100, forMs: MINUTE, more: 0.5, coolDownMs: 2 * MINUTE },
  { measure: 'latency', above: 0.3, forMs: 2 * MINUTE, more: 0.25, coolDownMs: 3 * MINUTE },
  { measure: 'errors', above: 0.01, forMs: 0, more: 1, coolDownMs: 10 * MINUTE },
  // As long as it looks ahead: what was asked for must be there when the surge comes.
  { measure: 'surge', above: 1.5, forMs: 0, more: 0.5, coolDownMs: 15 * MINUTE },
];

/** Share of the capacity beyond which more is wanted. */
export const USED_MAX = 0.7;

export interface Decision {
  readonly current: number;
  /** How many there should be. Below `current` when less than USED_MAX of what there is would do. */
  readonly desired: number;
  /** More than USED_MAX of the capacity is in use. */
  readonly scaleOut: boolean;
  /** Measures whose rules ask for more now. */
  readonly reasons: readonly string[];
}

interface RuleState {
  /** Since when its measure has been beyond its bound; null: it is not. */
  beyondFrom: number | null;
  firedAt: number;
  wanted: number;
  fired: number;
}

/** The next whole number, but for what only arithmetic has put on top. */
function up(size: number): number {
  return Math.ceil(size - 1e-9);
}

export class Decider {
  readonly #states = new Map<Rule, RuleState>(
    RULES.map((rule) => [rule, { beyondFrom: null, firedAt: Number.NEGATIVE_INFINITY, wanted: 0, fired: 0 }]),
  );

  /** `current`: how many there are. `tick`: monotonic ms. */
  decide(measures: Measures, current: number, tick: number): Decision {
    const reasons: string[] = [];
    const needed = Number.isFinite(measures.cpu) ? up((current * measures.cpu) / USED_MAX) : current;
    let desired = Math.max(1, needed);
    for (const [rule, state] of this.#states) {
      const value = measures[rule.measure];
      if (value > rule.above) state.beyondFrom ??= tick;
      else state.beyondFrom = null;
      const rests = tick - state.firedAt < rule.coolDownMs;
      if (!rests && state.beyondFrom !== null && tick - state.beyondFrom >= rule.forMs) {
        state.firedAt = tick;
        state.wanted = up(current * (1 + rule.more));
        state.fired++;
      }
      // What was asked for stays asked for until the rule may ask again.
      if (tick - state.firedAt < rule.coolDownMs) {
        desired = Math.max(desired, state.wanted);
        reasons.push(rule.measure);
      }
    }
    return { current, desired, scaleOut: measures.cpu > USED_MAX, reasons };
  }

  /** How often each rule has fired, by its measure. */
  fired(): Readonly<Record<string, number>> {
    return Object.fromEntries([...this.#states].map(([rule, { fired }]) => [rule.measure, fired]));
  }
}
