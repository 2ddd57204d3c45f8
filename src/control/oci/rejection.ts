/**
 * Why a bundle is not taken, as a table: the code is stable (logs, metrics and status carry it), the row says when it may
 * be looked at again:
 * - `never`: the same bytes will always be refused; only a moved tag (or a changed trust policy) helps,
 * - `signature`: a signature may still be added to the same bytes, so it is asked again with back-off,
 * - `transport`: what arrived was not what was named; another transfer may be whole.
 */
const REASONS = {
  // Signatures
  unsigned: 'signature',
  wrong_key: 'signature',
  bad_signature: 'signature',
  revoked_key: 'signature',
  expired_key: 'signature',
  below_threshold: 'signature',
  // Bytes
  digest_mismatch: 'transport',
  size_mismatch: 'transport',
  media_type_mismatch: 'transport',
  too_large: 'never',
  malformed_json: 'never',
  malformed_manifest: 'never',
  ambiguous_manifest: 'never',
  wrong_artifact_type: 'never',
  unknown_layer: 'never',
  missing_layer: 'never',
  duplicate_layer: 'never',
  malformed_release: 'never',
  // Rules
  audience_mismatch: 'never',
  gateway_too_old: 'never',
  unsupported_feature: 'never',
  expired: 'never',
  below_floor: 'never',
  equivocation: 'never',
  rollback_not_endorsed: 'never',
  seq_jump: 'never',
  epoch_regressed: 'never',
  quarantined: 'never',
  revoked_bundle: 'never',
  pinned: 'never',
  index_required: 'never',
  // What the layers say: for the compiler
  invalid_content: 'never',
} as const;

export type ReasonCode = keyof typeof REASONS;
export type RetryWhen = (typeof REASONS)[ReasonCode];

export const REASON_CODES = Object.keys(REASONS) as readonly ReasonCode[];

/** A bundle that was looked at and is not taken. The message is a sentence for the person who published it. */
export class Rejection extends Error {
  override readonly name = 'Rejection';
  readonly code: ReasonCode;

  constructor(code: ReasonCode, sentence: string, options?: { cause?: unknown }) {
    super(sentence, options);
    this.code = code;
  }

  /** When looking at the same digest again can help. */
  get retry(): RetryWhen {
    return REASONS[this.code];
  }
}

export type SourceErrorCode =
  | 'unreachable'
  | 'timeout'
  | 'unauthorized'
  | 'not_found'
  | 'rate_limited'
  | 'server_error'
  | 'redirect_refused'
  | 'realm_refused'
  | 'protocol'
  | 'too_large'
  | 'write_refused';

/** The source could not answer. Says nothing about any bundle: what is known goes on serving, and the source is asked again. */
export class SourceError extends Error {
  override readonly name = 'SourceError';
  readonly code: SourceErrorCode;
  /** What the source asked for (Retry-After), milliseconds. */
  readonly retryAfterMs: number | undefined;

  constructor(
    code: SourceErrorCode,
    sentence: string,
    options?: { cause?: unknown; retryAfterMs?: number | undefined },
  ) {
    super(sentence, options);
    this.code = code;
    this.retryAfterMs = options?.retryAfterMs;
  }
}
