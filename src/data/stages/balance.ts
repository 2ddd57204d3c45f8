/** balance: the endpoint of the cell that gets this request. Entered again after a failed attempt, for another one. */
import { present } from '../../base/assert.ts';
import { Mode, ModeWord } from '../../snapshot/mode.ts';
import { liesIn } from '../../snapshot/regions.ts';
import type { CellPlan, EndpointPlan } from '../../snapshot/cell-plans.ts';
import type { ResponseCache } from '../cache/cache.ts';
import { cookieOf } from '../cookie.ts';
import type { Exchange } from '../exchange.ts';
import { REFUSALS } from '../refusal.ts';
import type { Stage } from '../stage.ts';
import { isCellOut, Standby, standbyOf } from '../upstream/cell-use.ts';
import type { Chooser } from '../upstream/choose.ts';
import { NO_HASH, NO_MEMBER, NoChoice } from '../upstream/choose.ts';
import { steppedBack } from '../upstream/stepped-back.ts';
import type { EndpointUse } from '../upstream/endpoint-use.ts';
import { hashOf } from '../upstream/request-hash.ts';
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
  /** The last cell that was asked cannot be used at all: its endpoints are out, or its circuit is open. */
  #out = false;

  readonly #mode: ModeWord;
  readonly #sheds: () => boolean;

  /** `cache`: the lane's; null = none. `mode`: how far the gateway has stepped back. `sheds`: whether the lane turns requests away for its load. */
  constructor(
    chooser: Chooser,
    use: EndpointUse,
    cache: ResponseCache | null = null,
    mode = new ModeWord(),
    sheds: () => boolean = () => false,
  ) {
    this.#sheds = sheds;
    this.#mode = mode;
    this.#chooser = chooser;
    this.#use = use;
    this.#cache = cache;
  }

  enter(x: Exchange): Verdict {
    // A redirect goes nowhere.
    if (x.cell < 0) return Verdict.Next;
    const home = present(x.revision.snapshot.cells[x.cell], 'cell');
    if (x.home < 0) x.home = x.cell;
    // Whoever chose the cell: no tenant leaves its regions, not even for what is stored.
    if (!liesIn(x.regions, home)) {
      return x.refuse(REFUSALS.region_forbidden, `cell ${home.id} lies outside the regions of tenant ${x.tenant}`);
    }
    const cache = x.route?.cache;
    // What is stored needs no endpoint.
    if (cache !== undefined && x.attempts === 0 && this.#cache !== null) {
      const verdict = this.#cache.enter(x, cache);
      if (verdict !== Verdict.Next) return verdict;
    }
    if (steppedBack(x, this.#mode) === Verdict.Refuse) return Verdict.Refuse;
    const endpoint = this.#choose(x, x.cell) ?? this.#standIn(x, home);
    if (endpoint === null) return Verdict.Refuse;
    x.doubted = !this.#use.isUp(endpoint);
    this.#use.take(x, endpoint);
    return Verdict.Next;
  }

  hedge(x: Exchange): Verdict {
    const cell = present(x.revision.snapshot.cells[x.cell], 'cell');
    const members = present(x.revision.members[x.cell], 'cell');
    const { hash, sticky } = members.plan;
    if (this.#mode.now >= Mode.Limited || this.#sheds()) return denied(x, 'the gateway sheds load');
    if (!liesIn(x.regions, cell)) return denied(x, `cell ${cell.id} lies outside the regions of tenant ${x.tenant}`);
    // Who is bound to an endpoint would get the answer of another one.
    if (sticky !== null) return denied(x, `cell ${cell.id} is sticky`);
    if (cell.guards !== undefined && !this.#use.bears(cell.guards)) return denied(x, `cell ${cell.id} bears no more`);
    const key = hash === null ? NO_HASH : hashOf(x, members.plan, hash);
    const chosen = this.#chooser.choose(members, x.now, x.random, x.failed, true, key);
    if (chosen === null || x.failed.has(chosen.slot) || !this.#use.isUp(chosen) || !this.#use.passEndpoint(x, chosen))
      return denied(x, `no other endpoint of cell ${cell.id} is up`);
    this.#use.take(x, chosen);
    return Verdict.Next;
  }

  /** Null: none, and the exchange is to be refused, unless another cell stands in. */
  #choose(x: Exchange, at: number): EndpointPlan | null {
    const { id, guards } = present(x.revision.snapshot.cells[at], 'cell');
    if (guards !== undefined) {
      // What is too much for one cell must not become too much for the next.
      this.#out = false;
      if (!this.#use.roomIn(x, id, guards)) return null;
      this.#out = true;
      if (!this.#use.passCell(x, guards)) {
        this.#use.release(x);
        x.refuse(REFUSALS.circuit_open, `the circuit of cell ${id} is open`);
        return null;
      }
    }
    const members = present(x.revision.members[at], 'cell');
    const { hash, sticky } = members.plan;
    const cookie = sticky === null ? undefined : cookieOf(x.wire, sticky.cookie);
    const member = sticky === null ? NO_MEMBER : members.named(cookie);
    const key = hash === null ? NO_HASH : hashOf(x, members.plan, hash);
    let chosen = this.#chooser.choose(members, x.now, x.random, x.failed, x.attempts > 0, key, member);
    if (chosen !== null && !this.#use.passEndpoint(x, chosen)) {
      // Another lane was quicker to the last permit of a half-open circuit: one more look, at those that need none.
      x.failed.add(chosen.slot);
      chosen = this.#chooser.choose(members, x.now, x.random, x.failed, true, key, member);
      x.failed.drop();
      if (chosen !== null && !this.#use.passEndpoint(x, chosen)) chosen = null;
    }
    if (chosen === null) {
      this.#out = isCellOut(this.#chooser.reason);
      this.#use.release(x);
      x.refuse(REFUSALS.no_endpoint, REASON_TEXT[this.#chooser.reason]);
      return null;
    }
    // What binds the client to another endpoint than before. After a failed attempt the later one counts (RFC 6265 §5.3).
    if (sticky !== null && cookie !== chosen.cookie) x.wire.addAnswerHeader('set-cookie', members.cookieOf(chosen));
    return chosen;
  }

  /** An endpoint of the cell that stands in for one that is out. One step only: a chain would carry the load of one failure through all cells. */
  #standIn(x: Exchange, out: CellPlan): EndpointPlan | null {
    if (x.home !== x.cell || !this.#out) return null;
    const { cells } = x.revision.snapshot;
    const standby = standbyOf(cells, out, x.regions);
    if (standby === Standby.None) return null;
    if (standby === Standby.Forbidden) {
      x.refuse(
        REFUSALS.cell_unavailable,
        `cell ${out.id} is out (${x.detail}), and its standby lies outside the regions of tenant ${x.tenant}`,
      );
      return null;
    }
    const cell = present(cells[standby], 'standby');
    x.cell = standby;
    const chosen = this.#choose(x, standby);
    if (chosen === null) x.detail = `cell ${out.id} is out; of its standby ${cell.id}: ${x.detail}`;
    else {
      x.refusal = null;
      x.retryAfterS = 0;
      x.detail = `cell ${out.id} is out: its standby ${cell.id} serves`;
    }
    return chosen;
  }
}

function denied(x: Exchange, why: string): Verdict {
  x.detail = why;
  return Verdict.Refuse;
}
