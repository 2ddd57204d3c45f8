/** `cnx run`: the gateway in the foreground until SIGTERM or SIGINT. */
import { existsSync, statSync } from 'node:fs';
import { constants } from 'node:os';
import { readBootstrap } from '../config/bootstrap-file.ts';
import type { BootstrapConfig } from '../config/bootstrap.ts';
import { ConfigError, Document } from '../config/document.ts';
import { TrustConfig } from '../config/trust.ts';
import { validate } from '../config/validate.ts';
import type { GatewayParts } from '../control/gateway-parts.ts';
import { Gateway } from '../control/gateway.ts';
import { EXIT_LANES } from '../control/lanes.ts';
import { addonPath } from '../native.ts';
import { command, HelpWanted } from './command.ts';
import { textOf } from './file.ts';
import type { Command, CommandIo } from './io.ts';
import { secretOf } from './secret.ts';
import { messageOf } from './system-error.ts';
import { registryOptions } from './registry.ts';

const HELP = `usage: cnx run --config <bootstrap file> [--take-over]

Runs the gateway. SIGTERM and SIGINT drain it: /readyz turns 503, new requests are served for drainDelayMs, open ones finish within
drainDeadlineMs; a second one ends it at once. Exit code 0 after an orderly end; 1 for a configuration that cannot be used; 70 when lanes cannot be
kept alive, or do not end.

  --take-over  take the place of the gateway that runs with the same state directory (transport: native), for upgrades that drop nothing: this process
               prepares itself, gets the other's listening sockets, serves, and the other drains and ends with 0. Until this one serves, the other goes on
               whatever happens here; exit code 1 then.
`;

/** Exit code of what a signal ended, less its number, as shells and container runtimes have it. */
const SIGNALLED = 128;
/** Exit code for a configuration that cannot be used. */
const EXIT_CONFIG = 1;
/** What asks for an orderly end. */
const DRAINING = ['SIGTERM', 'SIGINT'] as const;

export const run: Command = command({
  name: 'run',
  help: HELP,
  options: { config: { type: 'string', short: 'c' }, 'take-over': { type: 'boolean', default: false } },
  optionsOnly: true,
  bare: true,
  act: async ({ values, io }) => {
    const file = values.config;
    if (file === undefined) throw new HelpWanted();
    if (!existsSync(file)) throw new Error(`there is no file ${file}`);
    const bootstrap = readBootstrap(file, await textOf(file));
    const trust = validate(TrustConfig, new Document(bootstrap.trustFile, await textOf(bootstrap.trustFile)));
    if (!trust.ok) throw new ConfigError(trust.problems);
    const state = statSync(bootstrap.stateDir, { throwIfNoEntry: false });
    if (state?.isDirectory() === false)
      throw new Error(`stateDir is no directory: ${bootstrap.stateDir}; name one, or a place where one can be made`);
    return serve(bootstrap, trust.value, values['take-over'], io);
  },
});

function serve(bootstrap: BootstrapConfig, trust: TrustConfig, takeOver: boolean, io: CommandIo): Promise<number> {
  return new Promise((resolve) => {
    const onFatal = (message: string, code: number): void => {
      io.stderr(`cnx run: ${message}\n`);
      // Lanes with open listeners cannot be ended one by one any more: the whole process goes, at once.
      process.exit(code);
    };
    const parts: GatewayParts = {
      bootstrap,
      trust,
      secrets: new Map(
        Object.entries(bootstrap.secrets).map(([name, from]) => [name, secretOf(`secrets.${name}`, from, io.env)]),
      ),
      registries: [bootstrap.bundle, ...bootstrap.bundle.mirrors].map(({ source, registry }) =>
        registryOptions(source, registry, io.env),
      ),
      hashKey:
        bootstrap.rollout.hashKeyFrom === undefined
          ? ''
          : secretOf('rollout.hashKeyFrom', bootstrap.rollout.hashKeyFrom, io.env),
      receivers: bootstrap.webhooks.map(({ id, url, kinds, secretFrom }) => ({
        id,
        url,
        kinds,
        secret: secretOf(`secretFrom of the webhook ${id}`, secretFrom, io.env),
      })),
      addonPath: addonPath(),
      onFatal,
      takeOver,
      onHandedOver: () => end(0, { handedOver: true }),
    };
    const gateway = made(parts);
    // Whatever of it fails, a process that was asked to end does.
    const end = (code: number, { handedOver }: { handedOver: boolean }): void => {
      gateway.stop({ handedOver }).then(
        () => resolve(code),
        (error: unknown) => onFatal(`the gateway cannot end in order: ${messageOf(error)}`, EXIT_LANES),
      );
    };
    const drain = (): void => {
      // The next one ends the process at once, as it does where nobody listens for it; but not the first process of a container, which the kernel spares then.
      for (const signal of DRAINING) {
        process.off(signal, drain);
        if (process.pid === 1) process.once(signal, () => process.exit(SIGNALLED + constants.signals[signal]));
      }
      end(0, { handedOver: false });
    };
    for (const signal of DRAINING) process.on(signal, drain);
    gateway.start().catch((error: unknown) => {
      io.stderr(`cnx run: ${messageOf(error)}\n`);
      end(1, { handedOver: false });
    });
  });
}

/** What cannot be made ends the process: timers and threads of the parts that were made before would keep it alive, serving nothing. */
function made(parts: GatewayParts): Gateway {
  try {
    return new Gateway(parts);
  } catch (error) {
    parts.onFatal(messageOf(error), EXIT_CONFIG);
    throw error;
  }
}
