/**
 * A circuit breaker of an endpoint or a cell: one word of shared memory that every lane moves by compare-and-exchange, so that all of them see one state (docs/resilience.md).
 *
 *     closed → open        control, when the rates over the sliding window reach a threshold (control/health/faults.ts)
 *     open → half-open     the first lane that wants to use it after `waitDurationInOpenStateMs`
 *     half-open → either   the lane that hears the outcome of the last of `permittedNumberOfCallsInHalfOpenState`
 *
 * A half-open circuit hands out so many permits and no more. Permits whose outcome is never heard (a lane died) do not hold it for ever: after another
 * `waitDurationInOpenStateMs` it begins anew.
 */
import type { FaultColumns } from './fault-columns.ts';
import type { CircuitPlan } from './guards.ts';

export const CircuitState = { Closed: 0, Open: 1, HalfOpen: 2 } as const;
export type CircuitState = (typeof CircuitState)[keyof typeof CircuitState];
/** By number. */
export const CIRCUIT_STATES = ['closed', 'open', 'half-open'] as const;

/** Most permits of a half-open circuit: what seven bits of the word count. */
export const PERMITS_MAX = 100;

/** Longest `waitDurationInOpenStateMs`. */
export const WAIT_MS_MAX = 3_600_000;

const STATE_BITS = 3;
const COUNT_BITS = 127;
/** Places of the counts of a half-open circuit: permits that are left, outcomes, and of these the bad ones. */
const LEFT = 2;
const DONE = 9;
const FAILED = 16;
const SLOW = 23;
const PERCENT = 100;

const count = (word: number, at: number): number => (word >>> at) & COUNT_BITS;

/** The state that a row's circuit is in. */
export function circuitState(columns: FaultColumns, row: number): CircuitState {
  return ((columns.circuit[row] as number) & STATE_BITS) as CircuitState;
}

/** Whether a request could pass now. Changes nothing; one load while it is closed. `now`: epoch ms. */
export function mayPass(columns: FaultColumns, row: number, now: number): boolean {
  const word = columns.circuit[row] as number;
  const state = word & STATE_BITS;
  if (state === CircuitState.Closed || hasRested(columns, row, now)) return true;
  return state === CircuitState.HalfOpen && count(word, LEFT) > 0;
}

/** What `passCircuit` says. */
export const Passage = { Free: 0, Permit: 1, Denied: 2 } as const;
export type Passage = (typeof Passage)[keyof typeof Passage];

/** A request passes, by a permit if the circuit is not closed: then its outcome is due, by `judgeCircuit`, or the permit goes back. */
export function passCircuit(columns: FaultColumns, row: number, plan: CircuitPlan, now: number): Passage {
  const { circuit } = columns;
  for (;;) {
    const word = Atomics.load(circuit, row);
    const state = word & STATE_BITS;
    if (state === CircuitState.Closed) return Passage.Free;
    const rested = hasRested(columns, row, now);
    if (!rested && (state === CircuitState.Open || count(word, LEFT) === 0)) return Passage.Denied;
    const next = rested
      ? CircuitState.HalfOpen | ((plan.permittedNumberOfCallsInHalfOpenState - 1) << LEFT)
      : word - (1 << LEFT);
    // The time first: whoever sees the new state must not take the old time for its own.
    const until = Atomics.load(columns.circuitUntil, row);
    if (rested && Atomics.compareExchange(columns.circuitUntil, row, until, restUntil(plan, now)) !== until) continue;
    if (Atomics.compareExchange(circuit, row, word, next) !== word) continue;
    if (state === CircuitState.Open) Atomics.add(columns.circuitChanges, row, 1);
    return Passage.Permit;
  }
}

/** A permit that led to nothing (the client left, no endpoint was found) is there again. */
export function returnPermit(columns: FaultColumns, row: number, plan: CircuitPlan): void {
  const { circuit } = columns;
  for (;;) {
    const word = Atomics.load(circuit, row);
    if (!isUnderWay(word, plan)) return;
    if (Atomics.compareExchange(circuit, row, word, word + (1 << LEFT)) === word) return;
  }
}

/** The outcome of a request that had a permit. The last one decides. */
export function judgeCircuit(
  columns: FaultColumns,
  row: number,
  plan: CircuitPlan,
  failed: boolean,
  slow: boolean,
  now: number,
): void {
  const { circuit } = columns;
  for (;;) {
    const word = Atomics.load(circuit, row);
    if (!isUnderWay(word, plan)) return;
    let next = word + (1 << DONE) + (failed ? 1 << FAILED : 0) + (slow ? 1 << SLOW : 0);
    const done = count(next, DONE);
    const decides = done >= plan.permittedNumberOfCallsInHalfOpenState;
    const opens = decides && isBad(plan, done, count(next, FAILED), count(next, SLOW));
    if (decides) next = opens ? CircuitState.Open : CircuitState.Closed;
    if (opens) Atomics.store(columns.circuitUntil, row, restUntil(plan, now));
    if (Atomics.compareExchange(circuit, row, word, next) !== word) continue;
    if (decides) Atomics.add(columns.circuitChanges, row, 1);
    return;
  }
}

/** Closed → open; false when it was not closed. */
export function openCircuit(columns: FaultColumns, row: number, plan: CircuitPlan, now: number): boolean {
  if (circuitState(columns, row) !== CircuitState.Closed) return false;
  Atomics.store(columns.circuitUntil, row, restUntil(plan, now));
  const { Closed, Open } = CircuitState;
  if (Atomics.compareExchange(columns.circuit, row, Closed, Open) !== Closed) return false;
  Atomics.add(columns.circuitChanges, row, 1);
  return true;
}

/** Closes it whatever it is: its breaker is gone, or it belongs to another part now. */
export function forgetCircuit(columns: FaultColumns, row: number): void {
  Atomics.store(columns.circuit, row, CircuitState.Closed);
}

/** ms until an open circuit lets calls through; 0 = it does. `now`: epoch ms. */
export function restMs(columns: FaultColumns, row: number, now: number): number {
  return mayPass(columns, row, now) ? 0 : (Atomics.load(columns.circuitUntil, row) - (now | 0)) | 0;
}

/** Whether so many calls, of which so many failed and so many were slow, reach a threshold. */
export function isBad(plan: CircuitPlan, calls: number, failed: number, slow: number): boolean {
  return failed * PERCENT >= plan.failureRateThreshold * calls || slow * PERCENT >= plan.slowCallRateThreshold * calls;
}

/** A half-open circuit with permits out whose outcome is due; what comes from an earlier round finds another state. */
function isUnderWay(word: number, plan: CircuitPlan): boolean {
  if ((word & STATE_BITS) !== CircuitState.HalfOpen) return false;
  return count(word, DONE) < plan.permittedNumberOfCallsInHalfOpenState - count(word, LEFT);
}

/** Times are the low 32 bits of epoch ms: only distances count. */
function restUntil(plan: CircuitPlan, now: number): number {
  return (now + plan.waitDurationInOpenStateMs) | 0;
}

function hasRested(columns: FaultColumns, row: number, now: number): boolean {
  const left = (Atomics.load(columns.circuitUntil, row) - (now | 0)) | 0;
  // A time too far ahead was written before the clock was set back: it counts as passed.
  return left <= 0 || left > WAIT_MS_MAX;
}
