/**
 * May an endpoint be used for a request, whoever of the usable ones is then chosen (choose.ts)? One answer for every algorithm; what takes endpoints out of
 * rotation is added here. Allocates nothing.
 *
 * In rotation means: not ejected by the prober or as an outlier, its circuit is closed, and `downUntil` is 0. A lane that meets a refused connection writes the time until when nobody may try; past
 * that time there are only trials, until one is answered. A reset connection makes it suspected at once: trials only, but still used when nothing else is left.
 */
import type { EndpointColumns } from '../../snapshot/endpoint-columns.ts';
import { mayPass } from '../../snapshot/circuit.ts';
import { SUSPECTED } from '../../snapshot/endpoint-columns.ts';
import type { EndpointPlan } from '../../snapshot/cell-plans.ts';
import { DOWN_SECONDS } from './endpoint-use.ts';

/** How an endpoint may be used. */
export const Standing = {
  /** In rotation, with room. */
  Usable: 0,
  /** By a trial only: it is out of rotation, and its time has passed. */
  Trial: 1,
  /** By a trial, or when nothing else is left. */
  Suspected: 2,
  /** As many requests are in flight as it was built for. */
  Full: 3,
  /** Not at all. */
  Out: 4,
  /** Only in panic: probes or a comparison with others took it out, no refused connection and no circuit. It has room. */
  Ejected: 5,
} as const;
export type Standing = (typeof Standing)[keyof typeof Standing];

export class Availability {
  readonly #columns: EndpointColumns;
  readonly #laneCount: number;
  /** Requests that the endpoint asked about last has room for; only after an answer other than `Out`. */
  room = 0;

  constructor(columns: EndpointColumns, laneCount: number) {
    this.#columns = columns;
    this.#laneCount = laneCount;
  }

  /** How this endpoint may be used. `second`: epoch seconds, whole. */
  of(endpoint: EndpointPlan, second: number): Standing {
    const { slot, capacity } = endpoint;
    const columns = this.#columns;
    const { faults } = columns;
    const open = faults.circuit[slot] !== 0;
    if (open && !mayPass(faults, slot, second * 1000)) return Standing.Out;
    const down = columns.downUntil[slot] as number;
    // A time too far ahead was written before the clock was set back: it counts as passed.
    if (down > second && down <= second + 1 + DOWN_SECONDS) return Standing.Out;
    this.room = capacity - columns.inflightOf(slot, this.#laneCount);
    if (columns.ejected[slot] !== 0 || faults.outlier[slot] !== 0)
      return this.room > 0 && !open && down === 0 ? Standing.Ejected : Standing.Out;
    if (this.room <= 0) return Standing.Full;
    // By permits, which trials take: one a second from each lane.
    if (open) return Standing.Trial;
    if (down === 0) return Standing.Usable;
    return down === SUSPECTED ? Standing.Suspected : Standing.Trial;
  }
}
