/** Why a policy cannot be used. Thrown while a policy is loaded, never while a request is decided. */

export type PolicyErrorCode =
  | 'not_wasm'
  | 'too_large'
  | 'foreign_import'
  | 'missing_export'
  | 'abi_version'
  | 'memory'
  | 'builtin_not_allowed'
  | 'entrypoint_missing'
  | 'data'
  | 'aborted'
  | 'trapped'
  | 'deadline'
  | 'wrong_shape'
  | 'undefined_result'
  | 'not_pure'
  | 'too_many_patterns'
  | 'input_field'
  | 'module_stale'
  | 'compile_failed'
  | 'tests_failed'
  | 'bundle_malformed';

/** The message names the policy, what was found and the mend. */
export class PolicyError extends Error {
  override readonly name = 'PolicyError';
  readonly code: PolicyErrorCode;
  /** Name of the policy. */
  readonly policy: string;
  /** The message without the policy's name. */
  readonly what: string;

  constructor(code: PolicyErrorCode, policy: string, what: string) {
    super(`policy "${policy}": ${what}`);
    this.code = code;
    this.policy = policy;
    this.what = what;
  }
}
