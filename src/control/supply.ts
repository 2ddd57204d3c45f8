/**
 * Where bundles come from and which of them may serve: pull → verify → hand over to be activated → keep. What serves goes on whatever happens to the source, to the
 * trust policy or to the clock: those raise alarms.
 */
import { join } from 'node:path';
import { Serial } from '../base/serial.ts';
import type {
  ActiveBundle,
  ChannelView,
  KeptView,
  RejectionView,
  SourceView,
  TrustView,
} from '../admin/control-view.ts';
import type { BootstrapConfig } from '../config/bootstrap.ts';
import { type Marks, readMarks } from './audit/marks.ts';
import { ActivationError } from './activator.ts';
import { Rejections } from './rejections.ts';
import type { Assigned } from './channel/assign.ts';
import { ChannelFollower, type Named } from './channel/follow.ts';
import type { Digest } from './oci/digest.ts';
import { OciLayout } from './oci/layout.ts';
import { formatReference, parseReference, type Reference } from './oci/reference.ts';
import type { RegistryOptions } from './oci/registry-http.ts';
import { Rejection, SourceError } from './oci/rejection.ts';
import { Decided } from './rollout/decided.ts';
import { Overrides } from './rollout/overrides.ts';
import type { Rollout, RolloutEnd } from './rollout/rollout.ts';
import { systemClock } from './source/clock.ts';
import { activeView, keptView, type Serving, sourceView, trustView } from './supply-view.ts';
import type { FailoverSource } from './source/failover.ts';
import { pollInterval } from './source/interval.ts';
import { openPlaces } from './source/open.ts';
import { BundlePoller, type SourceStatus } from './source/poller.ts';
import { Interrupted, until } from './source/until.ts';
import { keptOf, sequenceOf } from './store/state.ts';
import { type Boot, BundleStore } from './store/store.ts';
import { TrustFile } from './trust/file.ts';
import { gatewayIdentity } from './trust/gateway.ts';
import type { Trust } from './trust/policy.ts';
import { inEpoch, labelsOf } from './trust/rules.ts';
import { refuseTakenBack, type VerifiedBundle, verifyBundle } from './trust/verify.ts';

type Level = 'info' | 'warn' | 'error';

export interface SupplyParts {
  readonly bundle: BootstrapConfig['bundle'];
  readonly stateDir: string;
  readonly trustFile: string;
  /** What the file said at the start. */
  readonly trust: Trust;
  /** What this gateway is among others. */
  readonly gateway: Assigned;
  /** For the source, then for each mirror. */
  readonly registries: readonly RegistryOptions[];
  /** Makes it serve; `accepted`: it has served before. Throws ActivationError, and the reason of a signal that is aborted before lanes have it; then nothing has changed. Resolves with its revision. */
  readonly serve: (bundle: VerifiedBundle, accepted: boolean, signal?: AbortSignal) => Promise<number>;
  /** New bundles go through it; absent: all serve at once. */
  readonly rollout?: Rollout;
  readonly event: (level: Level, message: string, fields: Record<string, unknown>) => void;
  readonly now: () => number;
}

export class BundleSupply {
  /** What operators decide. */
  readonly overrides: Overrides;
  readonly #parts: SupplyParts;
  readonly #decided: Decided;
  readonly #reference: Reference;
  readonly #place: FailoverSource;
  readonly #channel: ChannelFollower;
  readonly #trustFile: TrustFile;
  readonly #startedMs: number;
  #trust: Trust;
  #store: BundleStore | null = null;
  #poller: BundlePoller | null = null;
  #serving: Serving | null = null;
  /** What the source names while it is looked at, and what it was seen to name before. */
  #underway: { readonly digest: Digest; readonly before: Digest | null } | null = null;
  /** Why what serves would not be taken by the trust policy as it is now. */
  #distrusted: string | null = null;
  /** What was last said about being stale, so that it is said once. */
  #staleTold: string | null = null;
  #sourceTold: SourceStatus['state'] = 'current';
  #frozen = false;
  /** Ends what is fetched for an operator when it is frozen. */
  #leaving = new AbortController();
  readonly #rejections: Rejections;
  /** What chooses what serves, one after the other. */
  readonly #turns = new Serial();

  constructor(parts: SupplyParts) {
    this.#parts = parts;
    this.#trust = parts.trust;
    this.#startedMs = parts.now();
    this.#rejections = new Rejections(parts.event, parts.now);
    const { source, mirrors } = parts.bundle;
    this.#reference = parseReference(source);
    const sources = [source, ...mirrors.map((mirror) => mirror.source)] as const;
    this.#place = openPlaces(sources, parts.registries, parts.now);
    this.#channel = new ChannelFollower({
      gatewayId: parts.gateway.id,
      gateway: gatewayIdentity(parts.gateway.labels),
      kept: () => this.#store?.state.channel,
      keep: (channel, signed) => this.#requireStore().follow(channel, signed),
      event: parts.event,
      now: parts.now,
    });
    this.#decided = new Decided({
      store: () => this.#requireStore(),
      active: () => this.#serving?.bundle.digest ?? null,
      epoch: () => this.#trust.policy.epoch,
      event: parts.event,
      now: parts.now,
    });
    this.overrides = new Overrides({
      unable: () => (this.#frozen ? 'it ends, or another process takes its place: ask that one' : null),
      state: () => this.#requireStore().state,
      find: (digest, again) => this.#find(digest, again),
      turn: (task) => {
        this.#poller?.interrupt();
        return this.#turns.run(task);
      },
      serve: async (bundle, also) => {
        const trust = this.#trust;
        // What is kept has served: it is where one goes back to.
        await this.serve(bundle, this.#isKept(bundle.digest));
        await this.#decided.serves(bundle, also);
        if (trust !== this.#trust) await this.#judge();
      },
      active: () => this.#serving?.bundle.digest ?? null,
      tried: () => parts.rollout?.digest ?? '',
      revertTrial: async (reason) => (await parts.rollout?.revert(reason)) ?? false,
      abandonTrial: async (reason) => parts.rollout?.abandon(reason),
      remember: (change) => this.#decided.remember((store) => store.remember(change)),
      lookAgain: () => {
        this.#poller?.reconsider();
        void this.#poller?.pollNow();
      },
      event: parts.event,
      now: parts.now,
    });
    this.#trustFile = new TrustFile({
      file: parts.trustFile,
      trust: parts.trust,
      take: (trust) => this.#take(trust),
      refused: (reason) => parts.event('error', 'trust policy refused; the former one counts on', { reason }),
    });
  }

  /** The source as configured, without credentials. */
  get text(): string {
    return formatReference(this.#reference);
  }

  /** The digest that serves; empty before the first. */
  get digest(): string {
    return this.#serving?.bundle.digest ?? '';
  }

  async open(): Promise<void> {
    this.#store = await BundleStore.open(this.#parts.stateDir, { marks: await this.#marks() });
  }

  /** How far this gateway had come, by its audit log. One that cannot be read says nothing; then the state file alone does. */
  async #marks(): Promise<Marks | undefined> {
    try {
      return await readMarks(join(this.#parts.stateDir, 'audit'));
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.#parts.event('warn', 'the audit log cannot be read for what has counted', { reason });
      return undefined;
    }
  }

  /** What would serve first after a start, without serving it. */
  async best(except: ReadonlySet<Digest> = new Set(), takenBackToo = false): Promise<Boot> {
    const boot = await this.#requireStore().boot({ ...this.#conditions(), except, takenBackToo });
    if (boot.rebuilt !== undefined) this.#parts.event('warn', 'state rebuilt', { reason: boot.rebuilt });
    for (const p of boot.passedOver)
      this.#parts.event('warn', 'kept bundle passed over', { digest: p.digest, reason: p.reason });
    return boot;
  }

  /**
   * The last good bundle, so that a gateway starts with its registry down; else the seed, if there is one. When there is neither, one that was taken back: it has
   * served all here before, every check of trust holds, and a gateway without any bundle serves nobody.
   */
  async boot(): Promise<void> {
    const except = new Set<Digest>();
    if (await this.#bootKept(except, false)) return;
    await this.#bootSeed();
    if (this.#serving !== null || !(await this.#bootKept(except, true))) return;
    const why = 'it was taken back, and nothing else that is kept can serve';
    this.#distrusted = why;
    this.#parts.event('error', 'starting with a bundle that was taken back', { digest: this.digest, reason: why });
    this.#tellOfStaleness();
  }

  /** False: nothing of what is kept can serve. */
  async #bootKept(except: Set<Digest>, takenBackToo: boolean): Promise<boolean> {
    for (;;) {
      const { bundle } = await this.best(except, takenBackToo);
      if (bundle === undefined) return false;
      try {
        await this.serve(bundle, true);
        // A disk that is full or read-only keeps nobody from serving what it holds.
        await this.#decided.serves(bundle);
        return true;
      } catch (error) {
        if (!(error instanceof ActivationError)) throw error;
        except.add(bundle.digest);
        this.#rejections.add(bundle.digest, bundle.release.seq, error.step, error.message);
      }
    }
  }

  /** From now on what the source says, and what the trust policy file says. */
  async follow(): Promise<void> {
    const { bundle } = this.#parts;
    this.#frozen = false;
    this.#leaving = new AbortController();
    const poller = new BundlePoller({
      source: this.#place,
      reference: this.#reference.digest ?? this.#reference.tag,
      interval: pollInterval(bundle.pollMs),
      ...(this.#reference.kind === 'layout' ? { watch: this.#reference.directory } : {}),
      evaluate: (digest, signal) => this.#turns.run(() => this.#evaluate(digest, signal)),
      clock: { ...systemClock, now: this.#parts.now },
      onStatus: (status) => {
        if (status.lastContactMs > 0) void this.#store?.contacted(status.lastContactMs);
        if (this.#decided.waits) void this.#turns.run(() => this.#decided.writeAgain());
        this.#tellOfSource(status);
        this.#tellOfStaleness();
      },
    });
    this.#poller = poller;
    if (this.#serving !== null && this.#distrusted === null) poller.assumeEvaluated(this.#serving.bundle.digest);
    this.#trustFile.follow();
    this.overrides.follow();
    await poller.start();
  }

  /** Asks the source now, as after a push. Resolves when that has had its effect. */
  async pollNow(): Promise<void> {
    await this.#poller?.pollNow();
  }

  /** Looks at the trust policy file now. */
  async lookAtTrust(): Promise<void> {
    await this.#trustFile.look();
  }

  /** Nothing is pulled, decided or written any more, until `follow`. What waits for the source ends. */
  async freeze(): Promise<void> {
    this.#frozen = true;
    this.#leaving.abort(new Interrupted('it ends, or another process takes its place'));
    await this.#poller?.stop();
    await this.#turns.idle();
    await this.#store?.settled();
  }

  async close(): Promise<void> {
    this.overrides.close();
    await this.#trustFile.stop();
    await this.freeze();
    await this.#store?.close();
    await this.#place.close();
  }

  /** Makes a verified bundle serve; `accepted`: it has served before, and nobody is asked again whether it may. @throws {ActivationError} */
  async serve(bundle: VerifiedBundle, accepted = false): Promise<void> {
    await this.#serveSince(bundle, accepted, null, undefined);
  }

  /** `seenAt`: when the source was seen to name it, by `performance.now()`. */
  async #serveSince(
    bundle: VerifiedBundle,
    accepted: boolean,
    seenAt: number | null,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const from = performance.now();
    const revision = await this.#parts.serve(bundle, accepted, signal);
    const now = performance.now();
    this.#serves(bundle, revision, now - from, seenAt === null ? null : now - seenAt);
  }

  #serves(bundle: VerifiedBundle, revision: number, ms: number, tookMs: number | null): void {
    const rollback = bundle.direction === 'rollback';
    this.#serving = { bundle, revision, activatedAt: this.#parts.now(), tookMs };
    this.#distrusted = null;
    this.#parts.event('info', 'bundle activated', {
      digest: bundle.digest,
      seq: bundle.release.seq,
      floor: bundle.release.floor,
      epoch: this.#trust.policy.epoch,
      revision,
      direction: bundle.direction,
      signers: bundle.signers.map((s) => s.keyId),
      ms: Math.round(ms),
    });
    if (rollback)
      this.#parts.event('warn', 'bundle is an older one than was active', {
        seq: bundle.release.seq,
        highestSeq: this.#store?.state.highestSeq ?? 0,
      });
    this.#tellOfStaleness();
  }

  /** Why what was decided here is not on the disk; null: it is. */
  unwritten(): string | null {
    return this.#store?.unwritten ?? null;
  }

  /** A candidate has ended. */
  async ended(end: RolloutEnd): Promise<void> {
    const { bundle, outcome } = end;
    if (outcome === 'superseded') return;
    if (outcome === 'reverted') {
      this.#rejections.add(bundle.digest, bundle.release.seq, 'rollout', end.reason);
      await this.#decided.remember((store) => store.quarantine(bundle.digest, end.reason));
      // What the tag names is what was taken back: from now on it says so. Not waited for: a poll may wait for the rollout.
      this.#poller?.reconsider();
      void this.#poller?.pollNow();
      return;
    }
    this.#serves(bundle, end.snapshot.revision, 0, null);
    try {
      await this.#requireStore().activated(bundle, this.#trust.policy.epoch, this.#parts.now());
    } catch (error) {
      // It serves; the next poll writes that down.
      this.#poller?.reconsider();
      throw error;
    }
  }

  /** A new trust policy counts from now on: what the source names and what serves are looked at anew. What serves goes on. */
  async #take(trust: Trust): Promise<void> {
    const { event } = this.#parts;
    this.#trust = trust;
    const { epoch, keys } = trust.policy;
    event('info', 'trust policy taken', { epoch, keys: keys.map((key) => key.id) });
    // What is being looked at is looked at by the former one.
    this.#poller?.reconsider();
    this.#poller?.interrupt();
    await this.#judge();
    // Not waited for: the next policy must not wait for a registry.
    void this.#poller?.pollNow();
  }

  /** Whether what serves is trusted by the policy as it is now. */
  async #judge(): Promise<void> {
    const serving = this.#serving;
    if (serving === null) return;
    let why: string | null = null;
    try {
      await this.#requireStore().reverify(serving.bundle.digest, this.#conditions());
    } catch (error) {
      if (!(error instanceof Rejection) && !(error instanceof SourceError)) throw error;
      why = `${error.code}: ${error.message}`;
    }
    // Another one serves by now, and is judged by whoever made it.
    if (this.#serving?.bundle.digest !== serving.bundle.digest) return;
    this.#distrusted = why;
    if (why === null) return;
    const told = 'the bundle that serves is not trusted any more; it serves on until another is taken';
    this.#parts.event('error', told, { digest: serving.bundle.digest, reason: why });
  }

  /** A bundle that is kept, or that the source still has under its digest. `again`: also one that was taken back. */
  async #find(digest: Digest, again: boolean): Promise<VerifiedBundle> {
    const store = this.#requireStore();
    if (this.#isKept(digest)) return store.reverify(digest, { ...this.#conditions(), takenBackToo: again });
    return verifyBundle(until(this.#place, this.#leaving.signal), digest, {
      ...this.#conditions(),
      sequence: sequenceOf(store.state),
      purpose: 'candidate',
      ...(again ? {} : { quarantined: store.state.quarantined }),
      cache: store,
    });
  }

  #isKept(digest: Digest): boolean {
    return keptOf(this.#requireStore().state).some((kept) => kept.digest === digest);
  }

  #conditions() {
    const gateway = gatewayIdentity(this.#parts.gateway.labels);
    return { trust: this.#trust, gateway, nowMs: this.#parts.now() };
  }

  #requireStore(): BundleStore {
    if (this.#store === null) throw new Error('the store is not open');
    return this.#store;
  }

  async #bootSeed(): Promise<void> {
    const { seed } = this.#parts.bundle;
    if (seed === undefined) return;
    const { event } = this.#parts;
    const store = this.#requireStore();
    const reference = parseReference(seed);
    if (reference.kind !== 'layout') return;
    const layout = OciLayout.at(reference.directory);
    let digest: Digest | undefined;
    try {
      const resolution = await layout.resolve(reference.digest ?? reference.tag);
      if (resolution.state !== 'found') throw new SourceError('not_found', `${layout.name} has no ${reference.tag}`);
      digest = await this.#channel.seeded(layout, resolution.digest, this.#trust);
      const bundle = await verifyBundle(layout, digest, {
        ...this.#conditions(),
        sequence: inEpoch(sequenceOf(store.state), this.#trust.policy.epoch),
        // Of an image that is older than its seed's end a gateway must still start; it is called stale.
        purpose: 'kept',
      });
      event('info', 'starting with the seed bundle', { seed, digest });
      await this.serve(bundle);
      await this.#decided.serves(bundle);
    } catch (error) {
      const known = error instanceof Rejection || error instanceof SourceError || error instanceof ActivationError;
      if (!known) throw error;
      const step = error instanceof ActivationError ? error.step : 'verify';
      event('error', 'the seed bundle cannot be used', { seed, reason: error.message });
      if (digest !== undefined) this.#rejections.add(digest, null, step, error.message);
    }
  }

  /** pull → verify → compile → activate → keep, for a digest that the source points to. */
  async #evaluate(seen: Digest, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const store = this.#requireStore();
    const place = until(this.#place, signal);
    const seenAt = performance.now();
    const trust = this.#trust;
    const { rollout } = this.#parts;
    const before = this.#seen(this.#poller?.status.seen);
    // What an index names is known once it was read; that it is another one must not be told before.
    this.#underway = { digest: seen, before };
    let digest = seen;
    let bundle: VerifiedBundle | undefined;
    try {
      const named: Named = await this.#channel.named(place, seen, trust);
      digest = named.digest;
      this.#underway = { digest, before };
      this.overrides.judge(digest);
      bundle = await verifyBundle(place, digest, {
        ...this.#conditions(),
        trust,
        sequence: sequenceOf(store.state),
        purpose: 'candidate',
        quarantined: store.state.quarantined,
        namedBy: named.by,
        root: named.root,
        cache: store,
      });
      await this.#channel.counts(named);
      // A mirror that lags or lies must not bring back what was taken back, by naming something else for a while; nor may what nobody has signed.
      const byMirror = named.by === 'mirror';
      if (!byMirror) await this.#decided.releaseBut(digest);
      if (bundle.digest === this.#serving?.bundle.digest) {
        if (!byMirror) await rollout?.abandon('the source names what serves');
        // What was tried may have come to serve all just then: then this one is a way back.
        if (bundle.digest !== this.#serving.bundle.digest) return await this.#evaluate(seen, signal);
        // Signed anew, say, or trusted again.
        this.#serving = { ...this.#serving, bundle };
        this.#distrusted = null;
      } else if (rollout?.stages(bundle) === true) {
        // What is being tried is tried on, signed anew or not. It is kept once it serves all.
        if (rollout.digest !== digest)
          await rollout.begin(bundle, signal, () => refuseTakenBack(digest, store.state.quarantined));
        return;
      } else {
        await rollout?.abandon(`${digest} serves at once`);
        await this.#serveSince(bundle, false, seenAt, signal);
      }
      // Also for the one that serves already: its record may have failed before, on a full disk.
      await store.activated(bundle, trust.policy.epoch, this.#parts.now());
      // Another policy counts since it was verified; the poll that follows looks at it anew.
      if (trust !== this.#trust) await this.#judge();
    } catch (error) {
      const seq = bundle?.release.seq ?? null;
      if (error instanceof Rejection && error.retry !== 'transport' && rollout?.digest === digest)
        await rollout.abandon(`it would not be taken any more: ${error.code}: ${error.message}`);
      if (error instanceof ActivationError) {
        if (error.policies) this.#rejections.policyLoadFailures++;
        this.#rejections.add(digest, seq, error.step, error.message);
        // Lanes that could not take it may be able to later; what does not compile never will.
        if (error.step === 'activate') throw error;
        throw new Rejection('invalid_content', error.message, { cause: error });
      }
      if (error instanceof Rejection) this.#rejections.add(digest, seq, 'verify', `${error.code}: ${error.message}`);
      throw error;
    } finally {
      this.#underway = null;
    }
  }

  /** Why what serves is stale, as a sentence; null when it is not. */
  #staleness(): string | null {
    const now = this.#parts.now();
    const serving = this.#serving;
    if (this.#distrusted !== null) return `it is not trusted any more: ${this.#distrusted}`;
    if (serving?.bundle.stale === true)
      return 'it was beyond its end, or its keys were, when it was taken from the disk';
    if (serving !== null && now > serving.bundle.expiresMs)
      return `it, or the keys that signed it, ended ${new Date(serving.bundle.expiresMs).toISOString()}`;
    const ended = this.#channel.staleness(now);
    if (ended !== null) return ended;
    const heard = Math.max(this.#startedMs, this.#poller?.status.lastContactMs ?? 0);
    const { silentAfterMs } = this.#parts.bundle;
    if (now - heard > silentAfterMs) return `no source has answered since ${new Date(heard).toISOString()}`;
    return null;
  }

  /** A line for each change of what the source cannot do, in `source/poller.ts`'s words; what becomes of a bundle has lines of its own. */
  #tellOfSource({ state, reason }: SourceStatus): void {
    // What is rejected was had.
    const now = state === 'rejected' ? 'current' : state;
    if (now === this.#sourceTold || now === 'starting') return;
    this.#sourceTold = now;
    if (now !== 'current')
      this.#parts.event('warn', 'no bundle can be had from the source; what serves goes on', {
        source: this.text,
        state,
        reason: reason?.sentence ?? '',
      });
    else this.#parts.event('info', 'the source answers again', { source: this.text });
  }

  #tellOfStaleness(): void {
    const why = this.#staleness();
    if (why === this.#staleTold) return;
    if (why !== null) this.#parts.event('error', 'the configuration is stale; it serves on', { reason: why });
    else this.#parts.event('info', 'the configuration is not stale any more', {});
    this.#staleTold = why;
  }

  // What the admin side reads.
  active(): ActiveBundle | null {
    return this.#serving === null ? null : activeView(this.#serving);
  }

  trust(): TrustView {
    return trustView(this.#trust, this.#store?.state, this.#trustFile.refusal, this.#parts.now());
  }

  kept(): readonly KeptView[] {
    return this.#store === null ? [] : keptView(this.#store.state);
  }

  source(): SourceView {
    const status = this.#poller?.status;
    return sourceView(status, {
      text: this.text,
      answering: this.#place.answering,
      seen: this.#seen(status?.seen),
      staleReason: this.#staleness(),
      fault: this.#store?.fault ?? null,
    });
  }

  /** Of a bundle that is on its way nothing is said before it serves, or was refused: the time that this takes would look as if it were not taken. */
  #seen(polled: Digest | undefined): Digest | null {
    if (this.#underway !== null) {
      const { digest, before } = this.#underway;
      return digest === this.#serving?.bundle.digest ? digest : before;
    }
    return polled === undefined ? null : this.#channel.behind(polled);
  }

  channel(): ChannelView | null {
    return this.#channel.view();
  }

  gateway(): Assigned {
    const { gateway } = this.#parts;
    return { id: gateway.id, labels: labelsOf(this.#trust.policy, gatewayIdentity(gateway.labels)) };
  }

  rejections(): readonly RejectionView[] {
    return this.#rejections.newest;
  }

  rejectionCounts(): Readonly<Record<string, number>> {
    return this.#rejections.counts;
  }

  policyLoadFailures(): number {
    return this.#rejections.policyLoadFailures;
  }
}
