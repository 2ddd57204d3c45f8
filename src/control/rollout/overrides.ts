/** What an operator decides on one gateway, past what the source names: back to the bundle before, or staying on one for a time. */
import { ActivationError } from '../activator.ts';
import { type Digest, parseDigest } from '../oci/digest.ts';
import { Rejection, SourceError } from '../oci/rejection.ts';
import { Interrupted } from '../source/until.ts';
import type { Change } from './decided.ts';
import { type StoreState, withoutQuarantine, withQuarantine } from '../store/state.ts';
import type { VerifiedBundle } from '../trust/verify.ts';

/** Longest pin: who wants to stay for longer points the source at a digest. */
export const PIN_MS_MAX = 7 * 86_400_000;
/** Timers count no further than 24 days, and a clock may be set. */
const PIN_LOOK_MS = 60_000;

export interface OverridesParts {
  /** Why nothing can be decided here now; null: it can. */
  readonly unable: () => string | null;
  /** Runs what an operator decides, when nothing else that changes what serves is under way. What is being fetched ends for it. */
  readonly turn: <T>(task: () => Promise<T>) => Promise<T>;
  readonly state: () => StoreState;
  /** Verifies a bundle that is kept here, or else at the source. `again`: although it was taken back. Throws Rejection or SourceError. */
  readonly find: (digest: Digest, again: boolean) => Promise<VerifiedBundle>;
  /** Makes it serve all requests and keeps it, in one write with what else changes. Throws ActivationError; then nothing has. */
  readonly serve: (bundle: VerifiedBundle, also?: Change) => Promise<void>;
  readonly active: () => Digest | null;
  /** What is being tried; empty: nothing is. */
  readonly tried: () => Digest | '';
  /** Takes back what is being tried; false when nothing is. */
  readonly revertTrial: (reason: string) => Promise<boolean>;
  /** Ends what is being tried, without blame. */
  readonly abandonTrial: (reason: string) => Promise<void>;
  /** Changes what is remembered; as `Decided.remember`, it never rejects. */
  readonly remember: (change: Change) => Promise<void>;
  /** The source is looked at anew, soon. */
  readonly lookAgain: () => void;
  readonly event: (level: 'info' | 'warn', message: string, fields: Record<string, unknown>) => void;
  /** Epoch ms. */
  readonly now: () => number;
}

/** Why it was not done, for the operator. */
export class OverrideRefused extends Error {
  override readonly name = 'OverrideRefused';
}

export class Overrides {
  readonly #parts: OverridesParts;
  #timer: NodeJS.Timeout | null = null;

  constructor(parts: OverridesParts) {
    this.#parts = parts;
  }

  /** The pin that counts now. */
  get pin(): StoreState['pin'] {
    const { pin } = this.#parts.state();
    return pin !== undefined && pin.untilMs > this.#parts.now() ? pin : undefined;
  }

  /** Throws Rejection for every digest but the pinned one. */
  judge(digest: Digest): void {
    const { pin } = this;
    if (pin !== undefined && pin.digest !== digest)
      throw new Rejection(
        'pinned',
        `this gateway is pinned to ${pin.digest} until ${new Date(pin.untilMs).toISOString()}`,
      );
  }

  /** Watches for the end of a pin. */
  follow(): void {
    this.#arm();
  }

  close(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  /** Takes back what is tried, else what serves: that stays out until the source names something else. The digest that serves now. */
  rollBack(reason: string): Promise<string> {
    const { active, tried } = this.#parts;
    const [meant, trial] = [active(), tried()];
    return this.#decide(() => this.#rollBack(reason, meant, trial));
  }

  /** `meant`, `trial`: what served and was tried when it was asked for. What came while that waited its turn may be the very mend. */
  async #rollBack(reason: string, meant: Digest | null, trial: Digest | ''): Promise<string> {
    const { active, tried, revertTrial } = this.#parts;
    const { pin } = this;
    if (pin !== undefined) throw new OverrideRefused('it is pinned; end the pin first');
    if (trial !== '' && tried() === trial && (await revertTrial(reason))) return active() ?? '';
    if (trial !== '' || tried() !== '' || active() !== meant)
      throw new OverrideRefused(
        `meanwhile ${active() ?? 'nothing'} serves and ${tried() || 'nothing'} is tried: ask again if that is to be taken back`,
      );
    const bad = active();
    const former = this.#parts.state();
    const before = former.previous.find(({ digest }) => digest !== bad);
    if (bad === null || before === undefined)
      throw new OverrideRefused('there is no bundle before the one that serves');
    const bundle = await this.#found(before.digest, false);
    // First, so that a process that ends in between does not begin with it again.
    const why = `taken back by an operator: ${reason}`;
    await this.#parts.remember((state) => withQuarantine(state, bad, why));
    try {
      await this.#serve(bundle);
    } catch (error) {
      // It serves on, then.
      if (!former.quarantined.has(bad)) await this.#parts.remember((state) => withoutQuarantine(state, [bad]));
      throw error;
    }
    this.#parts.event('warn', 'bundle taken back', { digest: bad, reason, by: 'operator' });
    this.#parts.lookAgain();
    return before.digest;
  }

  /** Serves this bundle and nothing else for a time, over restarts too. `again`: also one that was taken back, which then counts as taken back no longer. */
  pinTo(text: string, forMs: number, reason: string, again = false): Promise<number> {
    return this.#decide(() => this.#pinTo(text, forMs, reason, again));
  }

  async #pinTo(text: string, forMs: number, reason: string, again: boolean): Promise<number> {
    const digest = parseDigest(text);
    if (digest === undefined) throw new OverrideRefused('a digest is sha256: and 64 lowercase hexadecimal digits');
    if (!Number.isSafeInteger(forMs) || forMs < 1 || forMs > PIN_MS_MAX)
      throw new OverrideRefused(`a pin lasts at most ${PIN_MS_MAX / 86_400_000} days`);
    const { active, abandonTrial, lookAgain } = this.#parts;
    const serves = (): boolean => active() === digest;
    let bundle = serves() ? null : await this.#found(digest, again);
    await abandonTrial(`pinned to ${digest}`);
    // What was tried may have come to serve all meanwhile.
    if (serves()) bundle = null;
    else bundle ??= await this.#found(digest, again);
    const released = again && this.#parts.state().quarantined.has(digest);
    const untilMs = this.#parts.now() + forMs;
    const pinned = (state: StoreState): StoreState => ({
      ...(again ? withoutQuarantine(state, [digest]) : state),
      pin: { digest, untilMs },
    });
    try {
      await (bundle === null ? this.#parts.remember(pinned) : this.#serve(bundle, pinned));
    } catch (error) {
      // There is no pin: what the source names may be tried on.
      lookAgain();
      throw error;
    }
    if (released) this.#parts.event('info', 'what was taken back may be taken again', { digests: [digest] });
    this.#parts.event('warn', 'bundle pinned', { digest, until: new Date(untilMs).toISOString(), reason });
    this.#arm();
    lookAgain();
    return untilMs;
  }

  /** The source counts again. */
  unpin(reason: string): Promise<boolean> {
    return this.#decide(() => this.#unpin(reason));
  }

  async #unpin(reason: string): Promise<boolean> {
    const { pin } = this.#parts.state();
    if (pin === undefined) return false;
    await this.#parts.remember(({ pin: _over, ...rest }) => rest);
    this.#parts.event('info', 'pin is over', { digest: pin.digest, reason });
    this.#parts.lookAgain();
    return true;
  }

  #decide<T>(task: () => Promise<T>): Promise<T> {
    return this.#parts.turn(async () => {
      const why = this.#parts.unable();
      if (why !== null) throw new OverrideRefused(why);
      return task();
    });
  }

  async #found(digest: Digest, again: boolean): Promise<VerifiedBundle> {
    return told(digest, this.#parts.find(digest, again));
  }

  async #serve(bundle: VerifiedBundle, also?: Change): Promise<void> {
    await told(bundle.digest, this.#parts.serve(bundle, also));
  }

  #arm(): void {
    this.close();
    const { pin } = this.#parts.state();
    if (pin === undefined) return;
    const left = pin.untilMs - this.#parts.now();
    this.#timer = setTimeout(
      () => {
        if (left > PIN_LOOK_MS) return this.#arm();
        // Where nothing can be decided now, whoever comes next sees by the clock that it is over.
        this.#decide(async () => {
          // It may have been renewed, or the clock set back, while this waited its turn.
          if (this.pin === undefined) await this.#unpin('its time is over');
          else this.#arm();
        }).catch((error: unknown) => {
          if (!(error instanceof OverrideRefused)) throw error;
        });
      },
      Math.max(0, Math.min(left, PIN_LOOK_MS)),
    ).unref();
  }
}

/** Why a bundle cannot serve is for the operator; anything else is a fault of ours. */
async function told<T>(digest: Digest, done: Promise<T>): Promise<T> {
  try {
    return await done;
  } catch (error) {
    if (error instanceof Rejection && error.code === 'quarantined')
      throw new OverrideRefused(
        `${digest} cannot serve: ${error.message} (cnx rollout pin --again takes it nevertheless)`,
        { cause: error },
      );
    if (error instanceof Interrupted) throw new OverrideRefused(error.message, { cause: error });
    if (error instanceof Rejection || error instanceof SourceError || error instanceof ActivationError)
      throw new OverrideRefused(`${digest} cannot serve: ${error.message}`, { cause: error });
    throw error;
  }
}
