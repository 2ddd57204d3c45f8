/** Programs that others wrote, run as clients of a gateway: bounded in time and in what they may print, and gone with the test. */
import { type ChildProcess, spawn } from 'node:child_process';

/** Longest run of one program, milliseconds: far more than any needs, even on a busy machine. */
const RUN_MS_MAX = 60_000;
const OUTPUT_BYTES_MAX = 16 * 1024 * 1024;

export interface Ran {
  /** Null when a signal ended it. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** Everything printed, for a message. */
  readonly said: string;
}

/** Arguments without blanks, written as one would type them. */
export const words = (text: string): string[] => text.split(' ');

const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** Runs a program to its end; rejects when there is no such program or it does not end in time. `input` is what it reads. Text is latin1: one character a byte. */
export function runTool(program: string, args: readonly string[], input = ''): Promise<Ran> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'] });
    running.add(child);
    const text = { stdout: '', stderr: '' };
    for (const stream of ['stdout', 'stderr'] as const) {
      child[stream].setEncoding('latin1').on('data', (chunk: string) => {
        text[stream] += chunk;
        if (text[stream].length > OUTPUT_BYTES_MAX) child.kill('SIGKILL');
      });
    }
    // Whoever ends before it has read all has its reasons; its exit code tells them.
    child.stdin.on('error', () => undefined).end(input);
    const timer = setTimeout(() => child.kill('SIGKILL'), RUN_MS_MAX);
    child.once('error', (error) => {
      clearTimeout(timer);
      running.delete(child);
      reject(new Error(`${program}: ${error.message}; \`npm test\` installs what tests need`));
    });
    child.once('close', (code, signal) => {
      clearTimeout(timer);
      running.delete(child);
      const said = `${program} ${args.join(' ')} → ${signal ?? code}\n${text.stdout.slice(-8_000)}\n${text.stderr.slice(-8_000)}`;
      if (signal !== null) reject(new Error(`not ended within ${RUN_MS_MAX} ms or ${OUTPUT_BYTES_MAX} bytes: ${said}`));
      else resolve({ code, ...text, said });
    });
  });
}
