/** The last answers of mirrors that differed from the real ones, for whoever asks the admin listener. */
import type { MirrorDifference } from '../snapshot/mirror.ts';

/** Differences that are kept. */
export const DIFFERENCES_MAX = 100;

export class MirrorDifferences {
  readonly #kept: MirrorDifference[] = [];

  add(difference: MirrorDifference): void {
    this.#kept.push(difference);
    if (this.#kept.length > DIFFERENCES_MAX) this.#kept.shift();
  }

  newestFirst(): readonly MirrorDifference[] {
    return [...this.#kept].reverse();
  }
}
