/** What is predicted for each scope, and the file that keeps it over restarts. */
import { readFile, rename, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { makeDirectory } from '../../base/make-directory.ts';
import { BUCKET_MS, HoltWinters } from './holt-winters.ts';

/** Scopes that are predicted: cells, and the gateway itself. */
export const SCOPES_MAX = 65;
/** Buckets that are looked ahead: 15 minutes. */
export const AHEAD = 3;
/** Largest file that is read. Unit: bytes. */
const FILE_BYTES_MAX = 4 * 1024 * 1024;
const FORMAT = 1;

interface Scope {
  readonly model: HoltWinters;
  bucket: number;
  /** Requests in the bucket so far, and for how long they were counted. */
  requests: number;
  countedMs: number;
  /** Requests a second in the last whole bucket; NaN: there was none since the start. */
  last: number;
}

export class Forecasts {
  readonly #file: string;
  readonly #scopes = new Map<string, Scope>();
  /** A bucket has ended since the file was written. */
  #changed = false;

  constructor(file: string) {
    this.#file = file;
  }

  /** So many requests of a scope in the last `ms`. `now`: epoch ms. False: there are too many scopes. */
  count(name: string, requests: number, ms: number, now: number): boolean {
    const scope = this.#scope(name);
    if (scope === null) return false;
    const bucket = Math.floor(now / BUCKET_MS);
    if (scope.bucket !== bucket) {
      // A bucket that was hardly looked at says little of all of it.
      if (scope.countedMs >= BUCKET_MS / 2) {
        scope.last = (scope.requests / scope.countedMs) * 1000;
        scope.model.observe(scope.bucket, scope.last);
        this.#changed = true;
      }
      scope.bucket = bucket;
      scope.requests = 0;
      scope.countedMs = 0;
    }
    scope.requests += requests;
    scope.countedMs += ms;
    return true;
  }

  /** Requests a second that are predicted 15 minutes after the last whole bucket; NaN: nothing is known. */
  ahead(name: string): number {
    return this.#scopes.get(name)?.model.forecast(AHEAD) ?? Number.NaN;
  }

  /** What is predicted, as a multiple of the last whole bucket: the seconds of now would let every lull look like a surge to come. NaN: unknown. */
  surge(name: string): number {
    const last = this.#scopes.get(name)?.last ?? Number.NaN;
    return last > 0 ? this.ahead(name) / last : Number.NaN;
  }

  /** Time of day counts already. */
  isSeasonal(name: string): boolean {
    return this.#scopes.get(name)?.model.seasonal === true;
  }

  /** Forgets scopes that are not among these. */
  retain(names: ReadonlySet<string>): void {
    for (const name of this.#scopes.keys()) if (!names.has(name)) this.#scopes.delete(name);
  }

  /** Reads the file; says why it could not be used, or null. None is no fault. */
  async load(): Promise<string | null> {
    try {
      const text = await readFile(this.#file, 'utf8');
      if (text.length > FILE_BYTES_MAX) return `${this.#file} is too long`;
      const { format, scopes } = JSON.parse(text) as { format?: unknown; scopes?: Record<string, unknown> };
      if (format !== FORMAT || scopes === null || typeof scopes !== 'object')
        return `${this.#file} is of another format`;
      for (const [name, state] of Object.entries(scopes)) {
        const scope = this.#scope(name);
        if (scope !== null && !scope.model.restore(state)) this.#scopes.delete(name);
      }
      return null;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
      return `${this.#file}: ${error instanceof Error ? error.message : String(error)}`;
    }
  }

  /** Writes the file where something has changed: whole, or not at all. Throws when it cannot. */
  async save(): Promise<void> {
    if (!this.#changed) return;
    this.#changed = false;
    const scopes = Object.fromEntries([...this.#scopes].map(([name, { model }]) => [name, model.state()]));
    await makeDirectory(dirname(this.#file));
    const next = `${this.#file}.next`;
    await writeFile(next, JSON.stringify({ format: FORMAT, scopes }), { mode: 0o600 });
    await rename(next, this.#file);
  }

  #scope(name: string): Scope | null {
    const known = this.#scopes.get(name);
    if (known !== undefined) return known;
    if (this.#scopes.size >= SCOPES_MAX) return null;
    const made = { model: new HoltWinters(), bucket: -1, requests: 0, countedMs: 0, last: Number.NaN };
    this.#scopes.set(name, made);
    return made;
  }
}
