/** What the gateway sees of its own parts: why each is down, or null. */
import type { SourceView } from '../../admin/control-view.ts';
import type { EndpointColumns } from '../../snapshot/endpoint-columns.ts';
import type { Snapshot } from '../../snapshot/snapshot.ts';
import type { JwksState } from '../jwks.ts';
import { cellFault } from './cell-fault.ts';
import { ClockWatch } from './clock-watch.ts';
import type { Seen } from './degradation.ts';

export interface SeenParts {
  readonly active: () => Snapshot | null;
  readonly columns: EndpointColumns;
  readonly keys: () => readonly JwksState[];
  readonly source: () => SourceView;
  /** Why certificate files were refused. */
  readonly certificates: () => string | null;
  /** Lines that the log has dropped so far. */
  readonly dropped: () => number;
}

export function seenBy(parts: SeenParts): Seen {
  const clock = new ClockWatch(Date.now, () => performance.now());
  let dropped = 0;
  const ofPart: Readonly<Record<string, () => string | null>> = {
    registry: () => {
      const { state, lastError } = parts.source();
      return state === 'unreachable' || state === 'missing' ? (lastError ?? 'no answer') : null;
    },
    // A source that fails here rather than there: what it gives cannot be put on the disk.
    state: () => {
      const { fault, state, lastError } = parts.source();
      return fault ?? (state === 'failing' ? lastError : null);
    },
    certificates: parts.certificates,
    clock: () => clock.reason(),
    log: () => {
      const since = parts.dropped() - dropped;
      dropped += since;
      return since > 0 ? `${since} lines were dropped` : null;
    },
  };
  return {
    issuer: (id) => {
      const url = parts.active()?.issuers.find((issuer) => issuer.id === id)?.jwksUrl ?? null;
      const state = parts.keys().find((s) => s.url === url);
      return state === undefined || state.failure === '' ? null : state.failure;
    },
    cell: (id) => cellFault(parts.active(), parts.columns, id),
    part: (name) => ofPart[name]?.() ?? null,
  };
}
