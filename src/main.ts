/** The command line `cnx`. The only file that reads the environment. */
import { assetDirectory, isBinary } from './assets.ts';
import { useAssets } from './base/worker-entry.ts';
import type { Command, CommandIo } from './cli/io.ts';
import { outputOf } from './cli/output.ts';
import { messageOf } from './cli/system-error.ts';
import { ConfigError } from './config/document.ts';
import { GATEWAY_VERSION } from './control/trust/gateway.ts';
import { nearest } from './config/nearest.ts';

interface Row {
  readonly what: string;
  readonly load: () => Promise<Command>;
}

/** Every command, in the order of the help. Loaded when asked for, so that `cnx health` starts fast. */
const COMMANDS: Readonly<Record<string, Row>> = {
  run: { what: 'run the gateway: --config <bootstrap>', load: async () => (await import('./cli/run.ts')).run },
  check: {
    what: 'check a bundle directory or a bootstrap; says every problem at once',
    load: async () => (await import('./cli/check.ts')).run,
  },
  routes: {
    what: 'print the compiled route table of a bundle directory',
    load: async () => (await import('./cli/routes.ts')).run,
  },
  cells: {
    what: 'plan: what adding or removing cells moves, and how even it is',
    load: async () => (await import('./cli/cells/cells.ts')).run,
  },
  keygen: { what: 'make a signing key', load: async () => (await import('./cli/keygen.ts')).run },
  bundle: {
    what: 'build | sign | verify | inspect | diff | push | pull | copy | tag | channel | log: bundles, and which gateways run them',
    load: async () => (await import('./cli/bundle/bundle.ts')).run,
  },
  waf: {
    what: 'crs | test | rules | tune: the rules of the WAF',
    load: async () => (await import('./cli/waf/waf.ts')).run,
  },
  rollout: {
    what: 'run | status | history | rollback | pin | unpin: new bundles on running gateways',
    load: async () => (await import('./cli/rollout/rollout.ts')).run,
  },
  audit: {
    what: 'verify | export: what changed what a gateway does',
    load: async () => (await import('./cli/audit/audit.ts')).run,
  },
  explain: {
    what: 'why was this request answered so? <request id>',
    load: async () => (await import('./cli/explain.ts')).run,
  },
  status: {
    what: 'what a running gateway runs and how it fares',
    load: async () => (await import('./cli/status.ts')).run,
  },
  health: {
    what: 'probe a running gateway; for container health checks',
    load: async () => (await import('./cli/health.ts')).run,
  },
};

function help(): string {
  const rows = Object.entries(COMMANDS).map(([name, row]) => `  ${name.padEnd(10)}${row.what}`);
  return `cnx ${GATEWAY_VERSION}: CloudNexus Gateway\n\nusage: cnx <command> [options]\n\n${rows.join('\n')}\n\n\`cnx <command> --help\` says more.\n`;
}

/** What `parseArgs` throws for options that it does not know. */
function isUsageError(error: unknown): boolean {
  return error instanceof Error && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS_');
}

async function main(args: string[], io: CommandIo): Promise<number> {
  const [name, ...rest] = args;
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    io.stdout(help());
    return name === undefined ? 2 : 0;
  }
  if (name === '--version' || name === '-v') {
    io.stdout(`${GATEWAY_VERSION}\n`);
    return 0;
  }
  const row = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (row === undefined) {
    const near = nearest(name, Object.keys(COMMANDS));
    io.stderr(
      `cnx: there is no command "${name}"${near === undefined ? '' : `; did you mean "${near}"?`}\n\n${help()}`,
    );
    return 2;
  }
  if (isBinary()) useAssets(assetDirectory);
  try {
    const command = await row.load();
    return await command(rest, io);
  } catch (error) {
    if (error instanceof ConfigError) io.stderr(`${error.message}\n`);
    else io.stderr(`cnx ${name}: ${messageOf(error)}\n`);
    return isUsageError(error) ? 2 : 1;
  }
}

// Read by uWebSockets.js from the process when a lane loads it: its own default of 4 KiB for all headers is too small for tokens.
process.env['UWS_HTTP_MAX_HEADERS_SIZE'] ??= '65536';

let ended = 0;
const output = outputOf(
  () => process.stdout,
  () => process.stderr,
  () => (process.exitCode = output.exitCode(ended)),
);
const io: CommandIo = { ...output, env: process.env };

// No top-level await: the bundle of the single binary is a script, not a module.
main(process.argv.slice(2), io).then(
  (code) => {
    process.exitCode = output.exitCode((ended = code));
  },
  (error: unknown) => {
    io.stderr(`cnx: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
    process.exitCode = ended = 70;
  },
);
