/**
 * Who is in each cell of a snapshot: the endpoints that were written down, and those that names and files lead to at the moment. A change is a new snapshot of the
 * same revision: lanes get the one cell that has changed, everything else the whole.
 */
import type { CellSource } from '../compile/endpoint-template.ts';
import { endpointPlan } from '../compile/endpoint-template.ts';
import { CELL_ENDPOINTS_MAX } from '../../config/cell.ts';
import type { EndpointPlan } from '../../snapshot/cell-plans.ts';
import type { Snapshot } from '../../snapshot/snapshot.ts';
import type { EndpointSlots, SlotLease } from '../health/slots.ts';
import { SlotsFull } from '../health/slots.ts';
import type { FileEndpoint } from './endpoints-file.ts';
import type { Found, NameSource } from './name-watch.ts';

/** What sources say. */
export interface Sources {
  found(source: NameSource): readonly Found[];
  endpoints(file: string): readonly FileEndpoint[];
}

/** An endpoint that has no row yet. */
type Candidate = Omit<EndpointPlan, 'slot' | 'since'>;

export interface MembershipParts {
  readonly slots: EndpointSlots;
  readonly sources: Sources;
  readonly event: (level: 'info' | 'warn', message: string, fields: Record<string, unknown>) => void;
}

/** One cell that has other endpoints than before. */
export interface CellChange {
  readonly cell: number;
  readonly endpoints: readonly EndpointPlan[];
  readonly came: readonly EndpointPlan[];
  readonly left: readonly EndpointPlan[];
  /** Call it when no lane chooses from the former endpoints any more. */
  readonly settled: () => void;
}

/** The cells of one compiled snapshot. */
export class Membership {
  readonly #parts: MembershipParts;
  readonly #sources: readonly CellSource[];
  readonly #cells: {
    readonly written: readonly EndpointPlan[];
    members: readonly EndpointPlan[];
    lease: SlotLease | null;
  }[];
  readonly #leases = new Set<SlotLease>();
  #snapshot: Snapshot;
  #short = false;

  /** `snapshot`: with the endpoints that were written down only. */
  constructor(snapshot: Snapshot, sources: readonly CellSource[], parts: MembershipParts) {
    this.#snapshot = snapshot;
    this.#sources = sources;
    this.#parts = parts;
    this.#cells = snapshot.cells.map((cell) => {
      const written = cell.endpoints.map((i) => snapshot.endpoints[i] as EndpointPlan);
      return { written, members: written, lease: null };
    });
  }

  /** With the endpoints of the moment. */
  get snapshot(): Snapshot {
    return this.#snapshot;
  }

  get sources(): readonly CellSource[] {
    return this.#sources;
  }

  /** A cell has stayed as it was for want of rows: `refresh` again, when some have rested. */
  get short(): boolean {
    return this.#short;
  }

  /** Looks at what sources say now; the cells that have changed. */
  refresh(): CellChange[] {
    const changes: CellChange[] = [];
    this.#short = false;
    for (const cell of new Set(this.#sources.map((source) => source.cell))) {
      const change = this.#refreshCell(cell);
      if (change !== null) changes.push(change);
    }
    if (changes.length > 0)
      this.#snapshot = withMembers(
        this.#snapshot,
        this.#cells.map(({ members }) => members),
      );
    return changes;
  }

  /** Gives all rows back. Call it when no lane uses the snapshot any more. */
  release(): void {
    for (const lease of this.#leases) lease.release();
    this.#leases.clear();
  }

  #refreshCell(cell: number): CellChange | null {
    const state = this.#cells[cell];
    if (state === undefined) return null;
    const { slots, event } = this.#parts;
    const candidates = this.#candidates(cell, state.written);
    const room = Math.max(0, CELL_ENDPOINTS_MAX - state.written.length);
    if (candidates.length > room)
      event('warn', 'a cell has more endpoints than it can hold; the last ones are left out', {
        cell: this.#snapshot.cells[cell]?.id,
        endpoints: candidates.length + state.written.length,
        most: CELL_ENDPOINTS_MAX,
      });
    const wanted = candidates.slice(0, room);
    const before = state.members;
    if (sameEndpoints(before.slice(state.written.length), wanted)) return null;
    let lease: SlotLease;
    try {
      lease = slots.lease(wanted.map(({ identity }) => identity));
    } catch (error) {
      if (!(error instanceof SlotsFull)) throw error;
      this.#short = true;
      event('warn', 'the endpoints of a cell stay as they were', {
        cell: this.#snapshot.cells[cell]?.id,
        reason: error.message,
      });
      return null;
    }
    const former = state.lease;
    this.#leases.add(lease);
    state.lease = lease;
    state.members = [
      ...state.written,
      ...wanted.map(
        (c): EndpointPlan => ({
          ...c,
          slot: lease.slotOf(c.identity),
          since: lease.sinceOf(c.identity),
        }),
      ),
    ];
    const known = new Set(before.map(({ identity }) => identity));
    const staying = new Set(state.members.map(({ identity }) => identity));
    return {
      cell,
      endpoints: state.members,
      came: state.members.filter(({ identity }) => !known.has(identity)),
      left: before.filter(({ identity }) => !staying.has(identity)),
      settled: () => {
        if (former === null) return;
        former.release();
        this.#leases.delete(former);
      },
    };
  }

  /** What sources lead to, each address once, in an order that does not hang on that of answers. */
  #candidates(cell: number, written: readonly EndpointPlan[]): Candidate[] {
    const taken = new Set(written.map(({ host, port }) => `${host} ${port}`));
    const all: Candidate[] = [];
    for (const source of this.#sources) {
      if (source.cell !== cell) continue;
      const of = this.#ofSource(source).sort((a, b) => (a.identity < b.identity ? -1 : 1));
      for (const candidate of of) {
        const address = `${candidate.host} ${candidate.port}`;
        if (taken.has(address)) continue;
        taken.add(address);
        all.push(candidate);
      }
    }
    return all;
  }

  #ofSource({ cell, cellId, from, template }: CellSource): Candidate[] {
    if (from.kind === 'file') {
      return this.#parts.sources.endpoints(from.name).map((e) => {
        const { host, port } = splitLiteral(e.address);
        const { weight, capacity, zone, priority } = { ...template, ...e };
        return endpointPlan(
          { ...template, weight, capacity, zone, priority },
          {
            identity: `${cellId}/${from.name}/${e.address.toLowerCase()}`,
            slot: 0,
            since: 0,
            cell,
            host,
            port,
            name: null,
          },
        );
      });
    }
    return this.#parts.sources.found(from).map((f) => {
      const address = `${f.host.includes(':') ? `[${f.host}]` : f.host}:${f.port}`;
      return endpointPlan(
        {
          ...template,
          priority: template.priority + f.priority,
          weight: f.weight === null ? template.weight : Math.max(1, f.weight),
        },
        {
          identity: `${cellId}/${f.name}/${address}`,
          slot: 0,
          since: 0,
          cell,
          host: f.host,
          port: f.port,
          name: f.name,
        },
      );
    });
  }
}

/** A snapshot whose cells have these endpoints, by index. */
export function withMembers(snapshot: Snapshot, members: readonly (readonly EndpointPlan[])[]): Snapshot {
  const endpoints: EndpointPlan[] = [];
  const cells = snapshot.cells.map((cell, i) => {
    const first = endpoints.length;
    const its = members[i] ?? [];
    endpoints.push(...its);
    return { ...cell, endpoints: its.map((_, k) => first + k) };
  });
  return { ...snapshot, cells, endpoints };
}

function splitLiteral(address: string): { host: string; port: number } {
  const colon = address.lastIndexOf(':');
  return { host: address.slice(0, colon).replace(/^\[|\]$/g, ''), port: Number(address.slice(colon + 1)) };
}

/** Equal in all that lanes see of them. What stands behind TLS is the entry's, so that within one revision it cannot differ. */
function sameEndpoints(a: readonly EndpointPlan[], b: readonly Candidate[]): boolean {
  return (
    a.length === b.length &&
    a.every((one, i) => {
      const other = b[i] as Candidate;
      return (
        one.identity === other.identity &&
        one.weight === other.weight &&
        one.capacity === other.capacity &&
        one.zone === other.zone &&
        one.priority === other.priority
      );
    })
  );
}
