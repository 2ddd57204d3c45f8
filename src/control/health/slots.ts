/**
 * Rows of the shared endpoint columns, given to endpoint identities (`cell/host:port`). An identity keeps its row over snapshots, so that health, in-flight counts
 * and a refused connection outlive a new bundle. A row goes to another identity only when no snapshot holds the old one any more, nothing is in flight
 * on it, and it has rested for a while.
 */
import { ENDPOINT_SLOTS } from '../../snapshot/endpoint-columns.ts';
import type { EndpointColumns } from '../../snapshot/endpoint-columns.ts';

/** How long a row rests before another identity may have it: longer than an answer's last events take to reach the columns. */
export const SLOT_REST_MS = 60_000;

/** More identities at once than rows. */
export class SlotsFull extends Error {
  override readonly name = 'SlotsFull';
  readonly wanted: number;

  constructor(wanted: number, capacity: number) {
    super(`the table of endpoints is full: ${wanted} more are wanted than the ${capacity} that can be known at once`);
    this.wanted = wanted;
  }
}

/** The rows of one snapshot's endpoints. */
export interface SlotLease {
  /** Row of an identity that was asked for. */
  slotOf(identity: string): number;
  /** Epoch ms since when somebody holds it without a break. */
  sinceOf(identity: string): number;
  /** Call it when no lane uses the snapshot any more. Idempotent. */
  release(): void;
}

interface Holder {
  readonly identity: string;
  readonly slot: number;
  /** Snapshots that hold it. */
  leases: number;
  /** Epoch ms of the first of them. */
  since: number;
  /** Monotonic ms since when nobody does. */
  restsSince: number;
}

export interface EndpointSlotsOptions {
  readonly columns: EndpointColumns;
  /** Lanes whose in-flight counts keep a row. */
  readonly laneCount: number;
  /** Epoch ms, to show. */
  readonly now: () => number;
  /** Monotonic ms, to decide by; tests pass their own. */
  readonly tick?: () => number;
  /** Rows; fewer than the table's only in tests. */
  readonly capacity?: number;
}

export class EndpointSlots {
  readonly #columns: EndpointColumns;
  readonly #laneCount: number;
  readonly #now: () => number;
  readonly #tick: () => number;
  readonly #capacity: number;
  readonly #holders = new Map<string, Holder>();
  #fresh = 0;

  constructor(options: EndpointSlotsOptions) {
    this.#columns = options.columns;
    this.#laneCount = options.laneCount;
    this.#now = options.now;
    this.#tick = options.tick ?? (() => performance.now());
    this.#capacity = Math.min(options.capacity ?? ENDPOINT_SLOTS, ENDPOINT_SLOTS);
  }

  /** Rows for all of these identities, or none. Throws `SlotsFull`. */
  lease(identities: readonly string[]): SlotLease {
    const wanted = new Set(identities);
    const missing = [...wanted].filter((identity) => !this.#holders.has(identity));
    const rested = this.#rested(wanted);
    const room = this.#capacity - this.#fresh + rested.length;
    if (missing.length > room) throw new SlotsFull(missing.length - room, this.#capacity);
    for (const identity of missing) {
      const slot = this.#fresh < this.#capacity ? this.#fresh++ : this.#takeOver(rested.shift());
      this.#columns.resetSlot(slot);
      this.#holders.set(identity, { identity, slot, leases: 0, since: 0, restsSince: 0 });
    }
    const held = new Map<string, Holder>();
    // One look at the clock: what comes together is of one age.
    const now = this.#now();
    for (const identity of wanted) {
      const holder = this.#holders.get(identity);
      if (holder === undefined) continue;
      if (holder.leases++ === 0) holder.since = now;
      held.set(identity, holder);
    }
    let released = false;
    const holderOf = (identity: string): Holder => {
      const holder = held.get(identity);
      if (holder === undefined) throw new Error(`no row was leased for ${identity}`);
      return holder;
    };
    return {
      slotOf: (identity) => holderOf(identity).slot,
      sinceOf: (identity) => holderOf(identity).since,
      release: () => {
        if (released) return;
        released = true;
        for (const holder of held.values()) if (--holder.leases === 0) holder.restsSince = this.#tick();
      },
    };
  }

  /** Those that may lose their row, longest rested first. */
  #rested(wanted: ReadonlySet<string>): Holder[] {
    const until = this.#tick() - SLOT_REST_MS;
    return [...this.#holders.values()]
      .filter(
        (h) =>
          h.leases === 0 &&
          !wanted.has(h.identity) &&
          h.restsSince <= until &&
          this.#columns.inflightOf(h.slot, this.#laneCount) <= 0,
      )
      .sort((a, b) => a.restsSince - b.restsSince);
  }

  #takeOver(holder: Holder | undefined): number {
    if (holder === undefined) throw new SlotsFull(1, this.#capacity);
    this.#holders.delete(holder.identity);
    return holder.slot;
  }
}
