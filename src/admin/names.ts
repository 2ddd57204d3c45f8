/**
 * What the indices in a record mean: the names of the revisions that lanes use, and of a few that they used. A record says which revision decided it, and
 * indices of one revision mean nothing in another.
 */
import { Masker } from './masking.ts';
import type { RoutePlan, RouteTable } from '../snapshot/route-plans.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';

/** Revisions that no lane uses any more and whose names are kept. Records of those before them are explained by their numbers. */
export const RETIRED_NAMED_MAX = 8;

const decoder = new TextDecoder();

/** A route as `/v1/routes` shows it. */
export interface RouteSummary {
  readonly index: number;
  readonly id: string;
  readonly public: boolean;
  readonly issuers: readonly string[];
  readonly policy: string | null;
  readonly limits: readonly string[];
  readonly waf: string;
  /** Fixed cell; null = by tenant. */
  readonly cell: string | null;
  /** Cells that share its requests; absent: none do. */
  readonly split?: readonly string[];
  /** The cell that gets copies of them. */
  readonly mirror?: string;
  /** Where the tenant comes from. */
  readonly tenant: string | null;
  readonly websocket: boolean;
  readonly redirects: boolean;
}

/** Names of one revision. Holds the route texts (shared memory), not the snapshot with its modules. */
export class RevisionNames {
  readonly revision: number;
  readonly digest: string;
  readonly seq: number;
  /** Share of answered requests that are logged. */
  readonly accessLogSample: number;
  readonly masker: Masker;
  readonly #routes: RouteTable;
  readonly #read = new Map<number, { readonly id: string; readonly admit: readonly number[] }>();
  readonly #limits: readonly string[];
  readonly #policies: readonly string[];
  readonly #cells: readonly string[];
  readonly #issuers: readonly string[];
  readonly #endpoints: Map<number, string>;

  /** `former`: the same revision with other endpoints, whose names records may still need. */
  constructor(snapshot: Snapshot, former: RevisionNames | null = null) {
    this.revision = snapshot.revision;
    this.digest = snapshot.digest;
    this.seq = snapshot.seq;
    this.accessLogSample = snapshot.observe.accessLogSample;
    this.masker = new Masker(snapshot.observe.maskedQuery);
    this.#routes = snapshot.routes;
    this.#limits = snapshot.limits.map((x) => x.id);
    this.#policies = snapshot.policies.map((x) => x.name);
    this.#cells = snapshot.cells.map((x) => x.id);
    this.#issuers = snapshot.issuers.map((x) => x.id);
    this.#endpoints = new Map(former === null ? [] : former.#endpoints);
    for (const e of snapshot.endpoints) this.#endpoints.set(e.slot, e.identity);
  }

  get routeCount(): number {
    return this.#routes.count;
  }

  route(index: number): string {
    return this.#routeRead(index).id;
  }

  /** The stage at which a route asks this limit: those that need no identity are asked early. */
  limitStage(route: number, limit: number): 'admit' | 'limit' {
    return this.#routeRead(route).admit.includes(limit) ? 'admit' : 'limit';
  }

  /** A route's text is parsed at the first question, so that many thousand routes cost an activation nothing. */
  #routeRead(index: number): { readonly id: string; readonly admit: readonly number[] } {
    const known = this.#read.get(index);
    if (known !== undefined) return known;
    const plan = this.#routePlan(index);
    // Not remembered, so that there are at most as many as routes.
    if (plan === undefined) return { id: numbered('route', index), admit: [] };
    const read = { id: plan.id, admit: plan.admit };
    this.#read.set(index, read);
    return read;
  }

  /** What a route is made of, by names; undefined when there is none of this index. No header values: they may be secrets. */
  routeSummary(index: number): RouteSummary | undefined {
    const plan = this.#routePlan(index);
    if (plan === undefined) return undefined;
    return {
      index,
      id: plan.id,
      public: plan.public,
      issuers: plan.issuers.map((i) => this.issuer(i)),
      policy: plan.policy < 0 ? null : this.policy(plan.policy),
      limits: [...plan.admit, ...plan.limit].map((i) => this.limit(i)),
      waf: plan.waf.mode,
      cell: plan.cell < 0 ? null : this.cell(plan.cell),
      ...(plan.split === undefined ? {} : { split: plan.split.arms.map((arm) => this.cell(arm.cell)) }),
      ...(plan.mirror === undefined ? {} : { mirror: this.cell(plan.mirror.cell) }),
      tenant: plan.tenant?.from ?? null,
      websocket: plan.websocket,
      redirects: plan.respond.redirect !== null,
    };
  }

  #routePlan(index: number): RoutePlan | undefined {
    if (index < 0 || index >= this.#routes.count) return undefined;
    const [from, to] = new Uint32Array(this.#routes.offsets, index * 4, 2);
    const bytes = new Uint8Array(this.#routes.text).slice(from, to);
    return JSON.parse(decoder.decode(bytes)) as RoutePlan;
  }

  limit(index: number): string {
    return this.#limits[index] ?? numbered('limit', index);
  }

  policy(index: number): string {
    return this.#policies[index] ?? numbered('policy', index);
  }

  cell(index: number): string {
    return this.#cells[index] ?? numbered('cell', index);
  }

  issuer(index: number): string {
    return this.#issuers[index] ?? numbered('issuer', index);
  }

  /** By slot in the endpoint columns. */
  endpoint(slot: number): string {
    return this.#endpoints.get(slot) ?? numbered('endpoint', slot);
  }
}

/** What stands in for a name that is not known any more. */
export function numbered(what: string, index: number): string {
  return `${what} #${index}`;
}

/**
 * Names by revision. Main tells of every snapshot before it goes to the lanes, and of every revision that they have left: what may still decide a request
 * keeps its names however many candidates come after it, for they say which values are secrets and which share is logged. How many that can be is bounded
 * by control (SNAPSHOTS_MAX); the retired ones are bounded here.
 */
export class Names {
  readonly #revisions = new Map<number, RevisionNames>();
  /** The one that was left last stands last. */
  readonly #retired = new Set<number>();

  learn(snapshot: Snapshot): RevisionNames {
    const { revision } = snapshot;
    // Its rows are as many as the table's: those of endpoints that have left stay until another one has them.
    const names = new RevisionNames(snapshot, this.#revisions.get(revision) ?? null);
    this.#revisions.set(revision, names);
    // Not when they retire: many may do so at once, and the rings still hold their last records.
    for (const old of this.#retired) {
      if (this.#retired.size <= RETIRED_NAMED_MAX) break;
      this.#retired.delete(old);
      this.#revisions.delete(old);
    }
    return names;
  }

  /** No lane uses this revision any more, and none will. */
  retire(revision: number): void {
    if (this.#revisions.has(revision)) this.#retired.add(revision);
  }

  of(revision: number): RevisionNames | null {
    return this.#revisions.get(revision) ?? null;
  }
}
