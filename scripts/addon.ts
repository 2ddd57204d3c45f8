/** Builds the native addon when it is missing or older than its sources, and puts it where `src/native.ts` loads it. */
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, renameSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { newestChange } from './newest.ts';

const native = fileURLToPath(new URL('../native', import.meta.url));
export const ADDON = join(native, 'cnx.node');
/** Oldest compiler that native/ is built with; `Dockerfile` takes a newer one. */
const RUST_LEAST = '1.90';

/** Names in `native/` that do not decide what the addon is. */
function notSource(name: string): boolean {
  return ['target', 'fuzz', 'tests', 'benches', 'examples'].includes(name) || name.endsWith('.node');
}

/** True when `native/cnx.node` is there and newer than every source of the workspace. */
export function addonIsFresh(): boolean {
  return existsSync(ADDON) && statSync(ADDON).mtimeMs >= newestChange(native, notSource);
}

/** What is wrong with the compiler whose `cargo --version` printed `found`; null when it will do. `least` is `major.minor`. */
export function cargoProblem(found: string | null, least: string): string | null {
  const mend = `Rust ${least} or newer builds native/: \`rustup update\`, or see https://rustup.rs; then run again`;
  if (found === null) return `cargo is not on the PATH; ${mend}`;
  const [, major = '0', minor = '0'] = /^cargo (\d+)\.(\d+)/.exec(found) ?? [];
  const [leastMajor = 0, leastMinor = 0] = least.split('.').map(Number);
  const enough = Number(major) > leastMajor || (Number(major) === leastMajor && Number(minor) >= leastMinor);
  return enough ? null : `${found.trim()} is too old; ${mend}`;
}

/** Throws with the mend when there is no cargo, or one that is too old. */
export function needCargo(): void {
  const cargo = spawnSync('cargo', ['--version'], { cwd: native, encoding: 'utf8' });
  if (cargo.error === undefined && cargo.status !== 0) throw new Error(`cargo --version failed:\n${cargo.stderr}`);
  const problem = cargoProblem(cargo.error === undefined ? cargo.stdout : null, RUST_LEAST);
  if (problem !== null) throw new Error(problem);
}

/** A profile of `native/Cargo.toml`, and how long it takes on two cores the first time. */
const PROFILES = { release: 'three to five minutes', shipped: 'five to seven minutes' } as const;
export type AddonProfile = keyof typeof PROFILES;

/** Builds the addon: `release` if it is stale, by whatever profile; `shipped` unless it is that already. Throws when cargo is missing or the build fails. */
export function buildAddon(profile: AddonProfile = 'release'): void {
  // By which profile it was made only cargo knows, who does nothing where nothing is to be done.
  if (profile === 'release' && addonIsFresh()) return;
  needCargo();
  console.error(`▸ building the native addon (${PROFILES[profile]} the first time)`);
  const cargo = spawnSync('cargo', ['build', '--profile', profile, '--locked', '-p', 'cnx-addon'], {
    cwd: native,
    stdio: 'inherit',
  });
  if (cargo.status !== 0) throw new Error('the native addon does not build; what cargo said stands above');
  const target = process.env['CARGO_TARGET_DIR'] ?? join(native, 'target');
  // Renamed into place: a running gateway keeps the file it has mapped.
  const next = `${ADDON}.${process.pid}`;
  copyFileSync(join(target, profile, 'libcnx_addon.so'), next);
  renameSync(next, ADDON);
}

/** What `npm run build:addon -- PROFILE` names; `release` when it names none. Throws when there is no such profile. */
export function profileNamed(name: string = 'release'): AddonProfile {
  if (name === 'release' || name === 'shipped') return name;
  throw new Error(`there is no profile ${name}: say ${Object.keys(PROFILES).join(' or ')}`);
}

if (import.meta.filename === process.argv[1]) buildAddon(profileNamed(process.argv[2]));
