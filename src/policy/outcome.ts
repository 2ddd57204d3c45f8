/** What an evaluation comes to, and the bounds that it is held to. Integers, so that a lane compares and counts without allocating. */

/** `Allow` lets the request on, `Deny` is the policy's own no; everything above is a failure and is treated as no (fail closed). */
export const Outcome = {
  Deny: 0,
  Allow: 1,
  /** The rule has no value for this input; a policy needs a `default`. */
  Undefined: 2,
  /** A value, but not one of the accepted shapes. */
  WrongShape: 3,
  InputTooLong: 4,
  InputTooDeep: 5,
  /** Not JSON, or a lone surrogate: the module would evaluate without input, or abort. */
  InputMalformed: 6,
  /** The module called `opa_abort`. */
  Aborted: 7,
  /** Stack overflow, unreachable code, access out of bounds. */
  Trapped: 8,
  /** The memory of the instance has reached its maximum. */
  MemoryExhausted: 9,
  /** One of our built-ins was asked for what it does not do. */
  BuiltinFailed: 10,
  /** The policy has been too slow and rests. */
  OverBudget: 11,
  /** No instance could be made. */
  Unavailable: 12,
} as const;
export type Outcome = (typeof Outcome)[keyof typeof Outcome];

/** Words for records and metrics, by outcome. */
export const OUTCOME_WORDS: readonly string[] = [
  'deny',
  'allow',
  'undefined',
  'wrong_shape',
  'input_too_long',
  'input_too_deep',
  'input_malformed',
  'aborted',
  'trapped',
  'memory_exhausted',
  'builtin_failed',
  'over_budget',
  'unavailable',
];

/** True for everything that is neither allow nor deny. */
export function isFailure(outcome: Outcome): boolean {
  return outcome > Outcome.Allow;
}

/** Largest input document. Unit: bytes of UTF-8. */
export const INPUT_BYTES_MAX = 65_536;
/** Deepest nesting of an input document; the module's own parser recurses and overflows the stack at some thousand levels. */
export const INPUT_DEPTH_MAX = 64;
/** Longest result text that is read. Unit: bytes. */
export const RESULT_BYTES_MAX = 16_384;
/** Longest reason; what is longer is a wrong shape. Unit: UTF-16 code units. */
export const REASON_LENGTH_MAX = 512;
/** Largest data document. Unit: bytes of UTF-8; a module's heap grows to about 8.5 times of it. */
export const DATA_BYTES_MAX = 16_777_216;
