/**
 * Circuit breakers as a lane uses them: who passes, and what became of it. Outcomes are counted in the lane's columns, over which control judges closed circuits; those of
 * permits of half-open ones are judged here, at once (snapshot/circuit.ts).
 */
import { judgeCircuit, passCircuit, Passage, restMs, returnPermit } from '../../snapshot/circuit.ts';
import { ENDPOINT_SLOTS } from '../../snapshot/endpoint-columns.ts';
import type { FaultColumns } from '../../snapshot/fault-columns.ts';
import type { CellGuards, CircuitPlan } from '../../snapshot/guards.ts';
import type { EndpointPlan } from '../../snapshot/cell-plans.ts';
import type { Exchange } from '../exchange.ts';

/** Upstreams' statuses that count (RFC 9110 §15.6). */
const SERVER_ERROR = 500;
const BAD_GATEWAY = 502;
const GATEWAY_TIMEOUT = 504;
const MS_PER_S = 1_000;

export class Circuits {
  readonly #columns: FaultColumns;
  readonly #base: number;

  constructor(columns: FaultColumns, laneIndex: number) {
    this.#columns = columns;
    this.#base = laneIndex * ENDPOINT_SLOTS;
  }

  /** By the circuit of the cell; when it is open a refusal says when to come again. */
  passCell(x: Exchange, guards: CellGuards): boolean {
    const plan = guards.cellCircuit;
    if (plan === undefined || this.#columns.circuit[guards.slot] === 0) return true;
    const passage = passCircuit(this.#columns, guards.slot, plan, x.now);
    if (passage === Passage.Permit) x.cellPermit = guards.slot;
    if (passage !== Passage.Denied) return true;
    const seconds = Math.ceil(restMs(this.#columns, guards.slot, x.now) / MS_PER_S);
    x.retryAfterS = Math.max(1, seconds);
    return false;
  }

  passEndpoint(x: Exchange, endpoint: EndpointPlan): boolean {
    if (this.#columns.circuit[endpoint.slot] === 0) return true;
    const plan = guardsOf(x, endpoint)?.endpointCircuit;
    if (plan === undefined) return true;
    const passage = passCircuit(this.#columns, endpoint.slot, plan, x.now);
    if (passage === Passage.Permit) x.endpointPermit = endpoint.slot;
    return passage !== Passage.Denied;
  }

  answered(x: Exchange, endpoint: EndpointPlan, status: number): void {
    const c = this.#columns;
    const failed = status >= SERVER_ERROR;
    if (failed) {
      Atomics.add(c.consecutive5xx, endpoint.slot, 1);
      if (status >= BAD_GATEWAY && status <= GATEWAY_TIMEOUT)
        Atomics.add(c.consecutiveGatewayFailures, endpoint.slot, 1);
      else Atomics.store(c.consecutiveGatewayFailures, endpoint.slot, 0);
    } else if (c.consecutive5xx[endpoint.slot] !== 0) {
      Atomics.store(c.consecutive5xx, endpoint.slot, 0);
      Atomics.store(c.consecutiveGatewayFailures, endpoint.slot, 0);
    }
    const guards = guardsOf(x, endpoint);
    if (guards === undefined) return;
    const { endpointCircuit, cellCircuit } = guards;
    if (endpointCircuit !== undefined) {
      const slow = this.#slow(x, endpoint.slot, endpointCircuit);
      if (x.endpointPermit >= 0) judgeCircuit(c, x.endpointPermit, endpointCircuit, failed, slow, x.now);
      x.endpointPermit = -1;
    }
    if (cellCircuit !== undefined) {
      const slow = this.#slow(x, guards.slot, cellCircuit);
      if (x.cellPermit >= 0) judgeCircuit(c, x.cellPermit, cellCircuit, failed, slow, x.now);
      x.cellPermit = -1;
    }
  }

  /** An attempt without an answer, or with half of one. */
  failed(x: Exchange, endpoint: EndpointPlan): void {
    const c = this.#columns;
    Atomics.add(c.consecutive5xx, endpoint.slot, 1);
    Atomics.add(c.consecutiveGatewayFailures, endpoint.slot, 1);
    const guards = guardsOf(x, endpoint);
    if (guards?.endpointCircuit !== undefined && x.endpointPermit >= 0) {
      judgeCircuit(c, x.endpointPermit, guards.endpointCircuit, true, false, x.now);
      x.endpointPermit = -1;
    }
    if (guards?.cellCircuit !== undefined && x.cellPermit >= 0) {
      judgeCircuit(c, x.cellPermit, guards.cellCircuit, true, false, x.now);
      x.cellPermit = -1;
    }
  }

  /** Permits whose outcome nobody will hear of. */
  release(x: Exchange): void {
    const guards = x.revision.snapshot.cells[x.cell]?.guards;
    if (x.endpointPermit >= 0 && guards?.endpointCircuit !== undefined)
      returnPermit(this.#columns, x.endpointPermit, guards.endpointCircuit);
    if (x.cellPermit >= 0 && guards?.cellCircuit !== undefined)
      returnPermit(this.#columns, x.cellPermit, guards.cellCircuit);
    x.endpointPermit = -1;
    x.cellPermit = -1;
  }

  #slow(x: Exchange, row: number, plan: CircuitPlan): boolean {
    if (x.upstreamMs < plan.slowCallDurationThresholdMs) return false;
    const at = this.#base + row;
    this.#columns.slow[at] = ((this.#columns.slow[at] ?? 0) + 1) | 0;
    return true;
  }
}

function guardsOf(x: Exchange, endpoint: EndpointPlan): CellGuards | undefined {
  return x.revision.snapshot.cells[endpoint.cell]?.guards;
}
