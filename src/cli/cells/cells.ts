/** `cnx cells <command>`: where tenants live, before it is changed. */
import type { Command } from '../io.ts';
import { run as plan } from './plan.ts';

export const run: Command = async (args, io) => {
  const [name, ...rest] = args;
  if (name === 'plan') return plan(rest, io);
  const asked = name === '--help' || name === '-h';
  if (!asked && name !== undefined) io.stderr(`cnx cells: there is no command ${JSON.stringify(name)}\n`);
  (asked ? io.stdout : io.stderr)(
    'cnx cells <command>\n\n  plan    what adding or removing cells moves, and how even it is\n\ncnx cells plan --help tells more\n',
  );
  return asked ? 0 : 2;
};
