/** What the parts of the cache say to one another, and to the pipeline. */
import type { Exchange } from '../exchange.ts';
import type { RefusalRow } from '../refusal.ts';
import type { Verdict } from '../verdict.ts';

/** What a request on its way upstream means to the cache. One per exchange, from the look-up to its end. */
export interface Caching {
  /** The upstream's answer is here: it passes, waits for its body, or another one takes its place. */
  answered(x: Exchange): Verdict;
  /** Another answer is to take the place of the upstream's, of which nothing may be stored. True: what is stored has taken it. */
  replaced(x: Exchange): boolean;
  /** The request would be refused with this row. True: it was answered from what is stored. */
  rescue(x: Exchange, row: RefusalRow): boolean;
  /** The exchange is over, however it ended. Idempotent. */
  over(x: Exchange): void;
}

/** Where what a fetch brings belongs. */
export interface Place {
  readonly host: string;
  readonly target: string;
  readonly scope: string;
}

/** A fetch on its way. */
export interface Tracked {
  readonly place: Place;
  /** What it brings must not be stored: somebody has asked to forget it meanwhile. */
  purged: boolean;
}
