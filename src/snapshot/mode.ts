/**
 * How far the gateway has stepped back (docs/degradation.md): one word of shared memory, written by control, read by every lane when it is about to ask an upstream. A stalled control
 * thread only makes it old.
 */

export const MODES = ['normal', 'degraded', 'limited', 'survival'] as const;
export type ModeName = (typeof MODES)[number];
export const Mode = { Normal: 0, Degraded: 1, Limited: 2, Survival: 3 } as const;
export type Mode = (typeof Mode)[keyof typeof Mode];

export class ModeWord {
  readonly #word: Int32Array;

  /** Without memory: always normal. */
  constructor(memory?: SharedArrayBuffer) {
    this.#word = new Int32Array(memory ?? new ArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
  }

  static create(): SharedArrayBuffer {
    return new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT);
  }

  get now(): Mode {
    return this.#word[0] as Mode;
  }

  set now(mode: Mode) {
    this.#word[0] = mode;
  }
}

/** The mode of so many dependencies down. */
export function modeOf(down: number, criticalDown: boolean): Mode {
  if (criticalDown) return Mode.Survival;
  return down === 0 ? Mode.Normal : down === 1 ? Mode.Degraded : Mode.Limited;
}

/** A dependency as the status shows it. */
export interface DependencyView {
  readonly name: string;
  readonly for: string;
  readonly critical: boolean;
  readonly down: boolean;
  /** Epoch ms of the last change; 0: there was none. */
  readonly since: number;
  /** Why it is seen down, though it may not count so yet; '' = it is not. */
  readonly reason: string;
}

export interface ModeView {
  readonly mode: ModeName;
  /** Epoch ms; 0: from the beginning. */
  readonly since: number;
  readonly dependencies: readonly DependencyView[];
  /** How often each mode was entered. */
  readonly entered: Readonly<Record<ModeName, number>>;
}
