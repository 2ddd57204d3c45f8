/**
 * Overload of a lane (docs/overload.md): ten times a second it is looked how long what is ready waits in line, and a share of the requests that come is turned away at once, the lowest class
 * first, so that the line stays as long as it may be and the lane has always something to serve.
 *
 * The signal is the lane's own line and nothing else: time that passes upstream says nothing of it, and no other cell's tenants are to suffer for a slow one. Besides how full its heap is.
 *
 * What would be turned away of any class needs no reading: most of that the transport turns away by itself, for less than half of what it costs here. The rest comes here and shows who asks how much.
 */
import type { OverloadPlan } from '../../snapshot/messages.ts';
import { Count, Gauge, REQUEST_CLASSES } from '../../snapshot/lane-columns.ts';
import { chance, Salt } from '../chance.ts';
import type { Exchange } from '../exchange.ts';
import { clientKey } from '../normalize/address.ts';
import { REFUSALS, SHED_RETRY_AFTER_S } from '../refusal.ts';
import { readTenant } from '../tenant.ts';
import { Verdict } from '../verdict.ts';
import { classOf } from './request-class.ts';
import { ShedShare } from './shed-share.ts';
import { Shares } from './shares.ts';

const SHEDDABLE = 2;
/** Fewer requests than so many, open or come since the last look, are no overload: something else keeps the thread from running, or fills the heap. */
const REQUESTS_MIN = 32;
/** Of what came by class this much counts in the next look, too. */
const KEPT = 0.5;
/** Of what could be turned away unread, as much is read nevertheless: from it is known what comes, and it has records. */
const READ_ALL_THE_SAME = 1 / 16;
const PERCENT = 100;

/** What a lane sees of itself. */
export interface LaneLoad {
  /** Epoch ms. */
  readonly now: number;
  /** Least time since the last look that a request that is ready waited, ms. */
  readonly waitMs: number;
  /** Exchanges that are open. */
  readonly open: number;
  /** Share of the heap that is used, 0 … 1. */
  readonly heap: number;
  /** Requests since the last look that the transport has turned away unread. */
  readonly unread: number;
}

export class Overload {
  readonly #plan: OverloadPlan;
  readonly #columns: { readonly counts: Float64Array; readonly gauges: Float64Array };
  readonly #shares: Shares;
  readonly #share: ShedShare;
  /** Arrivals by class, those of the last looks counting less and less. */
  readonly #came = new Float64Array(REQUEST_CLASSES.length);
  /** Shares of the classes that are turned away, 0 … 1. */
  readonly #sheds = new Float64Array(REQUEST_CLASSES.length);
  /** No request has a higher class than this one; -1: none may be turned away unread. */
  #highest = -1;
  /** Share of all requests that is turned away unread, and of those that are read by class. */
  #unread = 0;
  readonly #shedsOfRead = new Float64Array(REQUEST_CLASSES.length);
  /** Since the last look. */
  #arrived = 0;
  #turnedAway = 0;
  /** Epoch ms of it; 0 = none yet. */
  #lookedAt = 0;

  constructor(
    plan: OverloadPlan,
    columns: { readonly counts: Float64Array; readonly gauges: Float64Array },
    seed: number,
  ) {
    this.#plan = plan;
    this.#columns = columns;
    this.#share = new ShedShare(plan.delayTargetMs);
    this.#shares = new Shares(seed);
  }

  /** Share of all requests that is turned away now. */
  get shed(): number {
    return this.#share.share;
  }

  /** Requests since the last look that were read. */
  get arrived(): number {
    return this.#arrived;
  }

  /** Share of all requests that is to be turned away unread until the next look. */
  get unread(): number {
    return this.#unread;
  }

  /** From the next look on: no request has a higher class than this one; -1: none may be turned away unread. */
  setHighest(highest: number): void {
    this.#highest = highest;
  }

  /** Whether there is something to look at: requests have come since the last look, or there was a line then. */
  get stirred(): boolean {
    return (
      this.#plan.enabled && (this.#arrived > 0 || this.#share.share > 0 || this.#columns.gauges[Gauge.QueueMs] !== 0)
    );
  }

  /** Judges the time since the last look. */
  look(load: LaneLoad): void {
    if (!this.#plan.enabled) return;
    const { heapPercent } = this.#plan;
    const { counts, gauges } = this.#columns;
    counts[Count.ShedUnread] = (counts[Count.ShedUnread] as number) + load.unread;
    const came = this.#arrived + load.unread;
    const queued = load.open + came >= REQUESTS_MIN;
    const waitMs = queued ? load.waitMs : 0;
    const shed = this.#share.look({
      delayMs: waitMs,
      heapFull: queued && load.heap * PERCENT >= heapPercent,
      came,
      served: this.#arrived - this.#turnedAway,
      ms: this.#lookedAt === 0 ? 0 : Math.max(0, load.now - this.#lookedAt),
    });
    this.#lookedAt = load.now;
    this.#arrived = 0;
    this.#turnedAway = 0;
    this.#spread(shed);
    gauges[Gauge.ShedShare] = shed;
    gauges[Gauge.QueueMs] = waitMs;
  }

  /** Whether a request goes on; it is counted either way. */
  admit(x: Exchange): Verdict {
    if (!this.#plan.enabled) return Verdict.Next;
    const wanted = classOf(x);
    // Above its fair share a tenant has the lowest class, whatever its routes say; nobody is counted while there is room for all.
    const { share } = this.#share;
    const above = share > 0 && this.#shares.take(keyOf(x), x.now);
    const its = above ? SHEDDABLE : wanted;
    // It stands for those who were not read.
    this.#came[its] = (this.#came[its] as number) + 1 / (1 - this.#unread);
    this.#arrived++;
    if (share === 0 || !chance(x.random, Salt.Shed, this.#shedsOfRead[its] as number)) return Verdict.Next;
    this.#turnedAway++;
    const { counts } = this.#columns;
    const count = Count.ShedCritical + wanted;
    counts[count] = (counts[count] as number) + 1;
    x.wire.setAnswerHeader('retry-after', String(SHED_RETRY_AFTER_S));
    return x.refuse(REFUSALS.shed, above ? SHED_ABOVE : (SHED_TEXT[wanted] as string));
  }

  /** Spreads what is to be turned away over the classes, from the lowest up, in proportion to what came of them. */
  #spread(shed: number): void {
    const came = this.#came;
    let all = 0;
    for (let i = 0; i < came.length; i++) all += came[i] as number;
    let left = shed * all;
    for (let i = came.length - 1; i >= 0; i--) {
      const n = came[i] as number;
      // Of a class that nobody has asked for lately as much as of the one below it; of the highest nothing, before it is known that the others do not suffice.
      this.#sheds[i] = n < 1 ? (left > 0 || (all < 1 && i > 0) ? shed : 0) : Math.min(1, left / n);
      left = Math.max(0, left - n);
      came[i] = n * KEPT;
    }
    this.#unread = (1 - READ_ALL_THE_SAME) * (this.#sheds[this.#highest] ?? 0);
    for (let i = 0; i < came.length; i++) {
      const its = this.#sheds[i] as number;
      this.#shedsOfRead[i] = Math.max(0, (its - this.#unread) / (1 - this.#unread));
    }
  }
}

const SHED_TEXT = REQUEST_CLASSES.map((name) => `shed: the lane is overloaded, and the request has class ${name}`);
const SHED_ABOVE = 'shed: the lane is overloaded, and its tenant (or address) asks for more than its fair share';

/** Whose share it is: the tenant's, or the address's (IPv6 by /64) where no tenant is known before a token was looked at. */
function keyOf(x: Exchange): string {
  const tenant = readTenant(x);
  return tenant === '' ? clientKey(x.clientAddress) : tenant;
}
