/** The stage contract (ARCHITECTURE.md). */
import type { Exchange } from './exchange.ts';
import type { Verdict } from './verdict.ts';

/**
 * One step of a request's path. Synchronous: no promise, throw, timer, clock, chance or IO; time is `x.now`, chance is `x.random`. After `Wait` it is
 * entered again from its top, so it is written as if all it needs were at hand; side effects come after its last possible `Wait`. A stage that
 * throws is a bug: answered 500, counted and logged with the stage's name.
 */
export interface Stage {
  enter(x: Exchange): Verdict;
  /**
   * Of `respond` only: the upstream's answer, of which nothing has gone out (`wire.upstreamAnswer`), on routes that ask for it. `Next` lets it pass, `Refuse` and `Handed` put another one
   * in its place, after `Wait` it is called again.
   */
  answered?(x: Exchange): Verdict;
  /** From balance on: its part of a second attempt beside one that is slow (upstream/hedging.ts). `Refuse`: there is none, and `x.detail` says why. */
  hedge?(x: Exchange): Verdict;
}

/** Wakes an exchange whose stage said Wait, with the ticket that `x.ticket` showed then. What comes late is dropped. */
export type Wake = (x: Exchange, ticket: number) => void;
