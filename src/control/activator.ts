/**
 * The steps after verification: what the layers say is read and checked, compiled off the lanes, given to every lane, and what nobody uses any more is given back.
 * One bundle at a time.
 */
import type { BundleConfig, Part } from '../config/bundle.ts';
import { PART_NAMES, readBundle } from '../config/bundle.ts';
import { ConfigError, Document, type Problem } from '../config/document.ts';
import type { Addon } from '../native.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import type { BundleFiles } from './build/bundle-directory.ts';
import { type Compiled, compileBundle } from './compile/compile.ts';
import type { EndpointSlots } from './health/slots.ts';
import type { Division, Lanes } from './lanes.ts';
import { POLICY_ANNOTATION } from './oci/media-types.ts';
import { Rejection } from './oci/rejection.ts';
import type { VerifiedBundle } from './trust/verify.ts';

/** Snapshots that are compiled at once, the active one included; the native registries hold 64. */
export const SNAPSHOTS_MAX = 32;
/** How long an activation waits for old snapshots to be given back when there are too many. */
const ROOM_WAIT_MS = 30_000;
const ROOM_POLL_MS = 50;

export interface ActivatorParts {
  readonly native: Addon;
  readonly lanes: Lanes;
  readonly slots: EndpointSlots;
  readonly secrets: ReadonlyMap<string, string>;
  /** The transport speaks HTTP/2 to endpoints. */
  readonly http2: boolean;
  /** False: the transport cannot answer from what is stored. */
  readonly cache?: boolean;
  /** Told of a snapshot before the lanes get it. */
  readonly onSnapshot: (snapshot: Snapshot) => void;
}

/** A bundle could not be made to run; the one before goes on. */
export class ActivationError extends Error {
  override readonly name = 'ActivationError';
  /** `compile` or `activate`. */
  readonly step: 'compile' | 'activate';
  /** Policies are to blame. */
  readonly policies: boolean;
  constructor(step: 'compile' | 'activate', message: string, options?: { cause?: unknown; policies?: boolean }) {
    super(message, options);
    this.step = step;
    this.policies = options?.policies ?? false;
  }
}

export class Activator {
  readonly #parts: ActivatorParts;
  /** By revision, oldest first: what lanes use or may use. */
  readonly #compiled: Compiled[] = [];
  #active: Snapshot | null = null;
  /** Seen by a share of identities besides the active one. */
  #candidate: Snapshot | null = null;
  /** On its way to the lanes. */
  #giving: Compiled | null = null;
  #revision = 0;

  constructor(parts: ActivatorParts) {
    this.#parts = parts;
  }

  /** The active snapshot, or null before the first activation. */
  get active(): Snapshot | null {
    return this.#active;
  }

  /** What a share of identities sees besides the active one; null: all see the same. */
  get candidate(): Snapshot | null {
    return this.#candidate;
  }

  /** Compiles a verified bundle and makes every lane serve it, and nothing else. Throws ActivationError; then nothing has changed. */
  async activate(bundle: VerifiedBundle): Promise<Snapshot> {
    const snapshot = await this.#prepare(bundle);
    await this.#give(() => this.#parts.lanes.activate(snapshot));
    this.#active = snapshot;
    this.#candidate = null;
    return snapshot;
  }

  /** Compiles a verified bundle and shows it to a share of identities. Throws ActivationError; then nothing has changed. */
  async divide(bundle: VerifiedBundle, share: number, key: Division['key']): Promise<Snapshot> {
    const snapshot = await this.#prepare(bundle);
    await this.#give(() => this.#parts.lanes.divide({ snapshot, share, key }));
    this.#candidate = snapshot;
    return snapshot;
  }

  /** Another share sees the candidate. */
  async share(share: number, key: Division['key']): Promise<void> {
    const snapshot = this.#candidate;
    if (snapshot !== null) await this.#give(() => this.#parts.lanes.divide({ snapshot, share, key }));
  }

  /** All see the candidate from now on (`true`), or the active one again. */
  async decide(forCandidate: boolean): Promise<Snapshot | null> {
    const chosen = forCandidate ? this.#candidate : this.#active;
    if (chosen === null || this.#candidate === null) return this.#active;
    await this.#give(() => this.#parts.lanes.activate(chosen));
    this.#active = chosen;
    this.#candidate = null;
    return chosen;
  }

  /** Gives back what no lane uses any more; what is live stays whatever lanes say. */
  retired(unused: (revision: number) => boolean): void {
    for (let i = this.#compiled.length - 1; i >= 0; i--) {
      const snapshot = this.#compiled[i]?.snapshot ?? null;
      if (snapshot === null || snapshot === this.#active || snapshot === this.#candidate) continue;
      if (unused(snapshot.revision)) for (const old of this.#compiled.splice(i, 1)) old.release();
    }
  }

  async #prepare(bundle: VerifiedBundle): Promise<Snapshot> {
    await this.#room();
    const compiled = await this.#compile(bundle);
    this.#giving = compiled;
    this.#parts.onSnapshot(compiled.snapshot);
    return compiled.snapshot;
  }

  /** A lane that answers late may still use what it was given: it stays registered, and is given back like those before it. */
  async #give(to: () => Promise<void>): Promise<void> {
    try {
      await to();
    } catch (error) {
      throw new ActivationError('activate', error instanceof Error ? error.message : String(error), { cause: error });
    } finally {
      if (this.#giving !== null) this.#compiled.push(this.#giving);
      this.#giving = null;
    }
  }

  async #room(): Promise<void> {
    const until = performance.now() + ROOM_WAIT_MS;
    while (this.#compiled.length >= SNAPSHOTS_MAX) {
      if (performance.now() > until) {
        throw new ActivationError(
          'activate',
          `${this.#compiled.length} older snapshots are still in use by open requests; tried again at the next poll`,
        );
      }
      await new Promise((resolve) => setTimeout(resolve, ROOM_POLL_MS));
    }
  }

  async #compile(bundle: VerifiedBundle): Promise<Compiled> {
    const { native, slots, secrets, http2, cache = true } = this.#parts;
    try {
      const { config, documents, files } = readLayers(bundle);
      this.#revision++;
      const { digest } = bundle;
      return await compileBundle(
        config,
        documents,
        files,
        { kind: 'run', revision: this.#revision, digest, seq: bundle.release.seq, secrets, http2, cache },
        native,
        slots,
      );
    } catch (error) {
      if (!(error instanceof ConfigError) && !(error instanceof Rejection)) throw error;
      const policies = error instanceof ConfigError && error.problems.some((p) => p.file.startsWith('policies'));
      throw new ActivationError('compile', error.message, { cause: error, policies });
    }
  }
}

/** What the layers of a verified bundle say. Throws ConfigError with every problem. */
export function readLayers(bundle: VerifiedBundle): {
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

function filesOf(bundle: VerifiedBundle): BundleFiles {
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
  return { seclang: named('seclang'), seclangData: named('seclangData'), modules };
}
