/**
 * Which endpoint of a cell gets the next request (docs/balancing.md): health-weighted least connection. Of the endpoints in rotation the one with the
 * greatest `health × (capacity − inflight) / capacity` gets it; equal ones draw lots. What is out of rotation, or so unhealthy that it would never be
 * chosen, gets a trial now and then, so that it can recover. What may be used at all is said by availability.ts. Allocates nothing.
 */
import type { EndpointColumns } from '../../snapshot/endpoint-columns.ts';
import { ENDPOINT_SLOTS } from '../../snapshot/endpoint-columns.ts';
import type { EndpointPlan } from '../../snapshot/snapshot.ts';
import type { CellMembers } from './cell-members.ts';
import { chance, draw, Salt } from '../chance.ts';
import { Availability, Standing } from './availability.ts';

/** Shortest time between two trials of one endpoint by one lane. */
export const TRIAL_INTERVAL_MS = 1_000;
/** Share of requests that may go to an endpoint of poor health though better ones are there. */
export const TRICKLE_SHARE = 0.01;
/**
 * Health below which the trickle is wanted: any that is not perfect. A lower bound would leave a gap in which an endpoint is too well for trials and, beside
 * perfect ones with much room, too poor for its weight to win: it would get no request, so no sample, and stay there for ever.
 */
export const TRICKLE_HEALTH = 1;
/** Endpoints of a cell that a choice can tie between; more still work, the rest never wins a tie. */
export const TIES_MAX = 512;

/** Why nothing was chosen. */
export const NoChoice = { None: 0, Down: 1, Full: 2, Unhealthy: 3, Failed: 4 } as const;
export type NoChoice = (typeof NoChoice)[keyof typeof NoChoice];

export class Chooser {
  readonly #columns: EndpointColumns;
  readonly #availability: Availability;
  /** Epoch ms of this lane's last trial, by slot. */
  readonly #triedAt = new Float64Array(ENDPOINT_SLOTS);
  readonly #ties = new Int32Array(TIES_MAX);
  /** Why the last choice was null. */
  reason: NoChoice = NoChoice.None;

  constructor(columns: EndpointColumns, laneCount: number) {
    this.#columns = columns;
    this.#availability = new Availability(columns, laneCount);
  }

  /**
   * An endpoint of the cell, or null. `failedSlot` is not chosen again, unless it is the only one left and merely
   * suspected. `retry`: a request that has failed once is not used for trials.
   */
  choose(members: CellMembers, now: number, random: number, failedSlot: number, retry: boolean): EndpointPlan | null {
    const { health } = this.#columns;
    const availability = this.#availability;
    const second = Math.floor(now / 1000);
    const ties = this.#ties;
    let best = 0;
    let tied = 0;
    // Candidates for a trial: any that is out of rotation but may be tried, and the least healthy of those in rotation.
    let onTrial: EndpointPlan | null = null;
    let poorest: EndpointPlan | null = null;
    let poorestHealth = TRICKLE_HEALTH;
    let lastResort: EndpointPlan | null = null;
    let reason: NoChoice = NoChoice.Down;
    const { endpoints } = members;
    for (let i = 0; i < endpoints.length; i++) {
      const endpoint = endpoints[i] as EndpointPlan;
      const { slot, capacity } = endpoint;
      const standing = availability.of(endpoint, second);
      if (standing === Standing.Out) continue;
      if (standing === Standing.Full) {
        if (reason === NoChoice.Down) reason = NoChoice.Full;
        continue;
      }
      if (standing !== Standing.Usable) {
        if (standing === Standing.Suspected && (lastResort === null || lastResort.slot === failedSlot))
          lastResort = endpoint;
        if (onTrial === null && this.#due(slot, now)) onTrial = endpoint;
        continue;
      }
      if (slot === failedSlot) {
        reason = NoChoice.Failed;
        continue;
      }
      const itsHealth = health[slot] as number;
      if (itsHealth < poorestHealth && this.#due(slot, now)) {
        poorest = endpoint;
        poorestHealth = itsHealth;
      }
      const weight = (itsHealth * availability.room) / capacity;
      if (!(weight > 0)) {
        reason = NoChoice.Unhealthy;
        continue;
      }
      if (weight < best) continue;
      if (weight > best) {
        best = weight;
        tied = 0;
      }
      if (tied < TIES_MAX) ties[tied++] = i;
    }
    if (!retry) {
      // An endpoint that came back must not wait for chance; a poor one is asked rarely, and at once when nobody else is left.
      if (onTrial !== null) return this.#trial(onTrial, now);
      if (poorest !== null && (tied === 0 || chance(random, Salt.Trickle, TRICKLE_SHARE))) {
        return this.#trial(poorest, now);
      }
    }
    if (tied > 0) {
      const at = tied === 1 ? 0 : Math.floor((draw(random, Salt.Tie) / 0x1_0000_0000) * tied);
      return endpoints[ties[at] as number] as EndpointPlan;
    }
    // One reset connection may have been an idle one that was closed as we used it: with nobody else left the endpoint is still the best there is.
    if (lastResort === null) this.reason = reason;
    return lastResort;
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
