/**
 * A new bundle on one gateway, step by step: a growing share of identities sees it, what they are answered is compared with what the others are, and it is taken back
 * at once when it does worse. One candidate at a time; whatever comes next, another candidate or a rollback, ends it.
 */
import { createHmac } from 'node:crypto';
import { Serial } from '../../base/serial.ts';
import type { RolloutView, TallyView } from '../../admin/control-view.ts';
import type { RolloutConfig } from '../../config/rollout.ts';
import { LaneColumns } from '../../snapshot/lane-columns.ts';
import type { Snapshot } from '../../snapshot/snapshot.ts';
import type { Shown } from '../activator.ts';
import type { Digest } from '../oci/digest.ts';
import type { VerifiedBundle } from '../trust/verify.ts';
import { percentile } from './buckets.ts';
import { objection, type Tally } from './compare.ts';
import { RevisionWindow } from './window.ts';

/** Between two looks at the counters. */
export const LOOK_MS = 1_000;

/** How a candidate ended: all see it; taken back for what it did; or something else is to serve. */
export type RolloutEnd =
  | { readonly outcome: 'promoted'; readonly bundle: VerifiedBundle; readonly snapshot: Snapshot }
  | { readonly outcome: 'reverted'; readonly bundle: VerifiedBundle; readonly reason: string }
  | { readonly outcome: 'superseded'; readonly bundle: VerifiedBundle; readonly reason: string };

export interface RolloutParts {
  readonly config: RolloutConfig;
  /** Key of the hash over identities; empty: known to whoever knows the digest. */
  readonly hashKey: string;
  readonly laneColumns: readonly SharedArrayBuffer[];
  /** Compiles and shows it to a share, instead of another candidate if there is one. Throws ActivationError, and the reason of the signal; then nothing has changed. */
  readonly divide: (bundle: VerifiedBundle, shown: Shown, signal: AbortSignal) => Promise<Snapshot>;
  readonly share: (shown: Shown) => Promise<void>;
  /** All see the candidate, or none does. */
  readonly decide: (forCandidate: boolean) => Promise<Snapshot | null>;
  /** What is active. */
  readonly active: () => Snapshot | null;
  /** Told once of each candidate. */
  readonly ended: (end: RolloutEnd) => Promise<void>;
  readonly event: (level: 'info' | 'warn' | 'error', message: string, fields: Record<string, unknown>) => void;
  /** Epoch ms, to show. */
  readonly now: () => number;
  /** Monotonic ms, to decide by: a clock that is set ahead must not end a soak, nor one that is set back prolong it. */
  readonly tick: () => number;
}

interface HashKey {
  readonly k0: number;
  readonly k1: number;
}

interface Trial {
  readonly bundle: VerifiedBundle;
  readonly snapshot: Snapshot;
  readonly key: HashKey;
  /** Cells of the active snapshot, and how many of them it has reached. */
  readonly cells: number;
  cellsReached: number;
  /** Monotonic ms. */
  cellTick: number;
  readonly former: RevisionWindow;
  readonly own: RevisionWindow;
  readonly begunAt: number;
  step: number;
  stepAt: number;
  /** Monotonic ms. */
  stepTick: number;
  /** Requests that the candidate had answered before this step. */
  requestsBefore: number;
  /** Of the active bundle when it last answered enough to compare with. */
  baseline: Tally | null;
}

export class Rollout {
  readonly #parts: RolloutParts;
  readonly #lanes: readonly LaneColumns[];
  /** Trials since start, by outcome. */
  readonly ends: Record<RolloutEnd['outcome'], number> = { promoted: 0, reverted: 0, superseded: 0 };
  #trial: Trial | null = null;
  #timer: NodeJS.Timeout | null = null;
  /** What changes the lanes, one after the other. */
  readonly #tasks = new Serial();

  constructor(parts: RolloutParts) {
    this.#parts = parts;
    this.#lanes = parts.laneColumns.map((memory) => new LaneColumns(memory));
  }

  /** Digest of the candidate; empty: there is none. */
  get digest(): Digest | '' {
    return this.#trial?.bundle.digest ?? '';
  }

  /** Whether such a bundle goes by steps. What is older than what serves, or serves already, goes at once. */
  stages(bundle: VerifiedBundle): boolean {
    return this.#parts.config.plan === 'staged' && bundle.direction === 'new' && this.#parts.active() !== null;
  }

  /**
   * Begins with the first step. Throws what `may` throws, which is asked when its turn has come: it may have been taken back meanwhile. Throws ActivationError, and the
   * reason of a signal that is aborted before lanes have it; then all is as before, another candidate included.
   */
  async begin(bundle: VerifiedBundle, signal: AbortSignal, may: () => void): Promise<void> {
    await this.#tasks.run(async () => {
      may();
      const { divide, active, config, event, now, tick } = this.#parts;
      const former = active();
      if (former === null) throw new Error('there is nothing to compare with');
      const key = keyOf(bundle.digest, this.#parts.hashKey);
      const cells = former.cells.length;
      const cellsReached = config.cells === 'staggered' ? Math.min(1, cells) : cells;
      const shown = { share: this.#shareOf(0), key, cells: firstOf(cellsReached, cells) };
      const snapshot = await divide(bundle, shown, signal);
      const before = this.#trial;
      this.#stop();
      const window = (row: number, revision: number): RevisionWindow =>
        new RevisionWindow(this.#lanes, row, revision, config.windowMs);
      this.#trial = {
        bundle,
        snapshot,
        key,
        cells,
        cellsReached,
        cellTick: tick(),
        former: window(0, former.revision),
        own: window(1, snapshot.revision),
        begunAt: now(),
        step: 0,
        stepAt: now(),
        stepTick: tick(),
        requestsBefore: 0,
        baseline: null,
      };
      this.#timer = setInterval(() => this.#lookSoon(), LOOK_MS);
      this.#read();
      event('info', 'bundle is tried by a share of identities', this.#fields());
      if (before !== null)
        await this.#end({ outcome: 'superseded', bundle: before.bundle, reason: `${bundle.digest} is tried instead` });
    });
  }

  /** All see the active bundle again, for a reason that is not the candidate's own. Does nothing when there is none. */
  async abandon(reason: string): Promise<void> {
    await this.#tasks.run(async () => {
      const trial = this.#trial;
      if (trial === null) return;
      await this.#parts.decide(false);
      this.#stop();
      await this.#end({ outcome: 'superseded', bundle: trial.bundle, reason });
    });
  }

  /** Takes the candidate back as if it had done worse. False when there is none. */
  async revert(reason: string): Promise<boolean> {
    let was = false;
    await this.#tasks.run(async () => {
      was = this.#trial !== null;
      await this.#revert(reason);
    });
    return was;
  }

  /** Nothing is looked at any more; what is live stays. */
  close(): void {
    this.#stop();
  }

  view(): RolloutView | null {
    const trial = this.#trial;
    if (trial === null) return null;
    const { config } = this.#parts;
    const { bundle, snapshot, step } = trial;
    return {
      digest: bundle.digest,
      seq: bundle.release.seq,
      revision: snapshot.revision,
      step: step + 1,
      steps: config.steps,
      share: this.#shareOf(step),
      begunAt: trial.begunAt,
      stepAt: trial.stepAt,
      soakedAt: trial.stepAt + config.soakMs,
      cells: trial.cells,
      cellsReached: trial.cellsReached,
      samples: trial.own.requests - trial.requestsBefore,
      samplesMin: config.samplesMin,
      waitsFor: this.#waitsFor(trial),
      candidate: tallyView(trial.own.tally()),
      active: tallyView(trial.former.tally()),
    };
  }

  #lookSoon(): void {
    this.#tasks
      .run(() => this.#look())
      .catch((error: unknown) => {
        // Lanes that do not answer, or a disk: the next look tries again.
        const reason = error instanceof Error ? error.message : String(error);
        this.#parts.event('warn', 'a step of the rollout failed', { ...this.#fields(), reason });
      });
  }

  async #look(): Promise<void> {
    const trial = this.#trial;
    if (trial === null) return;
    this.#read();
    const candidate = trial.own.tally();
    const active = trial.former.tally();
    if (active.requests >= Math.max(1, this.#parts.config.samplesMin)) trial.baseline = active;
    const why = objection(candidate, trial.baseline ?? (active.requests > 0 ? active : null), this.#parts.config);
    if (why !== null) return this.#revert(why);
    if (trial.cellsReached < trial.cells) return this.#reach(trial);
    if (this.#waitsFor(trial) === null) await this.#advance(trial);
  }

  /** What keeps the candidate at its step, as words; null = nothing. */
  #waitsFor(trial: Trial): string | null {
    const { soakMs, samplesMin, onNoSamples } = this.#parts.config;
    if (trial.cellsReached < trial.cells) return `cells, ${trial.cellsReached} of ${trial.cells} reached`;
    if (this.#parts.tick() < trial.stepTick + soakMs) return 'the soak';
    const missing = samplesMin - (trial.own.requests - trial.requestsBefore);
    return missing > 0 && onNoSamples === 'hold' ? `${missing} more requests` : null;
  }

  /** On to the next cell, when it is time for it. The step begins anew with the last. */
  async #reach(trial: Trial): Promise<void> {
    const { config, now, tick, share, event } = this.#parts;
    if (tick() < trial.cellTick + config.cellMs) return;
    const reached = trial.cellsReached + 1;
    await share({ share: this.#shareOf(trial.step), key: trial.key, cells: firstOf(reached, trial.cells) });
    trial.cellsReached = reached;
    trial.cellTick = trial.stepTick = tick();
    trial.stepAt = now();
    trial.requestsBefore = trial.own.requests;
    event('info', 'bundle is tried in another cell', { ...this.#fields(), cells: reached, of: trial.cells });
  }

  async #advance(trial: Trial): Promise<void> {
    const { config, decide, event, now, tick } = this.#parts;
    if (trial.step + 1 < config.steps.length) {
      await this.#parts.share({ share: this.#shareOf(trial.step + 1), key: trial.key, cells: null });
      trial.step++;
      trial.stepAt = now();
      trial.stepTick = tick();
      trial.requestsBefore = trial.own.requests;
      event('info', 'bundle is tried by a larger share', this.#fields());
      return;
    }
    const snapshot = await decide(true);
    this.#stop();
    if (snapshot !== null) await this.#end({ outcome: 'promoted', bundle: trial.bundle, snapshot });
  }

  async #revert(reason: string): Promise<void> {
    const trial = this.#trial;
    if (trial === null) return;
    const fields = { ...this.#fields(), reason };
    await this.#parts.decide(false);
    this.#stop();
    this.#parts.event('error', 'bundle taken back', fields);
    await this.#end({ outcome: 'reverted', bundle: trial.bundle, reason });
  }

  async #end(end: RolloutEnd): Promise<void> {
    this.ends[end.outcome]++;
    if (end.outcome === 'superseded')
      this.#parts.event('info', 'bundle is not tried any more', { digest: end.bundle.digest, reason: end.reason });
    await this.#parts.ended(end);
  }

  #read(): void {
    const now = performance.now();
    this.#trial?.own.look(now);
    this.#trial?.former.look(now);
  }

  #fields(): Record<string, unknown> {
    const trial = this.#trial;
    if (trial === null) return {};
    const { bundle, snapshot, step } = trial;
    return {
      digest: bundle.digest,
      seq: bundle.release.seq,
      revision: snapshot.revision,
      percent: this.#parts.config.steps[step],
      step: step + 1,
    };
  }

  #shareOf(step: number): number {
    return (this.#parts.config.steps[step] ?? 100) / 100;
  }

  #stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    this.#trial = null;
  }
}

/** The same for one bundle on all gateways with the same secret, another one for every bundle: so that it is not always the same identities that see a new one first. */
export function keyOf(digest: string, secret: string): HashKey {
  const bytes = createHmac('sha256', `cnx rollout ${secret}`).update(digest).digest();
  return { k0: bytes.readInt32LE(0), k1: bytes.readInt32LE(4) };
}

/** Indexes of the first cells; null: all. */
function firstOf(reached: number, cells: number): readonly number[] | null {
  return reached < cells ? Array.from({ length: reached }, (_, i) => i) : null;
}

function tallyView(tally: Tally): TallyView {
  const { buckets, ...counts } = tally;
  const p99Us = percentile(buckets, 0.99);
  return { ...counts, p99Ms: Number.isFinite(p99Us) ? Math.round(p99Us / 10) / 100 : null };
}
