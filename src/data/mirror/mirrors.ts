/** The mirrors of a lane: which requests are copied, and to which endpoint. What carries the copies is loaded when the first one is sent. */
import { liesIn } from '../../snapshot/regions.ts';
import type { EndpointPlan } from '../../snapshot/cell-plans.ts';
import type { MirrorPlan } from '../../snapshot/route-plans.ts';
import { fieldsUpstream } from '../cache/refresh.ts';
import { chance, Salt } from '../chance.ts';
import type { Exchange } from '../exchange.ts';
import type { MirrorFetches, MirrorRequest } from '../transport/mirror-fetches.ts';
import { BodyKind, BodyState } from '../transport/transport.ts';
import type { Chooser } from '../upstream/choose.ts';
import { NONE_FAILED } from '../upstream/failed-slots.ts';
import { isTraceparent } from '../trace-context.ts';
import { Verdict } from '../verdict.ts';
import { Mirroring, type MirrorTold } from './mirroring.ts';

export class Mirrors {
  readonly #chooser: Chooser;
  readonly #told: MirrorTold;
  readonly #tick: () => number;
  #fetches: Promise<MirrorFetches> | null = null;
  #closed = false;

  /** `tick`: monotonic ms. */
  constructor(chooser: Chooser, told: MirrorTold, tick: () => number) {
    this.#chooser = chooser;
    this.#told = told;
    this.#tick = tick;
  }

  /** Asked by `route` of a request that is to be forwarded; sets `x.mirror`. `Wait`: its body is on its way. */
  enter(x: Exchange, plan: MirrorPlan): Verdict {
    if (x.mirror === null) {
      if (!this.#isMeant(x, plan)) return Verdict.Next;
      x.mirror = new Mirroring(plan, this.#send, this.#told);
    }
    const { wire } = x;
    if (wire.bodyKind === BodyKind.None) return Verdict.Next;
    // As much as the WAF has asked for: then it is here already.
    const waf = x.route?.waf;
    const inspected = waf !== undefined && waf.mode !== 'off' ? waf.bodyBytes : 0;
    const state = wire.inspectBody(Math.max(inspected, plan.bodyBytesMax));
    if (state === BodyState.Pending) return Verdict.Wait;
    if (state === BodyState.Complete && wire.body.length <= plan.bodyBytesMax)
      x.mirror.body = Uint8Array.from(wire.body);
    else x.mirror = null;
    return Verdict.Next;
  }

  #isMeant(x: Exchange, plan: MirrorPlan): boolean {
    const { wire } = x;
    if (wire.websocket || !plan.methods.includes(wire.method)) return false;
    if (
      wire.bodyKind === BodyKind.Length
        ? wire.bodyLength > plan.bodyBytesMax
        : wire.bodyKind === BodyKind.Chunked && plan.bodyBytesMax === 0
    )
      return false;
    // Nothing of a tenant leaves its regions, not even a copy.
    const cell = x.revision.snapshot.cells[plan.cell];
    return cell !== undefined && liesIn(x.regions, cell) && chance(x.random, Salt.Mirror, plan.share);
  }

  readonly #send = (x: Exchange, mirroring: Mirroring, body: Uint8Array | null): boolean => {
    const members = x.revision.members[mirroring.plan.cell];
    const endpoint = members === undefined ? null : this.#chooser.choose(members, x.now, x.random, NONE_FAILED, true);
    if (endpoint === null || this.#closed) return false;
    const request = requestOf(x, mirroring.plan, body);
    this.#fetches ??= load(this.#tick);
    this.#fetches.then(
      (fetches) => {
        const sent = !this.#closed && fetches.fetch(endpoint, request, (answer) => mirroring.came(answer));
        if (!sent) mirroring.dropped();
      },
      () => mirroring.dropped(),
    );
    return true;
  };

  /** Closes connections to endpoints that are not in the list. */
  retain(endpoints: readonly EndpointPlan[]): void {
    void this.#fetches?.then((fetches) => fetches.retain(endpoints));
  }

  close(): void {
    this.#closed = true;
    void this.#fetches?.then((fetches) => fetches.close());
  }
}

function requestOf(x: Exchange, plan: MirrorPlan, body: Uint8Array | null): MirrorRequest {
  const fields = fieldsUpstream(x);
  const headers = ['host', x.plan.authority];
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] as string;
    if (!OURS.has(name)) headers.push(name, fields[i + 1] as string);
  }
  // Who looks at the mirror's log finds the request, and code that must not act twice can see that this is a copy.
  headers.push('x-forwarded-for', x.clientAddress, 'x-request-id', x.id, 'x-mirrored-request', x.id);
  if (x.clientRequestId !== '') headers.push('x-client-request-id', x.clientRequestId);
  const trace = x.wire.header('traceparent');
  if (trace !== undefined && isTraceparent(trace)) headers.push('traceparent', trace);
  headers.push('via', '1.1 cloudnexus');
  return {
    method: x.wire.method,
    target: x.plan.target,
    headers,
    body,
    connectTimeoutMs: x.route?.forward.connectTimeoutMs ?? 0,
    timeoutMs: plan.timeoutMs,
    fields: plan.compareHeaders,
    digestBytesMax: plan.compareBodyBytesMax,
  };
}

/** Fields that are written anew for the copy. */
const OURS: ReadonlySet<string> = new Set([
  'x-forwarded-for',
  'forwarded',
  'x-request-id',
  'x-client-request-id',
  'traceparent',
  'x-mirrored-request',
  'via',
]);

async function load(tick: () => number): Promise<MirrorFetches> {
  const { MirrorFetches } = await import('../transport/mirror-fetches.ts');
  return new MirrorFetches(tick);
}
