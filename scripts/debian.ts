/** Debian packages that tests and benches need: installed when that is possible, named with the command when it is not. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';

/** Binary that is looked for → package that holds it. */
const PACKAGES: Readonly<Record<string, string>> = {
  'docker-registry': 'docker-registry',
  htpasswd: 'apache2-utils',
  skopeo: 'skopeo',
  openssl: 'openssl',
  curl: 'curl',
  nginx: 'nginx',
  haproxy: 'haproxy',
  wrk: 'wrk',
};

/** Where daemons lie, which need not be on the PATH of who runs the tests. */
const PLACES = ['/usr/bin', '/usr/sbin', '/usr/local/bin', '/usr/local/sbin', '/bin', '/sbin'];

/** Binaries of the list that are not on this machine. */
export function missingTools(binaries: readonly string[]): string[] {
  const places = [...(process.env['PATH'] ?? '').split(':'), ...PLACES].filter((dir) => dir !== '');
  return binaries.filter((b) => !places.some((dir) => existsSync(`${dir}/${b}`)));
}

/** What installs these binaries. */
export function installCommand(binaries: readonly string[]): string {
  return `apt-get install -y --no-install-recommends ${packagesOf(binaries).join(' ')}`;
}

function packagesOf(binaries: readonly string[]): string[] {
  return [...new Set(binaries.map((b) => PACKAGES[b] ?? b))].sort();
}

/** Installs what is missing if this is Debian and we are root; else throws with the command to run. */
export function needDebian(binaries: readonly string[]): void {
  const missing = missingTools(binaries);
  if (missing.length === 0) return;
  const packages = packagesOf(missing);
  const command = installCommand(missing);
  if (process.getuid?.() !== 0 || !existsSync('/usr/bin/apt-get')) {
    throw new Error(`missing: ${missing.join(', ')}; run: sudo ${command}`);
  }
  console.error(`▸ installing ${packages.join(', ')}`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const run = (args: string[]): boolean =>
    spawnSync('apt-get', args, { env, stdio: ['ignore', 'ignore', 'inherit'] }).status === 0;
  // No service may be started by an installation: tests start what they need on ports of their own.
  const install = (): boolean =>
    run(['install', '-y', '--no-install-recommends', '-o', 'Dpkg::Use-Pty=0', ...packages]);
  if (!install() && !(run(['update']) && install())) throw new Error(`the installation failed; run: ${command}`);
}
