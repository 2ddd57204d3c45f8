/** limit: limits whose keys come from a verified identity (claims, or a tenant that is one). What they refuse has been authenticated. */
import type { Exchange } from '../exchange.ts';
import type { Limits } from '../limits.ts';
import type { Stage } from '../stage.ts';
import { Verdict } from '../verdict.ts';

export class LimitStage implements Stage {
  readonly #limits: Limits;

  constructor(limits: Limits) {
    this.#limits = limits;
  }

  enter(x: Exchange): Verdict {
    return x.route === null ? Verdict.Next : this.#limits.take(x, x.route.limit);
  }
}
