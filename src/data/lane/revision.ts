/**
 * A snapshot as one lane runs it: the shared, immutable part plus what cannot be shared between threads (policy instances, imported keys). Opening one
 * compiles nothing: routes are read when first served, policy instances come from a shared module.
 */
import { present } from '../../base/assert.ts';
import type { AuthnRevision } from '../stages/authenticate.ts';
import type { RivalryRow } from '../../snapshot/rivalry-columns.ts';
import type { RoutePlan } from '../../snapshot/route-plans.ts';
import type { Snapshot } from '../../snapshot/snapshot.ts';
import { type CellMembers, membersOf } from '../upstream/cell-members.ts';

const text = new TextDecoder();

/** What a lane adds to a snapshot. */
export interface RevisionParts {
  readonly authn: AuthnRevision;
}

/** Those of open exchanges, and those that are live: the active one, and another one at most. */
export function stillUsed<R extends { readonly open: number }>(
  revisions: readonly R[],
  live: readonly (R | null)[],
): R[] {
  return revisions.filter((r) => r.open > 0 || live.includes(r));
}

export class Revision {
  readonly snapshot: Snapshot;
  /** Exchanges that see this revision and have not ended; counted by the pipeline. */
  open = 0;
  readonly authn: AuthnRevision;
  /** Where it is counted while two revisions are live; null: it is not. */
  row: RivalryRow | null = null;
  /** Who is in each cell now, by its index; replaced as endpoints come and go. */
  readonly members: CellMembers[];
  /** Route index by entry of the native router. */
  readonly entries: Uint32Array;
  readonly #routes: (RoutePlan | undefined)[];
  readonly #offsets: Uint32Array;
  readonly #text: Uint8Array;

  constructor(snapshot: Snapshot, parts: RevisionParts) {
    this.snapshot = snapshot;
    this.authn = parts.authn;
    this.members = membersOf(snapshot);
    // No `new Array(n)`: filled on demand, so a snapshot of many routes costs what is served.
    this.#routes = [];
    this.entries = new Uint32Array(snapshot.routes.entries);
    this.#offsets = new Uint32Array(snapshot.routes.offsets);
    this.#text = new Uint8Array(snapshot.routes.text);
  }

  /** Route by its index in the bundle. */
  route(index: number): RoutePlan {
    return this.#routes[index] ?? this.#read(index);
  }

  #read(index: number): RoutePlan {
    const from = present(this.#offsets[index], 'route offset');
    const to = present(this.#offsets[index + 1], 'route offset');
    // TextDecoder refuses views of shared memory, hence the copy; once per route and lane.
    const route = JSON.parse(text.decode(this.#text.slice(from, to))) as RoutePlan;
    this.#routes[index] = route;
    return route;
  }
}
