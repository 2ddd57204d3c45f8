/**
 * `npm start`: a real gateway in front of real services in one command. Builds what is stale, makes a development CA, keys and a certificate, builds and
 * signs the demo bundle, starts the demo's services and the gateway, prints `curl` lines, and stops everything on Ctrl-C.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildAddon } from './addon.ts';
import { makeDemoCertificates } from './demo/certificates.ts';
import { demoToken } from './demo/services.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const state = join(root, '.cnx/demo');
/** The single binary instead of the sources: `npm start -- --binary`. */
const binary = process.argv.includes('--binary');
/** Until the gateway must be ready. */
const READY_MS = 30_000;
const PORTS = { plain: 8080, tls: 8443, probes: 9901, admin: 9902 } as const;

function step(text: string): void {
  console.error(`▸ ${text}`);
}

/** The command line: from the sources, or the single binary. */
function cnx(args: readonly string[]): readonly [string, readonly string[]] {
  if (binary) return [join(root, 'dist/cnx'), args];
  return [process.execPath, ['--disable-warning=ExperimentalWarning', join(root, 'src/main.ts'), ...args]];
}

function cnxNow(args: readonly string[]): string {
  const [file, argv] = cnx(args);
  return execFileSync(file, argv, { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
}

function writeIfChanged(file: string, text: string): void {
  if (!existsSync(file) || readFileSync(file, 'utf8') !== text) writeFileSync(file, text);
}

/** Signing key, trust policy and bootstrap of the demo; made once. */
function prepare(): void {
  mkdirSync(state, { recursive: true, mode: 0o700 });
  makeDemoCertificates(join(state, 'tls'));
  if (!existsSync(join(state, 'keys/demo.key'))) cnxNow(['keygen', '--out', join(state, 'keys'), '--id', 'demo']);
  const spki = readFileSync(join(state, 'keys/demo.pub'), 'utf8').replaceAll(/-----[^-]+-----|\s/g, '');
  writeIfChanged(
    join(state, 'trust.yaml'),
    `product: demo\nchannel: local\nkeys:\n  - { id: demo, alg: ed25519, roles: [builder], spki: ${spki} }\n`,
  );
  writeIfChanged(
    join(state, 'gateway.yaml'),
    `listeners:
  - { id: plain, address: 127.0.0.1, port: ${PORTS.plain} }
  - id: tls
    address: 127.0.0.1
    port: ${PORTS.tls}
    tls: { certificateFile: tls/localhost.crt, keyFile: tls/localhost.key }
bundle: { source: 'oci:bundles' }
trustFile: trust.yaml
stateDir: state
probes: { address: 127.0.0.1, port: ${PORTS.probes} }
admin: { address: 127.0.0.1, port: ${PORTS.admin} }
drainDelayMs: 0
drainDeadlineMs: 5000
`,
  );
}

async function ready(gateway: ChildProcess): Promise<void> {
  const until = Date.now() + READY_MS;
  while (Date.now() < until) {
    if (gateway.exitCode !== null)
      throw new Error(`the gateway ended with code ${gateway.exitCode}; what it said stands above`);
    try {
      if ((await fetch(`http://127.0.0.1:${PORTS.probes}/readyz`)).ok) return;
    } catch {
      // Not listening yet.
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`the gateway was not ready within ${READY_MS / 1000} s`);
}

async function lines(): Promise<string> {
  const reader = await demoToken(state, 'rita', ['reader'], 'acme');
  const admin = await demoToken(state, 'adam', ['admin'], 'globex');
  const ca = relative(process.cwd(), join(state, 'tls/ca.crt'));
  const base = `https://localhost:${PORTS.tls}`;
  const curl = `curl -sS --cacert ${ca}`;
  writeFileSync(join(state, 'reader.token'), reader, { mode: 0o600 });
  writeFileSync(join(state, 'admin.token'), admin, { mode: 0o600 });
  const at = (name: string): string =>
    `-H "Authorization: Bearer $(cat ${relative(process.cwd(), join(state, `${name}.token`))})"`;
  return `
The gateway runs: ${base}   (plain HTTP on ${PORTS.plain} redirects there)

allowed, with a token (200; says which cell and endpoint answered):
  ${curl} ${at('reader')} ${base}/api/orders

without a token (401):
  ${curl} -i ${base}/api/orders

an SQL injection (403, blocked by the WAF):
  ${curl} -i ${at('reader')} "${base}/api/orders?id=1%27%20OR%20%271%27=%271"

a path that policy forbids to readers (403), and that it allows to admins (200):
  ${curl} -i ${at('reader')} ${base}/api/admin/users
  ${curl} ${at('admin')} ${base}/api/admin/users

a burst over the limit (five 200, then 429 with Retry-After):
  for i in 1 2 3 4 5 6 7 8; do ${curl} -o /dev/null -w "%{http_code}\\n" ${base}/slow-lane; done

why was a request answered so? (the id stands in x-request-id and in every refusal):
  npm run -s cnx -- explain <request id>

metrics  http://127.0.0.1:${PORTS.probes}/metrics
status   http://127.0.0.1:${PORTS.admin}/v1/status
change   edit config/demo/, then: npm run -s cnx -- bundle build config/demo --out oci:.cnx/demo/bundles --key .cnx/demo/keys/demo.key
stop     Ctrl-C
`;
}

async function main(): Promise<void> {
  buildAddon();
  if (binary && !existsSync(join(root, 'dist/cnx'))) throw new Error('dist/cnx is missing; run `npm run build` first');
  step('certificates, keys, bootstrap');
  prepare();
  step('building and signing the demo bundle (config/demo)');
  cnxNow([
    'bundle',
    'build',
    join(root, 'config/demo'),
    '--out',
    `oci:${join(state, 'bundles')}`,
    '--key',
    join(state, 'keys/demo.key'),
  ]);
  step('demo services');
  const node = process.execPath;
  const services = spawn(
    node,
    ['--disable-warning=ExperimentalWarning', join(root, 'scripts/demo/services.ts'), state],
    {
      stdio: ['pipe', 'pipe', 'inherit'],
    },
  );
  await new Promise<void>((resolve, reject) => {
    services.stdout.once('data', () => resolve());
    services.once('exit', (code) => reject(new Error(`the demo services ended with code ${code}`)));
  });
  step('gateway');
  const [file, argv] = cnx(['run', '--config', join(state, 'gateway.yaml')]);
  const gateway = spawn(file, argv, { stdio: ['ignore', 'inherit', 'inherit'] });
  const ended = new Promise<number>((resolve) => gateway.once('exit', (code) => resolve(code ?? 1)));
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => gateway.kill('SIGTERM'));
  try {
    await ready(gateway);
    console.log(await lines());
    process.exitCode = await ended;
  } finally {
    gateway.kill('SIGTERM');
    await ended;
    services.kill('SIGTERM');
  }
}

main().catch((error: unknown) => {
  console.error(`npm start: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
});
