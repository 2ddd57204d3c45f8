/**
 * admit: limits whose keys need no identity (address, host, route, header, a tenant that is no claim), so that a flood pays for no scan and no signature check. Preflights of the CORS
 * protocol are answered behind them: they carry no credentials, and nothing of them goes upstream.
 */
import { answerPreflight } from '../answers/cors.ts';
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
    if (x.route === null) return Verdict.Next;
    const verdict = this.#limits.take(x, x.route.admit);
    const { cors } = x.route.respond;
    if (verdict !== Verdict.Next || !x.preflight || cors === null) return verdict;
    answerPreflight(x, cors);
    return Verdict.Handed;
  }
}
