/**
 * Reads the lanes' rings in main: percentiles from every record, a log line from every refused one and from the sampled share of the rest. Bounded per
 * turn of the loop, so that main stays able to answer; when lanes write faster than main reads, records are lost and counted.
 */
import { PolicyOutcome } from '../data/exchange.ts';
import { Read, RecordCopy, type RecordGlance, RecordReader, noGlance } from '../snapshot/record-reader.ts';
import { Int, RecordFlag } from '../snapshot/records.ts';
import { accountOf, parseRequestId } from './account.ts';
import type { Account } from './account.ts';
import type { LogSink } from './log-sink.ts';
import type { Names } from './names.ts';
import type { Percentiles } from './percentiles.ts';

/** Longest and shortest time between two looks at the rings. */
export const DRAIN_INTERVAL_MS = 100;
export const DRAIN_INTERVAL_MIN_MS = 2;
/**
 * Records that a look shall find: reading them takes main about a tenth of a millisecond, which requests wait for where main and lane share a core. What was due in 10 ms of a busy lane
 * was most of what a hundredth of its requests waited for.
 */
const LOOK_RECORDS = 64;
/**
 * Lines of requests in one second at most, refused and answered each: a line costs main about 8 µs, and at full load the lanes need the processor more than
 * the log does. What is beyond is counted.
 */
export const LOG_LINES_PER_SECOND_MAX = 5000;
/** Records of one lane that are read before the loop gets its turn. */
export const DRAIN_RECORDS_MAX = 1024;

export interface DrainParts {
  /** Random of this process, 6 hexadecimal digits. */
  readonly instance: string;
  /** One ring per lane, by lane index. */
  readonly records: readonly SharedArrayBuffer[];
  readonly names: Names;
  readonly percentiles: Percentiles;
  /** Null: no access log. */
  readonly log: LogSink | null;
  /** Monotonic ms. */
  readonly tick: () => number;
}

/** Lines that may still be written in the running second. */
interface Allowance {
  second: number;
  answered: number;
  refused: number;
}

/** A lane's ring and how far it was read. */
interface Tap {
  readonly reader: RecordReader;
  position: number;
  read: number;
  lost: number;
}

export class Drain {
  readonly #parts: DrainParts;
  readonly #taps: readonly Tap[];
  readonly #copy = new RecordCopy();
  readonly #seen = noGlance();
  /** For look-ups, which may come between two turns. */
  readonly #found = new RecordCopy();
  readonly #allowance: Allowance = { second: Number.NaN, answered: 0, refused: 0 };
  /** Lines that were due and not written, as there were too many in one second. */
  skipped = 0;
  /** Until the next look. */
  #waitMs = DRAIN_INTERVAL_MS;
  #timer: NodeJS.Timeout | null = null;
  #again: NodeJS.Immediate | null = null;

  constructor(parts: DrainParts) {
    this.#parts = parts;
    this.#taps = parts.records.map((memory) => {
      const reader = new RecordReader(memory);
      return { reader, position: reader.oldest, read: 0, lost: 0 };
    });
  }

  start(): void {
    this.#timer ??= setTimeout(() => this.#turns(), DRAIN_INTERVAL_MS);
  }

  /** Reads what is left and stops. */
  stop(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    if (this.#again !== null) clearImmediate(this.#again);
    this.#timer = null;
    this.#again = null;
    // Nobody writes any more when the lanes are closed; a lane that still does is left behind after one ring's worth.
    const turnsMax = Math.ceil(Math.max(...this.#taps.map((t) => t.reader.slots), 1) / DRAIN_RECORDS_MAX) + 1;
    for (let i = 0; i < turnsMax && this.turn(); i++);
  }

  /** Records that were overwritten before they were read. */
  lost(lane: number): number {
    return this.#taps[lane]?.lost ?? 0;
  }

  read(lane: number): number {
    return this.#taps[lane]?.read ?? 0;
  }

  /** Is it an id of this process? */
  mayKnow(id: string): boolean {
    const place = parseRequestId(id);
    return place !== null && place.instance === this.#parts.instance && place.lane < this.#taps.length;
  }

  /** Why was this request answered so? Null: not of this process, still running, or its record is overwritten. */
  explain(id: string): Account | null {
    const place = parseRequestId(id);
    if (place === null || place.instance !== this.#parts.instance) return null;
    const tap = this.#taps[place.lane];
    if (tap === undefined || !tap.reader.find(place.seq, this.#found)) return null;
    return this.#account(this.#found, place.lane);
  }

  /** One bounded turn through all lanes. True: at least one lane has more. */
  turn(): boolean {
    let more = false;
    this.#renew();
    for (const [lane, tap] of this.#taps.entries()) more = this.#tap(tap, lane) || more;
    this.#parts.percentiles.advance(this.#parts.tick());
    return more;
  }

  #renew(): void {
    const second = Math.floor(this.#parts.tick() / 1000);
    if (second === this.#allowance.second) return;
    this.#allowance.second = second;
    this.#allowance.answered = LOG_LINES_PER_SECOND_MAX;
    this.#allowance.refused = LOG_LINES_PER_SECOND_MAX;
  }

  #turns(): void {
    const before = this.#allRead;
    const again = (): void => {
      if (this.turn()) {
        this.#again = setImmediate(again);
        return;
      }
      this.#again = null;
      this.#waitMs = nextWaitMs(this.#waitMs, this.#allRead - before);
      this.#timer = setTimeout(() => this.#turns(), this.#waitMs);
    };
    again();
  }

  get #allRead(): number {
    return this.#taps.reduce((sum, tap) => sum + tap.read, 0);
  }

  #tap(tap: Tap, lane: number): boolean {
    const { reader } = tap;
    const seen = this.#seen;
    const copy = this.#copy;
    for (let i = 0; i < DRAIN_RECORDS_MAX; i++) {
      const glanced = reader.glance(tap.position, seen);
      if (glanced === Read.Ahead) return false;
      const logged = glanced === Read.Ok && this.#isLogged(seen);
      // All of it only for a line: most are measured and no more.
      const outcome = logged ? reader.read(tap.position, copy) : glanced;
      if (outcome === Read.Ok) {
        tap.read++;
        tap.position = (tap.position + 1) >>> 0;
        this.#measure(seen);
        if (logged) this.#parts.log?.write(`{"kind":"request",${JSON.stringify(this.#account(copy, lane)).slice(1)}`);
        continue;
      }
      // Overwritten: on to the oldest that is left. Torn though not old: its lane died while it wrote, and one record is lost.
      const next = outcome === Read.Gone ? reader.oldest : (tap.position + 1) >>> 0;
      tap.lost += (next - tap.position) >>> 0;
      tap.position = next;
    }
    return true;
  }

  #measure(r: RecordGlance): void {
    const { percentiles } = this.#parts;
    percentiles.record('request', r.totalUs);
    if (r.upstreamStatus !== 0) percentiles.record('upstream', r.upstreamUs);
    if (r.waf !== 0 && r.wafUs > 0) percentiles.record('waf', r.wafUs);
    const policy = r.policyOutcome;
    if (policy === PolicyOutcome.None) return;
    percentiles.decided(policy === PolicyOutcome.Denied || policy === PolicyOutcome.DeniedCached);
    const evaluated = policy !== PolicyOutcome.AllowedCached && policy !== PolicyOutcome.DeniedCached;
    if (evaluated) percentiles.record('policy', r.policyUs);
  }

  /** Whether it gets a line, of those that the running second may still have. */
  #isLogged(r: RecordGlance): boolean {
    const { log, names } = this.#parts;
    if (log === null) return false;
    const kind = r.refusal < 0 ? 'answered' : 'refused';
    // What the WAF has found and let pass is what exclusions are made from, so it is logged as refusals are.
    const found = (r.flags & RecordFlag.Found) !== 0;
    // Of a revision that is not known, nobody knows that any of it may be logged.
    if (kind === 'answered' && !found && !sampled(r.seq, names.of(r.revision)?.accessLogSample ?? 0)) return false;
    if (this.#allowance[kind]-- > 0) return true;
    this.skipped++;
    return false;
  }

  #account(r: RecordCopy, lane: number): Account {
    return accountOf(r, this.#parts.names.of(r.int(Int.Revision)), this.#parts.instance, lane);
  }
}

/** As long as the next LOOK_RECORDS will take, if they come as those did that were found after `waitMs`. */
export function nextWaitMs(waitMs: number, found: number): number {
  const due = Math.floor((waitMs * LOOK_RECORDS) / Math.max(found, 1));
  return Math.max(DRAIN_INTERVAL_MIN_MS, Math.min(due, DRAIN_INTERVAL_MS));
}

/** Chance by the sequence number alone: the same request is logged or not however often it is asked. The finaliser of MurmurHash3 spreads neighbours. */
export function sampled(seq: number, share: number): boolean {
  let h = seq >>> 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return ((h ^ (h >>> 16)) >>> 0) / 0x1_0000_0000 < share;
}
