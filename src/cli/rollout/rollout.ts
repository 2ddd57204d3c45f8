/** `cnx rollout <command>`: new bundles on running gateways. */
import type { Command } from '../io.ts';

interface Row {
  readonly what: string;
  readonly load: () => Promise<Command>;
}

const COMMANDS: Readonly<Record<string, Row>> = {
  status: {
    what: 'what a gateway runs, what it tries, and why',
    load: async () => (await import('./one.ts')).status,
  },
  history: {
    what: 'what has happened to its bundles and who asked for it',
    load: async () => (await import('./one.ts')).history,
  },
  rollback: {
    what: 'take back what it tries, else go back to the bundle before',
    load: async () => (await import('./one.ts')).rollback,
  },
  pin: {
    what: 'keep it on one bundle for a time, whatever the source names',
    load: async () => (await import('./one.ts')).pin,
  },
  unpin: { what: 'let the source count again', load: async () => (await import('./one.ts')).unpin },
};

export const run: Command = async (args, io) => {
  const [name, ...rest] = args;
  const row = name !== undefined && Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (row !== undefined) return (await row.load())(rest, io);
  const asked = name === '--help' || name === '-h';
  const rows = Object.entries(COMMANDS).map(([command, { what }]) => `  ${command.padEnd(10)}${what}`);
  if (!asked && name !== undefined) io.stderr(`cnx rollout: there is no command ${JSON.stringify(name)}\n`);
  (asked ? io.stdout : io.stderr)(
    `cnx rollout <command>\n\n${rows.join('\n')}\n\ncnx rollout <command> --help tells more\n`,
  );
  return asked ? 0 : 2;
};
