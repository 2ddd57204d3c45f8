/** What the engine tells of one exchange, for people and tests. */
import type { WafActionName, WafLimitName, WafVerdictName } from './waf-verdict.ts';

/** One match of a trace. */
export interface WafTraceMatch {
  /** 1 to 5. */
  readonly phase: number;
  readonly ruleId: number;
  /** False for rules with `nolog`: they set variables or switch something. */
  readonly logged: boolean;
  readonly message: string;
  /** `logdata`, filled in; masked when what matched is a credential. */
  readonly data: string;
  /** As in `CRITICAL`; empty when the rule names none. */
  readonly severity: string;
  /** As in `ARGS:q`; empty when the rule looks at nothing. */
  readonly variable: string;
  /** Printable, cut; masked when it is a credential. */
  readonly value: string;
  /** What the rule does beside reporting. */
  readonly action: 'pass' | 'deny' | 'drop' | 'redirect' | 'allow';
  /** `status` of a rule that refuses; the gateway answers with a refusal of its own. Absent: none is written. */
  readonly status?: number;
  readonly file: string;
  readonly line: number;
  readonly tags: readonly string[];
  /** The line of ModSecurity's log: `… [id "942100"] [msg "…"] [data "…"] …`. */
  readonly logLine: string;
}

/** What `wafTrace` answers, as JSON. */
export interface WafTrace {
  readonly verdict: WafVerdictName;
  readonly wouldBlock: boolean;
  readonly blockingRuleId: number;
  readonly action: WafActionName;
  readonly limit: WafLimitName;
  readonly work: number;
  readonly matchCount: number;
  /** Matches beyond the ten thousand that are listed. */
  readonly notTold: number;
  /** Anomaly scores: the blocking ones, and for each of the paranoia levels 1 to 4. */
  readonly scores: {
    readonly inbound: number;
    readonly outbound: number;
    readonly inboundPerLevel: readonly number[];
    readonly outboundPerLevel: readonly number[];
  };
  /** Where a rule refused, or would have. */
  readonly interruptions: readonly {
    readonly phase: number;
    readonly ruleId: number;
    readonly action: WafActionName;
  }[];
  /** In order: one for each matched value, for chains and rules with `nolog` one for each rule. */
  readonly matches: readonly WafTraceMatch[];
  /** Variables of the collection TX at the end. */
  readonly tx: Readonly<Record<string, string>>;
}
