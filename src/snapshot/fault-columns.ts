/**
 * Columns of what fails: the part of the endpoint table (endpoint-columns.ts) that circuits, outlier ejection and retry budgets stand on. Rows are those of
 * endpoints; a cell has a row of its own among them. What a lane writes alone is a column of that lane, so that a dead lane's can be zeroed; what all of them write is written by atomic operations.
 */
const I32 = 4;
/** Columns with one word a row, and with one for each lane. */
const SHARED = 6;
const PER_LANE = 2;
/** Cells of a row of the sketch of tenants; each lane has two rows. */
export const TENANT_CELLS = 8_192;

/** The views, over memory that belongs to the endpoint table. */
export class FaultColumns {
  /** The circuit's state, and its permits while it is half-open; see circuit.ts. */
  readonly circuit: Int32Array;
  /** Until when it is as it is, unless it is closed: the low 32 bits of epoch ms. */
  readonly circuitUntil: Int32Array;
  /** How often it changed. */
  readonly circuitChanges: Int32Array;
  /** Not 0: ejected as an outlier. Written by control. */
  readonly outlier: Int32Array;
  /** Failures in a row: 5xx and attempts without an answer; and of these 502, 503, 504 and those without an answer. */
  readonly consecutive5xx: Int32Array;
  readonly consecutiveGatewayFailures: Int32Array;
  /** Further attempts in flight, `[lane * rows + row]`, rows of cells. */
  readonly retrying: Int32Array;
  /** Answers since start that took longer than the circuit's slow call, wrapping, `[lane * rows + row]`. */
  readonly slow: Int32Array;
  /** Requests of tenants under way, as a count-min sketch, `[(lane * 2 + row) * TENANT_CELLS + cell]`. */
  readonly tenants: Int32Array;
  readonly #rows: number;

  constructor(memory: SharedArrayBuffer, from: number, rows: number, lanes: number) {
    this.#rows = rows;
    let at = from;
    const column = (words: number): Int32Array => {
      const view = new Int32Array(memory, at, words);
      at += words * I32;
      return view;
    };
    this.circuit = column(rows);
    this.circuitUntil = column(rows);
    this.circuitChanges = column(rows);
    this.outlier = column(rows);
    this.consecutive5xx = column(rows);
    this.consecutiveGatewayFailures = column(rows);
    this.retrying = column(rows * lanes);
    this.slow = column(rows * lanes);
    this.tenants = column(2 * TENANT_CELLS * lanes);
  }

  /** Bytes of the columns. */
  static bytes(rows: number, lanes: number): number {
    return (rows * (SHARED + PER_LANE * lanes) + 2 * TENANT_CELLS * lanes) * I32;
  }

  /** A lane has died: nothing of it is in flight any more. */
  forgetLane(lane: number): void {
    this.retrying.fill(0, lane * this.#rows, (lane + 1) * this.#rows);
    this.tenants.fill(0, lane * 2 * TENANT_CELLS, (lane + 1) * 2 * TENANT_CELLS);
  }

  /** A row is given to a new identity. */
  resetRow(row: number): void {
    for (const column of [this.circuit, this.circuitUntil, this.outlier]) Atomics.store(column, row, 0);
    Atomics.store(this.consecutive5xx, row, 0);
    Atomics.store(this.consecutiveGatewayFailures, row, 0);
  }
}
