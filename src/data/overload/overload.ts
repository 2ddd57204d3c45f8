/**
 * Overload of a lane (docs/overload.md): ten times a second it is judged how long what is ready waits, and a share of the requests that come is turned away at once, the lowest class first. A lane that does
 * nothing but turn away serves nobody, so the share follows what is needed: up quickly, down by a tenth of itself a look.
 *
 * Signals: how late the lane's own timer is, at its best of a window; how much longer than at their best requests take to their response head, only while the lane is busy all the time (otherwise
 * it is the upstream that is slow, and no other cell's tenants are to suffer for that); and how full its heap is.
 */
import type { OverloadPlan } from '../../snapshot/messages.ts';
import { Count, Gauge, REQUEST_CLASSES } from '../../snapshot/lane-columns.ts';
import { chance, Salt } from '../chance.ts';
import type { Exchange } from '../exchange.ts';
import { REFUSALS } from '../refusal.ts';
import { readTenant } from '../tenant.ts';
import { Verdict } from '../verdict.ts';
import { Gradient } from './gradient.ts';
import { Shares } from './shares.ts';

const SHEDDABLE = 2;
/** What a route has that says nothing. */
const DEFAULT = 1;
/** Share of the last window in which the loop was busy from which on the lane is saturated. */
const BUSY = 0.9;
/** With fewer exchanges open than so many a lane is not overloaded, however late it is. */
const OPEN_MIN = 32;
/** Up: so much of all requests for each time that the delay is as long as it may be, at most. Down: to so much of itself, less so much. */
const STEP_UP = 0.05;
const STEPS_MAX = 4;
const STEP_DOWN = 0.9;
const STEP_DOWN_LEAST = 0.005;
/** Never all: what is let through shows when the pressure has gone. */
const SHED_MAX = 0.98;
/** Whole seconds after which a client may come again. */
const RETRY_AFTER_S = 1;
const PERCENT = 100;

/** What a lane sees of itself. */
export interface LaneLoad {
  /** Epoch ms. */
  readonly now: number;
  /** Least lateness of the lane's timer since the last look, ms. */
  readonly lateMs: number;
  /** Share of the time since then that the loop was busy, 0 … 1. */
  readonly utilization: number;
  /** Exchanges that are open. */
  readonly open: number;
  /** Share of the heap that is used, 0 … 1. */
  readonly heap: number;
}

export class Overload {
  readonly #plan: OverloadPlan;
  readonly #columns: { readonly counts: Float64Array; readonly gauges: Float64Array };
  readonly #gradient = new Gradient();
  readonly #shares: Shares;
  /** Arrivals by class since the last look. */
  readonly #came = new Float64Array(REQUEST_CLASSES.length);
  /** Shares of the classes that are turned away, 0 … 1. */
  readonly #sheds = new Float64Array(REQUEST_CLASSES.length);
  /** Share of all requests that is turned away. */
  #shed = 0;

  constructor(
    plan: OverloadPlan,
    columns: { readonly counts: Float64Array; readonly gauges: Float64Array },
    seed: number,
  ) {
    this.#plan = plan;
    this.#columns = columns;
    this.#shares = new Shares(seed);
  }

  /** Share of all requests that is turned away now. */
  get shed(): number {
    return this.#shed;
  }

  /** The upstream's head came after so many ms. */
  answered(ms: number): void {
    if (this.#plan.enabled) this.#gradient.sample(ms);
  }

  /** Judges the time since the last look. */
  look(load: LaneLoad): void {
    if (!this.#plan.enabled) return;
    const { delayTargetMs, heapPercent } = this.#plan;
    const excessMs = this.#gradient.excessMs(load.now);
    // With few requests open there is no queue of them: then something else keeps the thread from running.
    const queued = load.open >= OPEN_MIN;
    const delay = queued ? Math.max(load.lateMs, load.utilization >= BUSY ? excessMs : 0) / delayTargetMs : 0;
    const pressure = load.heap * PERCENT >= heapPercent ? Math.max(delay, 1) : delay;
    if (pressure >= 1) this.#shed = Math.min(SHED_MAX, this.#shed + STEP_UP * Math.min(pressure, STEPS_MAX));
    else this.#shed = Math.max(0, this.#shed * STEP_DOWN - STEP_DOWN_LEAST);
    this.#share();
    const { gauges } = this.#columns;
    gauges[Gauge.ShedShare] = this.#shed;
    gauges[Gauge.QueueMs] = delay * delayTargetMs;
  }

  /** Whether a request goes on; it is counted either way. */
  admit(x: Exchange): Verdict {
    if (!this.#plan.enabled) return Verdict.Next;
    const wanted = classOf(x);
    // Above its fair share a tenant has the lowest class, whatever its routes say; nobody is counted while there is room for all.
    const above = this.#shed > 0 && this.#shares.take(keyOf(x), x.now);
    const its = above ? SHEDDABLE : wanted;
    this.#came[its] = (this.#came[its] as number) + 1;
    if (this.#shed === 0 || !chance(x.random, Salt.Shed, this.#sheds[its] as number)) return Verdict.Next;
    const { counts } = this.#columns;
    const count = Count.ShedCritical + wanted;
    counts[count] = (counts[count] as number) + 1;
    x.wire.setAnswerHeader('retry-after', String(RETRY_AFTER_S));
    return x.refuse(REFUSALS.shed, above ? SHED_ABOVE : (SHED_TEXT[wanted] as string));
  }

  /** Spreads what is to be turned away over the classes, from the lowest up, in proportion to what came of them. */
  #share(): void {
    const came = this.#came;
    let all = 0;
    for (let i = 0; i < came.length; i++) all += came[i] as number;
    if (all === 0) {
      this.#sheds.fill(this.#shed);
      return;
    }
    let left = this.#shed * all;
    for (let i = came.length - 1; i >= 0; i--) {
      const n = came[i] as number;
      // Of a class that nobody has asked for lately as much as of the one below it.
      this.#sheds[i] = n === 0 ? (left > 0 ? this.#shed : 0) : Math.min(1, left / n);
      left = Math.max(0, left - n);
      came[i] = 0;
    }
  }
}

const SHED_TEXT = REQUEST_CLASSES.map((name) => `shed: the lane is overloaded, and the request has class ${name}`);
const SHED_ABOVE = 'shed: the lane is overloaded, and its tenant (or address) asks for more than its fair share';

/** Whose share it is: the tenant's, or the address's where no tenant is known before a token was looked at. */
function keyOf(x: Exchange): string {
  const tenant = readTenant(x);
  return tenant === '' ? x.clientAddress : tenant;
}

/** The route's class; a header may name a lower one, never a higher one. */
export function classOf(x: Exchange): number {
  const priority = x.route?.priority;
  if (priority === undefined) return DEFAULT;
  if (priority.header === '') return priority.class;
  const named = REQUEST_CLASSES.indexOf((x.wire.header(priority.header) ?? '') as 'default');
  return Math.max(priority.class, named);
}
