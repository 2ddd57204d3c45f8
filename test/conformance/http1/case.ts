import type { Verdict } from '../result.ts';
import type { Seen } from './judge.ts';
import type { Step } from './observe.ts';

/** A case of any of the five sets: what to send, and who judges what came of it. */
export interface Http1Case {
  readonly set: string;
  readonly id: string;
  readonly steps: readonly Step[];
  readonly judge: (seen: Seen) => Verdict;
}

/**
 * What a set may put where a case wants a host: a name of this connection's own, eight characters long, since some templates carry lengths
 * that were counted with eight characters in its place.
 */
export function hostOf(index: number): string {
  return `c${index.toString(36).padStart(4, '0').slice(-4)}:80`;
}
