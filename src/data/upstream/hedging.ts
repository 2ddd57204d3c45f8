/**
 * Hedging (docs/resilience.md): a second attempt beside one that is slow, at another endpoint of the same cell. While there are two, the exchange shows the first, and the
 * hedge lies beside it; each is counted at its own endpoint. The first head has the exchange. Who is cancelled counts neither as answered nor as failed.
 */
import { present } from '../../base/assert.ts';
import type { EndpointPlan } from '../../snapshot/cell-plans.ts';
import type { HedgePlan } from '../../snapshot/guards.ts';
import type { Exchange } from '../exchange.ts';
import { Hedged, METHODS } from '../exchange.ts';
import type { Stage } from '../stage.ts';
import type { FailReason } from '../transport/transport.ts';
import { Verdict } from '../verdict.ts';
import type { EndpointUse } from './endpoint-use.ts';
import type { Retries } from './retries.ts';
import { BUDGET_SPENT, isIdempotent } from './retries.ts';

/** What is counted of one attempt. */
export interface Attempt {
  readonly endpoint: EndpointPlan;
  /** As of the exchange. */
  readonly endpointPermit: number;
  readonly retryRow: number;
  readonly handedTick: number;
}

/** By method code; a method without one is not known to be safe (RFC 9110 §9.2.1). */
const SAFE = METHODS.map((name) => ['GET', 'HEAD', 'OPTIONS', 'TRACE'].includes(name));

/** After how many ms the transport asks for a hedge of the attempt that is handed over; 0 = never. */
export function hedgeAfterMs(x: Exchange, plan: HedgePlan): number {
  if (x.hedged !== Hedged.None || x.wire.websocket) return 0;
  return SAFE[x.methodCode] === true || (plan.idempotent && isIdempotent(x)) ? plan.delayMs : 0;
}

export class Hedging {
  readonly #use: EndpointUse;
  readonly #retries: Retries;
  readonly #stages: readonly Stage[];
  readonly #tick: () => number;

  /** `stages`: those from balance on. `tick`: monotonic ms. */
  constructor(use: EndpointUse, retries: Retries, stages: readonly Stage[], tick: () => number) {
    this.#use = use;
    this.#retries = retries;
    this.#stages = stages;
    this.#tick = tick;
  }

  /** A second attempt, if the budget and the cell bear it. Throws what a stage throws; then there is none. */
  begin(x: Exchange): void {
    if (x.endpoint === null || !x.inflight || x.hedged !== Hedged.None) return;
    const first = attemptOf(x);
    const { attempts, cellPermit, tenantPlace, detail } = x;
    x.inflight = false;
    x.endpointPermit = x.cellPermit = x.tenantPlace = x.retryRow = -1;
    x.failed.add(first.endpoint.slot);
    x.hedged = Hedged.Denied;
    x.detail = '';
    try {
      if (!this.#retries.take(x, true)) x.detail = BUDGET_SPENT;
      else if (this.#enter(x)) {
        x.hedged = Hedged.Lost;
        x.hedges = 1;
      }
    } finally {
      x.failed.drop();
      const made = x.hedged === Hedged.Lost;
      if (!made) {
        this.#use.release(x);
        x.attempts = attempts;
        x.refusal = null;
      }
      x.handedTick = this.#tick();
      const hedge = made ? attemptOf(x) : null;
      const why = x.detail;
      show(x, first);
      x.cellPermit = cellPermit;
      x.tenantPlace = tenantPlace;
      x.hedge = hedge;
      x.detail = detail;
      if (!made) note(x, `not hedged: ${why}`);
    }
  }

  /** One of the two failed, or was answered with a status that is passed over; the other goes on alone. `text`: why, for the record. */
  failed(x: Exchange, hedge: boolean, reason: FailReason, status: number, text: string): void {
    const its = present(x.hedge, 'hedge').endpoint;
    const whose = hedge ? its : present(x.endpoint, 'endpoint');
    this.#settle(x, hedge, status === 0 ? reason : null, status);
    if (hedge) note(x, `hedge lost: ${whose.identity}: ${text}`);
    else {
      x.failed.add(whose.slot);
      x.hedged = Hedged.Won;
      note(x, `hedge ${its.identity} goes on after ${whose.identity}: ${text}`);
    }
  }

  /** A head is here; the other attempt is cancelled. */
  answered(x: Exchange, byHedge: boolean): void {
    const its = present(x.hedge, 'hedge').endpoint.identity;
    const first = x.endpoint?.identity ?? '';
    this.#settle(x, !byHedge, null, 0);
    if (byHedge) x.hedged = Hedged.Won;
    note(x, byHedge ? `hedge ${its} answered before ${first}` : `hedge lost: ${its} had not answered`);
  }

  /** Both are over, or the hedge never went out: the exchange shows the first, which its caller deals with. */
  over(x: Exchange): void {
    this.#settle(x, true, null, 0);
  }

  #enter(x: Exchange): boolean {
    for (const stage of this.#stages) {
      const verdict = stage.hedge?.(x) ?? Verdict.Refuse;
      if (verdict === Verdict.Handed) return true;
      if (verdict !== Verdict.Next) return false;
    }
    return false;
  }

  /** Counts the end of one attempt, and shows the other: by a reason, by a status, or by neither, when it is cancelled. */
  #settle(x: Exchange, hedge: boolean, reason: FailReason | null, status: number): void {
    const other = present(x.hedge, 'hedge');
    x.hedge = null;
    let left = other;
    if (hedge) {
      left = attemptOf(x);
      show(x, other);
    }
    // The request goes on: its places and permits that are not one attempt's stay.
    const { cellPermit, tenantPlace } = x;
    x.cellPermit = x.tenantPlace = -1;
    if (reason !== null) this.#use.failed(x, reason);
    else if (status > 0) {
      x.upstreamMs = this.#tick() - x.handedTick;
      this.#use.answered(x, status);
      x.upstreamMs = 0;
    }
    this.#use.release(x);
    show(x, left);
    x.cellPermit = cellPermit;
    x.tenantPlace = tenantPlace;
  }
}

function attemptOf(x: Exchange): Attempt {
  const { endpointPermit, retryRow, handedTick } = x;
  return { endpoint: present(x.endpoint, 'endpoint'), endpointPermit, retryRow, handedTick };
}

/** The exchange's own fields are about this attempt, which is in flight. */
function show(x: Exchange, attempt: Attempt): void {
  x.endpoint = attempt.endpoint;
  x.inflight = true;
  x.endpointPermit = attempt.endpointPermit;
  x.retryRow = attempt.retryRow;
  x.handedTick = attempt.handedTick;
}

function note(x: Exchange, text: string): void {
  x.detail = x.detail === '' ? text : `${x.detail}; ${text}`;
}
