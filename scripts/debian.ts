/** Debian packages that tests and benches need: installed when that is possible, named with the command when it is not. */
import { spawnSync } from 'node:child_process';
import { existsSync, rmSync, writeFileSync } from 'node:fs';

/** Binary or file that is looked for → package that holds it. */
const PACKAGES: Readonly<Record<string, string>> = {
  'docker-registry': 'docker-registry',
  htpasswd: 'apache2-utils',
  skopeo: 'skopeo',
  openssl: 'openssl',
  curl: 'curl',
  nginx: 'nginx',
  haproxy: 'haproxy',
  wrk: 'wrk',
  nghttp: 'nghttp2-client',
  h2load: 'nghttp2-client',
  slowhttptest: 'slowhttptest',
  'c++': 'g++',
  // The WAF is compared with them.
  '/usr/include/modsecurity/modsecurity.h': 'libmodsecurity-dev',
  '/usr/share/modsecurity-crs/rules': 'modsecurity-crs',
  // Chromium without a window: half the size, and no desktop's libraries.
  'chromium-headless-shell': 'chromium-headless-shell',
};

/** Where daemons lie, which need not be on the PATH of who runs the tests. */
const PLACES = ['/usr/bin', '/usr/sbin', '/usr/local/bin', '/usr/local/sbin', '/bin', '/sbin'];

const DAEMON_POLICY = '/usr/sbin/policy-rc.d';

/** Binaries and files of the list that are not on this machine. */
export function missingTools(binaries: readonly string[]): string[] {
  const places = [...(process.env['PATH'] ?? '').split(':'), ...PLACES].filter((dir) => dir !== '');
  return binaries.filter((b) => !(b.startsWith('/') ? existsSync(b) : places.some((dir) => existsSync(`${dir}/${b}`))));
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
  const install = (): boolean =>
    run(['install', '-y', '--no-install-recommends', '-o', 'Dpkg::Use-Pty=0', ...packages]);
  const done = withoutDaemons(() => install() || (run(['update']) && install()));
  if (!done) throw new Error(`the installation failed; run: ${command}`);
}

/** Runs `act` while no package may start its daemon: tests start what they need, on ports of their own. A policy of the machine's own is left as it is. */
function withoutDaemons<T>(act: () => T): T {
  if (existsSync(DAEMON_POLICY)) return act();
  // Debian's invoke-rc.d and deb-systemd-invoke ask this program; 101 is "action forbidden by policy".
  writeFileSync(DAEMON_POLICY, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  try {
    return act();
  } finally {
    rmSync(DAEMON_POLICY);
  }
}
