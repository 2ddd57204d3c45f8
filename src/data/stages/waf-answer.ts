/**
 * waf, the other half: the rules of phases 3 to 5 over the upstream's answer, where the rules that saw the request want to see it. It is asked by respond, before anything of the answer
 * has gone out. Short answers are matched here, longer ones in the pool. Streams, ranges and other protocols pass: to hold them would break what they are for.
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
import type { WafAnswerPlan } from '../../snapshot/snapshot.ts';
import { chance, Salt } from '../chance.ts';
import { type Exchange, WafVerdict } from '../exchange.ts';
import { REFUSALS } from '../refusal.ts';
import { mediaType } from '../transport/passing.ts';
import { AnswerState, BodyKind, type UpstreamAnswer } from '../transport/transport.ts';
import { Verdict } from '../verdict.ts';
import type { KeptRequest } from '../waf/kept.ts';
import type { PoolVerdict, WafPoolClient } from '../waf/pool-client.ts';
import { noteAnswer } from '../waf/verdict-note.ts';

/** `x.phase` while the pool has the answer. */
const POOLED = 1;
/** What a packed answer holds besides names, values and body. */
const PACKED_OVERHEAD_BYTES = 64;
const PACKED_FIELD_OVERHEAD_BYTES = 8;
const PROTOCOL = 'HTTP/1.1';
/** What an answer without a type is taken for. */
const TYPE_DEFAULT = 'text/plain';
const NO_BODY = new Uint8Array(0);

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
    let body = NO_BODY;
    let flags = 0;
    if (answer.bodyKind !== BodyKind.None) {
      const state = looksInto(answer, plan, kept) ? answer.inspectBody(plan.bodyBytes) : AnswerState.Passes;
      switch (state) {
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
      if (flags !== WAF_RESPONSE_BODY_NOT_READ) {
        if (isCoded(answer)) {
          // It was asked for as it is. What rules cannot see into is no better than what is too long for them.
          if (plan.beyond === 'refuse')
            return x.refuse(REFUSALS.waf_answer_failed, 'rules cannot see into a body with Content-Encoding');
          x.detail = 'the answer came with a Content-Encoding: only its head was inspected';
          flags = WAF_RESPONSE_BODY_NOT_READ;
        } else body = answer.body as Uint8Array<ArrayBuffer>;
      }
    }
    return this.#inspect(x, kept, answer, body, flags);
  }

  #inspect(x: Exchange, kept: KeptRequest, answer: UpstreamAnswer, body: Uint8Array, flags: number): Verdict {
    const { snapshot } = x.revision;
    const { profile } = present(x.route, 'route').waf;
    const { request, kept: keptMemory, verdict: out } = this.#memory;
    const estimate =
      PACKED_OVERHEAD_BYTES + answer.headerCount * PACKED_FIELD_OVERHEAD_BYTES + answer.fieldBytes + body.length;
    if (estimate > snapshot.wafLimits.laneBytesMax || estimate > request.length)
      return this.#send(x, kept, answer, body, flags, estimate);
    const length = pack(this.#packer, answer, body, flags);
    if (length < 0) return this.#judge(x, WAF_ERROR, out);
    kept.bytes.copy(keptMemory, 0, 0, kept.length);
    return this.#judge(x, this.#waf.wafInspectResponseMemory(snapshot.waf, profile, kept.length, length), out);
  }

  /** To the pool, in buffers of its own. */
  #send(
    x: Exchange,
    kept: KeptRequest,
    answer: UpstreamAnswer,
    body: Uint8Array,
    flags: number,
    estimate: number,
  ): Verdict {
    const { verdict: out } = this.#memory;
    const memory = Buffer.from(new ArrayBuffer(estimate));
    const length = pack(new WafResponsePacker(memory), answer, body, flags);
    if (length < 0) return this.#judge(x, WAF_ERROR, out);
    const { waf: handle } = x.revision.snapshot;
    const { profile, queueFull } = present(x.route, 'route').waf;
    const request = Uint8Array.from(kept.bytes.subarray(0, kept.length));
    if (this.#pool.submit(x, handle, profile, memory.buffer.slice(0, length), null, request.buffer)) {
      x.phase = POOLED;
      return Verdict.Wait;
    }
    if (queueFull === 'lane')
      return this.#judge(x, this.#waf.wafInspectResponse(handle, profile, request, memory, length, out), out);
    x.waf = WafVerdict.Failed;
    return x.refuse(REFUSALS.waf_answer_failed, 'too many requests wait for the WAF pool');
  }

  #pooled(x: Exchange): Verdict {
    const delivered = x.delivered as PoolVerdict;
    x.delivered = null;
    if (delivered === null) return this.#judge(x, WAF_ERROR, this.#memory.verdict);
    const out = Buffer.from(delivered.verdict);
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

function isCoded(answer: UpstreamAnswer): boolean {
  for (let i = 0; i < answer.headerCount; i++) {
    if (answer.headerName(i) === 'content-encoding' && answer.headerValue(i).toLowerCase() !== 'identity') return true;
  }
  return false;
}

function pack(packer: WafResponsePacker, answer: UpstreamAnswer, body: Uint8Array, flags: number): number {
  packer.head(answer.status, PROTOCOL, flags);
  for (let i = 0; i < answer.headerCount; i++) packer.header(answer.headerName(i), answer.headerValue(i));
  return packer.body(body);
}
