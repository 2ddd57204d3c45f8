import type { Digest } from '../oci/digest.ts';
import { Rejection, SourceError } from '../oci/rejection.ts';
import type { ArtifactSource, KnownTag } from '../oci/source.ts';
import { type PollClock, systemClock } from './clock.ts';
import { POLL_DEFAULT, type PollInterval } from './interval.ts';
import { Interrupted, until } from './until.ts';
import { DirectoryWatch } from './watch.ts';

/** Around the interval, so that a fleet does not ask in step. */
const JITTER = 0.2;
export const BACKOFF_MAX_MS = 300_000;
/** A signature that is still missing after this is an alarm, not a publisher between two steps. */
export const PENDING_ALARM_MS = 300_000;
const PENDING_FIRST_MS = 1000;

/**
 * `starting` nothing heard yet; `current` the tag's digest has been evaluated and taken; `rejected` evaluated and not
 * taken; `pending_signature` waits for a signature that counts; `missing` the place answers and has no such tag;
 * `unreachable` the place, or the transfer, failed; `failing` something here did, such as a full disk.
 */
export type SourceState =
  | 'starting'
  | 'current'
  | 'rejected'
  | 'pending_signature'
  | 'missing'
  | 'unreachable'
  | 'failing';

export interface SourceStatus {
  readonly state: SourceState;
  /** What the tag pointed to when it was last looked at. */
  readonly seen: Digest | undefined;
  /** Last time the place answered, milliseconds since 1970; 0 = never. */
  readonly lastContactMs: number;
  /** Why the state is not `current`, as a sentence with its code. */
  readonly reason: { readonly code: string; readonly sentence: string } | undefined;
  /** `pending_signature` for longer than 5 minutes. */
  readonly overdue: boolean;
  readonly nextPollMs: number;
}

const TAKEN = { state: 'current', reason: undefined } as const;

export interface PollerOptions {
  readonly source: ArtifactSource;
  /** Tag, or a digest to stay on. */
  readonly reference: string;
  readonly interval?: PollInterval;
  /** A directory to watch besides polling. */
  readonly watch?: string;
  /**
   * Looks at a bundle: verify, compile, activate, keep. Resolves when it is taken; throws {@link Rejection} when it is not,
   * {@link SourceError} when the transfer failed. Called for one digest at a time, and again for the same one only if
   * that can help. Any other error (a full disk, a bug) says nothing about the bundle: it is reported and tried again with back-off. Once the signal is aborted it
   * should end soon, with its reason.
   */
  readonly evaluate: (digest: Digest, signal: AbortSignal) => Promise<void>;
  /** After every poll. Must not throw. */
  readonly onStatus?: (status: SourceStatus) => void;
  readonly clock?: PollClock;
}

/**
 * Looks at a tag again and again: an unchanged one costs one HEAD. What was evaluated is not fetched again, whether it was
 * taken or not, unless a signature is still missing or the transfer failed: those are tried with growing pauses up to
 * 5 minutes, and at once when the tag moves.
 */
export class BundlePoller {
  readonly #options: PollerOptions;
  readonly #clock: PollClock;
  readonly #interval: PollInterval;
  readonly #watch: DirectoryWatch | undefined;
  readonly #backoffMaxMs: number;
  /** Last digest whose evaluation is final, and what a conditional request needs. */
  #evaluated: KnownTag | undefined;
  /** How often it was forgotten: what was begun before is not final. */
  #reconsidered = 0;
  /** How that evaluation ended. */
  #verdict: Pick<SourceStatus, 'state' | 'reason'> = TAKEN;
  #status: SourceStatus = {
    state: 'starting',
    seen: undefined,
    lastContactMs: 0,
    reason: undefined,
    overdue: false,
    nextPollMs: 0,
  };
  #pendingSinceMs: number | undefined;
  #pauseMs = 0;
  #cancel: (() => void) | undefined;
  #running: Promise<void> | undefined;
  /** Ends the poll that is running. */
  #interruption = new AbortController();
  #again = false;
  #started = false;
  #stopped = false;

  constructor(options: PollerOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#interval = options.interval ?? POLL_DEFAULT;
    // Nobody is spared by looking at a local directory less often.
    this.#backoffMaxMs = options.watch === undefined ? BACKOFF_MAX_MS : this.#interval;
    this.#watch =
      options.watch === undefined
        ? undefined
        : new DirectoryWatch(
            options.watch,
            () => void this.pollNow(),
            (ms, callback) => this.#clock.after(ms, callback),
          );
  }

  get status(): SourceStatus {
    return this.#status;
  }

  /** The digest that already serves, so that it is not evaluated again after a start. */
  assumeEvaluated(digest: Digest): void {
    this.#evaluated = { digest };
    this.#verdict = TAKEN;
  }

  /** Forgets what was evaluated, and what is being: the trust policy has changed. The next poll looks at the tag's digest anew. */
  reconsider(): void {
    this.#reconsidered += 1;
    this.#evaluated = undefined;
    this.#pauseMs = 0;
  }

  /** Polls now and then goes on. Resolves after the first poll. */
  async start(): Promise<void> {
    this.#started = true;
    await this.pollNow();
  }

  /** Polls at once, or once more right after the poll that is running. Resolves when that has ended; never rejects. */
  async pollNow(): Promise<void> {
    if (this.#stopped) return;
    if (this.#running !== undefined) {
      this.#again = true;
      await this.#running;
      return;
    }
    this.#cancel?.();
    this.#cancel = undefined;
    this.#running = this.#rounds();
    await this.#running;
  }

  /** Ends the poll that is on its way, if there is one, without a word about what it looked at; the next one comes at once. */
  interrupt(): void {
    this.#interruption.abort(new Interrupted('something else comes first'));
  }

  /** Nothing is left running afterwards; a poll that is on its way is ended, and waited for. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.interrupt();
    this.#cancel?.();
    this.#cancel = undefined;
    this.#watch?.stop();
    await this.#running;
  }

  /** One poll, and one more when somebody asked meanwhile. */
  async #rounds(): Promise<void> {
    try {
      // At most two: who asks during the second is served by the next timer, which is then set to now.
      for (let round = 0; round < 2; round += 1) {
        this.#again = false;
        this.#watch?.ensure();
        await this.#poll();
        if (!this.#again || this.#stopped) break;
      }
    } finally {
      this.#running = undefined;
      const pause = this.#again ? 0 : this.#pauseMs;
      if (!this.#stopped && this.#started) this.#cancel = this.#clock.after(pause, () => void this.pollNow());
      this.#report({ ...this.#status, nextPollMs: this.#clock.now() + pause });
    }
  }

  async #poll(): Promise<void> {
    const { source, reference, evaluate } = this.#options;
    this.#interruption = new AbortController();
    const { signal } = this.#interruption;
    let seen = this.#status.seen;
    let tag: KnownTag | undefined;
    const begun = this.#reconsidered;
    // What was judged by a policy that does not count any more is judged anew.
    const final = (known: KnownTag | undefined): KnownTag | undefined =>
      begun === this.#reconsidered ? known : undefined;
    try {
      const resolution = await until(source, signal).resolve(reference, this.#evaluated);
      this.#status = { ...this.#status, lastContactMs: this.#clock.now() };
      if (resolution.state === 'unchanged') {
        // Evaluated before, with an outcome that stays; a failure of the place in between is over.
        const { etag } = resolution;
        if (this.#evaluated !== undefined && etag !== undefined) this.#evaluated = { ...this.#evaluated, etag };
        this.#settle({ ...this.#status, ...this.#verdict, seen: this.#evaluated?.digest });
        return;
      }
      if (resolution.state === 'missing') {
        this.#settle({
          ...this.#status,
          state: 'missing',
          seen: undefined,
          reason: { code: 'not_found', sentence: `${source.name} has no ${reference}` },
        });
        return;
      }
      if (resolution.digest !== seen) this.#pendingSinceMs = undefined;
      seen = resolution.digest;
      tag = { digest: resolution.digest, etag: resolution.etag };
      await evaluate(resolution.digest, signal);
      this.#evaluated = final(tag);
      this.#verdict = TAKEN;
      this.#settle({ ...this.#status, ...TAKEN, seen });
    } catch (error) {
      this.#failed(error, seen, final(tag));
    }
  }

  #settle(status: SourceStatus): void {
    this.#pendingSinceMs = undefined;
    this.#pauseMs = this.#jittered(this.#interval);
    this.#status = { ...status, overdue: false };
  }

  #failed(error: unknown, seen: Digest | undefined, tag: KnownTag | undefined): void {
    if (error instanceof Interrupted) {
      this.#pauseMs = 0;
      return;
    }
    const reason = {
      code: error instanceof Rejection || error instanceof SourceError ? error.code : 'internal',
      sentence: error instanceof Error ? error.message : String(error),
    };
    if (error instanceof Rejection && error.retry === 'signature') {
      this.#pendingSinceMs ??= this.#clock.now();
      const overdue = this.#clock.now() - this.#pendingSinceMs > PENDING_ALARM_MS;
      const first = this.#status.state !== 'pending_signature' || this.#status.seen !== seen;
      this.#pauseMs = this.#grown(first ? 0 : this.#pauseMs, Math.min(PENDING_FIRST_MS, this.#interval));
      this.#status = { ...this.#status, state: 'pending_signature', seen, reason, overdue };
      return;
    }
    if (!(error instanceof Rejection) || error.retry === 'transport') {
      const state = error instanceof SourceError || error instanceof Rejection ? 'unreachable' : 'failing';
      const asked = error instanceof SourceError ? Math.min(error.retryAfterMs ?? 0, BACKOFF_MAX_MS) : 0;
      const first = this.#status.state !== state;
      this.#pauseMs = Math.max(this.#grown(first ? 0 : this.#pauseMs, this.#interval), asked);
      this.#status = { ...this.#status, state, seen, reason, overdue: false };
      return;
    }
    // Final for these bytes: only another digest helps.
    this.#evaluated = tag ?? this.#evaluated;
    this.#verdict = { state: 'rejected', reason };
    this.#settle({ ...this.#status, ...this.#verdict, seen });
  }

  /** Decorrelated back-off: at random between the first pause and three times the last one, up to 5 minutes. */
  #grown(lastMs: number, firstMs: number): number {
    const high = Math.max(firstMs, lastMs * 3);
    return Math.min(this.#backoffMaxMs, firstMs + this.#clock.random() * (high - firstMs));
  }

  #jittered(ms: number): number {
    return ms * (1 - JITTER + 2 * JITTER * this.#clock.random());
  }

  #report(status: SourceStatus): void {
    this.#status = status;
    this.#options.onStatus?.(status);
  }
}
