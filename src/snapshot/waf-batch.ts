/** What lanes, main and the WAF pool send each other, one batch a loop turn. Lanes transfer their buffers; the pool's threads get copies, so that a batch can be tried again. */

/** Requests and answers that are too long for a lane: parallel lists. */
export interface WafBatch {
  /** The lane's own numbers. */
  readonly ids: readonly number[];
  readonly handles: readonly number[];
  readonly profiles: readonly number[];
  /** Packed requests, or answers (native/waf.ts), each in a buffer of its own length. */
  readonly requests: readonly ArrayBuffer[];
  /** What is to be done to each body before rules see it; null: nothing. */
  readonly codings: readonly (WafCoding | null)[];
  /** Of answers, what was kept of their requests; null: it is a request. */
  readonly kept: readonly (ArrayBuffer | null)[];
  /** Where the bodies are of those that were packed without; null: it was packed. Whoever has the number can read it, as long as the exchange is not over: nobody else owns it. */
  readonly lent: readonly (LentBody | null)[];
}

/** A body in native memory that all threads see: `WafLentBody` of native/waf.ts. */
export interface LentBody {
  readonly number: number;
  readonly bytes: number;
}

/** A body that rules are to see decoded. */
export interface WafCoding {
  /** Value of Content-Encoding. */
  readonly coding: string;
  /** Where the body begins in what was packed, behind its length. */
  readonly bodyAt: number;
  /** Bytes of the body as it is, in what was packed: none, if it was lent. */
  readonly bodyBytes: number;
  /** Most bytes of it once decoded. */
  readonly decodedBytesMax: number;
  /** Of a longer one the begin is inspected, as of a body that is cut; else it has no verdict but `POOL_DECODED_TOO_LONG`. */
  readonly beginIsEnough: boolean;
}

/** Verdicts of one byte that the pool gives by itself, beside those of the engine. */
export const POOL_UNDECODABLE = 32;
export const POOL_DECODED_TOO_LONG = 33;

/** Their verdicts, in the same order. */
export interface WafReply {
  readonly ids: readonly number[];
  /** Packed verdicts; null: the pool could not inspect the request, so it must be refused. */
  readonly verdicts: readonly (ArrayBuffer | null)[];
  /** Of requests whose rules want to see the answer, what they need for it; null: they do not, or it could not be kept. */
  readonly kept: readonly (ArrayBuffer | null)[];
}
