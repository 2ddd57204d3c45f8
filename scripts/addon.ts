/** Builds the native addon when it is missing or older than its sources, and puts it where `src/native.ts` loads it. */
import { execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readdirSync, renameSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const native = join(root, 'native');
export const ADDON = join(native, 'cnx.node');

/** Newest change among the files that decide what the addon is, in ms since the epoch. */
function newestSource(dir: string): number {
  let newest = 0;
  for (const entry of readdirSync(dir, { withFileTypes: true })) {
    if (entry.name === 'target' || entry.name === 'fuzz' || entry.name.endsWith('.node')) continue;
    const path = join(dir, entry.name);
    newest = Math.max(newest, entry.isDirectory() ? newestSource(path) : statSync(path).mtimeMs);
  }
  return newest;
}

/** True when `native/cnx.node` is there and newer than every source of the workspace. */
export function addonIsFresh(): boolean {
  return existsSync(ADDON) && statSync(ADDON).mtimeMs >= newestSource(native);
}

/** Builds the addon if it is stale. Throws when cargo is missing or the build fails. */
export function buildAddon(): void {
  if (addonIsFresh()) return;
  if (spawnSync('cargo', ['--version']).status !== 0) {
    throw new Error('cargo is needed to build native/: install Rust 1.90 or newer (https://rustup.rs), then run again');
  }
  console.error('building the native addon (one to two minutes the first time) ...');
  execFileSync('cargo', ['build', '--release', '--locked', '-p', 'cnx-addon'], { cwd: native, stdio: 'inherit' });
  const target = process.env['CARGO_TARGET_DIR'] ?? join(native, 'target');
  mkdirSync(native, { recursive: true });
  // Renamed into place: a running gateway keeps the file it has mapped.
  copyFileSync(join(target, 'release', 'libcnx_addon.so'), `${ADDON}.new`);
  renameSync(`${ADDON}.new`, ADDON);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) buildAddon();
