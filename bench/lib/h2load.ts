/** h2load: HTTP/2 as fast as the target answers. */
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Load, LoadResult } from './load.ts';
import { LOAD_CORE } from './process.ts';

export const hasH2load = existsSync('/usr/bin/h2load');
const run = promisify(execFile);

/** As fast as the target answers, over HTTP/2. */
export function h2load(load: Load): Promise<LoadResult> {
  return measure(load, ['-m', String(load.streams ?? 1)]);
}

async function measure(load: Load, more: readonly string[]): Promise<LoadResult> {
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
    const times: number[] = [];
    let wrong = 0;
    for (const line of readFileSync(log, 'latin1').split('\n')) {
      const [, status, us] = line.split('\t');
      if (us === undefined) continue;
      times.push(Number(us));
      if (!status?.startsWith('2')) wrong++;
    }
    times.sort((a, b) => a - b);
    const at = (share: number): number => (times[Math.floor((times.length - 1) * share)] ?? 0) / 1000;
    return {
      requests: times.length,
      seconds: load.seconds,
      rate: times.length / load.seconds,
      p50Ms: at(0.5),
      p99Ms: at(0.99),
      failed: wrong + Number(errored),
    };
  } finally {
    rmSync(dir, { recursive: true });
  }
}
