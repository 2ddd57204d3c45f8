/** What an operator decides on one gateway, past what the source names: back to the bundle before, or staying on one for a time. */
import { ActivationError } from '../activator.ts';
import { type Digest, parseDigest } from '../oci/digest.ts';
import { Rejection, SourceError } from '../oci/rejection.ts';
import type { StoreState } from '../store/state.ts';
import type { VerifiedBundle } from '../trust/verify.ts';

/** Longest pin: who wants to stay for longer points the source at a digest. */
export const PIN_MS_MAX = 7 * 86_400_000;
/** Timers count no further than 24 days, and a clock may be set. */
const PIN_LOOK_MS = 60_000;

export interface OverridesParts {
  readonly state: () => StoreState;
  /** Verifies a bundle that is kept here, or else at the source. `again`: although it was taken back. Throws Rejection or SourceError. */
  readonly find: (digest: Digest, again: boolean) => Promise<VerifiedBundle>;
  /** Makes it serve all requests and keeps it. Throws ActivationError. */
  readonly serve: (bundle: VerifiedBundle) => Promise<void>;
  readonly active: () => Digest | null;
  /** Takes back what is being tried; false when nothing is. */
  readonly revertTrial: (reason: string) => Promise<boolean>;
  /** Ends what is being tried, without blame. */
  readonly abandonTrial: (reason: string) => Promise<void>;
  readonly quarantine: (digest: Digest, reason: string) => Promise<void>;
  /** It may be taken again. */
  readonly release: (digest: Digest) => Promise<void>;
  readonly setPin: (pin: StoreState['pin']) => Promise<void>;
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
  async rollBack(reason: string): Promise<string> {
    const { pin } = this;
    if (pin !== undefined) throw new OverrideRefused('it is pinned; end the pin first');
    if (await this.#parts.revertTrial(reason)) return this.#parts.active() ?? '';
    const bad = this.#parts.active();
    const before = this.#parts.state().previous.find(({ digest }) => digest !== bad);
    if (bad === null || before === undefined)
      throw new OverrideRefused('there is no bundle before the one that serves');
    await this.#serve(before.digest, false);
    await this.#parts.quarantine(bad, `taken back by an operator: ${reason}`);
    this.#parts.event('warn', 'bundle taken back', { digest: bad, reason, by: 'operator' });
    this.#parts.lookAgain();
    return before.digest;
  }

  /** Serves this bundle and nothing else for a time, over restarts too. `again`: also one that was taken back, which then counts as taken back no longer. */
  async pinTo(text: string, forMs: number, reason: string, again = false): Promise<number> {
    const digest = parseDigest(text);
    if (digest === undefined) throw new OverrideRefused('a digest is sha256: and 64 lowercase hexadecimal digits');
    if (!Number.isSafeInteger(forMs) || forMs < 1 || forMs > PIN_MS_MAX)
      throw new OverrideRefused(`a pin lasts at most ${PIN_MS_MAX / 86_400_000} days`);
    await this.#parts.abandonTrial(`pinned to ${digest}`);
    if (this.#parts.active() !== digest) await this.#serve(digest, again);
    if (again) await this.#parts.release(digest);
    const untilMs = this.#parts.now() + forMs;
    await this.#parts.setPin({ digest, untilMs });
    this.#parts.event('warn', 'bundle pinned', { digest, until: new Date(untilMs).toISOString(), reason });
    this.#arm();
    this.#parts.lookAgain();
    return untilMs;
  }

  /** The source counts again. */
  async unpin(reason: string): Promise<boolean> {
    const { pin } = this.#parts.state();
    if (pin === undefined) return false;
    await this.#parts.setPin(undefined);
    this.#parts.event('info', 'pin is over', { digest: pin.digest, reason });
    this.#parts.lookAgain();
    return true;
  }

  async #serve(digest: Digest, again: boolean): Promise<void> {
    try {
      await this.#parts.serve(await this.#parts.find(digest, again));
    } catch (error) {
      if (error instanceof Rejection && error.code === 'quarantined')
        throw new OverrideRefused(
          `${digest} cannot serve: ${error.message} (cnx rollout pin --again takes it nevertheless)`,
          {
            cause: error,
          },
        );
      if (error instanceof Rejection || error instanceof SourceError || error instanceof ActivationError)
        throw new OverrideRefused(`${digest} cannot serve: ${error.message}`, { cause: error });
      throw error;
    }
  }

  #arm(): void {
    this.close();
    const { pin } = this.#parts.state();
    if (pin === undefined) return;
    const left = pin.untilMs - this.#parts.now();
    this.#timer = setTimeout(
      () => {
        if (left > PIN_LOOK_MS) return this.#arm();
        // A disk that cannot be written: the pin has ended all the same, by the clock.
        this.unpin('its time is over').catch((error: unknown) => {
          this.#parts.event('warn', 'the end of a pin cannot be written', { reason: String(error) });
          this.#parts.lookAgain();
        });
      },
      Math.max(0, Math.min(left, PIN_LOOK_MS)),
    ).unref();
  }
}
