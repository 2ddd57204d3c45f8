/** The Core Rule Set that tests are run with, read in place. */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** Its directory, or null when the data is not there; where `CI` is set that is a failure. */
export function crsDirectory(): string | null {
  const dir = fileURLToPath(new URL('../../../shared/data/crs-4.28.0', import.meta.url));
  if (existsSync(dir)) return dir;
  if (process.env['CI'] === 'true') throw new Error(`the Core Rule Set is not in ${dir}`);
  return null;
}
