/** What an exchange does to an endpoint's shared columns: in flight, answered, failed. Only this lane's own column is written, and `downUntil`. */
import { ENDPOINT_SLOTS, SUSPECTED } from '../../snapshot/endpoint-columns.ts';
import type { EndpointColumns } from '../../snapshot/endpoint-columns.ts';
import type { CellGuards } from '../../snapshot/guards.ts';
import type { EndpointPlan } from '../../snapshot/cell-plans.ts';
import type { Exchange } from '../exchange.ts';
import { FailReason } from '../transport/transport.ts';
import type { Bulkheads } from './bulkheads.ts';
import { CellLatency } from './cell-latency.ts';
import { Circuits } from './circuits.ts';

/** How long a refused connection keeps an endpoint out of rotation, whole seconds; after it only trials go there until one is answered. */
export const DOWN_SECONDS = 2;
/** First status that counts as an endpoint's failure (RFC 9110 §15.6). */
const SERVER_ERROR = 500;

export class EndpointUse {
  /** How long cells take. */
  readonly latency = new CellLatency();
  readonly #columns: EndpointColumns;
  readonly #base: number;
  readonly #circuits: Circuits;

  readonly #bulkheads: Bulkheads | null;

  /** `bulkheads`: the lane's; null = no bounds. */
  constructor(columns: EndpointColumns, laneIndex: number, bulkheads: Bulkheads | null = null) {
    this.#columns = columns;
    this.#bulkheads = bulkheads;
    this.#circuits = new Circuits(columns.faults, laneIndex);
    this.#base = laneIndex * ENDPOINT_SLOTS;
  }

  /** The exchange goes to this endpoint. */
  take(x: Exchange, endpoint: EndpointPlan): void {
    x.attempts++;
    this.hold(x, endpoint);
  }

  /** Whether the circuit of the exchange's cell lets it pass; false: it is open, and the exchange is told so. */
  passCell(x: Exchange, guards: CellGuards): boolean {
    return this.#circuits.passCell(x, guards);
  }

  /** Whether there is room in the cell; false: the exchange is refused. */
  roomIn(x: Exchange, cell: string, guards: CellGuards): boolean {
    return this.#bulkheads === null || this.#bulkheads.take(x, cell, guards);
  }

  /** The same of an endpoint that was chosen. */
  passEndpoint(x: Exchange, endpoint: EndpointPlan): boolean {
    return this.#circuits.passEndpoint(x, endpoint);
  }

  /** Whether the cell bears an attempt more than it must: its circuit is closed, and there is room. */
  bears(guards: CellGuards): boolean {
    return this.#columns.faults.circuit[guards.slot] === 0 && (this.#bulkheads?.bears(guards) ?? true);
  }

  /** Whether an endpoint is in rotation without a doubt. */
  isUp(endpoint: EndpointPlan): boolean {
    const { downUntil, ejected, faults } = this.#columns;
    const { slot } = endpoint;
    return downUntil[slot] === 0 && ejected[slot] === 0 && faults.outlier[slot] === 0 && faults.circuit[slot] === 0;
  }

  /** It counts as in flight there, and in the endpoint's cell. */
  hold(x: Exchange, endpoint: EndpointPlan): void {
    x.endpoint = endpoint;
    x.inflight = true;
    this.#count(x, endpoint, 1);
  }

  /** No other attempt was made in the place of this one: it is in flight again, with the place of its tenant (-1: it had none). */
  resume(x: Exchange, endpoint: EndpointPlan, tenantPlace: number): void {
    this.hold(x, endpoint);
    if (tenantPlace >= 0) this.#bulkheads?.resume(x, tenantPlace);
  }

  /** The endpoint has sent its response head. Whatever it says, it accepts and answers: below 500 it is no longer suspected. */
  answered(x: Exchange, status: number): void {
    if (x.endpoint === null) return;
    const c = this.#columns;
    const row = this.#base + x.endpoint.slot;
    c.answers[row] = ((c.answers[row] ?? 0) + 1) | 0;
    c.latencyMs[row] = (c.latencyMs[row] ?? 0) + x.upstreamMs;
    if (status >= SERVER_ERROR) c.failures[row] = ((c.failures[row] ?? 0) + 1) | 0;
    else if (c.downUntil[x.endpoint.slot] !== 0) c.downUntil[x.endpoint.slot] = 0;
    this.#circuits.answered(x, x.endpoint, status);
    const good = status < SERVER_ERROR;
    // When the head came; `x.now` may be as old as the request. Heads that take long would be seen as long ago as they were asked for, between others that are new.
    const at = x.startedAt + (x.handedTick - x.startedTick) + x.upstreamMs;
    this.#took(x, x.endpoint, x.upstreamMs, at, good, good);
  }

  /**
   * The attempt failed at `x.now`. A refused connection takes the endpoint out of rotation in every lane at once, a reset one makes it suspected
   * (choose.ts): it may have been nothing but an idle connection that the endpoint closed as we used it.
   */
  failed(x: Exchange, reason: FailReason): void {
    const endpoint = x.endpoint;
    if (endpoint === null) return;
    const c = this.#columns;
    const row = this.#base + endpoint.slot;
    if (reason !== FailReason.Busy) {
      c.answers[row] = ((c.answers[row] ?? 0) + 1) | 0;
      c.failures[row] = ((c.failures[row] ?? 0) + 1) | 0;
      // No answer is the slowest: otherwise an endpoint that answers nothing would look quick.
      const bad = x.revision.snapshot.cells[endpoint.cell]?.health.latencyBadMs ?? 0;
      c.latencyMs[row] = (c.latencyMs[row] ?? 0) + bad;
    }
    if (reason === FailReason.Connect) c.downUntil[endpoint.slot] = Math.floor(x.now / 1000) + 1 + DOWN_SECONDS;
    // Never shortens what a refused connection said.
    else if (reason === FailReason.Reset && c.downUntil[endpoint.slot] === 0) c.downUntil[endpoint.slot] = SUSPECTED;
    if (reason !== FailReason.Busy) {
      this.#circuits.failed(x, endpoint);
      const late = reason === FailReason.Timeout && x.upstreamStatus === 0;
      this.#took(x, endpoint, Math.max(0, x.now - x.startedAt), x.now, false, late);
    }
    this.release(x);
  }

  /** The exchange is done with its endpoint, with its place in the retry budget, and with permits whose outcome nobody knows. Idempotent. */
  release(x: Exchange): void {
    const endpoint = x.endpoint;
    if (x.tenantPlace >= 0) this.#bulkheads?.release(x);
    if (x.endpointPermit >= 0 || x.cellPermit >= 0) this.#circuits.release(x);
    if (x.retryRow >= 0) {
      Atomics.sub(this.#columns.faults.retrying, this.#base + x.retryRow, 1);
      x.retryRow = -1;
    }
    if (endpoint === null || !x.inflight) return;
    x.inflight = false;
    this.#count(x, endpoint, -1);
  }

  /**
   * What fails is as slow as may be: otherwise a cell that answers nothing but errors would look quick. `at`: epoch ms of the answer, or of its failure. `timed`: so long a head took, or had not come, which is what an adaptive bulkhead
   * goes by; to it what fails at once would be a cell without a queue, and the next good answers a queue.
   */
  #took(x: Exchange, endpoint: EndpointPlan, ms: number, at: number, good: boolean, timed: boolean): void {
    const cell = x.revision.snapshot.cells[endpoint.cell];
    const guards = cell?.guards;
    if (guards === undefined) return;
    this.latency.took(guards.slot, good ? ms : Math.max(ms, cell?.health.latencyBadMs ?? 0), at);
    if (timed && guards.bulkhead?.adaptive !== undefined) this.#bulkheads?.answered(guards, ms, at);
  }

  #count(x: Exchange, endpoint: EndpointPlan, by: number): void {
    const { inflight } = this.#columns;
    const row = this.#base + endpoint.slot;
    inflight[row] = (inflight[row] ?? 0) + by;
    const guards = x.revision.snapshot.cells[endpoint.cell]?.guards;
    if (guards === undefined) return;
    const cellRow = this.#base + guards.slot;
    inflight[cellRow] = (inflight[cellRow] ?? 0) + by;
  }
}
