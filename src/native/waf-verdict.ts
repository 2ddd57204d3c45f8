/** The packed form of a verdict, and the numbers in it (`native/waf/src/wire.rs` is the other side). */

/** What the engine says about a request; also the answer of `wafInspect`. */
export const WAF_PASS = 0;
/** Rules matched and nothing was refused (detect mode, or rules that only report). */
export const WAF_DETECT_MATCH = 1;
/** A rule refuses the request. */
export const WAF_BLOCK = 2;
/** A bound was passed before all rules ran (see {@link WafVerdict.limit}): block or log, never a silent pass. */
export const WAF_BUDGET_EXCEEDED = 3;
/** Stale handle, malformed request, too small a buffer, or a failure of the engine: fail closed. */
export const WAF_ERROR = 4;

/** Names of the verdicts, by number. */
export const WAF_VERDICTS = ['pass', 'detect-match', 'block', 'budget-exceeded', 'error'] as const;
export type WafVerdictName = (typeof WAF_VERDICTS)[number];

/** Which bound was passed, by number. */
export const WAF_LIMITS = ['none', 'work', 'arguments', 'body', 'memory', 'files', 'response-body'] as const;
export type WafLimitName = (typeof WAF_LIMITS)[number];

/** What the blocking rule asked for, by number. */
export const WAF_ACTIONS = ['none', 'deny', 'drop', 'redirect'] as const;
export type WafActionName = (typeof WAF_ACTIONS)[number];

/** What rules want to see of the answer, by number: nothing, its status and header fields, or its body too when its media type is among {@link WafAnswerStats.mimeTypes}. */
export const WAF_WANTED = ['nothing', 'head', 'body'] as const;
export type WafWantedName = (typeof WAF_WANTED)[number];
export const WAF_WANTED_NOTHING = 0;
export const WAF_WANTED_HEAD = 1;
export const WAF_WANTED_BODY = 2;

/** Bytes of a verdict with no match. */
export const WAF_VERDICT_HEAD_BYTES = 32;
/** Place of the work in it, and of what follows. */
const WORK_AT = 16;
const BEHIND_WORK = 24;
/** Bytes that hold any verdict: 64 matches with their longest texts. */
export const WAF_VERDICT_BYTES_MAX = WAF_VERDICT_HEAD_BYTES + 64 * (14 + 200 + 100 + 100);

/** One match of a rule that reports. */
export interface WafMatch {
  readonly ruleId: number;
  /** 0 (emergency) to 7 (debug); 255 when the rule names none. */
  readonly severity: number;
  /** 1 to 5. */
  readonly phase: number;
  readonly message: string;
  /** As in `ARGS:q`; empty when the rule looks at nothing. */
  readonly variable: string;
  /** Printable, at most 100 bytes; masked when it is a credential. */
  readonly value: string;
}

/** A verdict as plain values. */
export interface WafVerdict {
  readonly verdict: WafVerdictName;
  /** In detect mode: a rule would have refused. */
  readonly wouldBlock: boolean;
  /** Inbound anomaly score. */
  readonly score: number;
  /** The rule that refused or would have; 0 when none. */
  readonly blockingRuleId: number;
  readonly action: WafActionName;
  readonly limit: WafLimitName;
  /** Work done, roughly bytes looked at; values that were seen in earlier requests cost none. */
  readonly work: number;
  /** What rules want to see of the answer; then `wafKeep` follows. */
  readonly wanted: WafWantedName;
  /** Rules that matched and report. */
  readonly matchCount: number;
  /** The matches that were kept, in order: one for each matched value. */
  readonly matches: readonly WafMatch[];
}

/** Reads a packed verdict. Throws a RangeError when `out` holds none. */
export function readVerdict(out: Buffer, offset = 0): WafVerdict {
  const matches: WafMatch[] = [];
  const stored = out.readUInt16LE(offset + 2);
  let at = offset + WAF_VERDICT_HEAD_BYTES;
  const text = (): string => {
    const length = out.readUInt16LE(at);
    const begin = at + 2;
    at = begin + length;
    return out.latin1Slice(begin, at);
  };
  for (let i = 0; i < stored; i++) {
    const ruleId = out.readUInt32LE(at);
    const severity = out.readUInt8(at + 4);
    const phase = out.readUInt8(at + 5);
    at += 8;
    matches.push({ ruleId, severity, phase, message: text(), variable: text(), value: text() });
  }
  const flags = out.readUInt8(offset + 1);
  return {
    verdict: WAF_VERDICTS[out.readUInt8(offset)] ?? 'error',
    wouldBlock: (flags & 1) !== 0,
    score: out.readInt32LE(offset + 8),
    blockingRuleId: out.readUInt32LE(offset + 12),
    action: WAF_ACTIONS[out.readUInt8(offset + 29)] ?? 'none',
    limit: WAF_LIMITS[out.readUInt8(offset + 28)] ?? 'none',
    work: Number(out.readBigUInt64LE(offset + 16)),
    wanted: WAF_WANTED[out.readUInt8(offset + 30)] ?? 'nothing',
    matchCount: out.readUInt32LE(offset + 4),
    matches,
  };
}

/** Bytes of a packed verdict, its matches included. */
export function verdictBytes(out: Buffer): number {
  return Math.max(WAF_VERDICT_HEAD_BYTES, out.readUInt32LE(24));
}

/** Whether two packed verdicts say the same, but for the work that they took. */
export function sameVerdict(a: Buffer, b: Buffer): boolean {
  const length = verdictBytes(a);
  return (
    a.length >= length &&
    b.length >= length &&
    a.compare(b, 0, WORK_AT, 0, WORK_AT) === 0 &&
    a.compare(b, BEHIND_WORK, length, BEHIND_WORK, length) === 0
  );
}

/** What the rules want to see of the answer, of a packed verdict, by number. */
export function verdictWanted(out: Buffer): number {
  return out.readUInt8(30);
}

/** The anomaly score of a packed verdict, without garbage. */
export function verdictScore(out: Buffer): number {
  return out.readInt32LE(8);
}
