/** admit: limits whose keys need no identity (address, host, route, header, a tenant that is no claim), so that a flood pays for no scan and no signature check. */
import type { Exchange } from '../exchange.ts';
import type { Limits } from '../limits.ts';
import type { Stage } from '../stage.ts';
import { Verdict } from '../verdict.ts';

export class AdmitStage implements Stage {
  readonly #limits: Limits;

  constructor(limits: Limits) {
    this.#limits = limits;
  }

  enter(x: Exchange): Verdict {
    return x.route === null ? Verdict.Next : this.#limits.take(x, x.route.admit);
  }
}
