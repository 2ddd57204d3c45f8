/**
 * What the addon offers for the WAF, and the packed forms of a request, of an answer and of a verdict. Rule sets are compiled once for
 * the whole process and used by every thread through a handle; a profile is a rule set as one route uses it. All numbers
 * are little-endian and nothing is padded (`native/waf/src/wire.rs` is the other side).
 */
import { present } from '../base/assert.ts';
import type { WafExpression, WafList } from './waf-expression.ts';
import type { WafProfileOptions, WafRule } from './waf-profile.ts';
import type { WafStats } from './waf-stats.ts';
import type { WafTlsFacts } from './waf-tls.ts';

export type { WafExclusion, WafProfileOptions, WafRule, WafVariable } from './waf-profile.ts';
export { WAF_WORK_MAX_DEFAULT } from './waf-profile.ts';

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
/** Bytes that hold any verdict: 64 matches with their longest texts. */
export const WAF_VERDICT_BYTES_MAX = WAF_VERDICT_HEAD_BYTES + 64 * (14 + 200 + 100 + 100);
/** Bytes that hold what is kept of any request until its answer. With the CRS it is some hundred bytes. */
export const WAF_KEPT_BYTES_MAX = 256 * 1024;
/** Most header fields of a packed request. */
export const WAF_HEADERS_MAX = 1000;
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
   * for what a client sent.
   */
  wafInspect(handle: number, profile: number, request: Uint8Array, length: number, out: Uint8Array): number;
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
  /** `wafInspectMemory` of a request that was packed without header fields: they are those of the head at `place` of a memory of heads. */
  wafInspectHead(handle: number, profile: number, length: number, memory: number, place: number): number;
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
  ): number;
  /** `wafInspectResponse` with this thread's memories: what was kept in the first `keptLength` bytes of `wafKeptMemory`, the answer packed into `wafRequestMemory`. */
  wafInspectResponseMemory(handle: number, profile: number, keptLength: number, length: number): number;
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

/** Longest text that is written byte by byte. */
const INLINE_TEXT_BYTES = 24;

/** The body that a request is packed with is only its begin: rules see `INBOUND_DATA_ERROR`. */
export const WAF_BODY_TRUNCATED = 1;
/** The request came through TLS. */
export const WAF_SECURE = 2;
/** What the handshake told follows the body. */
const TLS_FACTS = 4;

/** Text that is the same in ASCII, Latin-1 and UTF-8. */
const ASCII = /^[ -~]*$/;

/** UTF-8, a character for each byte: what the packer writes. */
function utf8(text: string): string {
  return ASCII.test(text) ? text : Buffer.from(text, 'utf8').toString('latin1');
}

/**
 * Packs requests into a buffer that the caller owns, field by field and without garbage:
 * `begin`, `head`, `header`…, `body`, then `length` says how much of the buffer is used. `length` is -1 once something
 * did not fit; the caller then uses a larger buffer or refuses.
 *
 * Layout: `u8` version 1, `u8` flags, `u16` client port; `u16` + method, `u32` + target, `u16` + protocol,
 * `u16` + client address, `u16` + request id; `u16` count of header fields, for each `u16` + name and `u32` + value;
 * `u32` + body; then, when `tls` was called, the facts of the handshake. Text is Latin-1: one byte for each character, as header fields and targets arrive.
 */
export class WafPacker {
  readonly buffer: Buffer;
  /** Bytes used, or -1 when something did not fit. */
  length = 0;
  /** Where the bytes of the body begin, once it was packed. */
  bodyAt = 0;
  #start = 0;
  #countAt = 0;
  #headers = 0;

  constructor(buffer: Buffer) {
    this.buffer = buffer;
  }

  /** Begins a request at an offset (0 unless several share the buffer, as in a batch). */
  begin(offset = 0): void {
    this.length = offset;
    this.#start = offset;
    this.#headers = 0;
  }

  /** The request line and who asks. `target` is as received, with its query. */
  head(
    method: string,
    target: string,
    protocol: string,
    client: string,
    clientPort: number,
    id: string,
    flags = 0,
  ): void {
    if (!this.#room(4)) return;
    const at = this.length;
    this.buffer[at] = 1;
    this.buffer[at + 1] = flags;
    this.buffer[at + 2] = clientPort;
    this.buffer[at + 3] = clientPort >>> 8;
    this.length = at + 4;
    this.#short(method);
    this.#long(target);
    this.#short(protocol);
    this.#short(client);
    this.#short(id);
    if (!this.#room(2)) return;
    this.#countAt = this.length;
    this.length += 2;
  }

  /** The head of an answer; see {@link WafResponsePacker}. */
  answer(status: number, protocol: string, flags: number): void {
    if (!this.#room(4)) return;
    const at = this.length;
    this.buffer[at] = 1;
    this.buffer[at + 1] = flags;
    this.buffer[at + 2] = status;
    this.buffer[at + 3] = status >>> 8;
    this.length = at + 4;
    this.#short(protocol);
    if (!this.#room(2)) return;
    this.#countAt = this.length;
    this.length += 2;
  }

  /** One header field. */
  header(name: string, value: string): void {
    this.#short(name);
    this.#long(value);
    if (this.length < 0) return;
    this.#headers++;
    if (this.#headers > WAF_HEADERS_MAX) this.length = -1;
  }

  /** The body, or its begin; ends the request. Returns the bytes of this request, or -1. */
  body(bytes: Uint8Array | null): number {
    const size = bytes === null ? 0 : bytes.length;
    if (!this.#room(4 + size)) return -1;
    this.buffer[this.#countAt] = this.#headers;
    this.buffer[this.#countAt + 1] = this.#headers >>> 8;
    this.#size(size);
    this.bodyAt = this.length + 4;
    if (size > 0) this.buffer.set(bytes as Uint8Array, this.length + 4);
    this.length += 4 + size;
    return this.length - this.#start;
  }

  /** What the handshake told, behind the body. Returns the bytes of this request, or -1. */
  tls(facts: WafTlsFacts): number {
    if (this.length < 0) return -1;
    const { client } = facts;
    this.#short(facts.version);
    this.#short(facts.cipher);
    this.#short(facts.serverName);
    this.#short(facts.ja4);
    this.#short(client === null ? '' : utf8(client.subject));
    this.#short(client === null ? '' : client.fingerprint);
    const names = client === null ? [] : client.sans;
    if (names.length > 0xffff) this.length = -1;
    if (!this.#room(2)) return -1;
    this.buffer[this.length] = names.length;
    this.buffer[this.length + 1] = names.length >>> 8;
    this.length += 2;
    for (const name of names) this.#short(utf8(name));
    if (this.length < 0) return -1;
    this.buffer[this.#start + 1] = present(this.buffer[this.#start + 1], 'flags') | TLS_FACTS;
    return this.length - this.#start;
  }

  #room(bytes: number): boolean {
    if (this.length < 0 || this.length + bytes > this.buffer.length) {
      this.length = -1;
      return false;
    }
    return true;
  }

  #short(text: string): void {
    const size = text.length;
    if (size > 0xffff) this.length = -1;
    if (!this.#room(2 + size)) return;
    this.buffer[this.length] = size;
    this.buffer[this.length + 1] = size >>> 8;
    this.#text(text, this.length + 2);
    this.length += 2 + size;
  }

  #long(text: string): void {
    const size = text.length;
    if (!this.#room(4 + size)) return;
    this.#size(size);
    this.#text(text, this.length + 4);
    this.length += 4 + size;
  }

  /** A length of four bytes; stores into a typed array keep the low byte. */
  #size(bytes: number): void {
    const { buffer, length } = this;
    buffer[length] = bytes;
    buffer[length + 1] = bytes >>> 8;
    buffer[length + 2] = bytes >>> 16;
    buffer[length + 3] = bytes >>> 24;
  }

  /** Short texts cost less here than the call that copies long ones. */
  #text(text: string, at: number): void {
    const size = text.length;
    if (size > INLINE_TEXT_BYTES) {
      this.buffer.latin1Write(text, at, size);
      return;
    }
    const { buffer } = this;
    for (let i = 0; i < size; i++) buffer[at + i] = text.charCodeAt(i);
  }
}

/** A request as plain values, for callers that do not count nanoseconds. */
export interface WafRequest {
  readonly method: string;
  /** As received, with its query. */
  readonly target: string;
  readonly protocol?: string;
  readonly client?: string;
  readonly clientPort?: number;
  readonly id?: string;
  readonly headers?: readonly (readonly [name: string, value: string])[];
  readonly body?: Uint8Array;
  /** The body is only its begin. */
  readonly bodyTruncated?: boolean;
}

/** Packs a request into `buffer`; returns its bytes, or -1 when it does not fit. */
export function packRequest(buffer: Buffer, request: WafRequest): number {
  const p = new WafPacker(buffer);
  p.begin();
  const flags = request.bodyTruncated === true ? WAF_BODY_TRUNCATED : 0;
  p.head(
    request.method,
    request.target,
    request.protocol ?? 'HTTP/1.1',
    request.client ?? '',
    request.clientPort ?? 0,
    request.id ?? '',
    flags,
  );
  for (const [name, value] of request.headers ?? []) p.header(name, value);
  return p.body(request.body ?? null);
}

/** The body of an answer is only its begin. */
export const WAF_RESPONSE_BODY_TRUNCATED = 1;
/** The body of an answer was not read: its media type is not inspected, it is an event stream, … */
export const WAF_RESPONSE_BODY_NOT_READ = 2;

/**
 * Packs answers as {@link WafPacker} packs requests: `begin`, `head`, `header`…, `body`.
 *
 * Layout: `u8` version 1, `u8` flags, `u16` status; `u16` + protocol; `u16` count of header fields, for each `u16` + name and `u32` + value; `u32` + body.
 */
export class WafResponsePacker {
  readonly #packer: WafPacker;

  constructor(buffer: Buffer) {
    this.#packer = new WafPacker(buffer);
  }

  /** Bytes used, or -1 when something did not fit. */
  get length(): number {
    return this.#packer.length;
  }

  /** As of {@link WafPacker}. */
  get bodyAt(): number {
    return this.#packer.bodyAt;
  }

  /** Status line, and whether the body is whole. */
  head(status: number, protocol: string, flags = 0): void {
    this.#packer.begin();
    this.#packer.answer(status, protocol, flags);
  }

  /** One header field. */
  header(name: string, value: string): void {
    this.#packer.header(name, value);
  }

  /** The body, or its begin; ends the answer. Returns its bytes, or -1. */
  body(bytes: Uint8Array | null): number {
    return this.#packer.body(bytes);
  }
}

/** An answer as plain values, for callers that do not count nanoseconds. */
export interface WafResponse {
  readonly status: number;
  readonly protocol?: string;
  readonly headers?: readonly (readonly [name: string, value: string])[];
  /** Absent: it was not read. */
  readonly body?: Uint8Array;
  readonly bodyTruncated?: boolean;
}

/** Packs an answer into `buffer`; returns its bytes, or -1 when it does not fit. */
export function packResponse(buffer: Buffer, response: WafResponse): number {
  const p = new WafResponsePacker(buffer);
  const notRead = response.body === undefined ? WAF_RESPONSE_BODY_NOT_READ : 0;
  p.head(
    response.status,
    response.protocol ?? 'HTTP/1.1',
    notRead | (response.bodyTruncated === true ? WAF_RESPONSE_BODY_TRUNCATED : 0),
  );
  for (const [name, value] of response.headers ?? []) p.header(name, value);
  return p.body(response.body ?? null);
}

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

/** What the rules want to see of the answer, of a packed verdict, by number. */
export function verdictWanted(out: Buffer): number {
  return out.readUInt8(30);
}

/** The anomaly score of a packed verdict, without garbage. */
export function verdictScore(out: Buffer): number {
  return out.readInt32LE(8);
}

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
