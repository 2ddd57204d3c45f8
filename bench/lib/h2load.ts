/** h2load: HTTP/2 as fast as the target answers. */
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type Answer, answersOf, resultOf } from './answers.ts';
import type { Load, LoadResult } from './load.ts';
import { LOAD_CORE } from './process.ts';

export const hasH2load = existsSync('/usr/bin/h2load');
const run = promisify(execFile);
/** How much longer than it was told it may run. */
const PATIENCE_MS = 20_000;
const TRIES = 3;

/** As fast as the target answers, over HTTP/2. Throws when h2load says nothing that can be read, or does not end. */
export async function h2load(load: Load): Promise<LoadResult> {
  const { answers, errored } = await ended(() => measure(load, ['-m', String(load.streams ?? 1)]));
  const result = resultOf(answers, load.seconds);
  return { ...result, failed: result.failed + errored };
}

/** A client of h2load that gets its connection only when the time is up, on a machine that stood still meanwhile, asks on and on. It is killed, and measures anew. */
async function ended<T>(measured: () => Promise<T>): Promise<T> {
  for (let left = TRIES - 1; ; left--) {
    try {
      return await measured();
    } catch (error) {
      if (!(error instanceof Error && 'killed' in error && error.killed === true)) throw error;
      console.error(`  h2load did not end${left > 0 ? ': again' : ''}`);
      if (left <= 0) throw error;
    }
  }
}

async function measure(
  load: Load,
  more: readonly string[],
): Promise<{ readonly answers: readonly Answer[]; readonly errored: number }> {
  const dir = mkdtempSync(join(tmpdir(), 'cnx-bench-'));
  const log = join(dir, 'log');
  try {
    const headers = Object.entries(load.headers ?? {}).flatMap(([k, v]) => ['-H', `${k}: ${v}`]);
    const { stdout } = await run(
      'taskset',
      [
        '-c',
        String(LOAD_CORE),
        'h2load',
        '-t1',
        `-c${load.connections}`,
        `-D${load.seconds}`,
        `--log-file=${log}`,
        ...more,
        ...headers,
        load.url,
      ],
      { timeout: 1000 * load.seconds + PATIENCE_MS, killSignal: 'SIGKILL' },
    );
    const [, , failed, errored] = /(\d+) succeeded, (\d+) failed, (\d+) errored/.exec(stdout) ?? [];
    if (failed === undefined) throw new Error(`h2load said: ${stdout}`);
    const answers = answersOf(readFileSync(log, 'latin1'));
    return { answers, errored: Number(errored) };
  } finally {
    rmSync(dir, { recursive: true });
  }
}
