/** What lanes, main and the WAF pool send each other. Buffers are transferred, never copied; one batch a loop turn. */

/** Requests that are too long for a lane: parallel lists. */
export interface WafBatch {
  /** The lane's own numbers. */
  readonly ids: readonly number[];
  readonly handles: readonly number[];
  readonly profiles: readonly number[];
  /** Packed requests (native/waf.ts), each in a buffer of its own length. */
  readonly requests: readonly ArrayBuffer[];
}

/** Their verdicts, in the same order. */
export interface WafReply {
  readonly ids: readonly number[];
  /** Packed verdicts; null: the pool could not inspect the request, so it must be refused. */
  readonly verdicts: readonly (ArrayBuffer | null)[];
}
