/** WAF expressions as `wafCompile` takes them. */

/** A WAF expression with what it does. */
export interface WafExpression {
  /** What errors and profiles call it; errors in its text are at `<place>/when`. */
  readonly place: string;
  /** How many rule files stand before it. */
  readonly before: number;
  /** It runs only where a profile names it among its `localRules`. */
  readonly local: boolean;
  /** From 90000000 to 90099999; absent: one that follows from name or text. */
  readonly id?: number;
  readonly name?: string;
  readonly when: string;
  readonly action: 'block' | 'log' | 'score' | 'skip';
  /** What `score` adds. */
  readonly points?: number;
  /** What `skip` skips; absent: all that follows. */
  readonly tags?: string[];
  readonly message?: string;
  /** 0 (emergency) to 7 (debug). */
  readonly severity?: number;
}

/** A list that expressions name. */
export interface WafList {
  /** What errors call it. */
  readonly place: string;
  /** Without `$`. */
  readonly name: string;
  readonly entries: string[];
  /** The entries are numbers in decimal. */
  readonly numbers: boolean;
}
