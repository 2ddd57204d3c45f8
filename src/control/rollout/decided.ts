/** What was decided on this gateway, by an operator, by its own comparison or by a start, and that it is remembered: it counts whatever the disk does, and is written as soon as that can be. */
import type { Digest } from '../oci/digest.ts';
import type { StoreState } from '../store/state.ts';
import type { BundleStore } from '../store/store.ts';
import type { VerifiedBundle } from '../trust/verify.ts';

export type Change = (state: StoreState) => StoreState;

export interface DecidedParts {
  readonly store: () => BundleStore;
  readonly active: () => Digest | null;
  /** Of the trust policy. */
  readonly epoch: () => number;
  readonly event: (level: 'info' | 'error', message: string, fields: Record<string, unknown>) => void;
  /** Epoch ms. */
  readonly now: () => number;
}

export class Decided {
  readonly #parts: DecidedParts;
  /** What an operator or a start made to serve, and is not on the disk yet. */
  #unrecorded: VerifiedBundle | null = null;

  constructor(parts: DecidedParts) {
    this.#parts = parts;
  }

  /** Never rejects. Where it cannot be written, that is told, and the store tries again. */
  async remember(change: (store: BundleStore) => Promise<void>): Promise<void> {
    try {
      await change(this.#parts.store());
    } catch (error) {
      this.#tellUnwritten(error);
    }
  }

  /** It was made to serve. `also` changes with it, in one write. Never rejects. */
  async serves(bundle: VerifiedBundle, also?: Change): Promise<void> {
    this.#unrecorded = bundle;
    try {
      await this.#record(bundle, also);
    } catch (error) {
      this.#tellUnwritten(error);
    }
  }

  /** True: something is to be written, with `writeAgain`. */
  get waits(): boolean {
    return this.#unrecorded !== null;
  }

  /** What could not be written, if it serves still. Never rejects: it was told. */
  async writeAgain(): Promise<void> {
    const bundle = this.#unrecorded;
    if (bundle === null) return;
    if (bundle.digest !== this.#parts.active()) {
      this.#unrecorded = null;
      return;
    }
    try {
      await this.#record(bundle);
    } catch {
      // The store's `fault` says it.
    }
  }

  /** The source has moved on: what was taken back may be taken again, but for what it names. */
  async releaseBut(digest: Digest): Promise<void> {
    const digests = [...this.#parts.store().state.quarantined.keys()].filter((one) => one !== digest);
    if (digests.length === 0) return;
    await this.remember((store) => store.releaseQuarantine(digest));
    this.#parts.event('info', 'what was taken back may be taken again', { digests });
  }

  async #record(bundle: VerifiedBundle, also?: Change): Promise<void> {
    const { store, epoch, now } = this.#parts;
    await store().activated(bundle, epoch(), now(), also);
    this.#unrecorded = null;
  }

  #tellUnwritten(error: unknown): void {
    const reason = error instanceof Error ? error.message : String(error);
    this.#parts.event('error', 'what was decided cannot be written down; it counts until this process ends', {
      reason,
    });
  }
}
