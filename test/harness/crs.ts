/** The Core Rule Set that tests are run with, read in place. */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { LOCK_FILE, lockOf, lockText } from '../../src/control/crs/lock.ts';
import { readRelease } from '../../src/control/crs/release.ts';

/** Its directory, or null when the data is not there; where `CI` is set that is a failure. */
export function crsDirectory(): string | null {
  const dir = fileURLToPath(new URL('../../../shared/data/crs-4.28.0', import.meta.url));
  if (existsSync(dir)) return dir;
  if (process.env['CI'] === 'true') throw new Error(`the Core Rule Set is not in ${dir}`);
  return null;
}

/** The rule set as files of a bundle under `waf/crs`, as `cnx waf crs` would put it there. */
export function crsBundleFiles(dir: string): Record<string, Uint8Array | string> {
  const release = readRelease(dir);
  const files = [...release.files].map(([path, bytes]) => [`waf/crs/${path}`, bytes] as const);
  const lock = lockText(lockOf(release.version, release.source, release.files));
  return { ...Object.fromEntries(files), [`waf/crs/${LOCK_FILE}`]: lock };
}
