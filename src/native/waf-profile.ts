/** A rule set as one route uses it, and its rules as they were compiled. */

/** Work of one request unless a profile says otherwise: some 40 ms, enough for 1 MB of body with the whole CRS. */
export const WAF_WORK_MAX_DEFAULT = 16 * 1024 * 1024;

/** What a route may change. Everything is optional. */
export interface WafProfileOptions {
  /** Default: what `SecRuleEngine` says, else detect. */
  readonly mode?: 'off' | 'detect' | 'block';
  /** Work of one request, roughly bytes looked at; default {@link WAF_WORK_MAX_DEFAULT}. Passing it is `budget-exceeded`. */
  readonly workMax?: number;
  /**
   * Answers will be handed in with `wafInspectResponse`: phases 3 to 5 run then. Default false: phase 5 ends the inspection of the request when something
   * matched, phases 3 and 4 never run.
   */
  readonly answers?: boolean;
  /** Rules, or targets of theirs, that are left out. */
  readonly exclusions?: WafExclusion[];
  /** Variables of the collection TX; rules cannot change them. Those that no rule names are passed over. */
  readonly variables?: WafVariable[];
  /** Expressions that run on this route alone, by their places. */
  readonly localRules?: string[];
}

/** Exactly one of `rules`, `tag`, `message`. */
export interface WafExclusion {
  /** Ids and ranges, as in `942100-942199, 941100`. */
  readonly rules?: string;
  /** A whole tag. */
  readonly tag?: string;
  /** A whole message as rules write it. */
  readonly message?: string;
  /** `ARGS`, `ARGS:password`, `REQUEST_COOKIES:/^_ga/`; absent: the rules whole. */
  readonly target?: string;
}

export interface WafVariable {
  /** Without `tx.`. */
  readonly name: string;
  readonly value: string;
}

/** A rule as it was compiled; of a chain, its head. */
export interface WafRule {
  readonly id: number;
  /** 1 to 5. */
  readonly phase: number;
  /** 0 (emergency) to 7 (debug); 255 when it names none. */
  readonly severity: number;
  readonly file: string;
  readonly line: number;
  /** With its macros. */
  readonly message: string;
  readonly tags: string[];
  /** A match is reported. */
  readonly log: boolean;
}
