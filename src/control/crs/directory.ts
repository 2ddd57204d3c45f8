/** A Core Rule Set in a bundle directory: written whole from a release, and read only when it is still what the release was. */
import { readdirSync, readFileSync, renameSync, rmSync, writeFileSync, existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { makeDirectory } from '../../base/make-directory.ts';
import { CRS_FILES_MAX, LOCK_FILE, lockOf, lockText, parseLock, sha256 } from './lock.ts';
import { type CrsRelease, ReleaseError } from './release.ts';

/** Files of a rule set as they are loaded. */
export interface CrsFiles {
  readonly version: string;
  readonly setup: CrsFile;
  /** In the order in which they are loaded. */
  readonly rules: readonly CrsFile[];
  /** Phrase files and the licence. */
  readonly data: readonly CrsFile[];
}

export interface CrsFile {
  /** In the rule set's directory. */
  readonly path: string;
  readonly bytes: Uint8Array;
}

/** Puts a release into a directory, in the place of the one that stood there: whole, or not at all. What stands there must be a rule set of ours, or nothing. */
export async function writeCrs(dir: string, release: CrsRelease): Promise<void> {
  if (existsSync(dir) && !existsSync(join(dir, LOCK_FILE)) && readdirSync(dir).length > 0)
    throw new ReleaseError(
      `${dir} holds something else than a rule set that this command has put there; name another directory`,
    );
  const next = `${dir}.next`;
  rmSync(next, { recursive: true, force: true });
  for (const [path, bytes] of release.files) {
    const file = join(next, path);
    await makeDirectory(dirname(file));
    writeFileSync(file, bytes);
  }
  writeFileSync(join(next, LOCK_FILE), lockText(lockOf(release.version, release.source, release.files)));
  rmSync(dir, { recursive: true, force: true });
  renameSync(next, dir);
}

/** The rule set of a directory; what is wrong with it goes to `report`, all at once. Null: it cannot be taken. */
export function readCrs(dir: string, report: (message: string) => void): CrsFiles | null {
  const lockFile = join(dir, LOCK_FILE);
  if (!existsSync(lockFile)) {
    report(
      `there is no ${LOCK_FILE} in it; put a Core Rule Set there with \`cnx waf crs <bundle directory> --from RELEASE\`, and --dir where it is not waf/crs`,
    );
    return null;
  }
  let lock;
  try {
    lock = parseLock(readFileSync(lockFile, 'utf8'));
  } catch (error) {
    report(error instanceof Error ? error.message : String(error));
    return null;
  }
  let whole = true;
  const fault = (message: string): void => {
    whole = false;
    report(message);
  };
  const files: CrsFile[] = [];
  for (const [path, sum] of Object.entries(lock.files)) {
    if (!existsSync(join(dir, path))) {
      fault(`${path} of the Core Rule Set ${lock.version} is missing; put it back with \`cnx waf crs\``);
      continue;
    }
    const bytes = readFileSync(join(dir, path));
    if (sha256(bytes) === sum) files.push({ path, bytes });
    else
      fault(
        `${path} is not what the Core Rule Set ${lock.version} has; leave it as it is, and write changes into waf.yaml (exclude, updates, crs) or files of your own`,
      );
  }
  for (const name of readdirSync(join(dir, 'rules')).slice(0, CRS_FILES_MAX + 1))
    if (!Object.hasOwn(lock.files, `rules/${name}`))
      fault(`rules/${name} is not a file of the Core Rule Set ${lock.version}; move it out and name it in \`rules\``);
  const setup =
    files.find((f) => f.path === 'crs-setup.conf') ?? files.find((f) => f.path === 'crs-setup.conf.example');
  if (!whole) return null;
  if (setup === undefined) {
    report('the Core Rule Set has no setup file; put it there again with `cnx waf crs`');
    return null;
  }
  return {
    version: lock.version,
    setup,
    rules: files.filter((f) => f.path.startsWith('rules/') && f.path.endsWith('.conf')),
    data: files.filter((f) => f.path.endsWith('.data') || f.path === 'LICENSE'),
  };
}
