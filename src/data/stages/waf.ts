/**
 * waf: the rules of the route's profile, over the head and the first bytes of the body. Short requests are matched here, for a lane is a worker
 * thread itself; longer ones in the pool. What cannot be inspected is refused.
 */
import { present } from '../../base/assert.ts';
import { tlsBytesMax } from '../../native/waf-tls.ts';
import {
  verdictWanted,
  WAF_BLOCK,
  WAF_BODY_TRUNCATED,
  WAF_BUDGET_EXCEEDED,
  WAF_DETECT_MATCH,
  WAF_ERROR,
  WAF_KEPT_BYTES_MAX,
  WAF_PASS,
  WAF_SECURE,
  WAF_VERDICT_BYTES_MAX,
  WAF_WANTED_BODY,
  WAF_WANTED_NOTHING,
  type WafAddon,
  WafPacker,
} from '../../native/waf.ts';
import type { WafRoutePlan } from '../../snapshot/route-plans.ts';
import { chance, Salt } from '../chance.ts';
import { type Exchange, WafVerdict } from '../exchange.ts';
import { REFUSALS } from '../refusal.ts';
import type { Stage } from '../stage.ts';
import { BodyKind, BodyState, type TlsFacts, type Wire } from '../transport/transport.ts';
import { Verdict } from '../verdict.ts';
import { POOL_DECODED_TOO_LONG, POOL_UNDECODABLE } from '../../snapshot/waf-batch.ts';
import { collectedBytes, copied, lentBody, lentNumber, packedBody } from '../waf/body.ts';
import { codingOf, decodingOf } from '../waf/coding.ts';
import { KeptRequests } from '../waf/kept.ts';
import type { PoolVerdict, WafPoolClient } from '../waf/pool-client.ts';
import { noteRequest } from '../waf/verdict-note.ts';
import { type WafMemory, WafAnswers } from './waf-answer.ts';

/** Longest packed request that a lane matches itself, whatever a bundle says (`laneBytesMax` of `waf.yaml` is at most this). */
export const LANE_REQUEST_BYTES_MAX = 1_048_576;
/** `x.phase` while the pool has the request. */
const POOLED = 1;
/** What a packed request holds besides names, values, target and body: lengths, protocol, address, id. */
const PACKED_OVERHEAD_BYTES = 512;
const PACKED_FIELD_OVERHEAD_BYTES = 8;
const NO_BODY = new Uint8Array(0);

export class WafStage implements Stage {
  readonly #waf: WafAddon;
  readonly #pool: WafPoolClient;
  readonly #packer: WafPacker;
  readonly #out: Buffer;
  readonly #memory: WafMemory;
  readonly #kept = new KeptRequests();
  /** The other half, for respond. */
  readonly answers: WafAnswers;

  constructor(waf: WafAddon, pool: WafPoolClient) {
    this.#waf = waf;
    this.#pool = pool;
    this.#memory = {
      request: asBuffer(waf.wafRequestMemory(LANE_REQUEST_BYTES_MAX)),
      verdict: asBuffer(waf.wafVerdictMemory(WAF_VERDICT_BYTES_MAX)),
      kept: asBuffer(waf.wafKeptMemory(WAF_KEPT_BYTES_MAX)),
    };
    this.#packer = new WafPacker(this.#memory.request);
    this.#out = this.#memory.verdict;
    this.answers = new WafAnswers(waf, pool, this.#memory);
  }

  enter(x: Exchange): Verdict {
    const plan = present(x.route, 'route').waf;
    if (plan.mode === 'off') return Verdict.Next;
    if (x.phase === POOLED) return this.#pooled(x);
    const { wire } = x;
    let bodyBytes = 0;
    let flags = 0;
    let coding = '';
    if (plan.bodyBytes > 0 && wire.bodyKind !== BodyKind.None) {
      coding = codingOf(wire);
      if (coding !== '' && plan.coded === 'refuse') {
        x.waf = WafVerdict.Blocked;
        return x.refuse(REFUSALS.waf_blocked, 'rules cannot see into a body with Content-Encoding (`coded: refuse`)');
      }
      if (coding === '' || plan.coded === 'decode') {
        const state = wire.inspectBody(plan.bodyBytes);
        if (state === BodyState.Pending) return Verdict.Wait;
        if (state === BodyState.Cut) {
          if (plan.beyond === 'refuse')
            return x.refuse(REFUSALS.body_too_large, `more than the ${plan.bodyBytes} bytes that the WAF inspects`);
          flags = WAF_BODY_TRUNCATED;
        }
        bodyBytes = collectedBytes(wire);
      }
    }
    const { snapshot } = x.revision;
    const estimate = estimated(x, bodyBytes);
    if (coding !== '' && bodyBytes > 0) {
      return this.#send(x, plan, bodyBytes, flags, estimate, coding);
    }
    if (estimate > snapshot.wafLimits.laneBytesMax || estimate > LANE_REQUEST_BYTES_MAX)
      return this.#send(x, plan, bodyBytes, flags, estimate);
    const memory = wire.headMemory ?? -1;
    const lent = memory < 0 ? 0 : lentNumber(wire, bodyBytes);
    const length = pack(this.#packer, x, packedBody(wire, bodyBytes, lent), flags, memory < 0);
    if (length < 0) return x.refuse(REFUSALS.waf_exhausted, 'the head cannot be packed for inspection');
    const waf = this.#waf;
    const verdict =
      memory < 0
        ? waf.wafInspectMemory(snapshot.waf, plan.profile, length)
        : waf.wafInspectHead(
            snapshot.waf,
            plan.profile,
            length,
            memory,
            wire.headPlace ?? 0,
            lent,
            lent === 0 ? 0 : bodyBytes,
          );
    return this.#inLane(x, plan, verdict);
  }

  /** To the pool: the head packed, the body by its number where the transport keeps it in native memory, else packed too. */
  #send(x: Exchange, plan: WafRoutePlan, bodyBytes: number, flags: number, estimate: number, coding = ''): Verdict {
    const lent = lentNumber(x.wire, bodyBytes);
    const body = packedBody(x.wire, bodyBytes, lent);
    const packedBytes = estimate - bodyBytes + body.length;
    const packer = packedBytes <= LANE_REQUEST_BYTES_MAX ? this.#packer : new WafPacker(Buffer.alloc(packedBytes));
    const length = pack(packer, x, body, flags, true);
    if (length < 0) return x.refuse(REFUSALS.waf_exhausted, 'the head cannot be packed for inspection');
    const decoding = decodingOf(coding, packer, body.length, plan.bodyBytes, plan.beyond === 'partial');
    const { waf: handle } = x.revision.snapshot;
    const seen = lentBody(lent, bodyBytes);
    if (!this.#pool.submit(x, handle, plan.profile, copied(packer.buffer, length), decoding, null, seen)) {
      if (plan.queueFull === 'lane' && decoding === null)
        return this.#inLane(
          x,
          plan,
          this.#waf.wafInspect(handle, plan.profile, packer.buffer, length, this.#out, seen),
        );
      x.waf = WafVerdict.Failed;
      return x.refuse(REFUSALS.waf_failed, 'too many requests wait for the WAF pool');
    }
    x.phase = POOLED;
    return Verdict.Wait;
  }

  #pooled(x: Exchange): Verdict {
    const delivered = x.delivered as PoolVerdict;
    x.delivered = null;
    if (delivered === null) return this.#judge(x, WAF_ERROR, this.#out);
    const out = Buffer.from(delivered.verdict);
    if (out[0] === POOL_UNDECODABLE) {
      x.waf = WafVerdict.Blocked;
      return x.refuse(
        REFUSALS.waf_blocked,
        'the body is not what its Content-Encoding says, or coded in a way that is not read',
      );
    }
    if (out[0] === POOL_DECODED_TOO_LONG)
      return x.refuse(REFUSALS.body_too_large, 'decoded, the body is longer than what the WAF inspects');
    const said = this.#judge(x, out[0] ?? WAF_ERROR, out);
    const plan = present(x.route, 'route').waf;
    if (said !== Verdict.Next || plan.answer === null || verdictWanted(out) === WAF_WANTED_NOTHING) return said;
    const { kept } = delivered;
    return this.#keep(
      x,
      plan,
      kept === null ? NO_BODY : new Uint8Array(kept),
      kept === null ? -1 : kept.byteLength,
      verdictWanted(out),
    );
  }

  /** What was matched in the lane. */
  #inLane(x: Exchange, plan: WafRoutePlan, verdict: number): Verdict {
    const said = this.#judge(x, verdict, this.#out);
    if (plan.answer === null || said !== Verdict.Next || verdictWanted(this.#out) === WAF_WANTED_NOTHING) return said;
    const length = this.#waf.wafKeepMemory(x.revision.snapshot.waf, plan.profile);
    return length === 0 ? said : this.#keep(x, plan, this.#memory.kept, length, verdictWanted(this.#out));
  }

  /** Keeps what the answer's rules will need; a length below 0: there is too much of it. */
  #keep(x: Exchange, plan: WafRoutePlan, from: Uint8Array, length: number, wanted: number): Verdict {
    const kept = length < 0 ? null : this.#kept.keep(from, length, wanted);
    if (kept === null) {
      x.waf = WafVerdict.Exhausted;
      x.detail = 'the answer is not inspected: there is no room for what its rules need of the request';
      return plan.exhausted === 'block' ? x.refuse(REFUSALS.waf_exhausted, x.detail) : Verdict.Next;
    }
    x.kept = kept;
    if (wanted === WAF_WANTED_BODY && plan.answer !== null && plan.answer.bodyBytes > 0) asksForTheWhole(x.wire);
    return Verdict.Next;
  }

  #judge(x: Exchange, verdict: number, out: Buffer): Verdict {
    if (verdict === WAF_PASS) {
      x.waf = WafVerdict.Pass;
      return Verdict.Next;
    }
    if (verdict === WAF_ERROR) {
      x.waf = WafVerdict.Failed;
      return x.refuse(REFUSALS.waf_failed, 'the engine gave no verdict');
    }
    const { detectSample, exhausted } = present(x.route, 'route').waf;
    if (verdict === WAF_DETECT_MATCH && !chance(x.random, Salt.WafDetected, detectSample)) {
      x.waf = WafVerdict.Detected;
      return Verdict.Next;
    }
    const detail = noteRequest(x, out);
    switch (verdict) {
      case WAF_DETECT_MATCH:
        x.waf = WafVerdict.Detected;
        return Verdict.Next;
      case WAF_BLOCK:
        x.waf = WafVerdict.Blocked;
        return x.refuse(REFUSALS.waf_blocked, detail);
      case WAF_BUDGET_EXCEEDED:
        x.waf = WafVerdict.Exhausted;
        if (exhausted === 'block') return x.refuse(REFUSALS.waf_exhausted, detail);
        x.detail = detail;
        return Verdict.Next;
      default:
        x.waf = WafVerdict.Failed;
        return x.refuse(REFUSALS.waf_failed, `verdict ${verdict} is not known`);
    }
  }
}

function asBuffer(bytes: Uint8Array<ArrayBuffer>): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/**
 * Rules judge bodies as they are, and whole: no client may choose codings, parts or differences (RFC 3229) in which they would see nothing, or not what the client puts together.
 * A server may always ignore these fields (RFC 9110 §12.5.3, §14.2).
 */
function asksForTheWhole(wire: Wire): void {
  wire.setUpstreamHeader('accept-encoding', 'identity');
  wire.removeUpstreamHeader('range');
  wire.removeUpstreamHeader('if-range');
  wire.removeUpstreamHeader('a-im');
}

/** Bytes that are enough for the packed request. */
function estimated(x: Exchange, bodyBytes: number): number {
  const { wire } = x;
  const head = PACKED_OVERHEAD_BYTES + wire.path.length + wire.query.length;
  const tls = handshakeOf(x);
  const fields = wire.headerCount * PACKED_FIELD_OVERHEAD_BYTES + wire.fieldBytes;
  return head + fields + bodyBytes + (tls === null ? 0 : tlsBytesMax(tls));
}

/** What the handshake told, when some rule asks for it. */
function handshakeOf(x: Exchange): TlsFacts | null {
  return x.revision.snapshot.wafLimits.readsTls ? x.wire.tls : null;
}

/** The request as the client sent it, without its fields when native code finds them by itself: rules decode for themselves, so that they see what an upstream might. */
function pack(packer: WafPacker, x: Exchange, body: Uint8Array, flags: number, fields: boolean): number {
  const { wire } = x;
  packer.begin();
  const tls = handshakeOf(x);
  const target = wire.query === '' ? wire.path : `${wire.path}?${wire.query}`;
  packer.head(
    wire.method,
    target,
    wire.protocol,
    x.clientAddress,
    wire.peerPort,
    x.id,
    wire.secure ? flags | WAF_SECURE : flags,
  );
  const count = fields ? wire.headerCount : 0;
  for (let i = 0; i < count; i++) packer.header(wire.headerName(i), wire.headerValue(i));
  const length = packer.body(body);
  return tls === null ? length : packer.tls(tls);
}
