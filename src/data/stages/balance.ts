/** balance: the endpoint of the cell that gets this request. Entered again after a failed attempt, for another one. */
import { present } from '../../base/assert.ts';
import type { ResponseCache } from '../cache/cache.ts';
import type { Exchange } from '../exchange.ts';
import { REFUSALS } from '../refusal.ts';
import type { Stage } from '../stage.ts';
import type { Chooser } from '../upstream/choose.ts';
import { NoChoice } from '../upstream/choose.ts';
import type { EndpointUse } from '../upstream/endpoint-use.ts';
import { Verdict } from '../verdict.ts';

const REASON_TEXT: Readonly<Record<NoChoice, string>> = {
  [NoChoice.None]: 'no endpoint',
  [NoChoice.Down]: 'every endpoint of the cell is down',
  [NoChoice.Full]: 'every endpoint of the cell that is up is at its capacity',
  [NoChoice.Unhealthy]: 'every endpoint of the cell that is up has health 0',
  [NoChoice.Failed]: 'the attempt failed and no other endpoint of the cell is up',
};

export class Balance implements Stage {
  readonly #chooser: Chooser;
  readonly #use: EndpointUse;
  readonly #cache: ResponseCache | null;

  /** `cache`: the lane's; null = none. */
  constructor(chooser: Chooser, use: EndpointUse, cache: ResponseCache | null = null) {
    this.#chooser = chooser;
    this.#use = use;
    this.#cache = cache;
  }

  enter(x: Exchange): Verdict {
    // A redirect goes nowhere.
    if (x.cell < 0) return Verdict.Next;
    const cache = x.route?.cache;
    // What is stored needs no endpoint.
    if (cache !== undefined && x.attempts === 0 && this.#cache !== null) {
      const verdict = this.#cache.enter(x, cache);
      if (verdict !== Verdict.Next) return verdict;
    }
    const { cells, endpoints } = x.revision.snapshot;
    const cell = present(cells[x.cell], 'cell');
    const endpoint = this.#chooser.choose(endpoints, cell.endpoints, x.now, x.random, x.failedSlot, x.attempts > 0);
    if (endpoint === null) return x.refuse(REFUSALS.no_endpoint, REASON_TEXT[this.#chooser.reason]);
    this.#use.take(x, endpoint);
    return Verdict.Next;
  }
}
