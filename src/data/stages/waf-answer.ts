/**
 * waf, the other half: the rules of phases 3 to 5 over the upstream's answer, where the rules that saw the request want to see it. It is asked by respond, before anything of the answer
 * has gone out. Short answers are matched here, longer ones in the pool. Streams and other protocols pass: to hold them would break what they are for.
 * Parts (206) cannot be asked for where bodies are looked into; one that comes all the same is judged as what it is sent as.
 */
import { present } from '../../base/assert.ts';
import {
  WAF_BLOCK,
  WAF_BUDGET_EXCEEDED,
  WAF_DETECT_MATCH,
  WAF_ERROR,
  WAF_PASS,
  WAF_RESPONSE_BODY_NOT_READ,
  WAF_RESPONSE_BODY_TRUNCATED,
  WAF_WANTED_BODY,
  type WafAddon,
  WafResponsePacker,
} from '../../native/waf.ts';
import type { WafAnswerPlan } from '../../snapshot/route-plans.ts';
import { POOL_DECODED_TOO_LONG, POOL_UNDECODABLE } from '../../snapshot/waf-batch.ts';
import { chance, Salt } from '../chance.ts';
import { type Exchange, WafVerdict } from '../exchange.ts';
import { REFUSALS } from '../refusal.ts';
import { mediaType } from '../transport/passing.ts';
import { AnswerState, BodyKind, type UpstreamAnswer } from '../transport/transport.ts';
import { Verdict } from '../verdict.ts';
import { collectedBytes, copied, lentBody, lentNumber, packedBody } from '../waf/body.ts';
import { codingOf, decodingOf } from '../waf/coding.ts';
import type { KeptRequest } from '../waf/kept.ts';
import type { PoolVerdict, WafPoolClient } from '../waf/pool-client.ts';
import { noteAnswer } from '../waf/verdict-note.ts';

/** `x.phase` while the pool has the answer. */
const POOLED = 1;
/** What a packed answer holds besides names, values and body. */
const PACKED_OVERHEAD_BYTES = 64;
const PACKED_FIELD_OVERHEAD_BYTES = 8;
/** What an answer without a type is taken for. */
const TYPE_DEFAULT = 'text/plain';
const PARTIAL_CONTENT = 206;
const BYTE_RANGES = 'multipart/byteranges';

/** Memory of this thread that the addon reads and writes without being told of it in each call. */
export interface WafMemory {
  readonly request: Buffer;
  readonly verdict: Buffer;
  readonly kept: Buffer;
}

export class WafAnswers {
  readonly #waf: WafAddon;
  readonly #pool: WafPoolClient;
  readonly #memory: WafMemory;
  readonly #packer: WafResponsePacker;

  constructor(waf: WafAddon, pool: WafPoolClient, memory: WafMemory) {
    this.#waf = waf;
    this.#pool = pool;
    this.#memory = memory;
    this.#packer = new WafResponsePacker(memory.request);
  }

  /** Whether the answer may pass; it may say Wait. */
  judge(x: Exchange, kept: KeptRequest): Verdict {
    if (x.phase === POOLED) return this.#pooled(x);
    const { answer: plan } = present(x.route, 'route').waf;
    if (plan === null) return Verdict.Next;
    const { upstreamAnswer: answer } = x.wire;
    let bodyBytes = 0;
    let flags = 0;
    let coding = '';
    if (answer.bodyKind !== BodyKind.None) {
      if (isPieces(answer, plan, kept) && plan.coded !== 'pass') {
        const verdict = unreadable(x, 'several parts of a whole came that nobody had asked for');
        if (verdict !== Verdict.Next) return verdict;
      }
      const looks = looksInto(answer, plan, kept);
      if (looks) coding = codingOf(answer);
      if (coding !== '' && plan.coded === 'refuse')
        return x.refuse(
          REFUSALS.waf_answer_failed,
          'rules cannot see into a body with Content-Encoding (`coded: refuse`)',
        );
      const reads = looks && (coding === '' || plan.coded === 'decode');
      switch (reads ? answer.inspectBody(plan.bodyBytes, true) : AnswerState.Passes) {
        case AnswerState.Pending:
          return Verdict.Wait;
        case AnswerState.Passes:
          flags = WAF_RESPONSE_BODY_NOT_READ;
          break;
        case AnswerState.NoRoom:
          if (present(x.route, 'route').waf.exhausted === 'block')
            return x.refuse(REFUSALS.waf_answer_failed, 'the lane holds as many answers as it may');
          x.detail = 'the lane holds as many answers as it may: only the begin of this one was inspected';
          flags = WAF_RESPONSE_BODY_TRUNCATED;
          break;
        case AnswerState.Cut:
          if (plan.beyond === 'refuse')
            return x.refuse(REFUSALS.waf_answer_failed, `longer than the ${plan.bodyBytes} bytes that are inspected`);
          flags = WAF_RESPONSE_BODY_TRUNCATED;
          break;
        case AnswerState.Complete:
          break;
      }
      if (flags !== WAF_RESPONSE_BODY_NOT_READ) bodyBytes = collectedBytes(answer);
      else if (coding !== '') x.detail = 'the answer came with a Content-Encoding: only its head was inspected';
    }
    return this.#inspect(x, plan, kept, answer, bodyBytes, flags, coding);
  }

  #inspect(
    x: Exchange,
    plan: WafAnswerPlan,
    kept: KeptRequest,
    answer: UpstreamAnswer,
    bodyBytes: number,
    flags: number,
    coding: string,
  ): Verdict {
    const { snapshot } = x.revision;
    const { profile } = present(x.route, 'route').waf;
    const { request, kept: keptMemory, verdict: out } = this.#memory;
    const estimate =
      PACKED_OVERHEAD_BYTES + answer.headerCount * PACKED_FIELD_OVERHEAD_BYTES + answer.fieldBytes + bodyBytes;
    const decodes = coding !== '' && bodyBytes > 0;
    if (decodes || estimate > snapshot.wafLimits.laneBytesMax || estimate > request.length)
      return this.#send(x, plan, kept, answer, bodyBytes, flags, estimate, decodes ? coding : '');
    const lent = lentNumber(answer, bodyBytes);
    const length = pack(this.#packer, answer, packedBody(answer, bodyBytes, lent), flags);
    if (length < 0) return this.#judge(x, WAF_ERROR, out);
    kept.bytes.copy(keptMemory, 0, 0, kept.length);
    const verdict = this.#waf.wafInspectResponseMemory(
      snapshot.waf,
      profile,
      kept.length,
      length,
      lent,
      lent === 0 ? 0 : bodyBytes,
    );
    return this.#judge(x, verdict, out);
  }

  /** To the pool, with its body as requests are sent. */
  #send(
    x: Exchange,
    plan: WafAnswerPlan,
    kept: KeptRequest,
    answer: UpstreamAnswer,
    bodyBytes: number,
    flags: number,
    estimate: number,
    coding: string,
  ): Verdict {
    const { verdict: out, request: room } = this.#memory;
    const lent = lentNumber(answer, bodyBytes);
    const body = packedBody(answer, bodyBytes, lent);
    const packedBytes = estimate - bodyBytes + body.length;
    const memory = packedBytes <= room.length ? room : Buffer.alloc(packedBytes);
    const packer = memory === room ? this.#packer : new WafResponsePacker(memory);
    const length = pack(packer, answer, body, flags);
    if (length < 0) return this.#judge(x, WAF_ERROR, out);
    const decoding = decodingOf(coding, packer, body.length, plan.bodyBytes, plan.beyond === 'pass');
    const seen = lentBody(lent, bodyBytes);
    const { waf: handle } = x.revision.snapshot;
    const { profile, queueFull } = present(x.route, 'route').waf;
    const request = Uint8Array.from(kept.bytes.subarray(0, kept.length));
    if (this.#pool.submit(x, handle, profile, copied(memory, length), decoding, request.buffer, seen)) {
      x.phase = POOLED;
      return Verdict.Wait;
    }
    if (queueFull === 'lane' && decoding === null)
      return this.#judge(x, this.#waf.wafInspectResponse(handle, profile, request, memory, length, out, seen), out);
    x.waf = WafVerdict.Failed;
    return x.refuse(REFUSALS.waf_answer_failed, 'too many requests wait for the WAF pool');
  }

  #pooled(x: Exchange): Verdict {
    const delivered = x.delivered as PoolVerdict;
    x.delivered = null;
    if (delivered === null) return this.#judge(x, WAF_ERROR, this.#memory.verdict);
    const out = Buffer.from(delivered.verdict);
    if (out[0] === POOL_UNDECODABLE)
      return unreadable(x, 'the body is not what its Content-Encoding says, or coded in a way that is not read');
    if (out[0] === POOL_DECODED_TOO_LONG)
      return x.refuse(REFUSALS.waf_answer_failed, 'decoded, the body is longer than what is inspected');
    return this.#judge(x, out[0] ?? WAF_ERROR, out);
  }

  #judge(x: Exchange, verdict: number, out: Buffer): Verdict {
    if (verdict === WAF_PASS) return Verdict.Next;
    const { detectSample, exhausted } = present(x.route, 'route').waf;
    if (verdict === WAF_DETECT_MATCH && !chance(x.random, Salt.WafDetected, detectSample)) {
      x.waf = WafVerdict.Detected;
      return Verdict.Next;
    }
    switch (verdict) {
      case WAF_DETECT_MATCH:
        noteAnswer(x, out);
        x.waf = WafVerdict.Detected;
        return Verdict.Next;
      case WAF_BLOCK:
        x.waf = WafVerdict.Blocked;
        return x.refuse(REFUSALS.waf_answer_blocked, noteAnswer(x, out));
      case WAF_BUDGET_EXCEEDED: {
        const detail = noteAnswer(x, out);
        x.waf = WafVerdict.Exhausted;
        if (exhausted === 'block') return x.refuse(REFUSALS.waf_answer_failed, detail);
        x.detail = detail;
        return Verdict.Next;
      }
      default:
        x.waf = WafVerdict.Failed;
        return x.refuse(REFUSALS.waf_answer_failed, 'the engine gave no verdict');
    }
  }
}

/** Whether rules look into this body: they want to, its type is listed, and there is something of it to see. */
function looksInto(answer: UpstreamAnswer, plan: WafAnswerPlan, kept: KeptRequest): boolean {
  if (kept.wanted !== WAF_WANTED_BODY || plan.bodyBytes === 0) return false;
  const type = mediaType(answer.header('content-type') ?? TYPE_DEFAULT) || TYPE_DEFAULT;
  return plan.types.some((listed) => isListed(type, listed));
}

/** `text/html` by its name, or by `text/*`. */
export function isListed(type: string, listed: string): boolean {
  return listed.endsWith('/*') ? type.startsWith(listed.slice(0, -1)) : type === listed;
}

/** Parts of a whole behind one another, each with its own type (RFC 9110 §14.6). Nobody has asked for them. */
function isPieces(answer: UpstreamAnswer, plan: WafAnswerPlan, kept: KeptRequest): boolean {
  if (answer.status !== PARTIAL_CONTENT || kept.wanted !== WAF_WANTED_BODY || plan.bodyBytes === 0) return false;
  return mediaType(answer.header('content-type') ?? '') === BYTE_RANGES;
}

/** What rules should see into and cannot: refused, or on a route that only watches passed with a word. */
function unreadable(x: Exchange, why: string): Verdict {
  if (present(x.route, 'route').waf.mode === 'block') return x.refuse(REFUSALS.waf_answer_failed, why);
  x.detail = `${why}: the answer was not inspected`;
  return Verdict.Next;
}

function pack(packer: WafResponsePacker, answer: UpstreamAnswer, body: Uint8Array, flags: number): number {
  packer.head(answer.status, answer.protocol, flags);
  for (let i = 0; i < answer.headerCount; i++) packer.header(answer.headerName(i), answer.headerValue(i));
  return packer.body(body);
}
