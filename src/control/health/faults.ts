/**
 * What control sees of parts that fail, ten times a second over what all lanes have counted (docs/resilience.md): it opens circuits whose rates reach a threshold, ejects
 * endpoints that do worse than the others of their cell and lets them in again, and tells of every change, the lanes' own among them. When it stalls, circuits that
 * are open still become half-open and decide, for that is the lanes' part; nothing new opens or is ejected.
 */
import {
  CIRCUIT_STATES,
  type CircuitState,
  circuitState,
  forgetCircuit,
  isBad,
  openCircuit,
} from '../../snapshot/circuit.ts';
import type { EndpointColumns } from '../../snapshot/endpoint-columns.ts';
import { ENDPOINT_SLOTS } from '../../snapshot/endpoint-columns.ts';
import type { CircuitPlan } from '../../snapshot/guards.ts';
import type { EndpointPlan } from '../../snapshot/cell-plans.ts';
import type { Snapshot } from '../../snapshot/snapshot.ts';
import { Outliers, type OutlierCell } from './outliers.ts';
import { RefusingWatch } from './refusing.ts';
import { CallWindow } from './window.ts';

/** Time between looks. */
export const FAULT_TICK_MS = 100;

/** Something that changed. */
export interface FaultEvent {
  readonly kind: 'circuit' | 'outlier' | 'connections';
  readonly part: 'endpoint' | 'cell';
  /** `cell/host:port`, or the cell's name. */
  readonly identity: string;
  /** `closed`, `open`, `half-open`; `ejected`, `admitted`; `refused`, `accepted`. */
  readonly state: string;
  readonly reason: string;
}

export interface FaultWatchParts {
  readonly columns: EndpointColumns;
  readonly laneCount: number;
  /** Epoch ms. */
  readonly now: () => number;
  readonly changed: (event: FaultEvent) => void;
}

/** A circuit that is watched. */
interface Watched {
  readonly part: 'endpoint' | 'cell';
  readonly identity: string;
  readonly row: number;
  readonly plan: CircuitPlan;
  /** Rows of the endpoints whose calls count; the last is where slow ones do. */
  readonly members: readonly number[];
  readonly window: CallWindow;
  seen: CircuitState;
  why: string;
}

export class FaultWatch {
  readonly #parts: FaultWatchParts;
  readonly #outliers: Outliers;
  readonly #refusing: RefusingWatch;
  #circuits: Watched[] = [];
  #timer: NodeJS.Timeout | null = null;

  constructor(parts: FaultWatchParts) {
    this.#parts = parts;
    this.#outliers = new Outliers(parts);
    this.#refusing = new RefusingWatch(parts.columns, (identity, out) =>
      parts.changed({
        kind: 'connections',
        part: 'endpoint',
        identity,
        state: out ? 'refused' : 'accepted',
        reason: out
          ? 'no connection could be made (records of requests say why): out of rotation until it answers'
          : 'it has answered: in rotation',
      }),
    );
  }

  /** From now on the parts of this snapshot are watched. What goes on being watched keeps its window. */
  activate(snapshot: Pick<Snapshot, 'cells' | 'endpoints'>): void {
    const before = new Map(this.#circuits.map((c) => [c.identity, c]));
    const circuits: Watched[] = [];
    const cells: OutlierCell[] = [];
    // While a bundle is tried beside the active one, a cell may stand in both; the active one's word counts.
    const endpointsOf = new Map<number, EndpointPlan[]>();
    for (const e of snapshot.endpoints) {
      const slot = snapshot.cells[e.cell]?.guards?.slot;
      if (slot === undefined) continue;
      const held = endpointsOf.get(slot);
      if (held === undefined) endpointsOf.set(slot, [e]);
      else held.push(e);
    }
    const seenCells = new Set<number>();
    for (const cell of snapshot.cells) {
      const { guards } = cell;
      if (guards === undefined || seenCells.has(guards.slot)) continue;
      seenCells.add(guards.slot);
      const endpoints = endpointsOf.get(guards.slot) ?? [];
      const rows = endpoints.map((e) => e.slot);
      const add = (
        part: Watched['part'],
        identity: string,
        row: number,
        members: number[],
        plan?: CircuitPlan,
      ): void => {
        if (plan === undefined) {
          forgetCircuit(this.#parts.columns.faults, row);
          return;
        }
        const known = before.get(identity);
        const same =
          known?.row === row && sameRows(known.members, members) && known.plan.slidingWindowMs === plan.slidingWindowMs;
        const window = same ? known.window : new CallWindow(plan.slidingWindowMs, this.#totals(row, members));
        const seen = known?.seen ?? circuitState(this.#parts.columns.faults, row);
        circuits.push({ part, identity, row, plan, members, window, seen, why: known?.why ?? '' });
      };
      add('cell', cell.id, guards.slot, rows, guards.cellCircuit);
      for (const e of endpoints) add('endpoint', e.identity, e.slot, [e.slot], guards.endpointCircuit);
      cells.push({ id: cell.id, plan: guards.outlier ?? null, endpoints });
    }
    this.#circuits = circuits;
    this.#outliers.activate(cells);
    this.#refusing.activate(snapshot.endpoints);
  }

  /** Ejections since start, and those that the ceiling did not allow. */
  get ejections(): { readonly made: number; readonly overflows: number } {
    return { made: this.#outliers.ejections, overflows: this.#outliers.overflows };
  }

  /** One look. */
  tick(): void {
    const now = this.#parts.now();
    for (const circuit of this.#circuits) this.#look(circuit, now);
    this.#outliers.tick(now);
    this.#refusing.tick();
  }

  start(): void {
    this.#timer ??= setInterval(() => this.tick(), FAULT_TICK_MS).unref();
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }

  #look(c: Watched, now: number): void {
    const { faults } = this.#parts.columns;
    const { window, plan } = c;
    window.add(now, this.#totals(c.row, c.members));
    if (circuitState(faults, c.row) === 0 && c.seen === 0) {
      const { calls, failed, slow } = window;
      if (
        calls >= plan.minimumNumberOfCalls &&
        isBad(plan, calls, failed, slow) &&
        openCircuit(faults, c.row, plan, now)
      )
        c.why = `of ${calls} calls ${failed} failed and ${slow} were slow`;
    }
    const state = circuitState(faults, c.row);
    if (state === c.seen) return;
    if (state === 0) c.why = 'the calls that were let through were good';
    else if (state === 2) c.why = 'some calls are let through';
    else if (c.seen === 2) c.why = 'the calls that were let through were bad';
    // What was before a change says nothing of what comes after it.
    window.clear();
    c.seen = state;
    this.#parts.changed({
      kind: 'circuit',
      part: c.part,
      identity: c.identity,
      state: CIRCUIT_STATES[state],
      reason: c.why,
    });
  }

  #totals(row: number, members: readonly number[]): readonly [calls: number, failed: number, slow: number] {
    const { columns, laneCount } = this.#parts;
    let calls = 0;
    let failed = 0;
    let slow = 0;
    for (let lane = 0; lane < laneCount; lane++) {
      const base = lane * ENDPOINT_SLOTS;
      slow = (slow + (columns.faults.slow[base + row] ?? 0)) | 0;
      for (const member of members) {
        calls = (calls + (columns.answers[base + member] ?? 0)) | 0;
        failed = (failed + (columns.failures[base + member] ?? 0)) | 0;
      }
    }
    return [calls, failed, slow];
  }
}

function sameRows(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((row, i) => row === b[i]);
}
