/**
 * Endpoints out of a local file (YAML or JSON): what an orchestrator, a script or a person writes, taken without a bundle. Files are looked at rather than watched:
 * what writes them replaces files or links to directories, and the file behind the name tells of all of these. A bad file is told, and what was good last serves on.
 */
import { readFile, stat } from 'node:fs/promises';
import { ConfigError, Document } from '../../config/document.ts';
import { EndpointsFile, endpointsFileProblems } from '../../config/endpoints-file.ts';
import { validate } from '../../config/validate.ts';
import { lookOf } from '../file-look.ts';

/** Between two looks at the files. */
export const LOOK_MS = 250;
/** Largest file that is read. Unit: bytes. */
export const ENDPOINTS_FILE_BYTES_MAX = 1024 * 1024;

export type FileEndpoint = EndpointsFile['endpoints'][number];

export interface FileStanding {
  readonly state: 'waiting' | 'current' | 'stale';
  readonly endpoints: readonly FileEndpoint[];
  /** Why it is not current; null = it is. */
  readonly why: string | null;
  /** Epoch ms of the last good reading; null = none yet. */
  readonly readAt: number | null;
}

export interface FileWatchParts {
  /** Files by the names that bundles use. */
  readonly files: Readonly<Record<string, string>>;
  /** A file says something else than before. */
  readonly onChange: (name: string) => void;
  readonly event: (level: 'info' | 'warn', message: string, fields: Record<string, unknown>) => void;
  /** Epoch ms. */
  readonly now: () => number;
}

interface Followed {
  readonly name: string;
  readonly file: string;
  /** What it looked like when it was last read. */
  seen: string;
  standing: FileStanding;
}

const NOTHING: FileStanding = { state: 'waiting', endpoints: [], why: 'not read yet', readAt: null };

export class FileWatch {
  readonly #parts: FileWatchParts;
  readonly #followed = new Map<string, Followed>();
  #timer: NodeJS.Timeout | null = null;
  #stopped = false;

  constructor(parts: FileWatchParts) {
    this.#parts = parts;
  }

  /** The bootstrap maps it. */
  knows(name: string): boolean {
    return Object.hasOwn(this.#parts.files, name);
  }

  /** From now on these are looked at, and no others. Resolves when each was read once. */
  async follow(names: readonly string[]): Promise<void> {
    if (this.#stopped) return;
    const wanted = new Set(names);
    for (const name of this.#followed.keys()) if (!wanted.has(name)) this.#followed.delete(name);
    const fresh: Followed[] = [];
    for (const name of wanted) {
      const file = this.#parts.files[name];
      if (file === undefined || this.#followed.has(name)) continue;
      const followed: Followed = { name, file, seen: '', standing: NOTHING };
      this.#followed.set(name, followed);
      fresh.push(followed);
    }
    await Promise.all(fresh.map((followed) => this.#lookAt(followed)));
    if (this.#followed.size > 0 && this.#timer === null) this.#schedule();
  }

  standing(name: string): FileStanding {
    return this.#followed.get(name)?.standing ?? NOTHING;
  }

  stop(): void {
    this.#stopped = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#followed.clear();
  }

  #schedule(): void {
    this.#timer = setTimeout(() => {
      void Promise.all([...this.#followed.values()].map((followed) => this.#lookAt(followed))).then(() => {
        this.#timer = null;
        if (!this.#stopped && this.#followed.size > 0) this.#schedule();
      });
    }, LOOK_MS).unref();
  }

  async #lookAt(followed: Followed): Promise<void> {
    const { name, file } = followed;
    const now = await lookOf(file);
    if (now === followed.seen) return;
    const read = await readEndpoints(file);
    // Written meanwhile: what was read may be half of it. The next look sees.
    if ((await lookOf(file)) !== now || this.#followed.get(name) !== followed) return;
    followed.seen = now;
    const { event } = this.#parts;
    const before = followed.standing;
    if ('why' in read) {
      followed.standing = { ...before, state: before.readAt === null ? 'waiting' : 'stale', why: read.why };
      event(
        'warn',
        before.readAt === null ? 'endpoints file refused' : 'endpoints file refused; its last good content serves on',
        {
          file: name,
          reason: read.why,
        },
      );
      return;
    }
    followed.standing = { state: 'current', endpoints: read.endpoints, why: null, readAt: this.#parts.now() };
    if (before.readAt !== null) event('info', 'endpoints file taken', { file: name, endpoints: read.endpoints.length });
    this.#parts.onChange(name);
  }
}

/** What a file says, or why it cannot be used. Never rejects. */
async function readEndpoints(
  file: string,
): Promise<{ readonly endpoints: readonly FileEndpoint[] } | { readonly why: string }> {
  try {
    const { size } = await stat(file);
    if (size > ENDPOINTS_FILE_BYTES_MAX)
      return { why: `${file} has ${size} bytes; at most ${ENDPOINTS_FILE_BYTES_MAX} are read` };
    const doc = new Document(file, await readFile(file, 'utf8'));
    const result = validate(EndpointsFile, doc);
    if (!result.ok) return { why: new ConfigError(result.problems).message };
    const problems = endpointsFileProblems(result.value, doc);
    return problems.length > 0 ? { why: new ConfigError(problems).message } : { endpoints: result.value.endpoints };
  } catch (error) {
    return { why: error instanceof Error ? error.message : String(error) };
  }
}
