/**
 * All that main does beside control, put together: names of revisions, the drain of the rings, log, metrics, both listeners.
 *
 *     const admin = new Admin({ instance, version, startedAt, now: Date.now, records, laneColumns, control, logFd: 1 });
 *     admin.learn(snapshot);                       // before the lanes get it
 *     admin.retired(revision);                     // when no lane has a use for it any more
 *     await admin.listen({ probes, admin: { … } }); // from the bootstrap
 *     admin.log.event('info', 'bundle activated', { seq });
 *     await admin.close(2000);                     // after the lanes are closed: reads the last records, writes the log out
 */
import { sharedTick } from '../base/shared-tick.ts';
import type { CachePurge } from '../snapshot/messages.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import { startAdmin } from './admin-server.ts';
import type { SmallServer } from './answer.ts';
import type { ControlView, RolloutActions } from './control-view.ts';
import { Drain } from './drain.ts';
import { LogSink } from './log-sink.ts';
import { Metrics } from './metrics.ts';
import { Names } from './names.ts';
import { Percentiles } from './percentiles.ts';
import { startProbes } from './probe-server.ts';

export interface AdminSetup {
  /** Random of this process, 6 hexadecimal digits. */
  readonly instance: string;
  readonly version: string;
  /** Epoch ms. */
  readonly startedAt: number;
  /** Epoch ms, to show. */
  readonly now: () => number;
  /** Monotonic ms of all threads, to decide by; tests pass their own. */
  readonly tick?: () => number;
  /** From `createRecords()`, one per lane, by lane index. */
  readonly records: readonly SharedArrayBuffer[];
  /** From `LaneColumns.create()`, likewise. */
  readonly laneColumns: readonly SharedArrayBuffer[];
  readonly control: ControlView;
  /** File descriptor of the log: 1 is standard output. Events go there too. */
  readonly logFd: number;
  /** False: requests are not logged; events are. */
  readonly accessLog: boolean;
}

export interface AdminListeners {
  readonly probes: { readonly address: string; readonly port: number };
  readonly admin: {
    readonly address: string;
    readonly port: number;
    readonly token: string | null;
    /** Where the token is from, for what is said of it. */
    readonly tokenFile?: string;
    /** Forgets stored answers in all lanes; how many. */
    readonly purge?: (purge: CachePurge) => Promise<number>;
    readonly rollout?: RolloutActions;
    readonly fault?: (lane: number) => boolean;
  };
}

export class Admin {
  readonly log: LogSink;
  readonly drain: Drain;
  readonly #names = new Names();
  readonly #metrics: Metrics;
  readonly #setup: AdminSetup;
  readonly #tick: () => number;
  readonly #servers: SmallServer[] = [];

  constructor(setup: AdminSetup) {
    this.#setup = setup;
    this.#tick = setup.tick ?? sharedTick;
    const tick = this.#tick;
    const percentiles = new Percentiles(tick());
    this.log = new LogSink({ fd: setup.logFd, now: setup.now });
    this.drain = new Drain({ ...setup, tick, names: this.#names, percentiles, log: setup.accessLog ? this.log : null });
    this.#metrics = new Metrics({ ...setup, drain: this.drain, percentiles, log: this.log });
    this.drain.start();
  }

  /** Main tells of every snapshot before the lanes get it, so that no record names a revision that is unknown. */
  learn(snapshot: Snapshot): void {
    this.#names.learn(snapshot);
  }

  /** No lane uses this revision any more. */
  retired(revision: number): void {
    this.#names.retire(revision);
  }

  /** Opens both listeners; resolves with their ports. Rejects with the mend when one cannot be opened. */
  async listen(listeners: AdminListeners): Promise<{ probes: number; admin: number }> {
    const onError = (error: unknown): void => {
      const stack = error instanceof Error ? error.stack : undefined;
      this.log.event('error', 'a probe or admin request failed', { error: stack ?? String(error) });
    };
    const probes = await opened('probes', listeners.probes, (place) =>
      startProbes({ ...this.#setup, ...place, tick: this.#tick, metrics: this.#metrics, onError }),
    );
    this.#servers.push(probes);
    const admin = await opened('admin', listeners.admin, (place) =>
      startAdmin({ ...this.#setup, ...place, drain: this.drain, names: this.#names, onError }),
    );
    this.#servers.push(admin);
    return { probes: probes.port, admin: admin.port };
  }

  /** Closes both listeners; `listen` may open them again. The log goes on. */
  async unlisten(): Promise<void> {
    await Promise.all(this.#servers.splice(0).map((server) => server.close()));
  }

  /** Reads the last records and writes the log out, at most `flushMs` long. Call it when the lanes are closed. */
  async close(flushMs: number): Promise<void> {
    this.drain.stop();
    this.#metrics.close();
    await this.unlisten();
    await this.log.flush(flushMs);
  }
}

/** What the system says names neither the field nor the mend. */
const MENDS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'something listens there already; end it, or choose another port',
  EADDRNOTAVAIL: 'this machine has no such address; name one that it has, or 0.0.0.0',
  EACCES: 'this user may not listen on that port; choose one from 1024',
};

/** Opens a listener; an error of the system says which field of the bootstrap it is. */
async function opened<P extends { readonly address: string; readonly port: number }>(
  field: 'probes' | 'admin',
  place: P,
  open: (place: P) => Promise<SmallServer>,
): Promise<SmallServer> {
  try {
    return await open(place);
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    const mend = Object.hasOwn(MENDS, code) ? `${MENDS[code]} (${field}.port, ${field}.address; ${code})` : null;
    if (mend === null) throw error;
    throw new Error(`the listener \`${field}\` cannot be opened on ${place.address}:${place.port}: ${mend}`, {
      cause: error,
    });
  }
}
