/**
 * The steps after verification: what the layers say is read and checked, compiled off the lanes, given to every lane, and what nobody uses any more is given back.
 * One bundle at a time.
 */
import { Serial } from '../base/serial.ts';
import type { BundleConfig, Part } from '../config/bundle.ts';
import { PART_NAMES, readBundle } from '../config/bundle.ts';
import { ConfigError, Document, type Problem } from '../config/document.ts';
import type { Addon } from '../native.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import type { BundleFiles } from './build/bundle-directory.ts';
import { type Compiled, compileBundle } from './compile/compile.ts';
import type { CellSource } from './compile/endpoint-template.ts';
import type { Discovery } from './discovery/discovery.ts';
import { type CellChange, Membership } from './discovery/membership.ts';
import { type Subject, subjectOf } from './guardrail/subject.ts';
import { type EndpointSlots, SLOT_REST_MS } from './health/slots.ts';
import type { Division, Lanes } from './lanes.ts';
import { type LayerRole, POLICY_ANNOTATION, WEB_TITLE } from './oci/media-types.ts';
import { Rejection } from './oci/rejection.ts';
import type { VerifiedBundle } from './trust/verify.ts';

/** Snapshots that are compiled at once, the active one included; the native registries hold 64. */
export const SNAPSHOTS_MAX = 32;
/** How long an activation waits for old snapshots to be given back when there are too many. */
const ROOM_WAIT_MS = 30_000;
const ROOM_POLL_MS = 50;
const ROOM_MEND = 'Routes with endless answers should have a `totalMs`';
/** Endpoints that one log line names. */
const ENDPOINTS_TOLD_MAX = 32;

export interface ActivatorParts {
  readonly native: Addon;
  readonly lanes: Lanes;
  readonly slots: EndpointSlots;
  readonly secrets: ReadonlyMap<string, string>;
  /** The transport speaks HTTP/2 to endpoints. */
  readonly http2: boolean;
  /** False: the transport cannot answer from what is stored. */
  readonly cache?: boolean;
  readonly discovery: Discovery;
  /** Where the gateway stands; empty: nobody said. */
  readonly zone: string;
  /** Told of a snapshot before the lanes get it: of a new revision, and of one whose cells have other endpoints. */
  readonly onSnapshot: (snapshot: Snapshot) => void;
  /** No lane uses this revision any more, and none will. */
  readonly onRetired: (revision: number) => void;
  /** Cells of a live snapshot have other endpoints; lanes are told after this. */
  readonly onMembers: (changes: readonly CellChange[]) => void;
  /** Has the last word about a compiled bundle: throws ActivationError for one that must not serve. Absent: all may. */
  readonly accept?: (candidate: Candidate) => Promise<void>;
  readonly event: (level: 'info' | 'warn', message: string, fields: Record<string, unknown>) => void;
}

/** Who sees a candidate. */
export type Shown = Omit<Division, 'snapshot'>;

/** A compiled bundle with those who are in its cells. */
interface Live {
  readonly compiled: Compiled;
  readonly membership: Membership;
  readonly said: ActiveConfig;
}

/** Compiled, and found to be good. */
interface Ready {
  readonly compiled: Compiled;
  readonly said: ActiveConfig;
}

/** What said no. `activate`: nothing that is wrong with the bundle; it is tried again. */
export type ActivationStep = 'compile' | 'tests' | 'guardrail' | 'activate';

/** A compiled bundle before any lane has it. */
export interface Candidate {
  readonly bundle: VerifiedBundle;
  readonly config: BundleConfig;
  readonly documents: ReadonlyMap<Part, Document>;
  readonly snapshot: Snapshot;
  readonly subject: Subject;
  /** What the active bundle says; null: none is active. */
  readonly active: ActiveConfig | null;
}

/** What the active bundle says, and which it is. */
export interface ActiveConfig {
  readonly bundle: VerifiedBundle;
  readonly subject: Subject;
}

/** A bundle could not be made to run; the one before goes on. */
export class ActivationError extends Error {
  override readonly name = 'ActivationError';
  readonly step: ActivationStep;
  /** Policies are to blame. */
  readonly policies: boolean;
  constructor(step: ActivationStep, message: string, options?: { cause?: unknown; policies?: boolean }) {
    super(message, options);
    this.step = step;
    this.policies = options?.policies ?? false;
  }
}

export class Activator {
  readonly #parts: ActivatorParts;
  /** By revision, oldest first: what lanes use or may use. */
  readonly #compiled: Live[] = [];
  #active: Live | null = null;
  /** Seen by a share of identities besides the active one. */
  #candidate: Live | null = null;
  /** On its way to the lanes. */
  #giving: Live | null = null;
  #revision = 0;
  /** A cell waits for rows of the table of endpoints. */
  #short: NodeJS.Timeout | null = null;
  /** Bundles on their way, one after another. What takes long is in here, so that changes of cells need not wait for it. */
  readonly #arrivals = new Serial();
  /** What changes what lanes have, one after another: activations, and changes of cells. */
  readonly #tasks = new Serial();

  constructor(parts: ActivatorParts) {
    this.#parts = parts;
  }

  /** The active snapshot, or null before the first activation. */
  get active(): Snapshot | null {
    return this.#active?.membership.snapshot ?? null;
  }

  /** What a share of identities sees besides the active one; null: all see the same. */
  get candidate(): Snapshot | null {
    return this.#candidate?.membership.snapshot ?? null;
  }

  /** Where endpoints of the active snapshot come from beyond those that are written down. */
  get sources(): readonly CellSource[] {
    return this.#active?.compiled.sources ?? [];
  }

  /**
   * Compiles a verified bundle and makes every lane serve it, and nothing else. `accepted`: it has served before, so that nobody is asked whether it may. Throws ActivationError, and the reason
   * of a signal that is aborted before lanes get it; then nothing has changed.
   */
  activate(bundle: VerifiedBundle, accepted = false, signal?: AbortSignal): Promise<Snapshot> {
    return this.#arrivals.run(async () => {
      const ready = await this.#ready(bundle, accepted, signal);
      return this.#tasks.run(async () => {
        const live = await this.#prepare(ready);
        await this.#give(() => this.#parts.lanes.activate(live.membership.snapshot));
        this.#live(live, null);
        return live.membership.snapshot;
      });
    });
  }

  /** Compiles a verified bundle and shows it to a share of identities. Throws as `activate` does; then nothing has changed. */
  divide(bundle: VerifiedBundle, shown: Shown, signal: AbortSignal): Promise<Snapshot> {
    return this.#arrivals.run(async () => {
      const ready = await this.#ready(bundle, false, signal);
      return this.#tasks.run(async () => {
        const live = await this.#prepare(ready);
        const { snapshot } = live.membership;
        await this.#give(() => this.#parts.lanes.divide({ snapshot, ...shown }));
        this.#live(this.#active, live);
        return snapshot;
      });
    });
  }

  /** Another share sees the candidate. */
  share(shown: Shown): Promise<void> {
    return this.#tasks.run(async () => {
      const snapshot = this.candidate;
      if (snapshot !== null) await this.#give(() => this.#parts.lanes.divide({ snapshot, ...shown }));
    });
  }

  /** All see the candidate from now on (`true`), or the active one again. */
  decide(forCandidate: boolean): Promise<Snapshot | null> {
    return this.#tasks.run(async () => {
      const chosen = forCandidate ? this.#candidate : this.#active;
      if (chosen === null || this.#candidate === null) return this.active;
      await this.#give(() => this.#parts.lanes.activate(chosen.membership.snapshot));
      this.#live(chosen, null);
      return chosen.membership.snapshot;
    });
  }

  /** Gives lanes the endpoints that sources of what is live lead to now, where they are others than before. */
  membersChanged(): Promise<void> {
    return this.#tasks.run(async () => {
      for (const live of [this.#active, this.#candidate]) if (live !== null) await this.#membersOf(live.membership);
    });
  }

  /** Gives back what no lane uses any more; what is live stays whatever lanes say. */
  retired(unused: (revision: number) => boolean): void {
    for (let i = this.#compiled.length - 1; i >= 0; i--) {
      const live = this.#compiled[i] ?? null;
      if (live === null || live === this.#active || live === this.#candidate) continue;
      if (!unused(live.compiled.snapshot.revision)) continue;
      this.#compiled.splice(i, 1);
      live.compiled.release();
      live.membership.release();
      this.#parts.onRetired(live.compiled.snapshot.revision);
    }
  }

  /** From now on these are live: their sources of endpoints are followed, and no others. */
  #live(active: Live | null, candidate: Live | null): void {
    const before = [this.#active, this.#candidate];
    this.#active = active;
    this.#candidate = candidate;
    for (const live of before)
      if (live !== null && live !== active && live !== candidate) this.#parts.discovery.forget(live.compiled.sources);
  }

  /** Compiles a bundle and asks whether it may serve. */
  async #ready(bundle: VerifiedBundle, accepted: boolean, signal: AbortSignal | undefined): Promise<Ready> {
    await this.#room();
    const { compiled, config, documents, files } = await this.#compile(bundle);
    const { accept } = this.#parts;
    const subject = subjectOf(config, files);
    try {
      signal?.throwIfAborted();
      const active = this.#active?.said ?? null;
      if (!accepted) await accept?.({ bundle, config, documents, subject, snapshot: compiled.snapshot, active });
      signal?.throwIfAborted();
    } catch (error) {
      compiled.release();
      throw error;
    }
    return { compiled, said: { bundle, subject } };
  }

  async #prepare({ compiled, said }: Ready): Promise<Live> {
    const { discovery, slots, event, onSnapshot } = this.#parts;
    const { sources } = compiled;
    const membership = new Membership(compiled.snapshot, sources, { slots, event, sources: discovery });
    const live = { compiled, membership, said };
    this.#giving = live;
    if (sources.length > 0) await discovery.follow(sources);
    membership.refresh();
    this.#lookAgain(membership);
    onSnapshot(membership.snapshot);
    return live;
  }

  async #membersOf(membership: Membership): Promise<void> {
    const { lanes, event, onSnapshot, onMembers } = this.#parts;
    const changes = membership.refresh();
    this.#lookAgain(membership);
    if (changes.length === 0) return;
    const { snapshot } = membership;
    onSnapshot(snapshot);
    for (const { cell, came, left } of changes)
      event('info', 'endpoints of a cell changed', {
        cell: snapshot.cells[cell]?.id,
        came: came.slice(0, ENDPOINTS_TOLD_MAX).map(({ identity }) => identity),
        left: left.slice(0, ENDPOINTS_TOLD_MAX).map(({ identity }) => identity),
        endpoints: snapshot.cells[cell]?.endpoints.length,
      });
    onMembers(changes);
    try {
      await lanes.members(snapshot, changes);
      for (const { settled } of changes) settled();
    } catch (error) {
      // A lane that answers late may still choose from the former ones: their rows are kept as long as the snapshot.
      event('warn', 'a lane has not said that it knows the new endpoints', {
        reason: error instanceof Error ? error.message : String(error),
      });
    }
  }

  /** Rows that nobody holds have rested by then; no source says so. */
  #lookAgain({ short }: Membership): void {
    if (!short || this.#short !== null) return;
    this.#short = setTimeout(() => {
      this.#short = null;
      void this.membersChanged();
    }, SLOT_REST_MS).unref();
  }

  /** A lane that answers late may still use what it was given: it stays registered, and is given back like those before it. */
  async #give(to: () => Promise<void>): Promise<void> {
    try {
      await to();
    } catch (error) {
      if (this.#giving !== null) this.#parts.discovery.forget(this.#giving.compiled.sources);
      throw new ActivationError('activate', error instanceof Error ? error.message : String(error), { cause: error });
    } finally {
      if (this.#giving !== null) this.#compiled.push(this.#giving);
      this.#giving = null;
    }
  }

  /** Snapshots that are compiled: what is live, and older ones that open requests hold. */
  get held(): number {
    return this.#compiled.length;
  }

  async #room(): Promise<void> {
    const until = performance.now() + ROOM_WAIT_MS;
    for (let waits = false; this.#compiled.length >= SNAPSHOTS_MAX; waits = true) {
      const held = `${this.#compiled.length} revisions are compiled, as many as may be, for open requests hold the older ones`;
      if (performance.now() > until)
        throw new ActivationError('activate', `${held}; it is tried again at the next poll. ${ROOM_MEND}`);
      if (!waits)
        this.#parts.event('warn', 'a bundle waits until open requests let go of older revisions', {
          reason: `${held}. ${ROOM_MEND}`,
          waitMs: ROOM_WAIT_MS,
        });
      await new Promise((resolve) => setTimeout(resolve, ROOM_POLL_MS));
    }
  }

  async #compile(bundle: VerifiedBundle): Promise<ReturnType<typeof readLayers> & { readonly compiled: Compiled }> {
    const { native, slots, secrets, http2, cache = true } = this.#parts;
    try {
      const { config, documents, files } = readLayers(bundle);
      this.#revision++;
      const { digest } = bundle;
      const compiled = await compileBundle(
        config,
        documents,
        files,
        {
          kind: 'run',
          revision: this.#revision,
          digest,
          seq: bundle.release.seq,
          secrets,
          http2,
          cache,
          zone: this.#parts.zone,
          endpointFiles: this.#parts.discovery.fileNames,
        },
        native,
        slots,
      );
      return { compiled, config, documents, files };
    } catch (error) {
      if (!(error instanceof ConfigError) && !(error instanceof Rejection)) throw error;
      const policies = error instanceof ConfigError && error.problems.some((p) => p.file.startsWith('policies'));
      throw new ActivationError('compile', error.message, { cause: error, policies });
    }
  }
}

/** The layers of a bundle. */
export interface LayerSource {
  layer(role: LayerRole): LayerBytes | undefined;
  layersOf(role: LayerRole): readonly LayerBytes[];
}

type LayerBytes = Pick<VerifiedBundle['layers'][number], 'title' | 'bytes' | 'descriptor'>;

/** What the layers of a bundle say. Throws ConfigError with every problem. */
export function readLayers(bundle: LayerSource): {
  readonly config: BundleConfig;
  readonly documents: ReadonlyMap<Part, Document>;
  readonly files: BundleFiles;
} {
  const documents = new Map<Part, Document>();
  for (const part of PART_NAMES) {
    const layer = bundle.layer(part);
    if (layer !== undefined) documents.set(part, new Document(layer.title, Buffer.from(layer.bytes).toString('utf8')));
  }
  const result = readBundle(documents);
  if (!result.ok) throw new ConfigError(result.problems);
  const files = filesOf(bundle);
  const problems = absentFiles(result.value, result.documents, files);
  if (problems.length > 0) throw new ConfigError(problems);
  return { config: result.value, documents: result.documents, files };
}

/** Rules that the documents name and the layers do not hold: without them less would be inspected than is written. */
function absentFiles(config: BundleConfig, documents: ReadonlyMap<Part, Document>, files: BundleFiles): Problem[] {
  const waf = documents.get('waf');
  if (waf === undefined) return [];
  const problems: Problem[] = [];
  const absent = (list: 'rules' | 'data', held: BundleFiles['seclang']): void => {
    const names = new Set(held.map((file) => file.name));
    for (const [i, name] of config.waf[list].entries())
      if (typeof name === 'string' && !names.has(name))
        problems.push(waf.problem(`/${list}/${i}`, `the bundle has no layer "${name}"`));
  };
  absent('rules', files.seclang);
  absent('data', files.seclangData);
  const dir = config.waf.crs?.dir;
  if (dir !== undefined && !files.seclang.some((file) => file.name.startsWith(`${dir}/`)))
    problems.push(waf.problem('/crs/dir', `the bundle has no layers of "${dir}"`));
  return problems;
}

function filesOf(bundle: LayerSource): BundleFiles {
  const data = new Map<string, string>();
  for (const layer of bundle.layersOf('opaData'))
    data.set(layer.descriptor.annotations?.[POLICY_ANNOTATION] ?? '', Buffer.from(layer.bytes).toString('utf8'));
  const named = (role: 'seclang' | 'seclangData'): { name: string; bytes: Uint8Array }[] =>
    bundle.layersOf(role).map((l) => ({ name: l.title, bytes: l.bytes }));
  const modules = new Map(
    bundle.layersOf('wasm').map((layer) => {
      const name = layer.descriptor.annotations?.[POLICY_ANNOTATION] ?? '';
      // A copy in memory of its own: a module may not be compiled from shared bytes.
      return [name, { wasm: new Uint8Array(layer.bytes), data: data.get(name) ?? '{}', sourceDigest: '' }] as const;
    }),
  );
  const web = bundle.layersOf('file').map((l) => ({ name: l.title.slice(WEB_TITLE.length), bytes: l.bytes }));
  return { seclang: named('seclang'), seclangData: named('seclangData'), web, modules };
}
