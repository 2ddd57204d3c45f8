/**
 * Columns of what fails: the part of the endpoint table (endpoint-columns.ts) that circuits, outlier ejection and retry budgets stand on. Rows are those of
 * endpoints; a cell has a row of its own among them. What a lane writes alone is a column of that lane, so that a dead lane's can be zeroed; what all of them write is written by atomic operations.
 */
const I32 = 4;

/** The views, over memory that belongs to the endpoint table. */
export class FaultColumns {
  /** Further attempts in flight, `[lane * rows + row]`, rows of cells. */
  readonly retrying: Int32Array;
  readonly #rows: number;

  constructor(memory: SharedArrayBuffer, from: number, rows: number, lanes: number) {
    this.#rows = rows;
    this.retrying = new Int32Array(memory, from, rows * lanes);
  }

  /** Bytes of the columns. */
  static bytes(rows: number, lanes: number): number {
    return rows * lanes * I32;
  }

  /** A lane has died: nothing of it is in flight any more. */
  forgetLane(lane: number): void {
    this.retrying.fill(0, lane * this.#rows, (lane + 1) * this.#rows);
  }
}
