/** The frame of every command: its options, --help, and what it says and ends with when it is used wrongly or cannot go on. */
import { parseArgs, type ParseArgsOptionsConfig } from 'node:util';
import { nearest } from '../config/nearest.ts';
import type { Command, CommandIo } from './io.ts';

/** The command line is wrong; the message says how to write it. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** The command line is wrong in a way that only the whole help mends, which is then printed. */
export class HelpWanted extends Error {
  override readonly name = 'HelpWanted';
}

const UNKNOWN_OPTION = 'ERR_PARSE_ARGS_UNKNOWN_OPTION';
const HELP_OPTION = { help: { type: 'boolean', short: 'h', default: false } } as const;

type Parsed<O extends ParseArgsOptionsConfig> = ReturnType<
  typeof parseArgs<{ options: O & typeof HELP_OPTION; allowPositionals: true }>
>;

/** What was written behind the command. */
export interface Given<O extends ParseArgsOptionsConfig> {
  readonly values: Parsed<O>['values'];
  readonly positionals: readonly string[];
  readonly io: CommandIo;
}

/** Classes of errors. */
export type Failures = readonly (abstract new (...args: never[]) => Error)[];

export interface CommandParts<O extends ParseArgsOptionsConfig> {
  /** Its words behind `cnx`. */
  readonly name: string;
  readonly help: string;
  /** Besides --help. */
  readonly options: O;
  /** It takes options only. */
  readonly optionsOnly?: true;
  /** What it throws, wrong usage aside, is told by main.ts, problems of documents each with its place and nothing before it. */
  readonly bare?: true;
  /** Errors of its own that say what whoever called it can mend. */
  readonly failures?: Failures;
  /** Resolves with the exit code. */
  readonly act: (given: Given<O>) => Promise<number>;
}

/** A command. Exit code 2 for wrong usage, 1 for what went wrong otherwise, with the reason on stderr; a bug of ours is thrown on. */
export function command<const O extends ParseArgsOptionsConfig>(parts: CommandParts<O>): Command {
  const { name, help, options, optionsOnly, bare, failures = [], act } = parts;
  return async (args, io) => {
    try {
      const all = { ...options, ...HELP_OPTION };
      const parsed: unknown = parsedBy(
        () => parseArgs({ args, allowPositionals: optionsOnly !== true, options: all }),
        Object.keys(all),
      );
      // What it gives for these options; that --help is one of them, nobody below sees.
      const { values, positionals } = parsed as Parsed<O> & { readonly values: { readonly help: boolean } };
      if (values.help) {
        io.stdout(help);
        return 0;
      }
      return await act({ values, positionals, io });
    } catch (error) {
      if (error instanceof HelpWanted) {
        io.stderr(help);
        return 2;
      }
      if (bare === true && !(error instanceof UsageError)) throw error;
      // Read only when it is needed, so that `cnx health` starts fast.
      const { exitCodeOf } = await import('./failure.ts');
      return exitCodeOf(name, error, failures, io);
    }
  };
}

/** Adds the option that was probably meant to what is said of an unknown one. */
function parsedBy<T>(parse: () => T, options: readonly string[]): T {
  try {
    return parse();
  } catch (error) {
    if (!(error instanceof TypeError) || (error as NodeJS.ErrnoException).code !== UNKNOWN_OPTION) throw error;
    const meant = nearest(/'--([^'=]+)/.exec(error.message)?.[1] ?? '', options);
    if (meant === undefined) throw error;
    const message = `${error.message.replace(/\.$/, '')}. Did you mean --${meant}?`;
    throw Object.assign(new TypeError(message, { cause: error }), { code: UNKNOWN_OPTION });
  }
}

/** The only positional argument, with an error that names it. */
export function onlyPositional(positionals: readonly string[], what: string): string {
  const [value, extra] = positionals;
  if (value === undefined) throw new UsageError(`${what} is missing`);
  if (extra !== undefined) throw new UsageError(`${JSON.stringify(extra)} is one argument too many`);
  return value;
}
