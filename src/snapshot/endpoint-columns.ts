/**
 * Shared endpoint columns: a fixed table in one `SharedArrayBuffer`, read without locks by every lane and by control.
 * What outlives a snapshot is keyed by the endpoint's slot. Each lane writes only its own column of in-flight counts and samples, so
 * no atomic read-modify-write is needed there and a dead lane's column can be zeroed.
 */

import { FaultColumns } from './fault-columns.ts';

/** Endpoints that can be known at once, over all live snapshots. */
export const ENDPOINT_SLOTS = 4096;
/** Lanes that can be. */
export const LANES_MAX = 64;

/** Value of `downUntil` after a reset: only trials go there, unless nothing else is left. */
export const SUSPECTED = -1;

const I32 = 4;
const F64 = 8;

/** Bytes of the columns of health and use, before those of `faults`. */
const USE_BYTES = ENDPOINT_SLOTS * (F64 + F64 + I32 + I32) + LANES_MAX * ENDPOINT_SLOTS * (I32 + I32 + I32 + F64);
/** Bytes of the table. */
export const ENDPOINT_COLUMN_BYTES = USE_BYTES + FaultColumns.bytes(ENDPOINT_SLOTS, LANES_MAX);

export class EndpointColumns {
  /** Health 0 … 1, the moving average; written once a second by control. */
  readonly health: Float64Array;
  /** Epoch ms at which probes, or the end of its time as an outlier, brought it back into rotation; 0: it was never out. Written by control. */
  readonly returnedAt: Float64Array;
  /** Not 0: out of rotation by the prober (active checks). Written by control. */
  readonly ejected: Int32Array;
  /**
   * 0: in rotation. Positive: a connection was refused; epoch seconds until which nobody tries it, and past that time only trials do. SUSPECTED: a
   * connection was reset. Written by any lane, read by all: out of rotation within one load.
   */
  readonly downUntil: Int32Array;
  /** Requests in flight, `[lane * ENDPOINT_SLOTS + slot]`; in a cell's own row those of all its endpoints. */
  readonly inflight: Int32Array;
  /** Answers since start, wrapping; control differences them each second. */
  readonly answers: Int32Array;
  /** Failures (refused, reset, timeouts, 5xx) since start, wrapping. */
  readonly failures: Int32Array;
  /** Sum of head latencies in ms since start. */
  readonly latencyMs: Float64Array;
  /** What circuits, ejection and retry budgets stand on. */
  readonly faults: FaultColumns;

  constructor(memory: SharedArrayBuffer) {
    let at = 0;
    const f64 = (n: number): Float64Array => {
      const view = new Float64Array(memory, at, n);
      at += n * F64;
      return view;
    };
    const i32 = (n: number): Int32Array => {
      const view = new Int32Array(memory, at, n);
      at += n * I32;
      return view;
    };
    this.health = f64(ENDPOINT_SLOTS);
    this.returnedAt = f64(ENDPOINT_SLOTS);
    this.latencyMs = f64(LANES_MAX * ENDPOINT_SLOTS);
    this.ejected = i32(ENDPOINT_SLOTS);
    this.downUntil = i32(ENDPOINT_SLOTS);
    this.inflight = i32(LANES_MAX * ENDPOINT_SLOTS);
    this.answers = i32(LANES_MAX * ENDPOINT_SLOTS);
    this.failures = i32(LANES_MAX * ENDPOINT_SLOTS);
    this.faults = new FaultColumns(memory, USE_BYTES, ENDPOINT_SLOTS, LANES_MAX);
  }

  /** Memory of a fresh table: all endpoints at full health, none down. */
  static create(): SharedArrayBuffer {
    const memory = new SharedArrayBuffer(ENDPOINT_COLUMN_BYTES);
    new EndpointColumns(memory).health.fill(1);
    return memory;
  }

  /** Requests in flight on an endpoint over the lanes 0 … `laneCount` - 1. */
  inflightOf(slot: number, laneCount: number): number {
    let sum = 0;
    for (let lane = 0; lane < laneCount; lane++) sum += this.inflight[lane * ENDPOINT_SLOTS + slot] ?? 0;
    return sum;
  }

  /** A lane has died: nothing of it is in flight any more. */
  forgetLane(lane: number): void {
    this.inflight.fill(0, lane * ENDPOINT_SLOTS, (lane + 1) * ENDPOINT_SLOTS);
    this.faults.forgetLane(lane);
  }

  /** An endpoint slot is given to a new identity. */
  resetSlot(slot: number): void {
    this.health[slot] = 1;
    this.returnedAt[slot] = 0;
    this.ejected[slot] = 0;
    this.downUntil[slot] = 0;
    this.faults.resetRow(slot);
  }
}
