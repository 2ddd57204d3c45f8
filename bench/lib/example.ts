/** Programs of the bench that are written in Rust: examples of native/transport. */
import { spawnSync } from 'node:child_process';
import { join, resolve } from 'node:path';

const NATIVE = resolve(import.meta.dirname, '../../native');
const built = new Set<string>();

/** Builds an example for release, once, and gives its path. */
export function builtExample(name: string): string {
  if (!built.has(name)) {
    const done = spawnSync('cargo', ['build', '--release', '--locked', '-p', 'cnx-transport', '--example', name], {
      cwd: NATIVE,
      stdio: 'inherit',
    });
    if (done.status !== 0) throw new Error(`the example ${name} of native/transport does not build`);
    built.add(name);
  }
  return join(process.env['CARGO_TARGET_DIR'] ?? join(NATIVE, 'target'), 'release/examples', name);
}
