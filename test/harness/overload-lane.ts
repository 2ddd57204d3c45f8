/**
 * A lane without sockets or clocks: one server, a line of requests in the order in which they became ready, one of upstream answers that goes first, and the real controller that looks at it. Time is
 * counted, not measured, so the same seed gives the same run.
 */
import { Prng } from '../../src/base/prng.ts';
import { Overload } from '../../src/data/overload/overload.ts';
import type { Exchange } from '../../src/data/exchange.ts';
import { Verdict } from '../../src/data/verdict.ts';
import { DEFAULT_CLASS, LaneColumns } from '../../src/snapshot/lane-columns.ts';
import { TestWire, testExchange, testRoute } from './wire.ts';

const EPOCH = 1_800_000_000_000;
/** Looks as `LaneLoadWatch` and the engine's samples have them, ms. */
const LOOK_MS = 100;
const SAMPLE_MS = 20;
/** A sample that has stood in line for so long says that the wait is not shorter (native/transport/src/engine/wait.rs). */
const LATE_MS = 100;
/** Of fewer requests in line than so many, and of more time than so many times what the thread ran, it says nothing. */
const QUEUE_MIN = 8;
const RAN_TIMES = 2;

export interface SimulatedLane {
  /** Time that a request takes of the lane, and one that is turned away, ms. Half as much more or less, evenly. */
  readonly serveMs: number;
  readonly shedMs: number;
  /** The same, when it is turned away unread; absent: all are read. */
  readonly unreadMs?: number;
  /** Of it, what the answer takes. */
  readonly answerShare?: number;
  readonly upstreamMs?: number;
  /** Part of a core that the thread gets. */
  readonly core?: number;
  /** Time, ms, in which the thread does not get its core. */
  readonly stolen?: readonly (readonly [from: number, to: number])[];
  readonly delayTargetMs?: number;
  readonly seed?: number;
}

export interface SimulatedClient {
  /** When it asks first, ms; then after each answer after so many ms more, when it does at all. */
  readonly at: number;
  readonly again?: (random: number) => number;
  /** 0 critical, 1 default, 2 sheddable. */
  readonly class?: number;
  readonly tenant?: string;
}

export interface SimulatedAnswer {
  readonly client: SimulatedClient;
  readonly at: number;
  readonly ms: number;
  readonly served: boolean;
}

const Kind = { Request: 0, Answer: 1, Sample: 2 } as const;

type Kind = (typeof Kind)[keyof typeof Kind];
interface Entry {
  readonly at: number;
  readonly kind: Kind;
  readonly client: SimulatedClient | null;
  /** When it was asked. */
  readonly asked: number;
}

/** Runs for so many ms; what was answered until then. */
export function simulate(lane: SimulatedLane, clients: readonly SimulatedClient[], untilMs: number): SimulatedAnswer[] {
  const prng = new Prng(lane.seed ?? 1);
  const random = (): number => prng.uint32() / 0x1_0000_0000;
  const columns = new LaneColumns(LaneColumns.create());
  const target = lane.delayTargetMs ?? 150;
  const overload = new Overload({ enabled: true, delayTargetMs: target, heapPercent: 90 }, columns, 7);
  if (lane.unreadMs !== undefined) overload.setHighest(DEFAULT_CLASS);
  const line = new Line();
  const answered = new Line();
  const next = (): Entry | null =>
    ((answered.at ?? Number.POSITIVE_INFINITY) <= Math.max(now, line.at ?? 0) ? answered : line).take();
  for (const client of clients) line.add({ at: client.at, kind: Kind.Request, client, asked: client.at });
  const answers: SimulatedAnswer[] = [];
  const answerShare = lane.answerShare ?? 0.15;
  let now = 0;
  let open = 0;
  let least = Number.POSITIVE_INFINITY;
  let lookedAt = 0;
  /** Since when the sample stands in line, and what had been run and begun by then. */
  let stands = { at: 0, ran: 0, begun: 0 };
  let ran = 0;
  let begun = 0;
  /** Turned away unread: of all requests this share, and so many since the last look. */
  const unread = { share: 0, count: 0 };
  const work = (ms: number): void => {
    ran += ms;
    now += ms / (lane.core ?? 1);
  };
  const lineBefore = (): number =>
    begun - stands.begun < QUEUE_MIN ? 0 : Math.min(now - stands.at, RAN_TIMES * (ran - stands.ran));
  const exchanges = [0, 1, 2].map((priority) =>
    testExchange(new TestWire(), {}, { ...testRoute(), priority: { class: priority, header: '' } }),
  );
  line.add({ at: 0, kind: Kind.Sample, client: null, asked: 0 });
  for (let entry = next(); entry !== null && now < untilMs; entry = next()) {
    now = Math.max(now, entry.at);
    for (const [from, to] of lane.stolen ?? []) if (now >= from && now < to) now = to;
    // Timers run between two entries.
    if (now - lookedAt >= LOOK_MS) {
      const standing = lineBefore();
      const waitMs = least < Number.POSITIVE_INFINITY ? least : standing >= LATE_MS ? standing : -1;
      if (waitMs >= 0) {
        overload.look({ now: EPOCH + now, waitMs, open, heap: 0.1, unread: unread.count });
        unread.share = overload.unread;
        unread.count = 0;
        least = Number.POSITIVE_INFINITY;
        lookedAt = now;
      }
    }
    const { client } = entry;
    const spread = 0.5 + random();
    if (client === null) {
      least = Math.min(least, lineBefore());
      const at = Math.max(now, entry.at + SAMPLE_MS);
      stands = { at, ran, begun };
      line.add({ at, kind: Kind.Sample, client: null, asked: at });
      continue;
    }
    let served = true;
    if (entry.kind === Kind.Request) {
      begun++;
      const goesUnread = unread.share > 0 && random() < unread.share;
      const x = exchanges[client.class ?? 1] as Exchange;
      x.now = EPOCH + Math.floor(now);
      x.random = prng.uint32();
      x.clientAddress = '192.0.2.1';
      x.tenant = client.tenant ?? '';
      served = !goesUnread && overload.admit(x) === Verdict.Next;
      if (goesUnread) unread.count++;
      const refusedMs = goesUnread ? (lane.unreadMs ?? lane.shedMs) : lane.shedMs;
      work(spread * (served ? lane.serveMs * (1 - answerShare) : refusedMs));
      if (served) {
        open++;
        answered.add({ at: now + (lane.upstreamMs ?? 2), kind: Kind.Answer, client, asked: entry.asked });
        continue;
      }
    } else {
      open--;
      work(spread * lane.serveMs * answerShare);
    }
    answers.push({ client, at: entry.asked, ms: now - entry.asked, served });
    if (client.again !== undefined) {
      const at = now + client.again(random());
      line.add({ at, kind: Kind.Request, client, asked: at });
    }
  }
  return answers;
}

/** What becomes ready, in order: a binary heap by time; what is ready at the same time stands as it came. */
class Line {
  readonly #heap: { readonly entry: Entry; readonly number: number }[] = [];
  #number = 0;

  /** When the first of it became ready. */
  get at(): number | undefined {
    return this.#heap[0]?.entry.at;
  }

  add(entry: Entry): void {
    const heap = this.#heap;
    const one = { entry, number: this.#number++ };
    let at = heap.length;
    heap.push(one);
    while (at > 0) {
      const up = (at - 1) >> 1;
      const above = heap[up] as typeof one;
      if (!isBefore(one, above)) break;
      heap[at] = above;
      at = up;
    }
    heap[at] = one;
  }

  take(): Entry | null {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (first === undefined || last === undefined) return null;
    if (heap.length === 0) return first.entry;
    let at = 0;
    for (;;) {
      let down = 2 * at + 1;
      if (down >= heap.length) break;
      if (down + 1 < heap.length && isBefore(heap[down + 1] as typeof last, heap[down] as typeof last)) down++;
      const below = heap[down] as typeof last;
      if (!isBefore(below, last)) break;
      heap[at] = below;
      at = down;
    }
    heap[at] = last;
    return first.entry;
  }
}

interface Placed {
  readonly entry: Entry;
  readonly number: number;
}

function isBefore(a: Placed, b: Placed): boolean {
  return a.entry.at < b.entry.at || (a.entry.at === b.entry.at && a.number < b.number);
}
