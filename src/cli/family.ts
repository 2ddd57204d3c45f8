/** Commands with a word in common, such as `cnx bundle <command>`: which there are, and the one that was named. */
import type { Command } from './io.ts';

/** One of them. */
export interface Member {
  /** What it does, for the list. */
  readonly what: string;
  /** Read only when it is called. */
  readonly load: () => Promise<Command>;
}

/** Between a command and what it does. */
const GAP = 2;

/** The command `cnx <word> <command>`. Without one, or with an unknown one, it lists them and ends with 2. */
export function family(word: string, members: Readonly<Record<string, Member>>): Command {
  return async (args, io) => {
    const [name, ...rest] = args;
    const member = name !== undefined && Object.hasOwn(members, name) ? members[name] : undefined;
    if (member !== undefined) return (await member.load())(rest, io);
    const asked = name === '--help' || name === '-h';
    const width = Math.max(...Object.keys(members).map((command) => command.length)) + GAP;
    const rows = Object.entries(members).map(([command, { what }]) => `  ${command.padEnd(width)}${what}`);
    if (!asked && name !== undefined) io.stderr(`cnx ${word}: there is no command ${JSON.stringify(name)}\n`);
    (asked ? io.stdout : io.stderr)(
      `cnx ${word} <command>\n\n${rows.join('\n')}\n\ncnx ${word} <command> --help tells more\n`,
    );
    return asked ? 0 : 2;
  };
}
