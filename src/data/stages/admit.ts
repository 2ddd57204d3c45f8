/**
 * admit: what can say no cheaply. First whether the lane can serve at all (overload), then limits whose keys need no identity (address, host, route, header, a tenant that is no
 * claim), so that a flood pays for no scan and no signature check. Preflights of the CORS protocol are answered behind them: they carry no credentials, and nothing of them goes upstream.
 */
import { answerPreflight } from '../answers/cors.ts';
import type { Exchange } from '../exchange.ts';
import type { Limits } from '../limits.ts';
import type { Overload } from '../overload/overload.ts';
import type { Stage } from '../stage.ts';
import { Verdict } from '../verdict.ts';

export class AdmitStage implements Stage {
  readonly #limits: Limits;
  readonly #overload: Overload | null;

  /** `overload`: the lane's; null = everything is admitted. */
  constructor(limits: Limits, overload: Overload | null = null) {
    this.#limits = limits;
    this.#overload = overload;
  }

  enter(x: Exchange): Verdict {
    if (x.route === null) return Verdict.Next;
    if (this.#overload !== null && this.#overload.admit(x) === Verdict.Refuse) return Verdict.Refuse;
    const verdict = this.#limits.take(x, x.route.admit);
    const { cors } = x.route.respond;
    if (verdict !== Verdict.Next || !x.preflight || cors === null) return verdict;
    answerPreflight(x, cors);
    return Verdict.Handed;
  }
}
