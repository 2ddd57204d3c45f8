/**
 * The whole of main: pull → verify → compile → activate → keep, the lanes that serve, the listeners that show. What runs goes on whatever happens to the
 * source: stale configuration is safe.
 */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Admin } from '../admin/admin.ts';
import { workerEntry } from '../base/worker-entry.ts';
import type { BootstrapConfig } from '../config/bootstrap.ts';
import { type Addon, openNative } from '../native.ts';
import { EndpointColumns } from '../snapshot/endpoint-columns.ts';
import { ModeWord } from '../snapshot/mode.ts';
import { LaneColumns } from '../snapshot/lane-columns.ts';
import { createRecords } from '../snapshot/records.ts';
import type { ListenerTls } from '../snapshot/listener-plans.ts';
import { acceptanceBy } from './acceptance.ts';
import { Activator } from './activator.ts';
import { Journal } from './audit/journal.ts';
import { gatewayOf } from './channel/gateway-of.ts';
import { CertificateWatch } from './certificates/watch.ts';
import { Degradation } from './degradation/degradation.ts';
import { seenBy } from './degradation/seen.ts';
import { Discovery } from './discovery/discovery.ts';
import { CountryWatch } from './geo/country-watch.ts';
import { type FaultEvent, FaultWatch } from './health/faults.ts';
import type { GatewayParts } from './gateway-parts.ts';
import { Health } from './health/health.ts';
import { Prober } from './health/prober.ts';
import { EndpointSlots } from './health/slots.ts';
import { StateClaim } from './hand-over/claim.ts';
import { HandOverOffer } from './hand-over/offer.ts';
import { TakeOver } from './hand-over/take-over.ts';
import { refuseTaken } from './taken-port.ts';
import { JwksFetcher } from './jwks.ts';
import { MirrorDifferences } from './mirror-differences.ts';
import { laneCountOf, Lanes } from './lanes.ts';
import { listenerPlan } from './listener-plan.ts';
import { rolloutActions } from './rollout/actions.ts';
import { Rollout } from './rollout/rollout.ts';
import { unionOf } from './rollout/union.ts';
import { Scaling } from './scaling/scaling.ts';
import { BundleSupply } from './supply.ts';
import { GATEWAY_VERSION } from './trust/gateway.ts';
import { prepareTrust } from './trust/policy.ts';
import type { VerifiedBundle } from './trust/verify.ts';
import { GatewayView, type Viewed } from './view.ts';
import { WafPool } from './waf/pool.ts';

/** Exit code when the bootstrap cannot be used. */
const EXIT_CONFIG = 1;
/** At the end: time for the last log lines. */
const LOG_FLUSH_MS = 2_000;
/** After a hand-over the ports for probes and operators are free at once. After so many tries it is told that they are not. */
const SHOW_TRIES_UNTOLD = 50;
const SHOW_PAUSE_MS = 100;

export class Gateway {
  readonly admin: Admin;
  readonly #parts: GatewayParts;
  readonly #native: Addon;
  readonly #supply: BundleSupply;
  readonly #rollout: Rollout;
  readonly #journal: Journal;
  readonly #columns: EndpointColumns;
  readonly #lanes: Lanes;
  readonly #pool: WafPool;
  readonly #activator: Activator;
  readonly #jwks: JwksFetcher;
  readonly #health: Health;
  readonly #faults: FaultWatch;
  readonly #prober: Prober;
  readonly #certificates: CertificateWatch;
  readonly #degradation: Degradation;
  readonly #scaling: Scaling;
  readonly #mirrors = new MirrorDifferences();
  readonly #discovery: Discovery;
  readonly #countries: CountryWatch;
  /** TLS of the listeners, by id. */
  #tls: ReadonlyMap<string, ListenerTls> = new Map();
  #state: 'starting' | 'serving' = 'starting';
  /** From the begin of `stop` on. */
  #stopping = false;
  #booting: Promise<void> = Promise.resolve();
  /** The listeners for probes and operators are being opened. */
  #showing: Promise<void> = Promise.resolve();
  #listening = false;
  /** For the process that follows this one. */
  #offer: HandOverOffer | null = null;
  /** The process before this one, while it still serves. */
  #former: TakeOver | null = null;
  /** On the state directory. */
  #claim: StateClaim | null = null;

  constructor(parts: GatewayParts) {
    this.#parts = parts;
    const { bootstrap, addonPath } = parts;
    const native = openNative(addonPath);
    this.#native = native;
    native.limitsInit(bootstrap.limitBuckets);
    const laneCount = laneCountOf(bootstrap.lanes);
    const memory = Array.from({ length: laneCount }, () => ({
      laneColumns: LaneColumns.create(),
      records: createRecords(bootstrap.recordSlots),
    }));
    const endpointColumns = EndpointColumns.create();
    this.#columns = new EndpointColumns(endpointColumns);
    const modeMemory = ModeWord.create();
    const instance = randomBytes(3).toString('hex');
    this.admin = new Admin({
      instance,
      version: GATEWAY_VERSION,
      startedAt: Date.now(),
      now: Date.now,
      records: memory.map((m) => m.records),
      laneColumns: memory.map((m) => m.laneColumns),
      control: new GatewayView(() => this.#viewed()),
      logFd: 1,
      accessLog: bootstrap.accessLog === 'stdout',
    });
    const log = this.admin.log;
    this.#journal = new Journal({
      stateDir: bootstrap.stateDir,
      log: (level, message, fields) => log.event(level, message, fields),
      receivers: parts.receivers,
      gateway: gatewayOf(bootstrap).id,
      now: Date.now,
    });
    const { event } = this.#journal;
    this.#rollout = new Rollout({
      config: bootstrap.rollout,
      hashKey: parts.hashKey,
      laneColumns: memory.map((m) => m.laneColumns),
      divide: async (bundle, shown, signal) => {
        const snapshot = await this.#activator.divide(bundle, shown, signal);
        this.#follow();
        return snapshot;
      },
      share: (shown) => this.#activator.share(shown),
      decide: async (forCandidate) => {
        const snapshot = await this.#activator.decide(forCandidate);
        this.#follow();
        return snapshot;
      },
      active: () => this.#activator.active,
      ended: (end) => this.#supply.ended(end),
      event,
      now: Date.now,
      tick: () => performance.now(),
    });
    this.#supply = new BundleSupply({
      bundle: bootstrap.bundle,
      stateDir: bootstrap.stateDir,
      trustFile: bootstrap.trustFile,
      trust: prepareTrust(parts.trust),
      gateway: gatewayOf(bootstrap),
      registries: parts.registries,
      serve: (bundle, accepted, signal) => this.#serve(bundle, accepted, signal),
      rollout: this.#rollout,
      event,
      now: Date.now,
    });
    this.#pool = new WafPool(bootstrap.wafThreads, addonPath, (message) =>
      log.event('error', 'waf pool', { error: message }),
    );
    this.#lanes = new Lanes({
      base: {
        laneCount,
        instance,
        addonPath,
        endpointColumns,
        mode: modeMemory,
        transport: bootstrap.transport,
        exchangesMax: bootstrap.exchangesMax,
        downstream: bootstrap.downstream,
        cache: bootstrap.cache,
        overload: bootstrap.overload,
        seed: randomBytes(4).readUInt32LE(),
      },
      memory,
      entry: workerEntry('lane'),
      columns: this.#columns,
      onWafPort: (port) => this.#pool.serve(port),
      onUnknownKid: (url) => this.#jwks.unknownKid(url),
      onRetired: (unused) => this.#activator.retired(unused),
      onBug: (lane, bug) =>
        log.event('error', 'a stage threw', {
          lane,
          stage: bug.stage,
          id: bug.id,
          error: bug.message,
          stack: bug.stack,
        }),
      onLaneFailed: (lane, message, stack, restarted) =>
        log.event('error', restarted ? 'a lane died and is started anew' : 'a lane died while it drained', {
          lane,
          error: message,
          stack,
        }),
      onMirrorDiffers: (difference) => this.#mirrors.add(difference),
      onInvalidated: (purge, lane) => this.#lanes.forget(purge, lane),
      onFatal: parts.onFatal,
    });
    const slots = new EndpointSlots({ columns: this.#columns, laneCount, now: Date.now });
    this.#jwks = new JwksFetcher(
      (url, jwks) => this.#lanes.publishKeys(url, jwks),
      (message) => log.event('warn', 'issuer keys', { error: message }),
    );
    this.#health = new Health({ columns: this.#columns, laneCount });
    this.#faults = new FaultWatch({
      columns: this.#columns,
      laneCount,
      now: Date.now,
      changed: (event) => {
        const { kind, ...fields } = event;
        log.event(isWorse(event) ? 'warn' : 'info', FAULT_TEXT[kind], fields);
      },
    });
    this.#prober = new Prober({
      columns: this.#columns,
      events: {
        probed: (endpoint, ok, latencyMs) => this.#health.probed(endpoint, ok, latencyMs),
        changed: (endpoint, ejected, reason) =>
          log.event(ejected ? 'warn' : 'info', ejected ? 'endpoint ejected' : 'endpoint admitted', {
            endpoint: endpoint.identity,
            reason,
          }),
      },
    });
    this.#scaling = new Scaling({
      file: join(bootstrap.stateDir, 'forecast.json'),
      laneColumns: memory.map((m) => m.laneColumns),
      columns: this.#columns,
      active: () => this.#activator.active,
      waiting: () => this.#pool.waiting,
      onFault: (reason) => log.event('warn', 'load forecast', { reason }),
      now: Date.now,
      tick: () => performance.now(),
    });
    this.#degradation = new Degradation({
      memory: modeMemory,
      seen: seenBy({
        active: () => this.#activator.active,
        columns: this.#columns,
        keys: () => this.#jwks.states(),
        source: () => this.#supply.source(),
        certificates: () => this.#certificates.fault,
        dropped: () => log.dropped,
      }),
      event: (level, message, fields) => log.event(level, message, fields),
      now: Date.now,
      tick: () => performance.now(),
    });
    this.#certificates = new CertificateWatch({
      listeners: bootstrap.listeners,
      take: (listener, tls) => this.#lanes.setTls(listener, tls),
      event: (level, message, fields) => log.event(level, message, fields),
      now: Date.now,
    });
    this.#countries = new CountryWatch({
      file: bootstrap.countryFile,
      take: (database) => this.#lanes.publishCountries(database),
      event: (level, message, fields) => log.event(level, message, fields),
    });
    this.#discovery = new Discovery({
      dns: bootstrap.dns,
      memoryFile: join(bootstrap.stateDir, 'names.json'),
      endpointFiles: bootstrap.endpointFiles,
      onChange: () => void this.#activator.membersChanged(),
      event: (level, message, fields) => log.event(level, message, fields),
    });
    this.#activator = new Activator({
      native,
      lanes: this.#lanes,
      slots,
      secrets: parts.secrets,
      http2: isNative(bootstrap),
      cache: isNative(bootstrap),
      discovery: this.#discovery,
      zone: bootstrap.zone,
      onSnapshot: (snapshot) => this.admin.learn(snapshot),
      onRetired: (revision) => this.admin.retired(revision),
      onMembers: () => this.#follow(),
      accept: acceptanceBy(bootstrap.bundle.guardrail),
      event: (level, message, fields) => log.event(level, message, fields),
    });
  }

  /** Boots from the store if it can, then follows the source. Resolves when the admin side listens; traffic is accepted once a snapshot serves. */
  async start(): Promise<void> {
    this.#booting = this.#parts.takeOver ? this.#succeed() : this.#open();
    await this.#booting;
    // Asked to end meanwhile: a poller that begins now would never be stopped.
    if (!this.#stopping) await this.#supply.follow();
    if (!this.#stopping && isNative(this.#parts.bootstrap)) await this.#offerHandOver();
  }

  /** Everything up to the last good bundle. */
  async #open(): Promise<void> {
    await this.#claimState();
    await this.#supply.open();
    await this.#journal.open();
    await this.#show();
    this.#tls = await this.#certificates.load();
    await this.#countries.start();
    await this.#discovery.start();
    this.#health.start();
    this.#degradation.start();
    this.#faults.start();
    await this.#scaling.start();
    await this.#supply.boot();
  }

  async #claimState(): Promise<void> {
    this.#claim = await StateClaim.take(this.#parts.bootstrap.stateDir, (level, message, fields) =>
      this.admin.log.event(level, message, fields),
    );
  }

  /** Opens the listeners for probes and operators. */
  async #show(): Promise<void> {
    const ports = await this.#openShown((port) => port);
    this.#journal.event('info', 'gateway started', {
      version: GATEWAY_VERSION,
      gateway: this.#supply.gateway().id,
      lanes: this.#lanes.count,
      source: this.#supply.text,
      ...ports,
    });
  }

  /** While the process before this one serves: rejects where they could not be opened later. Ports that are its own, or may be, are free by then. */
  async #couldShow(former: TakeOver): Promise<void> {
    try {
      await this.#openShown((port) => (former.shown?.includes(port) === false ? port : 0));
    } finally {
      await this.admin.unlisten();
    }
  }

  /** Traffic is this process's alone by now: whatever keeps these listeners from being opened, it serves on. */
  async #showAtLast(): Promise<void> {
    for (let tries = 1; !this.#stopping; tries++) {
      try {
        await this.#show();
        return;
      } catch (error) {
        await this.admin.unlisten();
        if (tries === SHOW_TRIES_UNTOLD)
          this.admin.log.event('error', 'the listeners for probes and operators cannot be opened; it is tried again', {
            reason: messageOf(error),
          });
        await new Promise((resolve) => setTimeout(resolve, SHOW_PAUSE_MS));
      }
    }
  }

  async #openShown(portOf: (port: number) => number): Promise<{ probes: number; admin: number }> {
    const { bootstrap } = this.#parts;
    const { admin, probes } = bootstrap;
    return await this.admin.listen({
      probes: { ...probes, port: portOf(probes.port) },
      admin: {
        address: admin.address,
        port: portOf(admin.port),
        token: admin.tokenFile === undefined ? null : tokenIn(admin.tokenFile),
        ...(admin.tokenFile === undefined ? {} : { tokenFile: admin.tokenFile }),
        purge: (purge) => {
          this.#journal.asked('purge', { ...purge });
          return this.#lanes.purge(purge);
        },
        rollout: rolloutActions(this.#journal, this.#supply.overrides, () => this.#supply.unwritten()),
        ...(bootstrap.allowFaults ? { fault: (lane: number) => this.#lanes.fault(lane) } : {}),
      },
    });
  }

  /**
   * In the place of a process that serves: with its bundle, its listening sockets and then its ports. It goes on unless all of this succeeds up to the moment when
   * this process accepts.
   */
  async #succeed(): Promise<void> {
    const { bootstrap } = this.#parts;
    if (!isNative(bootstrap))
      throw new Error('--take-over needs transport: native; uWebSockets.js cannot take listeners of another process');
    const former = await TakeOver.ask(bootstrap.stateDir, this.#native);
    this.#former = former;
    try {
      await this.#couldShow(former);
      await this.#supply.open();
      await this.#journal.open();
      this.#tls = await this.#certificates.load();
      await this.#countries.start();
      await this.#discovery.start();
      this.#health.start();
      this.#degradation.start();
      this.#faults.start();
      await this.#scaling.start();
      const { bundle, passedOver } = await this.#supply.best();
      if (bundle?.digest !== former.digest) {
        const reasons = passedOver.map((p) => `; ${p.digest}: ${p.reason}`).join('');
        throw new Error(
          `the running gateway serves ${former.digest}, this one would serve ${bundle?.digest ?? 'nothing'}${reasons}; the running one goes on`,
        );
      }
      await this.#supply.serve(bundle, true);
    } catch (error) {
      // The other goes on as soon as it hears of this: from then on the audit log is its own again.
      await this.#journal.suspend();
      throw error;
    } finally {
      this.#former = null;
      await former.close();
    }
    await this.#claimState();
    this.#showing = this.#showAtLast();
  }

  /** From now on another process can take over. */
  async #offerHandOver(): Promise<void> {
    this.#offer = new HandOverOffer({
      stateDir: this.#parts.bootstrap.stateDir,
      unable: () => {
        if (this.#stopping) return 'it is draining';
        return this.#state === 'serving' ? null : 'it serves nothing yet; restart it instead';
      },
      freeze: async () => {
        // What is being tried must not be decided while another process reads the state; who serves next begins anew.
        await this.#supply.freeze();
        await this.#rollout.abandon('another process takes over');
        await this.#journal.suspend();
        return this.#supply.digest;
      },
      thaw: async () => {
        if (this.#stopping) return;
        // Both begin at once: what is frozen again meanwhile must be what was begun.
        await Promise.all([this.#reopenJournal(), this.#supply.follow()]);
      },
      shown: [this.#parts.bootstrap.probes.port, this.#parts.bootstrap.admin.port],
      send: (inbox) => this.#lanes.send(inbox),
      ticketKeys: () => Buffer.from(this.#native.ticketKeys()).toString('base64'),
      yield: () => {
        this.#claim?.release();
        return this.admin.unlisten();
      },
      onHandedOver: this.#parts.onHandedOver,
      event: (level, message, fields) => this.admin.log.event(level, message, fields),
    });
    await this.#offer.open();
  }

  /** What serves goes on without an audit log rather than end; it is told. */
  async #reopenJournal(): Promise<void> {
    try {
      await this.#journal.open();
    } catch (error) {
      this.admin.log.event('error', 'the audit log cannot be opened', {
        reason: error instanceof Error ? error.message : String(error),
      });
    }
  }

  /** Lets all lanes serve a bundle, and opens the listeners with the first. Throws as `activate` of the activator does. Gives the revision. */
  async #serve(bundle: VerifiedBundle, accepted: boolean, signal?: AbortSignal): Promise<number> {
    const snapshot = await this.#activator.activate(bundle, accepted, signal);
    this.#follow();
    if (!this.#listening) {
      const plans = this.#parts.bootstrap.listeners.map((l) => listenerPlan(l, this.#tls.get(l.id) ?? null));
      const inherited = await this.#former?.sockets(plans);
      if (this.#former !== null && this.#stopping) throw new Error('asked to end before it took over');
      this.#listening = true;
      try {
        await refuseTaken(plans, inherited);
        const ports = await this.#lanes.listen(plans, inherited);
        this.admin.log.event('info', 'accepting connections', { ports });
      } catch (error) {
        // The one before this goes on; who was accepted here already is served to the end.
        if (this.#former !== null) throw new Error(`cannot listen: ${messageOf(error)}`, { cause: error });
        // Not the bundle's fault, and nothing that time mends.
        this.#parts.onFatal(`cannot listen: ${messageOf(error)}`, EXIT_CONFIG);
        return snapshot.revision;
      }
      await this.#former?.commit();
      this.#state = 'serving';
      // uWebSockets.js reads certificates once.
      if (isNative(this.#parts.bootstrap)) this.#certificates.follow();
    }
    return snapshot.revision;
  }

  /** Issuers and endpoints of all that is live are looked after. */
  #follow(): void {
    const { active, candidate } = this.#activator;
    if (active === null) return;
    const live = unionOf(active, candidate);
    this.#jwks.follow(live.issuers);
    this.#health.activate(live);
    this.#faults.activate(live);
    this.#prober.activate(live);
    this.#degradation.activate(active.degradation);
  }

  /**
   * Orderly end: not ready, still accepting for `drainDelayMs`, then draining within the deadline. Resolves when everything is closed. With `handedOver` another
   * process accepts already: no delay, and connections without a request have until the deadline to end by themselves.
   */
  async stop({ handedOver = false } = {}): Promise<void> {
    if (this.#stopping) return;
    this.#stopping = true;
    this.#offer?.close();
    // What is being started is finished first, or it would open listeners and write state after all is closed. Its error is told by `start`.
    await this.#booting.catch(() => undefined);
    await this.#showing;
    const { bootstrap } = this.#parts;
    const { drainDeadlineMs } = bootstrap;
    // Another process serves, the next one or still the former, or none has yet: nobody has to look elsewhere first.
    const elsewhere = handedOver || (this.#parts.takeOver && this.#state !== 'serving');
    const drainDelayMs = elsewhere || !this.#listening ? 0 : bootstrap.drainDelayMs;
    this.#journal.event('info', 'draining', { drainDelayMs, drainDeadlineMs });
    await new Promise((resolve) => setTimeout(resolve, drainDelayMs));
    // Listeners that are being closed take no other certificates.
    await this.#certificates.stop();
    const open = await this.#lanes.drain(drainDeadlineMs, elsewhere);
    await this.#supply.freeze();
    this.#rollout.close();
    await this.#discovery.stop();
    this.#countries.stop();
    await this.#prober.stop();
    this.#health.stop();
    this.#degradation.stop();
    this.#faults.stop();
    await this.#scaling.stop();
    await this.#jwks.stop();
    await this.#lanes.close();
    await this.#pool.close();
    await this.#supply.close();
    await this.#journal.suspend();
    this.#claim?.release();
    this.admin.log.event('info', 'gateway stopped', { openAtDeadline: open });
    await this.admin.close(LOG_FLUSH_MS);
  }

  #viewed(): Viewed {
    return {
      state: this.#stopping ? 'draining' : this.#state,
      supply: this.#supply,
      activator: this.#activator,
      rollout: this.#rollout,
      journal: this.#journal,
      lanes: this.#lanes,
      columns: this.#columns,
      degradation: this.#degradation,
      scaling: this.#scaling,
      mirrors: this.#mirrors,
      discovery: this.#discovery,
      faults: this.#faults,
      pool: this.#pool,
      certificates: this.#certificates,
    };
  }
}

const FAULT_TEXT: Readonly<Record<FaultEvent['kind'], string>> = {
  circuit: 'circuit changed',
  outlier: 'outlier ejection changed',
  connections: 'connections to an endpoint changed',
};

function isWorse(event: FaultEvent): boolean {
  return event.state === 'open' || event.state === 'ejected' || event.state === 'refused';
}

function tokenIn(file: string): string {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch (error) {
    // Of a directory the system does not say which.
    (error as NodeJS.ErrnoException).path ??= file;
    throw error;
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function isNative(bootstrap: BootstrapConfig): boolean {
  return bootstrap.transport === 'native';
}
