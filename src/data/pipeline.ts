/**
 * The loop: the only thing that moves an exchange on. Transport events come in, stages are entered in the order of STAGES, and the observer
 * always runs last, exactly once per exchange.
 */
import { STAGE_INDEX, STAGES } from '../snapshot/stages.ts';
import { present } from '../base/assert.ts';
import type { Prng } from '../base/prng.ts';
import { editEarlyRefusal, editLateRefusal } from './answers/answer-edits.ts';
import { pageOf } from './answers/pages.ts';
import { Exchange } from './exchange.ts';
import type { Revision } from './lane/revision.ts';
import type { Rival } from './rollout/rival.ts';
import type { RefusalRow } from './refusal.ts';
import { REFUSALS, SWITCHED_STATUS } from './refusal.ts';
import { requestIdPrefix } from './request-id.ts';
import { enterStage, type StageTable } from './stage-table.ts';
import type { Ending, TransportEvents, Wire } from './transport/transport.ts';
import { FailReason } from './transport/transport.ts';
import type { EndpointUse } from './upstream/endpoint-use.ts';
import { Hedging } from './upstream/hedging.ts';
import { BUDGET_SPENT, Retries } from './upstream/retries.ts';
import { Verdict } from './verdict.ts';

/** Told of every exchange once, when it is over. Must not throw. */
export interface Observer {
  ended(x: Exchange): void;
  /** A stage threw: a bug of ours. */
  bug(stage: string, error: unknown, x: Exchange): void;
  /** Requests were turned away before they became exchanges. */
  turnedAway(row: RefusalRow, count: number): void;
}

/** What a pipeline is made of. */
export interface PipelineParts {
  readonly laneIndex: number;
  /** Random for this process, 6 hexadecimal digits. */
  readonly instance: string;
  readonly exchangesMax: number;
  /** Last sequence number that may have been given out by a lane of this index before (`Observe.seqBefore`); 0 unless it was restarted. */
  readonly seqBefore?: number;
  readonly stages: StageTable;
  readonly observer: Observer;
  readonly use: EndpointUse;
  /** Absent: without budgets. */
  readonly retries?: Retries;
  readonly prng: Prng;
  /** Epoch ms. */
  readonly now: () => number;
  /** Monotonic ms with a fraction. */
  readonly tick: () => number;
}

/** Request ids that are made at once: those that differ in their last two digits. */
const IDS = 256;
const LAST_DIGITS = Array.from({ length: IDS }, (_, byte) => byte.toString(16).padStart(2, '0'));
/** Joined by what ids begin with they are the ids, one after another. */
const BEHIND_START = ['', ...LAST_DIGITS];
const MATCH = STAGE_INDEX.match;
const BALANCE = STAGE_INDEX.balance;
const RESPOND = STAGE_INDEX.respond;
const FORWARD = STAGE_INDEX.forward;
const WAF = STAGE_INDEX.waf;
const AUTHENTICATE = STAGE_INDEX.authenticate;
const AUTHORIZE = STAGE_INDEX.authorize;

/** Stages whose time is always taken, where the route has work for them: a clock call costs about 50 ns. */
function isTimed(x: Exchange): boolean {
  const { at, route } = x;
  if (route === null) return false;
  if (at === WAF) return route.waf.mode !== 'off';
  if (at === AUTHENTICATE) return !route.public;
  return at === AUTHORIZE && route.policy >= 0;
}
/** One request in this many has every stage timed. */
export const STAGE_TIMING_SAMPLE = 64;

const FAIL_ROW: Readonly<Record<FailReason, RefusalRow>> = {
  [FailReason.Connect]: REFUSALS.upstream_unreachable,
  [FailReason.Reset]: REFUSALS.upstream_reset,
  [FailReason.Invalid]: REFUSALS.upstream_invalid,
  [FailReason.Timeout]: REFUSALS.upstream_timeout,
  [FailReason.Busy]: REFUSALS.upstream_busy,
};
const FAIL_TEXT: Readonly<Record<FailReason, string>> = {
  [FailReason.Connect]: 'connection refused or not made in time',
  [FailReason.Reset]: 'connection closed before the response head',
  [FailReason.Invalid]: 'malformed response',
  [FailReason.Timeout]: 'no response head in time',
  [FailReason.Busy]: 'connection pool and its queue are full',
};

/** `why`: what the transport knows beyond the reason, or nothing. */
function failText(reason: FailReason, why: string): string {
  if (why === '') return FAIL_TEXT[reason];
  return reason === FailReason.Connect ? `no connection: ${why}` : `${FAIL_TEXT[reason]}: ${why}`;
}

export class Pipeline implements TransportEvents {
  readonly #parts: PipelineParts;
  readonly #stages: StageTable;
  readonly #retries: Retries;
  readonly #hedging: Hedging;
  readonly #idPrefix: string;
  readonly #free: Exchange[] = [];
  #made = 0;
  #seq = 0;
  #ids = '';
  #revision: Revision | null = null;
  /** Another one that is live, while a share of requests tries it. */
  #rival: Rival | null = null;

  constructor(parts: PipelineParts) {
    this.#parts = parts;
    this.#seq = parts.seqBefore ?? 0;
    this.#retries = parts.retries ?? new Retries();
    this.#stages = parts.stages;
    const fromBalance = STAGES.slice(BALANCE).map((name) => parts.stages[name]);
    this.#hedging = new Hedging(parts.use, this.#retries, fromBalance, parts.tick);
    this.#idPrefix = requestIdPrefix(parts.instance, parts.laneIndex);
  }

  /** Replaces the revision that new exchanges see; running ones keep theirs. No other is live afterwards. */
  activate(revision: Revision): void {
    this.#revision = revision;
    this.#rival = null;
  }

  /** From now on some requests see another revision than the active one. */
  divide(rival: Rival): void {
    this.#rival = rival;
  }

  /** Exchanges that are open now. */
  get open(): number {
    return this.#made - this.#free.length;
  }

  begin(wire: Wire): Exchange | null {
    const revision = this.#revision;
    const x = this.#take();
    if (x === null || revision === null) {
      const row = revision === null ? REFUSALS.not_ready : REFUSALS.overloaded;
      if (x !== null) this.#free.push(x);
      this.#parts.observer.turnedAway(row, 1);
      wire.refuse(row, this.#nextId());
      return null;
    }
    x.begin(wire, revision);
    revision.open++;
    x.id = this.#nextId();
    x.seq = this.#seq;
    x.now = x.startedAt = this.#parts.now();
    x.startedTick = this.#parts.tick();
    x.timed = this.#seq % STAGE_TIMING_SAMPLE === 0;
    if (this.#rival === null) this.#run(x, STAGES.length);
    else this.#divided(x, this.#rival);
    return x;
  }

  /** Two revisions are live: which one is seen is decided before match, and whoever goes over begins anew. */
  #divided(x: Exchange, rival: Rival): void {
    if (!this.#run(x, MATCH)) return;
    if (rival.takes(x)) {
      x.revision.open--;
      rival.revision.open++;
      x.revision = rival.revision;
      x.at = 0;
    }
    this.#run(x, STAGES.length);
  }

  wake(x: Exchange, ticket: number): void {
    if (x.ticket !== ticket || !x.live) return;
    x.ticket++;
    x.now = this.#parts.now();
    if (x.shown) this.#judge(x);
    else this.#run(x, STAGES.length);
  }

  failed(x: Exchange, reason: FailReason, replayable: boolean, whole = false, why = ''): void {
    if (!x.live || x.refusedAt >= 0) return; // What is refused is not sent again.
    // Let go with the attempt that failed, or never out.
    if (x.hedge !== null) this.#hedging.over(x);
    const endpoint = x.endpoint;
    x.now = this.#parts.now();
    this.#parts.use.failed(x, reason);
    let detail = `${endpoint?.identity ?? 'endpoint'}: ${failText(reason, why)}`;
    if (endpoint !== null && this.#retries.afterFailure(x, reason, replayable, whole)) {
      // What refuses, or begins to reset, is out of rotation at once: that many attempts and no more, and none of them may be lost.
      const unasked = reason === FailReason.Connect || (reason === FailReason.Reset && !x.doubted);
      if (unasked || this.#retries.take(x)) {
        x.failed.add(endpoint.slot);
        const before = `tried again after ${detail}`;
        x.detail = before;
        x.at = BALANCE;
        x.phase = 0;
        this.#run(x, STAGES.length);
        // That there is nobody else to ask is not why it came to that.
        if (x.refusedAt >= 0 && x.detail !== before) x.detail = `${x.detail}; ${before}`;
        return;
      }
      detail += `; ${BUDGET_SPENT}`;
    }
    this.#refuse(x, FAIL_ROW[reason], detail);
  }

  hedgeDue(x: Exchange): void {
    if (!x.live || x.refusedAt >= 0) return;
    x.now = this.#parts.now();
    x.random = this.#parts.prng.uint32();
    try {
      this.#hedging.begin(x);
    } catch (error) {
      this.#parts.observer.bug('hedge', error, x);
    }
  }

  attemptFailed(x: Exchange, hedge: boolean, reason: FailReason, status: number): void {
    if (!x.live || x.hedge === null) return;
    x.now = this.#parts.now();
    this.#hedging.failed(x, hedge, reason, status, status === 0 ? FAIL_TEXT[reason] : `${status}`);
  }

  head(x: Exchange, status: number, byHedge = false): void {
    if (x.hedge !== null) this.#hedging.answered(x, byHedge);
    x.upstreamStatus = status;
    x.upstreamMs = this.#parts.tick() - x.handedTick;
    // The outcome of a permit moves a circuit on, and that has a time.
    if (x.endpointPermit >= 0 || x.cellPermit >= 0) x.now = this.#parts.now();
    this.#parts.use.answered(x, status);
    if (status === SWITCHED_STATUS && !x.letGo) {
      x.letGo = true;
      x.revision.open--;
    }
  }

  shown(x: Exchange, whole = false): void {
    if (!x.live || x.refusedAt >= 0) return; // Its refusal is on its way.
    x.now = this.#parts.now();
    if (this.#retries.afterAnswer(x, whole) && this.#again(x)) return;
    x.shown = true;
    x.at = RESPOND;
    x.phase = 0;
    this.#judge(x);
  }

  refused(x: Exchange, row: RefusalRow): void {
    if (x.live && x.refusedAt < 0) this.#refuse(x, row, 'seen by the transport');
  }

  finished(x: Exchange, ending: Ending): void {
    this.#end(x, ending, false);
  }

  aborted(x: Exchange, ending: Ending, upstreamFault: boolean): void {
    if (upstreamFault && x.detail === '') x.detail = `${x.endpoint?.identity ?? 'endpoint'}: answer broke off`;
    if (upstreamFault && x.live) {
      x.now = this.#parts.now();
      this.#parts.use.failed(x, FailReason.Reset);
    }
    this.#end(x, ending, true);
  }

  #take(): Exchange | null {
    const x = this.#free.pop();
    if (x !== undefined) return x;
    if (this.#made >= this.#parts.exchangesMax) return null;
    return new Exchange(this.#made++);
  }

  /** `<instance>-<lane>-<seq>`: a part of a longer text, for one that is put together would be copied at the first look at its characters. */
  #nextId(): string {
    const seq = ++this.#seq;
    const last = seq % IDS;
    if (last === 0 || this.#ids === '') {
      const start = Math.floor(seq / IDS).toString(16);
      this.#ids = BEHIND_START.join(this.#idPrefix + start.padStart(6, '0'));
    }
    const length = this.#ids.length / IDS;
    return this.#ids.slice(last * length, (last + 1) * length);
  }

  /** Moves it on until a stage says otherwise, or to the stage `end`; true when it got there. */
  #run(x: Exchange, end: number): boolean {
    x.random = this.#parts.prng.uint32();
    const stages = this.#stages;
    try {
      while (x.at < end) {
        const verdict = x.timed || isTimed(x) ? this.#timed(x) : enterStage(stages, x);
        if (verdict === Verdict.Next) {
          x.at++;
          x.phase = 0;
          continue;
        }
        if (verdict === Verdict.Refuse) this.#refuse(x, x.refusal ?? REFUSALS.internal_error, x.detail);
        else if (verdict === Verdict.Handed) x.handedTick = this.#parts.tick();
        return false;
      }
      return true;
    } catch (error) {
      this.#parts.observer.bug(STAGES[x.at] ?? 'pipeline', error, x);
      if (x.live) this.#refuse(x, REFUSALS.internal_error, 'a stage threw');
      return false;
    }
  }

  /** Another attempt in the place of the answer that is shown; false: none can be made, and the answer is as good as any. */
  #again(x: Exchange): boolean {
    const { use } = this.#parts;
    const endpoint = present(x.endpoint, 'endpoint');
    const { upstreamStatus, cell, detail, tenantPlace } = x;
    const said = `${endpoint.identity}: ${upstreamStatus}`;
    use.release(x);
    if (!this.#retries.take(x)) {
      x.detail = `${said}; ${BUDGET_SPENT}`;
      use.resume(x, endpoint, tenantPlace);
      return false;
    }
    x.failed.add(endpoint.slot);
    x.at = BALANCE;
    x.phase = 0;
    x.random = this.#parts.prng.uint32();
    try {
      if (this.#stages.balance.enter(x) === Verdict.Next) {
        x.detail = `tried again after ${said}${x.detail === detail ? '' : `; ${x.detail}`}`;
        x.upstreamStatus = 0;
        x.at = RESPOND;
        this.#run(x, STAGES.length);
        return true;
      }
    } catch (error) {
      this.#parts.observer.bug('balance', error, x);
    }
    x.detail = `${said}; not tried again, ${x.detail}`;
    x.refusal = null;
    x.retryAfterS = 0;
    x.cell = cell;
    use.release(x);
    use.resume(x, endpoint, tenantPlace);
    return false;
  }

  /** The upstream's answer passes, waits, or is replaced. */
  #judge(x: Exchange): void {
    x.random = this.#parts.prng.uint32();
    const from = this.#parts.tick();
    // Whose time it is: what rules do to an answer is the WAF's.
    const at = x.kept === null ? RESPOND : WAF;
    try {
      const verdict = this.#stages.respond.answered?.(x) ?? Verdict.Next;
      x.stageUs[at] = (x.stageUs[at] ?? 0) + (this.#parts.tick() - from) * 1000;
      if (verdict === Verdict.Next) {
        // What the endpoint said, as if nobody had looked.
        x.at = FORWARD;
        x.wire.pass();
      } else if (verdict === Verdict.Refuse) this.#refuse(x, x.refusal ?? REFUSALS.internal_error, x.detail);
    } catch (error) {
      this.#parts.observer.bug('respond', error, x);
      if (x.live) this.#refuse(x, REFUSALS.internal_error, 'a stage threw');
    }
  }

  #timed(x: Exchange): Verdict {
    const from = this.#parts.tick();
    const at = x.at;
    const verdict = enterStage(this.#stages, x);
    x.stageUs[at] = (x.stageUs[at] ?? 0) + (this.#parts.tick() - from) * 1000;
    return verdict;
  }

  #refuse(x: Exchange, row: RefusalRow, detail: string): void {
    if (x.hedge !== null) this.#hedging.over(x);
    if (x.caching !== null && x.caching.rescue(x, row)) {
      // Answered with what was stored: why it came to that stays in the record.
      x.refusal = null;
      x.detail = detail;
      x.ticket++;
      this.#parts.use.release(x);
      return;
    }
    x.refusal = row;
    x.refusedAt = x.at;
    x.detail = detail;
    x.ticket++;
    this.#parts.use.release(x);
    // Behind respond the wire has all edits of the route.
    if (x.route !== null && x.at <= RESPOND) editEarlyRefusal(x, x.route.respond);
    if (x.route !== null && (x.at >= RESPOND || x.attempts > 0)) editLateRefusal(x, x.route.respond);
    if (x.retryAfterS > 0) x.wire.setAnswerHeader('retry-after', String(x.retryAfterS));
    x.wire.refuse(row, x.id, pageOf(x, row));
  }

  #end(x: Exchange, ending: Ending, aborted: boolean): void {
    if (!x.live) return;
    x.status = ending.status;
    x.bytesIn = ending.bytesIn;
    x.bytesOut = ending.bytesOut;
    x.aborted = aborted;
    if (x.hedge !== null) this.#hedging.over(x);
    this.#parts.use.release(x);
    x.caching?.over(x);
    this.#parts.observer.ended(x);
    if (!x.letGo) x.revision.open--;
    x.end();
    this.#free.push(x);
  }
}
