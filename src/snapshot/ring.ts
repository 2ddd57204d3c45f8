/**
 * The consistent-hash ring from tenants to cells. A position is the first 8 bytes, big-endian, of a SHA-256: of `${cellId}:vnode:${i}` for a cell's
 * virtual nodes, of the tenant's id for a tenant. A tenant lives in the cell of the first position clockwise: the first that is not smaller than
 * its own, and past the last one the first of all. Anyone with SHA-256 can work out where a tenant is.
 */
import { hash } from 'node:crypto';
import { assert } from '../base/assert.ts';
import type { RingPlan } from './cell-plans.ts';

/** Virtual nodes of each cell. Part of the contract: another number moves tenants. */
export const VIRTUAL_NODES = 150;
/** Cells that a ring can hold: what fits `RingPlan.cells`. */
export const RING_CELLS_MAX = 0xffff;

/** Looks tenants up. Makes no BigInt: a 64-bit position is compared as two 32-bit halves. */
export class Ring {
  /** Halves of the positions in the machine's order, which is little-endian wherever Node runs: low, high, low, high … */
  readonly #halves: Uint32Array;
  readonly #cells: Uint16Array;
  readonly #count: number;

  constructor(plan: RingPlan) {
    this.#halves = new Uint32Array(plan.positions);
    this.#cells = new Uint16Array(plan.cells);
    this.#count = plan.count;
  }

  /** Index of the tenant's cell; -1 when the ring is empty. Costs one SHA-256, about a microsecond: remember the answer. */
  cellOf(tenant: string): number {
    const digest = hash('sha256', tenant, 'buffer');
    return this.cellAt(digest.readUInt32BE(0), digest.readUInt32BE(4));
  }

  /** Index of the tenant's cell among those that `may` takes: the first position clockwise of one of them. -1: there is none. */
  cellAmong(tenant: string, may: (cell: number) => boolean): number {
    const digest = hash('sha256', tenant, 'buffer');
    const count = this.#count;
    let at = count === 0 ? 0 : this.#nodeAt(digest.readUInt32BE(0), digest.readUInt32BE(4));
    for (let looked = 0; looked < count; looked++) {
      const cell = this.#cells[at] as number;
      if (may(cell)) return cell;
      at = at + 1 === count ? 0 : at + 1;
    }
    return -1;
  }

  /** Index of the cell at the first position that is not smaller than the one given by its halves; -1 when the ring is empty. */
  cellAt(high: number, low: number): number {
    return this.#count === 0 ? -1 : (this.#cells[this.#nodeAt(high, low)] as number);
  }

  /** Place of that position among all. */
  #nodeAt(high: number, low: number): number {
    const halves = this.#halves;
    let from = 0;
    let to = this.#count;
    while (from < to) {
      const middle = (from + to) >>> 1;
      const itsHigh = halves[2 * middle + 1] as number;
      const smaller = itsHigh < high || (itsHigh === high && (halves[2 * middle] as number) < low);
      if (smaller) from = middle + 1;
      else to = middle;
    }
    return from === this.#count ? 0 : from;
  }
}

/** A cell of the ring: its id gives the positions, its index is what a look-up answers. */
export interface RingCell {
  readonly id: string;
  /** Index into `Snapshot.cells`. */
  readonly index: number;
}

/** Positions of a cell's virtual nodes, in their order. */
export function cellPositions(cellId: string): BigUint64Array {
  const positions = new BigUint64Array(VIRTUAL_NODES);
  for (let i = 0; i < VIRTUAL_NODES; i++) positions[i] = positionOf(`${cellId}:vnode:${i}`);
  return positions;
}

/** Builds the ring of these cells. The order of `cells` does not matter: should two positions ever be equal, the smaller cell id has it. */
export function buildRing(cells: readonly RingCell[]): RingPlan {
  assert(cells.length <= RING_CELLS_MAX, `a ring holds at most ${RING_CELLS_MAX} cells`);
  const byId = [...cells].sort((a, b) => (a.id < b.id ? -1 : 1));
  const nodes: { readonly position: bigint; readonly cell: number }[] = [];
  for (const { id, index } of byId) {
    for (const position of cellPositions(id)) nodes.push({ position, cell: index });
  }
  // Stable: equal positions stay in the order of the cells' ids.
  nodes.sort((a, b) => (a.position < b.position ? -1 : a.position > b.position ? 1 : 0));
  const positions = new SharedArrayBuffer(nodes.length * BigUint64Array.BYTES_PER_ELEMENT);
  const owners = new SharedArrayBuffer(nodes.length * Uint16Array.BYTES_PER_ELEMENT);
  new BigUint64Array(positions).set(nodes.map((n) => n.position));
  new Uint16Array(owners).set(nodes.map((n) => n.cell));
  return { positions, cells: owners, count: nodes.length };
}

function positionOf(text: string): bigint {
  return hash('sha256', text, 'buffer').readBigUInt64BE(0);
}
