/**
 * A lane: one thread that serves traffic. It owns its transport, its pipeline and its current revision, and answers main's few messages. Nothing
 * on the request path waits for main.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';
import { assert, present } from '../base/assert.ts';
import { Prng } from '../base/prng.ts';
import { sharedTick } from '../base/shared-tick.ts';
import { openNative } from '../native.ts';
import { EndpointColumns } from '../snapshot/endpoint-columns.ts';
import type { FromLane, LaneSetup, ToLane } from '../snapshot/messages.ts';
import { openRow } from '../snapshot/rivalry-columns.ts';
import type { ListenerPlan, ListenerTls } from '../snapshot/listener-plans.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import { setCountries } from './country.ts';
import { Observe } from './observe.ts';
import { LaneLoadWatch } from './overload/lane-load.ts';
import { Overload } from './overload/overload.ts';
import { highestClass } from './overload/request-class.ts';
import { Pipeline } from './pipeline.ts';
import { REFUSALS } from './refusal.ts';
import { Leaving } from './lane/leaving.ts';
import { type Revision, stillUsed } from './lane/revision.ts';
import { LaneStages } from './lane/stages.ts';
import { transportOf } from './lane/transport.ts';
import { Rival } from './rollout/rival.ts';
import type { Wake } from './stage.ts';
import { CellMembers } from './upstream/cell-members.ts';
import { Bulkheads } from './upstream/bulkheads.ts';
import { EndpointUse } from './upstream/endpoint-use.ts';
import { Retries } from './upstream/retries.ts';
import { RetryBudget } from './upstream/retry-budget.ts';

/** Time between publications of gauges. */
const TICK_MS = 1_000;
/** Between two looks at whether all clients have left. */
const LEAVE_LOOK_MS = 50;

assert(parentPort !== null, 'a lane is a worker thread');
const port = parentPort;
const setup = workerData as LaneSetup;
const say = (message: FromLane): void => port.postMessage(message);

// Once: the global is a getter.
const clock = performance;
/** Monotonic ms with a fraction. */
const tick = (): number => clock.now();

/** Everything that a lane is; no top-level await, for the bundle of the single binary is a script. */
async function start(): Promise<void> {
  const addon = openNative(setup.addonPath);
  const columns = new EndpointColumns(setup.endpointColumns);
  const observer = new Observe({
    laneColumns: setup.laneColumns,
    records: setup.records,
    tick,
    onBug: (report) => say({ kind: 'bug', ...report }),
  });
  const wake: Wake = (x, ticket) => pipeline.wake(x, ticket);
  const { counts } = observer.columns;
  const bulkheads = new Bulkheads(columns, setup.laneIndex, setup.laneCount, setup.seed, counts);
  const use = new EndpointUse(columns, setup.laneIndex, bulkheads);
  const overload = new Overload(setup.overload, observer.columns, setup.seed);
  const stages = new LaneStages({
    setup,
    native: addon,
    columns,
    use,
    overload,
    wake,
    invalidated: (purge) => say({ kind: 'invalidated', purge }),
    mirrored: (route, outcome, difference) => {
      if (observer.mirrored(route, outcome) && difference !== null) say({ kind: 'mirrorDiffers', difference });
    },
    tick,
    askForKeys: (jwksUrl) => say({ kind: 'unknownKid', issuer: jwksUrl }),
  });
  const pipeline = new Pipeline({
    laneIndex: setup.laneIndex,
    instance: setup.instance,
    exchangesMax: setup.exchangesMax,
    seqBefore: observer.seqBefore,
    stages: stages.table,
    observer,
    use,
    retries: new Retries(new RetryBudget(columns, setup.laneIndex, setup.laneCount), counts),
    prng: new Prng(setup.seed + setup.laneIndex),
    now: Date.now,
    tick,
  });
  const maker = await transportOf(setup, addon);
  const transport = await maker({ events: pipeline, laneIndex: setup.laneIndex });
  const load = new LaneLoadWatch(overload, {
    open: () => pipeline.open,
    waitedMs: transport.waitedMs,
    unread: transport.unread,
    turnedAway: (count) => observer.turnedAway(REFUSALS.shed, count),
  });
  /** Revisions that are live, and those with open exchanges. */
  const revisions: Revision[] = [];
  let active: Revision | null = null;
  let rival: Rival | null = null;

  /** Tells control which revisions are still used. A request that lasts holds its own back, not those that came after it. */
  const retire = (): void => {
    const used = stillUsed(revisions, [active, rival?.revision ?? null]);
    if (used.length === revisions.length) return;
    revisions.splice(0, revisions.length, ...used);
    stages.authenticator.retain(new Set(used.flatMap((r) => r.authn.issuers)));
    say({ kind: 'inUse', revisions: used.map((r) => r.snapshot.revision) });
  };
  const leaving = new Leaving(columns, setup.laneIndex);
  const ticking = setInterval(() => {
    retire();
    if (leaving.sweep()) retain();
    stages.wafPool.sweep(Date.now());
    stages.cache.sweep(Date.now());
    observer.tick({
      at: sharedTick(),
      openExchanges: pipeline.open,
      openConnections: transport.openConnections,
      revision: active?.snapshot.revision ?? 0,
      cache: stages.cache.measured(),
      compressed: transport.compressed,
    });
  }, TICK_MS);

  const end = (): void => {
    clearInterval(ticking);
    load.close();
    transport.close();
    stages.close();
    observer.close();
    setup.wafPort.close();
    port.close();
  };

  // Whatever throws outside a stage is a bug. The lane closes its listeners first, for Node aborts the process otherwise; main starts it anew.
  process.on('uncaughtException', (error: unknown) => {
    const known = error instanceof Error ? error : new Error('something that is no Error was thrown', { cause: error });
    say({ kind: 'failed', message: known.message, stack: known.stack ?? '' });
    end();
  });

  /** Connections to endpoints that nobody may choose any more end. */
  const retain = (): void => {
    const endpoints = [...revisions.flatMap((r) => r.members.flatMap((m) => m.endpoints)), ...leaving.endpoints];
    transport.retain(endpoints);
    stages.retain(endpoints);
  };

  /** A snapshot as this lane runs it: what is live already is not opened again, so that a revision that proved itself keeps its instances. */
  const opened = (snapshot: Snapshot): Revision => {
    const known = revisions.find((r) => r.snapshot.revision === snapshot.revision);
    if (known !== undefined) return known;
    const revision = stages.open(snapshot);
    revisions.push(revision);
    retain();
    say({ kind: 'inUse', revisions: revisions.map((r) => r.snapshot.revision) });
    return revision;
  };

  const activate = (snapshot: Snapshot): void => {
    active = opened(snapshot);
    rival = null;
    for (const revision of revisions) revision.row = null;
    pipeline.activate(active);
    overload.setHighest(highestClass(snapshot));
    say({ kind: 'activated', revision: snapshot.revision });
    retire();
  };

  const setMembers = ({ number, revision: its, cell, endpoints }: Extract<ToLane, { kind: 'members' }>): void => {
    const revision = revisions.find((r) => r.snapshot.revision === its);
    const before = revision?.members[cell];
    if (revision !== undefined && before !== undefined) {
      revision.members[cell] = new CellMembers(endpoints, before.plan);
      leaving.left(before.endpoints, endpoints);
      retain();
    }
    say({ kind: 'membersTaken', number });
  };

  /** From now on a share of identities sees this snapshot, the others the active one. */
  const divide = ({ snapshot, share, key, cells }: Extract<ToLane, { kind: 'divide' }>): void => {
    assert(active !== null, 'a share is taken from an active revision');
    if (rival?.revision.snapshot.revision !== snapshot.revision) {
      const revision = opened(snapshot);
      for (const r of revisions) r.row = null;
      for (const [i, r] of [active, revision].entries()) {
        const row = present(observer.columns.rivalry[i], 'a row for each of two revisions');
        openRow(row, r.snapshot.revision);
        r.row = row;
      }
      rival = new Rival({ router: addon, active, revision, key });
    }
    rival.share = share;
    rival.cells = cells;
    pipeline.divide(rival);
    overload.setHighest(Math.min(highestClass(active.snapshot), highestClass(snapshot)));
    say({ kind: 'divided', revision: snapshot.revision, share });
    retire();
  };

  const listen = async (listeners: readonly ListenerPlan[], inherited: readonly number[]): Promise<void> => {
    try {
      const ports: number[] = [];
      for (const [i, listener] of listeners.entries()) ports.push(await transport.listen(listener, inherited[i]));
      say({ kind: 'listening', ports });
    } catch (error) {
      say({ kind: 'listenFailed', message: error instanceof Error ? error.message : String(error) });
    }
  };

  /** Resolves with the exchanges that are still open. With `leave`, also clients that only stay connected get time to go by themselves: with the next answer. */
  const drain = async (deadlineMs: number, leave: boolean): Promise<number> => {
    const until = performance.now() + deadlineMs;
    await transport.drain(deadlineMs);
    if (!leave) return pipeline.open;
    while (transport.openConnections > 0 && performance.now() < until) await sleep(LEAVE_LOOK_MS);
    return pipeline.open;
  };

  const send = (inbox: string): void => {
    try {
      say({ kind: 'sent', sockets: transport.sendListeners(inbox) });
    } catch (error) {
      say({ kind: 'notSent', message: error instanceof Error ? error.message : String(error) });
    }
  };

  const setTls = (listener: string, tls: ListenerTls): void => {
    try {
      transport.setTls(listener, tls);
      say({ kind: 'tlsTaken', listener });
    } catch (error) {
      say({ kind: 'tlsRefused', listener, message: error instanceof Error ? error.message : String(error) });
    }
  };
  /** Certificates that follow a `listen` are for listeners that are there. */
  let listening = Promise.resolve();

  port.on('message', (message: ToLane) => {
    switch (message.kind) {
      case 'activate':
        activate(message.snapshot);
        break;
      case 'divide':
        divide(message);
        break;
      case 'members':
        setMembers(message);
        break;
      case 'listen':
        listening = listen(message.listeners, message.inherited);
        break;
      case 'send':
        void listening.then(() => send(message.inbox));
        break;
      case 'tls':
        void listening.then(() => setTls(message.listener, message.tls));
        break;
      case 'countries':
        setCountries(message.database);
        break;
      case 'keys':
        stages.authenticator.setKeys(message.issuer, message.jwks);
        break;
      case 'purge': {
        const answers = stages.cache.purge(message.purge);
        if (message.number !== null) say({ kind: 'purged', number: message.number, answers });
        break;
      }
      case 'drain':
        void drain(message.deadlineMs, message.leave).then((open) => say({ kind: 'drained', open }));
        break;
      case 'close':
        end();
        break;
      case 'fault':
        setImmediate(() => {
          throw new Error('a fault was asked for');
        });
        break;
    }
  });
}

void start();
