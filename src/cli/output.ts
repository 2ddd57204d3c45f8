/** What a command writes, as far as somebody reads it: a reader that ends early has what it wanted, a full disk is told and makes the command fail. */
import type { Writable } from 'node:stream';
import type { CommandIo } from './io.ts';
import { messageOf } from './system-error.ts';

const FAILED = 1;

export interface Output extends Pick<CommandIo, 'stdout' | 'stderr'> {
  /** The exit code of a command that ended with `code`: not 0 when something of what it said is lost. */
  readonly exitCode: (code: number) => number;
}

/**
 * `onLate`: a write failed. It may be the last one, after the command has ended. The command itself goes on to its end whoever reads, and with its own exit code: half of a push
 * because of `| head` would be worse than lines that nobody sees.
 */
export function outputOf(stdout: () => Writable, stderr: () => Writable, onLate: () => void): Output {
  let lost = false;
  const to = (streamOf: () => Writable, told: (error: NodeJS.ErrnoException) => void): ((text: string) => void) => {
    let open = true;
    // Opened with the first text: a stream on a pipe makes that pipe non-blocking, which is not ours to do where the log of a gateway goes out by it.
    let stream: Writable | undefined;
    return (text) => {
      if (!open) return;
      // Every write hears of its own error. Without somebody who listens, the same error would end the process with a stack.
      stream ??= streamOf().on('error', () => undefined);
      stream.write(text, (error?: NodeJS.ErrnoException | null) => {
        if (error === undefined || error === null || !open) return;
        open = false;
        if (error.code === 'EPIPE') return;
        lost = true;
        told(error);
        onLate();
      });
    };
  };
  // That it cannot be written can be told nowhere then.
  const toStderr = to(stderr, () => undefined);
  const toStdout = to(stdout, (error) => {
    error.path ??= 'standard output';
    toStderr(`cnx: ${messageOf(error)}\n`);
  });
  return { stdout: toStdout, stderr: toStderr, exitCode: (code) => (code === 0 && lost ? FAILED : code) };
}
