/**
 * `npm start`: a real gateway in front of real services in one command. Builds what is stale, makes a development CA, keys and a certificate, builds and
 * signs the demo bundle, starts the demo's services and the gateway, prints `curl` lines, and stops everything on Ctrl-C.
 */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { cpSync, existsSync, globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { buildAddon } from './addon.ts';
import { binaryIsFresh, BINARY, buildBinary } from './build.ts';
import { makeDemoCertificates } from './demo/certificates.ts';
import { demoLines } from './demo/lines.ts';
import { demoPlace, takenPorts, withPorts } from './demo/place.ts';
import { crsPlace, useCrs } from './demo/rules.ts';
import { demoToken } from './demo/services.ts';

const USAGE = `usage: npm start [-- --binary] [-- --port-offset N]

  --binary         the single binary (npm run build) instead of the sources
  --port-offset N  adds N to every port of the demo

CNX_CRS_DIR names a directory or archive with a release of the OWASP Core Rule Set; without it Debian's (modsecurity-crs) is used when it loads, else the
demo's own rules.
`;
/** Until the gateway must be ready. */
const READY_MS = 30_000;
/** Until a gateway that was asked to stop is ended by force; longer than its own deadline. */
const STOP_MS = 15_000;

const root = fileURLToPath(new URL('..', import.meta.url));
const options = parseOptions();
const place = demoPlace(root, Number(options['port-offset']));
const { state, ports } = place;

function parseOptions(): { readonly binary: boolean; readonly 'port-offset': string } {
  try {
    return parseArgs({
      options: {
        binary: { type: 'boolean', default: false },
        'port-offset': { type: 'string', default: '0' },
      },
    }).values;
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : String(error)}\n${USAGE}`);
    process.exit(2);
  }
}

function step(text: string): void {
  console.error(`▸ ${text}`);
}

function here(path: string): string {
  return relative(process.cwd(), path) || '.';
}

/** The command line: from the sources, or the single binary. */
function cnx(args: readonly string[]): readonly [string, readonly string[]] {
  if (options.binary) return [BINARY, args];
  return [process.execPath, ['--disable-warning=ExperimentalWarning', join(root, 'src/main.ts'), ...args]];
}

function cnxNow(args: readonly string[]): void {
  const [file, argv] = cnx(args);
  try {
    execFileSync(file, argv, { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] });
  } catch (error) {
    throw new Error(`cnx ${args.join(' ')} failed; what it said stands above`, { cause: error });
  }
}

/** What a command says when it fails; null: it did what it should. */
function cnxFault(args: readonly string[]): string | null {
  const [file, argv] = cnx(args);
  const run = spawnSync(file, argv, { cwd: root, encoding: 'utf8', stdio: ['ignore', 'ignore', 'pipe'] });
  if (run.error !== undefined) throw run.error;
  return run.status === 0 ? null : run.stderr.trim();
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
  - { id: plain, address: 127.0.0.1, port: ${ports.plain} }
  - id: tls
    address: 127.0.0.1
    port: ${ports.tls}
    tls: { certificateFile: tls/localhost.crt, keyFile: tls/localhost.key }
bundle: { source: 'oci:bundles' }
trustFile: trust.yaml
stateDir: state
probes: { address: 127.0.0.1, port: ${ports.probes} }
admin: { address: 127.0.0.1, port: ${ports.admin} }
drainDelayMs: 0
drainDeadlineMs: 5000
`,
  );
}

/** Directory of the bundle's documents: the demo's own, or a copy with the ports of this place and with a Core Rule Set. */
function bundleSource(): string {
  const demo = join(root, 'config/demo');
  const crs = crsPlace(process.env['CNX_CRS_DIR']);
  const fault = crs === null ? null : useCrs(copied(demo), crs, cnxFault);
  if (crs !== null && fault === null) {
    step(`WAF rules: the Core Rule Set of ${crs.from}`);
    return copyPlace();
  }
  const own = place.offset === 0 ? demo : copied(demo);
  // What fails without the rule set too is not its fault.
  const ownFault = fault === null ? null : cnxFault(['check', own]);
  if (ownFault !== null) throw new Error(`the bundle of the demo cannot be built:\n${ownFault}`);
  if (crs?.asked === true) throw new Error(`the rules of CNX_CRS_DIR (${crs.from}) cannot be used:\n${fault}`);
  const why = crs === null ? 'no CNX_CRS_DIR' : `${crs.from} does not load: ${fault?.split('\n')[0] ?? ''}`;
  step(`WAF rules: those of the demo (${why})`);
  return own;
}

function copyPlace(): string {
  return join(state, 'source');
}

/** Made anew each time: ports and rules may be others, and so may the demo. Whoever edits it is told (`printLines`). */
function copied(demo: string): string {
  const source = copyPlace();
  rmSync(source, { recursive: true, force: true });
  cpSync(demo, source, { recursive: true });
  for (const file of globSync(join(source, '*.yaml')))
    writeFileSync(file, withPorts(readFileSync(file, 'utf8'), place));
  return source;
}

function bundleArgs(source: string): readonly string[] {
  return [
    'bundle',
    'build',
    here(source),
    '--out',
    `oci:${here(join(state, 'bundles'))}`,
    '--key',
    here(join(state, 'keys/demo.key')),
  ];
}

/** The demo's services; ends with this process. */
async function startServices(): Promise<ChildProcess> {
  const services = spawn(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', join(root, 'scripts/demo/services.ts'), root, String(place.offset)],
    // A group of its own: Ctrl-C reaches this process alone, and the services last until the gateway has drained.
    { stdio: ['pipe', 'pipe', 'inherit'], detached: true },
  );
  await new Promise<void>((resolve, reject) => {
    services.stdout.once('data', () => resolve());
    services.once('error', reject);
    services.once('exit', (code) => reject(new Error(`the demo services ended with code ${code}`)));
  });
  return services;
}

async function ready(gateway: ChildProcess): Promise<void> {
  const until = Date.now() + READY_MS;
  while (Date.now() < until) {
    if (gateway.exitCode !== null)
      throw new Error(`the gateway ended with code ${gateway.exitCode}; what it said stands above`);
    try {
      if ((await fetch(`http://127.0.0.1:${ports.probes}/readyz`)).ok) return;
    } catch {
      // Not listening yet.
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`the gateway was not ready within ${READY_MS / 1000} s`);
}

async function printLines(source: string): Promise<void> {
  const reader = join(state, 'reader.token');
  const admin = join(state, 'admin.token');
  writeFileSync(reader, await demoToken(state, 'rita', ['reader'], 'acme'), { mode: 0o600 });
  writeFileSync(admin, await demoToken(state, 'adam', ['admin'], 'globex'), { mode: 0o600 });
  const lines = demoLines({
    tlsPort: ports.tls,
    plainPort: ports.plain,
    caFile: here(join(state, 'tls/ca.crt')),
    readerToken: here(reader),
    adminToken: here(admin),
  });
  const command = options.binary ? 'dist/cnx' : 'npm run -s cnx --';
  const adminUrl = `http://127.0.0.1:${ports.admin}`;
  console.log(`
The gateway runs: https://localhost:${ports.tls}

${lines.map(({ what, command: line }) => `${what}:\n  ${line}\n`).join('\n')}
why was a request answered so? (the id stands in x-request-id and in every refusal):
  ${command} explain${place.offset === 0 ? '' : ` --admin ${adminUrl}`} <request id>

metrics  http://127.0.0.1:${ports.probes}/metrics
status   ${adminUrl}/v1/status
change   edit ${here(source)}/, then: ${command} ${bundleArgs(source).join(' ')}${source === copyPlace() ? '\n         (a copy that the next npm start makes anew; what is to stay belongs into config/demo/)' : ''}
stop     Ctrl-C
`);
}

async function main(): Promise<void> {
  const taken = await takenPorts(place);
  if (taken.length > 0) {
    throw new Error(
      `${taken.length === 1 ? 'port' : 'ports'} ${taken.join(', ')} taken by another process (an earlier npm start?); stop it, or move the demo: npm start -- --port-offset ${place.offset + 10_000}`,
    );
  }
  buildAddon();
  if (options.binary && !binaryIsFresh()) await buildBinary();
  step('certificates, keys, bootstrap');
  prepare();
  step('building and signing the demo bundle');
  const source = bundleSource();
  cnxNow(bundleArgs(source));
  step('demo services');
  const services = await startServices();
  step('gateway');
  const [file, argv] = cnx(['run', '--config', join(state, 'gateway.yaml')]);
  const gateway = spawn(file, argv, { stdio: ['ignore', 'inherit', 'inherit'], detached: true });
  const ended = new Promise<number>((resolve, reject) => {
    gateway.once('error', reject);
    gateway.once('exit', (code) => resolve(code ?? 1));
  });
  const stop = (): void => {
    gateway.kill('SIGTERM');
    setTimeout(() => gateway.kill('SIGKILL'), STOP_MS).unref();
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, stop);
  services.once('exit', () => {
    if (gateway.exitCode === null) console.error('npm start: the demo services ended');
    stop();
  });
  try {
    await ready(gateway);
    await printLines(source);
    process.exitCode = await ended;
  } finally {
    stop();
    await ended;
    services.kill('SIGTERM');
  }
}

main().catch((error: unknown) => {
  console.error(`npm start: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
});
