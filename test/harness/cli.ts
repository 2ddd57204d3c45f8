/** The command line as a process of its own, for what only its end shows: the exit code, that it ends at all, and who reads what it writes. */
import { spawn } from 'node:child_process';
import { resolve } from 'node:path';

const PROJECT = resolve(import.meta.dirname, '../..');
/** A command that hangs has not ended after this; a busy machine takes seconds to start one. */
const HANGS_AFTER_MS = 30_000;

export interface Ended {
  /** Null: a signal ended it, ours when it hung. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CliOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** Instead of a pipe that is read to the end: `'closed'` = a pipe that nobody reads, a number = this file. */
  readonly stdout?: 'closed' | number;
  readonly stderr?: 'closed' | number;
}

/** Runs `cnx` with these arguments; resolves when it has ended, also by being killed since it hung. */
export async function cli(args: readonly string[], options: CliOptions = {}): Promise<Ended> {
  const stdio = (['stdout', 'stderr'] as const).map((name) =>
    typeof options[name] === 'number' ? options[name] : 'pipe',
  );
  const child = spawn(process.execPath, ['--no-warnings', 'src/main.ts', ...args], {
    cwd: PROJECT,
    env: { ...process.env, ...options.env },
    stdio: ['ignore', ...stdio],
    timeout: HANGS_AFTER_MS,
    killSignal: 'SIGKILL',
  });
  const read = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    if (options[name] === 'closed') child[name]?.destroy();
    else child[name]?.setEncoding('utf8').on('data', (text: string) => (read[name] += text));
  }
  const code = await new Promise<number | null>((ended) => child.on('close', ended));
  return { code, ...read };
}
