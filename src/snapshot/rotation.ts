/** Whether an endpoint is in rotation, as the shared columns say it: one reading for metrics, status and the log. `data/upstream/availability.ts` is the lanes'. */
import { CIRCUIT_STATES, circuitState } from './circuit.ts';
import type { EndpointColumns } from './endpoint-columns.ts';

/** What keeps an endpoint to trials. */
export const OUT = {
  ejected: 'ejected by probes',
  outlier: 'ejected as an outlier',
  open: 'its circuit is open',
  halfOpen: 'its circuit is half-open',
  refused: 'no connection could be made, and nothing has been answered since',
  reset: 'a connection was reset, and nothing has been answered since',
} as const;
export type Out = (typeof OUT)[keyof typeof OUT];

/** Why the endpoint of this row gets nothing but trials; null = it is in rotation. Also between trials, until one is answered. */
export function outOfRotation(columns: EndpointColumns, slot: number): Out | null {
  if ((columns.ejected[slot] ?? 0) !== 0) return OUT.ejected;
  const circuit = CIRCUIT_STATES[circuitState(columns.faults, slot)];
  if (circuit !== 'closed') return circuit === 'open' ? OUT.open : OUT.halfOpen;
  if ((columns.faults.outlier[slot] ?? 0) !== 0) return OUT.outlier;
  const down = columns.downUntil[slot] ?? 0;
  if (down === 0) return null;
  return down > 0 ? OUT.refused : OUT.reset;
}
