import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';

const INSTALL = 'apt-get install -y --no-install-recommends docker-registry skopeo apache2-utils openssl';

/** Path of a tool that these tests need. Throws when it is missing: a test that did not run has not passed. */
export function requireTool(name: string): string {
  for (const directory of (process.env['PATH'] ?? '').split(':')) {
    const path = join(directory, name);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Not in this directory.
    }
  }
  throw new Error(`${name} is not installed; this test needs it: ${INSTALL}`);
}
