/** `cnx waf <command>`: rule sets and requests, without a gateway. */
import type { Command } from '../io.ts';

interface Row {
  readonly what: string;
  readonly load: () => Promise<Command>;
}

const COMMANDS: Readonly<Record<string, Row>> = {
  crs: {
    what: 'put a release of the OWASP Core Rule Set into a bundle directory',
    load: async () => (await import('./crs.ts')).run,
  },
  test: {
    what: 'run one request through the rules and tell what they say of it',
    load: async () => (await import('./test.ts')).run,
  },
  rules: { what: 'list the rules of a bundle directory', load: async () => (await import('./rules.ts')).run },
  tune: {
    what: 'propose exclusions out of a log, the most frequent first',
    load: async () => (await import('./tune.ts')).run,
  },
};

export const run: Command = async (args, io) => {
  const [name, ...rest] = args;
  const row = name !== undefined && Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (row !== undefined) return (await row.load())(rest, io);
  const asked = name === '--help' || name === '-h';
  const rows = Object.entries(COMMANDS).map(([command, { what }]) => `  ${command.padEnd(8)}${what}`);
  if (!asked && name !== undefined) io.stderr(`cnx waf: there is no command ${JSON.stringify(name)}\n`);
  (asked ? io.stdout : io.stderr)(`cnx waf <command>\n\n${rows.join('\n')}\n\ncnx waf <command> --help tells more\n`);
  return asked ? 0 : 2;
};
