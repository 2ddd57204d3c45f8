/**
 * What the addon offers for the WAF. Rule sets are compiled once for the whole process and used by every thread through a handle; a profile is a rule set as one route uses it.
 * Packed forms of requests, answers and verdicts stand beside this file.
 */
import type { WafExpression, WafList } from './waf-expression.ts';
import type { WafProfileOptions, WafRule } from './waf-profile.ts';
import type { WafStats } from './waf-stats.ts';

export * from './waf-packed.ts';
export type { WafExclusion, WafProfileOptions, WafRule, WafVariable } from './waf-profile.ts';
export { WAF_WORK_MAX_DEFAULT } from './waf-profile.ts';
export type { WafTrace, WafTraceMatch } from './waf-trace.ts';
export * from './waf-verdict.ts';

/** Bytes that hold what is kept of any request until its answer. With the CRS it is some hundred bytes. */
export const WAF_KEPT_BYTES_MAX = 256 * 1024;
/** Most requests of one batch. */
export const WAF_BATCH_MAX = 4096;

/** One file of a rule set. Names ending in `.conf` are rules and apply in the order given; others are data for operators such as `@pmFromFile`. */
export interface WafFile {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** One error of `wafCompile`; line 0 means the file as a whole. */
export interface WafDiagnostic {
  readonly file: string;
  readonly line: number;
  readonly message: string;
  readonly mend: string;
}

export interface WafCompileOptions {
  /** `^` and `$` also match at line ends, as in ModSecurity 3. CRS is written for `false`, the default. */
  readonly multiLine?: boolean;
  /** WAF expressions (docs/waf-expressions.md), compiled into the same program. */
  readonly expressions?: WafExpression[];
  /** Lists that expressions name with `$`. */
  readonly lists?: WafList[];
}

/**
 * The first bytes of a body that a native transport collected and lent: any thread reads them where they lie, until the exchange is over. Nobody gives anything back.
 */
export interface WafLentBody {
  readonly number: number;
  readonly bytes: number;
}

export interface WafAddon {
  /**
   * Compiles a rule set and registers it. Throws an Error whose message is a JSON array of {@link WafDiagnostic}, all of
   * them at once (see {@link wafDiagnostics}). Takes up to some hundred milliseconds: call it in the control thread.
   */
  wafCompile(files: readonly WafFile[], options?: WafCompileOptions): number;
  /** Registers a profile of a rule set. Throws when the rule set was released or an option is wrong. */
  wafProfile(handle: number, options: WafProfileOptions): number;
  /**
   * Forgets a rule set and its profiles; false when it is unknown. Later calls with these handles answer `error`. A thread
   * that used it frees its memory at its next call.
   */
  wafRelease(handle: number): boolean;
  /**
   * Inspects one packed request (phases 1 and 2), synchronously and without allocating in JavaScript. `request` holds it in its first
   * `length` bytes; `out` takes the verdict and needs {@link WAF_VERDICT_HEAD_BYTES}, better {@link WAF_VERDICT_BYTES_MAX}: matches
   * that do not fit are left out and counted. The two must not overlap nor be shared with other threads. Returns the verdict's number; never throws
   * for what a client sent. `lent`: the body of a request that was packed without one; when it is gone the verdict is `error`.
   */
  wafInspect(
    handle: number,
    profile: number,
    request: Uint8Array,
    length: number,
    out: Uint8Array,
    lent?: WafLentBody | null,
  ): number;
  /**
   * Memory of this thread, of at most 16 MiB, in which `wafInspectMemory` finds the packed request; to be asked for once, since a new one replaces the old
   * one. Naming buffers in each call costs more than inspecting a short request.
   */
  wafRequestMemory(bytes: number): Uint8Array<ArrayBuffer>;
  /** Likewise for the verdict; see `out` of `wafInspect`. */
  wafVerdictMemory(bytes: number): Uint8Array<ArrayBuffer>;
  /** `wafInspect` with this thread's two memories. */
  wafInspectMemory(handle: number, profile: number, length: number): number;
  /**
   * Tells memory in which this thread's transport lays out request heads, `stride` bytes apart; within one, at `countAt` the number of fields (`u32`), from
   * `fieldsAt` two words for each (native/waf/src/wire.rs, `FieldTable`), and at `headAt` what their offsets count from. Answers the memory's number, or -1
   * when it can have none. The memory stays as long as the thread.
   */
  wafHeadMemory(memory: Uint8Array, stride: number, countAt: number, fieldsAt: number, headAt: number): number;
  /**
   * `wafInspectMemory` of a request that was packed without header fields: they are those of the head at `place` of a memory of heads. Number and bytes of a {@link WafLentBody} follow,
   * or 0 and 0 when the body was packed.
   */
  wafInspectHead(
    handle: number,
    profile: number,
    length: number,
    memory: number,
    place: number,
    lent: number,
    lentBytes: number,
  ): number;
  /**
   * Inspects many: `u32` count, then for each `u32` length and the packed request. Writes `u32` count, then for each `u32`
   * length and the verdict (matches cut to 4 KiB), behind it what is kept of the request ({@link verdictBytes} says where that begins) when an answer is wanted;
   * when it is wanted and nothing follows, it could not be kept in 4 KiB. Returns the bytes written, or -1 when a buffer is malformed or too small.
   */
  wafInspectBatch(handle: number, profile: number, requests: Uint8Array, length: number, out: Uint8Array): number;
  /**
   * After an inspection whose verdict wants to see the answer ({@link verdictWanted}), before the next one of this thread: writes into `out` what the rules of
   * phases 3 to 5 need of the request, and returns its bytes (0: no answer is wanted). -1 when it does not fit: what that means is the caller's policy, as for
   * an exceeded budget. Any thread may go on with it, as long as the rule set is not released.
   */
  wafKeep(handle: number, profile: number, out: Uint8Array): number;
  /** Likewise memory of this thread for `wafKeepMemory`, {@link WAF_KEPT_BYTES_MAX} to be safe; see `wafRequestMemory`. */
  wafKeptMemory(bytes: number): Uint8Array<ArrayBuffer>;
  /** `wafKeep` into this thread's memory. */
  wafKeepMemory(handle: number, profile: number): number;
  /**
   * Inspects an answer, phases 3 to 5: `kept` is exactly what `wafKeep` wrote for its request with the same handles, `response` holds the packed answer
   * ({@link WafResponsePacker}) in its first `length` bytes. The request is not needed again. Returns the verdict's number as `wafInspect` does; its score is the
   * outbound anomaly score and its matches are those of the answer alone.
   */
  wafInspectResponse(
    handle: number,
    profile: number,
    kept: Uint8Array,
    response: Uint8Array,
    length: number,
    out: Uint8Array,
    lent?: WafLentBody | null,
  ): number;
  /**
   * `wafInspectResponse` with this thread's memories: what was kept in the first `keptLength` bytes of `wafKeptMemory`, the answer packed into `wafRequestMemory`. `lent` and `lentBytes` as of
   * `wafInspectHead`.
   */
  wafInspectResponseMemory(
    handle: number,
    profile: number,
    keptLength: number,
    length: number,
    lent: number,
    lentBytes: number,
  ): number;
  /** A copy of a body that was lent; null when its exchange is over. */
  wafLentBody(lent: WafLentBody): Uint8Array<ArrayBuffer> | null;
  /** Bodies that are lent in this process now, and the bytes of memory that they take. */
  wafLent(): { readonly bodies: number; readonly bytes: number };
  /**
   * Inspects a packed request and, unless it is null, a packed answer, all phases at once, and tells everything as the JSON of a {@link WafTrace}. For people and
   * tests: it allocates freely. Throws when a handle was released or the packed bytes are malformed.
   */
  wafTrace(handle: number, profile: number, request: Uint8Array, response: Uint8Array | null): string;
  /** The rules of a rule set, by phase and then in their order. Throws when it was released. */
  wafRules(handle: number): WafRule[];
  /** Numbers of a rule set. Throws when it was released. */
  wafStats(handle: number): WafStats;
}

/** The errors that `wafCompile` threw, or null when the error is of another kind. */
export function wafDiagnostics(error: unknown): WafDiagnostic[] | null {
  if (!(error instanceof Error) || !error.message.startsWith('[')) return null;
  try {
    return JSON.parse(error.message) as WafDiagnostic[];
  } catch {
    return null;
  }
}
