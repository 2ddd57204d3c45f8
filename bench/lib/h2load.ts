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

/** As fast as the target answers, over HTTP/2. */
export async function h2load(load: Load): Promise<LoadResult> {
  const { answers, errored } = await measure(load, ['-m', String(load.streams ?? 1)]);
  const result = resultOf(answers, load.seconds);
  return { ...result, failed: result.failed + errored };
}

async function measure(
  load: Load,
  more: readonly string[],
): Promise<{ readonly answers: readonly Answer[]; readonly errored: number }> {
  const dir = mkdtempSync(join(tmpdir(), 'cnx-bench-'));
  const log = join(dir, 'log');
  try {
    const headers = Object.entries(load.headers ?? {}).flatMap(([k, v]) => ['-H', `${k}: ${v}`]);
    const { stdout } = await run('taskset', [
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
    ]);
    const [, , failed, errored] = /(\d+) succeeded, (\d+) failed, (\d+) errored/.exec(stdout) ?? [];
    if (failed === undefined) throw new Error(`h2load said: ${stdout}`);
    const answers = answersOf(readFileSync(log, 'latin1'));
    return { answers, errored: Number(errored) };
  } finally {
    rmSync(dir, { recursive: true });
  }
}
