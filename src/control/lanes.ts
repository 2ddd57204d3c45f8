/**
 * The lanes as main sees them: started, given snapshots and keys, drained, restarted when one dies. A lane that keeps dying, or hangs, ends the
 * process with a clear code: an orchestrator restarts it, and a half-dead gateway helps nobody.
 */
import { availableParallelism } from 'node:os';
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads';
import { present } from '../base/assert.ts';
import type { EndpointColumns } from '../snapshot/endpoint-columns.ts';
import type { CachePurge, FromLane, LaneSetup, ToLane } from '../snapshot/messages.ts';
import type { MirrorDifference } from '../snapshot/mirror.ts';
import type { ListenerPlan, ListenerTls } from '../snapshot/listener-plans.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import { UnfitTls } from './certificates/files.ts';
import type { CellChange } from './discovery/membership.ts';

/**
 * Young generation of a lane's heap: what a request allocates is garbage when the next one comes, so a larger one only keeps more of it in memory. Unit: MB
 * (three semi-spaces).
 */
const LANE_YOUNG_MB = 12;
/** Restarts of one lane within `RESTART_WINDOW_MS` before the process gives up. */
export const RESTARTS_MAX = 5;
export const RESTART_WINDOW_MS = 60_000;
/** Exit code of a process whose lanes cannot be kept alive (EX_SOFTWARE). */
export const EXIT_LANES = 70;
/** Longest time for a lane to say that it activated or listens. */
const ANSWER_MS = 30_000;

/** What is the same for every start of a lane. */
export type LaneBase = Omit<LaneSetup, 'kind' | 'laneIndex' | 'wafPort' | 'laneColumns' | 'records'>;

export interface LanesParts {
  readonly base: LaneBase;
  /** Columns and records of each lane; they outlive a lane's death. */
  readonly memory: readonly { readonly laneColumns: SharedArrayBuffer; readonly records: SharedArrayBuffer }[];
  readonly entry: URL;
  readonly columns: EndpointColumns;
  /** Gets the port on which a lane sends WAF batches. */
  readonly onWafPort: (port: MessagePort, lane: number) => void;
  readonly onUnknownKid: (issuer: string) => void;
  /** Some revision is used less than before. The answer: does no lane use it, or will? */
  readonly onRetired: (unused: (revision: number) => boolean) => void;
  /** A stage threw. */
  readonly onBug: (lane: number, bug: Extract<FromLane, { kind: 'bug' }>) => void;
  /** A lane died; it is being restarted, unless all of them drain. */
  readonly onLaneFailed: (lane: number, message: string, stack: string, restarted: boolean) => void;
  /** The answers of a request and of its copy differ. */
  readonly onMirrorDiffers: (difference: MirrorDifference) => void;
  /** A lane has forgotten stored answers because a request changed something; the others have not. */
  readonly onInvalidated: (purge: CachePurge, lane: number) => void;
  /** The process must end. */
  readonly onFatal: (message: string, code: number) => void;
}

interface Lane {
  readonly index: number;
  worker: Worker;
  exited: Promise<void>;
  state: 'starting' | 'serving' | 'draining' | 'dead';
  restarts: number[];
  revision: number;
  /** Revision that a share of its requests sees; 0 = none. */
  rival: number;
  /** It was told to listen. */
  listens: boolean;
  /** Live there, or of exchanges that are open there. */
  inUse: readonly number[];
}

type Waiter = {
  readonly lane: number;
  readonly matches: (m: FromLane) => boolean;
  /** The lane that is started in the place of one that died is told the same: its answer counts. */
  readonly ofNext: boolean;
  /** Null: the lane died before it answered. */
  readonly done: (m: FromLane | null) => void;
};

/** A snapshot that a share of identities sees besides the active one. */
export type Division = Omit<Extract<ToLane, { readonly kind: 'divide' }>, 'kind'>;

/** Lanes for a configured count; 0 = one per core. */
export function laneCountOf(configured: number): number {
  return configured === 0 ? availableParallelism() : configured;
}

/** What the lanes were given last; 0 = none. */
export interface Live {
  readonly active: number;
  readonly rival: number;
}

/** True when no lane has a revision or may still be given it: all have answered to what they were given last, which it is not, and none has an exchange of it. */
export function usedNowhere(
  lanes: readonly Pick<Lane, 'revision' | 'rival' | 'inUse'>[],
  live: Live,
  revision: number,
): boolean {
  if (revision === live.active || revision === live.rival) return false;
  return lanes.every(
    (lane) => lane.revision === live.active && lane.rival === live.rival && !lane.inUse.includes(revision),
  );
}

/** Those of the last minute; a clock that was set back forgets none of it. */
export function recent(restarts: readonly number[], now: number): number[] {
  return restarts.filter((at) => now - at < RESTART_WINDOW_MS);
}

/** Of so many inherited sockets of each listener, those that one lane takes: all are taken, as evenly as can be. */
export function sharesOf(inherited: readonly number[], lane: number, laneCount: number): number[] {
  return inherited.map((count) => Math.floor(count / laneCount) + (lane < count % laneCount ? 1 : 0));
}

export class Lanes {
  readonly #parts: LanesParts;
  readonly #lanes: Lane[] = [];
  readonly #waiters = new Set<Waiter>();
  #snapshot: Snapshot | null = null;
  /** What a share of identities sees. */
  #division: Division | null = null;
  #listeners: readonly ListenerPlan[] = [];
  readonly #keys = new Map<string, string>();
  /** None is started anew, and none listens any more. */
  #closing = false;
  /** All were told to end. */
  #closed = false;
  #purges = 0;
  #memberChanges = 0;
  #countries: SharedArrayBuffer | null = null;

  constructor(parts: LanesParts) {
    this.#parts = parts;
    for (let i = 0; i < parts.base.laneCount; i++) this.#lanes.push(this.#spawn(i, []));
  }

  get count(): number {
    return this.#lanes.length;
  }

  /** State and revision of each lane, for the status page. */
  status(): readonly { lane: number; state: string; revision: number; restarts: number }[] {
    const now = Date.now();
    return this.#lanes.map((l) => ({
      lane: l.index,
      state: l.state,
      revision: l.revision,
      restarts: recent(l.restarts, now).length,
    }));
  }

  /** Gives every lane the snapshot; resolves when all serve it. When it rejects, all are given again what they had. */
  async activate(snapshot: Snapshot): Promise<void> {
    await this.#change(snapshot, null, (lane) =>
      this.#ask(
        lane,
        { kind: 'activate', snapshot },
        (m) => m.kind === 'activated' && m.revision === snapshot.revision,
        // A bundle that lanes die of is not one that they serve.
        { ofNext: true },
      ),
    );
  }

  /** What one lane has not taken none keeps: whoever asked believes that nothing has changed. A lane that is only late comes to the former one in its turn. */
  async #change(
    snapshot: Snapshot | null,
    division: Division | null,
    ask: (lane: Lane) => Promise<unknown>,
  ): Promise<void> {
    const former = { snapshot: this.#snapshot, division: this.#division };
    this.#snapshot = snapshot;
    this.#division = division;
    try {
      await Promise.all(this.#lanes.map(ask));
    } catch (error) {
      // Without a former one there is nothing that they could go back to.
      if (former.snapshot !== null) {
        this.#snapshot = former.snapshot;
        this.#division = former.division;
        for (const lane of this.#lanes) {
          this.#post(lane, { kind: 'activate', snapshot: former.snapshot });
          if (former.division !== null) this.#post(lane, { kind: 'divide', ...former.division });
        }
      }
      throw error;
    }
  }

  /** Gives every lane other endpoints of some cells of a live snapshot, `snapshot` with all of them; resolves when no lane chooses from the former ones any more. */
  async members(snapshot: Snapshot, changes: readonly Pick<CellChange, 'cell' | 'endpoints'>[]): Promise<void> {
    if (this.#snapshot?.revision === snapshot.revision) this.#snapshot = snapshot;
    if (this.#division?.snapshot.revision === snapshot.revision) this.#division = { ...this.#division, snapshot };
    await Promise.all(
      this.#lanes.flatMap((lane) =>
        changes.map(async ({ cell, endpoints }) => {
          const number = ++this.#memberChanges;
          await this.#ask(
            lane,
            { kind: 'members', number, revision: snapshot.revision, cell, endpoints },
            (m) => m.kind === 'membersTaken' && m.number === number,
          );
        }),
      ),
    );
  }

  /** Lets a share of identities see another snapshot than the active one; resolves when it is so in all lanes, rejects as `activate` does, which ends it. */
  async divide(division: Division): Promise<void> {
    await this.#change(this.#snapshot, division, (lane) => this.#divideIn(lane, division, true));
  }

  async #divideIn(lane: Lane, division: Division, ofNext: boolean): Promise<void> {
    const { snapshot, share } = division;
    await this.#ask(
      lane,
      { kind: 'divide', ...division },
      (m) => m.kind === 'divided' && m.revision === snapshot.revision && m.share === share,
      { ofNext },
    );
  }

  /**
   * Opens the listeners: the first lane finds free ports where 0 was asked for, the others share them. Returns the ports. Of a listener with `inherited` sockets each
   * lane takes its share, and opens one of its own when there are fewer sockets than lanes.
   */
  async listen(listeners: readonly ListenerPlan[], inherited: readonly number[] = []): Promise<readonly number[]> {
    const [first, ...others] = this.#lanes;
    if (first === undefined) return [];
    const share = (lane: Lane): number[] => sharesOf(inherited, lane.index, this.#lanes.length);
    const ports = await this.#listenIn(first, listeners, share(first));
    this.#listeners = listeners.map((l, i) => ({ ...l, port: ports[i] ?? l.port }));
    await Promise.all(others.map((lane) => this.#listenIn(lane, this.#listeners, share(lane))));
    return ports;
  }

  async #listenIn(
    lane: Lane,
    listeners: readonly ListenerPlan[],
    inherited: readonly number[] = [],
  ): Promise<readonly number[]> {
    lane.listens = true;
    const answer = await this.#ask(
      lane,
      { kind: 'listen', listeners, inherited },
      (m) => m.kind === 'listening' || m.kind === 'listenFailed',
    );
    if (answer?.kind === 'listenFailed') throw new Error(answer.message);
    if (answer?.kind !== 'listening') throw new Error(`lane ${lane.index} died before it listened`);
    lane.state = 'serving';
    return answer.ports;
  }

  /** Sends copies of all listening sockets to another process's inbox; how many. Everything goes on as it was, also when it rejects. */
  async send(inbox: string): Promise<number> {
    const sent = await Promise.all(
      this.#lanes.map(async (lane) => {
        const m = await this.#ask(lane, { kind: 'send', inbox }, (x) => x.kind === 'sent' || x.kind === 'notSent');
        if (m?.kind === 'notSent') throw new Error(m.message);
        if (m?.kind !== 'sent') throw new Error(`lane ${lane.index} died before it sent its sockets`);
        return m.sockets;
      }),
    );
    return sent.reduce((a, b) => a + b, 0);
  }

  /**
   * Other certificates for new connections of a listener. The first lane tries them: rejects with UnfitTls when it cannot use them, and no lane has them then. A lane that
   * starts anew gets them too. Rejects with another Error when a lane died or was late: then some may have them.
   */
  async setTls(listener: string, tls: ListenerTls): Promise<void> {
    const listening = (): Lane[] => this.#lanes.filter((lane) => lane.listens && lane.state !== 'dead');
    const [first] = listening();
    if (first !== undefined && !(await this.#tlsIn(first, listener, tls)))
      throw new Error(`lane ${first.index} died before it had tried them`);
    this.#listeners = this.#listeners.map((l) => (l.id === listener ? { ...l, tls } : l));
    // Chosen now: one that was started anew meanwhile has begun to listen with the former ones.
    const others = listening().filter((lane) => lane !== first);
    await Promise.all(others.map((lane) => this.#tlsIn(lane, listener, tls)));
  }

  /** False: the lane died. */
  async #tlsIn(lane: Lane, listener: string, tls: ListenerTls): Promise<boolean> {
    const answer = await this.#ask(
      lane,
      { kind: 'tls', listener, tls },
      (m) => (m.kind === 'tlsTaken' || m.kind === 'tlsRefused') && m.listener === listener,
    );
    if (answer?.kind === 'tlsRefused') throw new UnfitTls(answer.message);
    return answer !== null;
  }

  /** New keys of a remote issuer. */
  publishKeys(issuer: string, jwks: string): void {
    this.#keys.set(issuer, jwks);
    for (const lane of this.#lanes) this.#post(lane, { kind: 'keys', issuer, jwks });
  }

  /** Another database of countries. */
  publishCountries(database: SharedArrayBuffer): void {
    this.#countries = database;
    for (const lane of this.#lanes) this.#post(lane, { kind: 'countries', database });
  }

  /** Forgets stored answers in every lane; how many. Rejects when a lane does not say that it has. */
  async purge(purge: CachePurge): Promise<number> {
    const number = ++this.#purges;
    const answers = await Promise.all(
      this.#lanes
        // A lane that starts has stored nothing.
        .filter((lane) => lane.state === 'serving' || lane.state === 'draining')
        .map(async (lane) => {
          const m = await this.#ask(
            lane,
            { kind: 'purge', purge, number },
            (x) => x.kind === 'purged' && x.number === number,
          );
          return m?.kind === 'purged' ? m.answers : 0;
        }),
    );
    return answers.reduce((a, b) => a + b, 0);
  }

  /** The same in all lanes but one, without waiting. */
  forget(purge: CachePurge, except: number): void {
    for (const lane of this.#lanes) if (lane.index !== except) this.#post(lane, { kind: 'purge', purge, number: null });
  }

  /** Stops accepting in every lane and waits for open exchanges, and for open connections if they are to leave by themselves; at most `deadlineMs`. Returns how many were still open. */
  async drain(deadlineMs: number, leave = false): Promise<number> {
    this.#closing = true;
    const open = await Promise.all(
      this.#lanes.map(async (lane) => {
        if (lane.state === 'dead') return 0;
        lane.state = 'draining';
        const m = await this.#ask(lane, { kind: 'drain', deadlineMs, leave }, (x) => x.kind === 'drained', {
          withinMs: deadlineMs + ANSWER_MS,
        });
        return m?.kind === 'drained' ? m.open : 0;
      }),
    );
    return open.reduce((a, b) => a + b, 0);
  }

  /** Ends all lanes; main may exit only after this (a lane must close its listeners itself). */
  async close(): Promise<void> {
    this.#closing = true;
    this.#closed = true;
    for (const lane of this.#lanes) this.#post(lane, { kind: 'close' });
    await Promise.all(this.#lanes.map((lane) => lane.exited));
  }

  /** Test only: makes a lane throw outside every stage. */
  fault(index: number): boolean {
    const lane = this.#lanes[index];
    if (lane === undefined) return false;
    this.#post(lane, { kind: 'fault' });
    return true;
  }

  #spawn(index: number, restarts: number[]): Lane {
    const { port1, port2 } = new MessageChannel();
    this.#parts.onWafPort(port1, index);
    const memory = present(this.#parts.memory[index], 'memory of the lane');
    const setup: LaneSetup = { ...this.#parts.base, ...memory, kind: 'lane', laneIndex: index, wafPort: port2 };
    const worker = new Worker(this.#parts.entry, {
      workerData: setup,
      transferList: [port2],
      name: `lane-${index}`,
      resourceLimits: { maxYoungGenerationSizeMb: LANE_YOUNG_MB },
    });
    const lane: Lane = {
      index,
      worker,
      exited: Promise.resolve(),
      state: 'starting',
      restarts,
      revision: 0,
      rival: 0,
      listens: false,
      inUse: [],
    };
    let failure: { message: string; stack: string } | null = null;
    worker.on('message', (m: FromLane) => {
      if (m.kind === 'unknownKid') this.#parts.onUnknownKid(m.issuer);
      else if (m.kind === 'failed') failure = m;
      else if (m.kind === 'activated') {
        lane.revision = m.revision;
        lane.rival = 0;
        this.#retired();
      } else if (m.kind === 'divided') lane.rival = m.revision;
      else if (m.kind === 'bug') this.#parts.onBug(index, m);
      else if (m.kind === 'mirrorDiffers') this.#parts.onMirrorDiffers(m.difference);
      else if (m.kind === 'invalidated') this.#parts.onInvalidated(m.purge, index);
      else if (m.kind === 'inUse') {
        lane.inUse = m.revisions;
        this.#retired();
      }
      for (const w of this.#waiters) {
        if (w.lane !== index || !w.matches(m)) continue;
        this.#waiters.delete(w);
        w.done(m);
      }
    });
    worker.on('error', (error) => {
      failure ??= { message: error.message, stack: error.stack ?? '' };
    });
    lane.exited = new Promise((resolve) => {
      worker.on('exit', (code) => {
        port1.close();
        lane.state = 'dead';
        this.#parts.columns.forgetLane(index);
        if (!this.#closed)
          this.#died(lane, failure ?? { message: `lane ${index} exited with code ${code}`, stack: '' });
        for (const w of this.#waiters) {
          if (w.lane !== index || (w.ofNext && !this.#closing)) continue;
          this.#waiters.delete(w);
          w.done(null);
        }
        resolve();
      });
    });
    return lane;
  }

  #retired(): void {
    const live = { active: this.#snapshot?.revision ?? 0, rival: this.#division?.snapshot.revision ?? 0 };
    this.#parts.onRetired((revision) => usedNowhere(this.#lanes, live, revision));
  }

  #died(lane: Lane, why: { message: string; stack: string }): void {
    this.#parts.onLaneFailed(lane.index, why.message, why.stack, !this.#closing);
    if (this.#closing) return;
    const now = Date.now();
    const restarts = [...recent(lane.restarts, now), now];
    if (restarts.length > RESTARTS_MAX) {
      this.#parts.onFatal(
        `lane ${lane.index} died ${restarts.length} times within ${RESTART_WINDOW_MS / 1000} s: ${why.message}`,
        EXIT_LANES,
      );
      return;
    }
    const next = this.#spawn(lane.index, restarts);
    this.#lanes[lane.index] = next;
    this.#revive(next).catch((error: unknown) => {
      // One that dies again has the next one in its place already.
      if (next.state === 'dead' || this.#closing) return;
      this.#parts.onFatal(
        `lane ${lane.index} cannot be restarted: ${error instanceof Error ? error.message : String(error)}`,
        EXIT_LANES,
      );
    });
  }

  async #revive(lane: Lane): Promise<void> {
    const snapshot = this.#snapshot;
    if (snapshot === null) return;
    for (const [issuer, jwks] of this.#keys) this.#post(lane, { kind: 'keys', issuer, jwks });
    if (this.#countries !== null) this.#post(lane, { kind: 'countries', database: this.#countries });
    await this.#ask(lane, { kind: 'activate', snapshot }, (m) => m.kind === 'activated');
    if (this.#division !== null) await this.#divideIn(lane, this.#division, false);
    // Nobody begins to listen while the others drain.
    if (this.#listeners.length > 0 && !this.#closing) await this.#listenIn(lane, this.#listeners);
  }

  #post(lane: Lane, message: ToLane): void {
    if (lane.state !== 'dead') lane.worker.postMessage(message);
  }

  /** Null: the lane died before it answered. The one that is started in its place is given all that lanes have before it listens. */
  #ask(
    lane: Lane,
    message: ToLane,
    matches: (m: FromLane) => boolean,
    { withinMs = ANSWER_MS, ofNext = false } = {},
  ): Promise<FromLane | null> {
    return new Promise((resolve, reject) => {
      if (lane.state === 'dead') {
        resolve(null);
        return;
      }
      const waiter: Waiter = {
        lane: lane.index,
        matches,
        ofNext,
        done: (m) => {
          clearTimeout(timer);
          resolve(m);
        },
      };
      const timer = setTimeout(() => {
        this.#waiters.delete(waiter);
        reject(new Error(`lane ${lane.index} did not answer "${message.kind}" within ${withinMs} ms`));
      }, withinMs);
      this.#waiters.add(waiter);
      this.#post(lane, message);
    });
  }
}
