/**
 * Which endpoint of a cell gets the next request (docs/balancing.md). Unless the cell says otherwise by health-weighted least connection: of the endpoints in rotation
 * the one with the greatest `health × (capacity − inflight) / capacity` gets it; equal ones draw lots. Other algorithms (algorithms.ts) pick among the same ones: what
 * may be used at all is said by availability.ts. What is out of rotation, or so unhealthy that it would never be chosen, gets a trial now and then, so that it can
 * recover. Linear in the endpoints; allocates nothing.
 */
import { Algorithm } from '../../snapshot/balance.ts';
import type { EndpointColumns } from '../../snapshot/endpoint-columns.ts';
import { ENDPOINT_SLOTS } from '../../snapshot/endpoint-columns.ts';
import type { EndpointPlan } from '../../snapshot/cell-plans.ts';
import { chance, draw, Salt } from '../chance.ts';
import { type Candidates, boundOf, inTurn, leastBusy, ofTwo } from './algorithms.ts';
import { Availability, Standing } from './availability.ts';
import { type CellMembers, MEMBERS_MAX, TIERS_MAX } from './cell-members.ts';
import type { FailedSlots } from './failed-slots.ts';

/** Shortest time between two trials of one endpoint by one lane. */
export const TRIAL_INTERVAL_MS = 1_000;
/** Share of requests that may go to an endpoint of poor health though better ones are there. */
export const TRICKLE_SHARE = 0.01;
/**
 * Health below which the trickle is wanted: any that is not perfect. A lower bound would leave a gap in which an endpoint is too well for trials and, beside
 * perfect ones with much room, too poor for its weight to win: it would get no request, so no sample, and stay there for ever.
 */
export const TRICKLE_HEALTH = 1;
/** Healthy endpoints count so many times for the share that the first ones get (Envoy's overprovisioning factor): with 72 % of them healthy, all of it. */
export const OVERPROVISIONING = 1.4;
/** Share of its share that an endpoint gets at the begin of its slow start. */
export const SLOW_START_LEAST = 0.1;
/** The request has nothing to be hashed. */
export const NO_HASH = -1;
/** No endpoint is asked for before others. */
export const NO_MEMBER = -1;

/** Why nothing was chosen. */
export const NoChoice = { None: 0, Down: 1, Full: 2, Unhealthy: 3, Failed: 4 } as const;
export type NoChoice = (typeof NoChoice)[keyof typeof NoChoice];

/** What one choice knows of a member. */
const State = {
  /** Not to be chosen. */
  None: 0,
  /** May be chosen. */
  Usable: 1,
  /** The same, and it came lately: this request may pass it over. */
  Slow: 2,
  /** Only in panic: ejected. */
  Panic: 3,
  /** Passed over by the ring: too busy. */
  Busy: 4,
} as const;
type State = (typeof State)[keyof typeof State];

const SCALE = 0x1_0000_0000;

export class Chooser {
  readonly #columns: EndpointColumns;
  readonly #availability: Availability;
  /** Epoch ms of this lane's last trial, by slot. */
  readonly #triedAt = new Float64Array(ENDPOINT_SLOTS);
  // Of one choice, by member.
  readonly #state = new Uint8Array(MEMBERS_MAX);
  readonly #room = new Float64Array(MEMBERS_MAX);
  /** Of those that came lately. */
  readonly #startShare = new Float64Array(MEMBERS_MAX);
  readonly #candidates: Candidates = {
    list: new Int32Array(MEMBERS_MAX),
    count: 0,
    inflight: new Float64Array(MEMBERS_MAX),
    ties: new Int32Array(MEMBERS_MAX),
  };
  // By tier.
  readonly #total = new Int32Array(TIERS_MAX);
  readonly #healthy = new Int32Array(TIERS_MAX);
  readonly #usable = new Int32Array(TIERS_MAX);
  /** The greatest share of a usable member, 0 … 1. */
  readonly #greatestShare = new Float64Array(TIERS_MAX);
  /** Why the last choice was null. */
  reason: NoChoice = NoChoice.None;
  /** The last choice was made in panic: most endpoints are ejected, and those were used as well. */
  panicked = false;

  constructor(columns: EndpointColumns, laneCount: number) {
    this.#columns = columns;
    this.#availability = new Availability(columns, laneCount);
  }

  /**
   * An endpoint of the cell, or null. Those in `failed` are not chosen again as long as there are others, the last of them only when it is the only one left and merely suspected. `retry`: a request
   * that has failed once is not used for trials. `hash`: of what the cell's algorithm hashes, 32 bits, or NO_HASH. `preferred`: the member that gets it if it can be used at all, or NO_MEMBER.
   */
  choose(
    members: CellMembers,
    now: number,
    random: number,
    failed: FailedSlots,
    retry: boolean,
    hash: number = NO_HASH,
    preferred: number = NO_MEMBER,
  ): EndpointPlan | null {
    const chosen = this.#choose(members, now, random, failed, false, retry, hash, preferred);
    if (failed.count < 2 || (chosen !== null && !failed.has(chosen.slot))) return chosen;
    // Whoever failed first may have been unlucky; the last one is known best.
    return this.#choose(members, now, random, failed, true, retry, hash, preferred);
  }

  /** `lastOnly`: only the last of those that failed counts. */
  #choose(
    members: CellMembers,
    now: number,
    random: number,
    failed: FailedSlots,
    lastOnly: boolean,
    retry: boolean,
    hash: number,
    preferred: number,
  ): EndpointPlan | null {
    const lastFailed = failed.last;
    const several = failed.count > 1 && !lastOnly;
    const { health, returnedAt } = this.#columns;
    const availability = this.#availability;
    const second = Math.floor(now / 1000);
    const { endpoints, tier, tiers, plan } = members;
    const state = this.#state;
    const usable = this.#usable;
    const count = endpoints.length;
    this.panicked = false;
    for (let t = 0; t < tiers; t++) this.#total[t] = this.#healthy[t] = usable[t] = this.#greatestShare[t] = 0;
    let any = 0;
    let slow = 0;
    // Candidates for a trial: any that is out of rotation but may be tried, and the least healthy of those in rotation.
    let onTrial: EndpointPlan | null = null;
    let poorest: EndpointPlan | null = null;
    let poorestHealth = TRICKLE_HEALTH;
    let lastResort: EndpointPlan | null = null;
    let reason: NoChoice = NoChoice.Down;
    for (let i = 0; i < count; i++) {
      const endpoint = endpoints[i] as EndpointPlan;
      const { slot } = endpoint;
      const t = tier[i] as number;
      const hasFailed = slot === lastFailed || (several && failed.has(slot));
      const standing = availability.of(endpoint, second);
      state[i] = State.None;
      this.#total[t] = (this.#total[t] as number) + 1;
      if (standing === Standing.Out) continue;
      if (standing === Standing.Ejected) {
        this.#room[i] = availability.room;
        if (!hasFailed) state[i] = State.Panic;
        continue;
      }
      if (standing === Standing.Full) {
        this.#healthy[t] = (this.#healthy[t] as number) + 1;
        if (reason === NoChoice.Down) reason = NoChoice.Full;
        continue;
      }
      if (standing !== Standing.Usable) {
        if (
          standing === Standing.Suspected &&
          (lastResort === null || lastResort.slot === lastFailed || (several && failed.has(lastResort.slot)))
        )
          lastResort = endpoint;
        if (onTrial === null && this.#due(slot, now)) onTrial = endpoint;
        continue;
      }
      const itsHealth = health[slot] as number;
      if (itsHealth > 0) this.#healthy[t] = (this.#healthy[t] as number) + 1;
      if (hasFailed) {
        reason = NoChoice.Failed;
        continue;
      }
      if (itsHealth < poorestHealth && this.#due(slot, now)) {
        poorest = endpoint;
        poorestHealth = itsHealth;
      }
      this.#room[i] = availability.room;
      if (!(itsHealth > 0)) {
        reason = NoChoice.Unhealthy;
        continue;
      }
      const share = shareAtStart(endpoint.since, returnedAt[slot] as number, plan.slowStartMs, now);
      if (share > (this.#greatestShare[t] as number)) this.#greatestShare[t] = share;
      if (share < 1) {
        state[i] = State.Slow;
        this.#startShare[i] = share;
        slow++;
      } else {
        this.#admit(i, t);
        any++;
      }
    }
    if (preferred !== NO_MEMBER && (state[preferred] === State.Usable || state[preferred] === State.Slow))
      return endpoints[preferred] as EndpointPlan;
    if (slow > 0) any += this.#admitSlow(members, hash === NO_HASH ? random : hash);
    const share = tiers > 1 || any < count ? this.#shareOfHealthy(tiers) : 1;
    if (share < 1 && plan.panicThreshold > 0) {
      for (let t = 0; t < tiers; t++)
        if ((this.#healthy[t] as number) < plan.panicThreshold * (this.#total[t] as number)) {
          const more = this.#admitEjected(members, t);
          any += more;
          this.panicked ||= more > 0;
        }
    }
    if (!retry) {
      // An endpoint that came back must not wait for chance; a poor one is asked rarely, and at once when nobody else is left.
      if (onTrial !== null) return this.#trial(onTrial, now);
      if (poorest !== null && (any === 0 || chance(random, Salt.Trickle, TRICKLE_SHARE))) {
        return this.#trial(poorest, now);
      }
    }
    if (any > 0) {
      const first = tiers === 1 ? 0 : this.#tierOf(tiers, share, hash === NO_HASH ? random : hash);
      const at = this.#pick(members, first, random, hash);
      return endpoints[at] as EndpointPlan;
    }
    // One reset connection may have been an idle one that was closed as we used it: with nobody else left the endpoint is still the best there is.
    if (lastResort === null) this.reason = reason;
    return lastResort;
  }

  /**
   * Of those that came lately, which this request does not pass over; how many. Shares count beside those of the same tier: where all came at once, they share as if they had
   * always been there, and nobody is passed over in favour of a tier that comes later.
   */
  #admitSlow({ endpoints, tier }: CellMembers, random: number): number {
    let admitted = 0;
    for (let i = 0; i < endpoints.length; i++) {
      if (this.#state[i] !== State.Slow) continue;
      const t = tier[i] as number;
      const own = random ^ Math.imul((endpoints[i] as EndpointPlan).slot + 1, 0x85ebca6b);
      const full = this.#greatestShare[t] as number;
      if (!chance(own, Salt.SlowStart, (this.#startShare[i] as number) / full)) continue;
      this.#admit(i, t);
      admitted++;
    }
    return admitted;
  }

  /** What was ejected may be used from here on, in one tier; how many. */
  #admitEjected({ endpoints, tier }: CellMembers, only: number): number {
    let admitted = 0;
    for (let i = 0; i < endpoints.length; i++) {
      if (this.#state[i] !== State.Panic || tier[i] !== only) continue;
      this.#admit(i, only);
      admitted++;
    }
    return admitted;
  }

  #admit(member: number, tier: number): void {
    this.#state[member] = State.Usable;
    this.#usable[tier] = (this.#usable[tier] as number) + 1;
  }

  /** Sum over tiers of how much each can bear, at most 1. */
  #shareOfHealthy(tiers: number): number {
    let sum = 0;
    for (let t = 0; t < tiers; t++) sum += this.#bears(t);
    return Math.min(1, sum);
  }

  /** How much of all requests a tier can bear, 0 … 1. */
  #bears(t: number): number {
    const total = this.#total[t] as number;
    return total === 0 ? 0 : Math.min(1, (OVERPROVISIONING * (this.#healthy[t] as number)) / total);
  }

  /** The tier that gets the request: the first as far as it bears it, then the next (Envoy's priority levels). */
  #tierOf(tiers: number, share: number, random: number): number {
    if (share === 0) return 0;
    let left = (draw(random, Salt.Tier) / SCALE) * share;
    for (let t = 0; t < tiers; t++) {
      left -= this.#bears(t);
      if (left < 0) return t;
    }
    return tiers - 1;
  }

  /** One of the usable members of a tier; of the next one that has any when it has none. */
  #pick(members: CellMembers, first: number, random: number, hash: number): number {
    const { endpoints, tier, tiers, plan } = members;
    const c = this.#candidates;
    let t = first;
    for (let k = 0; (this.#usable[t] as number) === 0 && k < tiers; k++) t = k;
    c.count = 0;
    for (let i = 0; i < endpoints.length; i++) {
      if (this.#state[i] !== State.Usable) continue;
      if (tier[i] !== t) {
        this.#state[i] = State.None;
        continue;
      }
      c.list[c.count++] = i;
      c.inflight[i] = (endpoints[i] as EndpointPlan).capacity - (this.#room[i] as number);
    }
    switch (plan.algorithm) {
      case Algorithm.RoundRobin:
        return inTurn(members, c.list, c.count);
      case Algorithm.LeastRequest:
        return leastBusy(members, c);
      case Algorithm.P2c:
        return ofTwo(members, c, random);
      case Algorithm.RingHash:
        return this.#onRing(members, hash === NO_HASH ? draw(random, Salt.Ring) : hash);
      default:
        return this.#heaviest(endpoints, random);
    }
  }

  /** The greatest health × free capacity. In panic health says nothing any more. */
  #heaviest(endpoints: readonly EndpointPlan[], random: number): number {
    const { list, count, ties } = this.#candidates;
    let best = 0;
    let tied = 0;
    for (let k = 0; k < count; k++) {
      const i = list[k] as number;
      const { slot, capacity } = endpoints[i] as EndpointPlan;
      const weight =
        ((this.panicked ? 1 : (this.#columns.health[slot] as number)) * (this.#room[i] as number)) / capacity;
      if (weight < best) continue;
      if (weight > best) {
        best = weight;
        tied = 0;
      }
      ties[tied++] = i;
    }
    return ties[tied === 1 ? 0 : Math.floor((draw(random, Salt.Tie) / SCALE) * tied)] as number;
  }

  #onRing(members: CellMembers, hash: number): number {
    const { ring, plan } = members;
    const c = this.#candidates;
    if (ring === null) return c.list[0] as number;
    for (let tries = 0; tries < c.count; tries++) {
      const at = ring.find(hash, this.#state, State.Usable);
      // None within reach of this hash: any is as good.
      if (at < 0) return c.list[hash % c.count] as number;
      if (plan.hashBalanceFactor === 0 || (c.inflight[at] as number) < boundOf(members, c, at)) return at;
      this.#state[at] = State.Busy;
    }
    return c.list[hash % c.count] as number;
  }

  #due(slot: number, now: number): boolean {
    // The distance either way: a clock that was set back must not put trials off.
    return Math.abs(now - (this.#triedAt[slot] as number)) >= TRIAL_INTERVAL_MS;
  }

  #trial(endpoint: EndpointPlan, now: number): EndpointPlan {
    this.#triedAt[endpoint.slot] = now;
    return endpoint;
  }
}

/** The share of an endpoint that came (`since`) or came back (`returnedAt`) lately, SLOW_START_LEAST … 1: it grows evenly over the window. 0 = never. */
function shareAtStart(since = 0, returnedAt: number, windowMs: number, now: number): number {
  const from = Math.max(since, returnedAt);
  const age = now - from;
  // A clock that was set back ends it.
  if (windowMs === 0 || from === 0 || age >= windowMs || age < 0) return 1;
  return Math.max(SLOW_START_LEAST, age / windowMs);
}
