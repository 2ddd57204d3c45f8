/** `crs.lock.json`: which Core Rule Set stands in a directory, and the checksum of each of its files, so that a build takes nothing that the release did not have. */
import { createHash } from 'node:crypto';

/** Name of the lock, beside the files. */
export const LOCK_FILE = 'crs.lock.json';
/** Most files of a rule set. */
export const CRS_FILES_MAX = 512;

export interface CrsLock {
  /** Of the rule set, as in `4.28.0`. */
  readonly version: string;
  readonly source: {
    /** Name of the archive or directory that it came from. */
    readonly name: string;
    /** SHA-256 of the archive; null: it came from a directory. */
    readonly sha256: string | null;
  };
  /** SHA-256 by path in the directory, sorted. */
  readonly files: Readonly<Record<string, string>>;
}

/** Names that a rule set may have: what is loaded, its licence, and examples for people. */
const NAME =
  /^(?:LICENSE|crs-setup\.conf(?:\.example)?|rules\/[A-Za-z0-9][A-Za-z0-9._-]{0,127}\.(?:conf|data|conf\.example))$/;

/** True when the path of a release is one of its rules, data, setup or licence. */
export function belongs(path: string): boolean {
  return NAME.test(path);
}

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** The lock of these files. */
export function lockOf(version: string, source: CrsLock['source'], files: ReadonlyMap<string, Uint8Array>): CrsLock {
  const rows = [...files].map(([path, bytes]) => [path, sha256(bytes)] as const);
  return { version, source, files: Object.fromEntries(rows.toSorted(([a], [b]) => (a < b ? -1 : 1))) };
}

export function lockText(lock: CrsLock): string {
  return `${JSON.stringify(lock, null, 2)}\n`;
}

/** Reads a lock; an Error says what is wrong with it. */
export function parseLock(text: string): CrsLock {
  const fail = (what: string): never => {
    throw new Error(`${LOCK_FILE} ${what}; make it anew with \`cnx waf crs\``);
  };
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return fail('is no JSON');
  }
  const lock = (typeof value === 'object' && value !== null ? value : {}) as Partial<CrsLock>;
  const { version, source, files } = lock;
  if (typeof version !== 'string' || typeof source?.name !== 'string') return fail('names no version and no source');
  if (typeof files !== 'object' || files === null || Object.keys(files).length > CRS_FILES_MAX)
    return fail(`does not list at most ${CRS_FILES_MAX} files`);
  for (const [path, sum] of Object.entries(files))
    if (!belongs(path) || typeof sum !== 'string' || !/^[0-9a-f]{64}$/.test(sum))
      return fail(`lists ${JSON.stringify(path)}, which is no file of a rule set with its SHA-256`);
  return lock as CrsLock;
}
