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
export async function h2load(load: Load): Promise<LoadResult> {
  const { answers, errored } = await measure(load, ['-m', String(load.streams ?? 1)]);
  return {
    requests: answers.length,
    seconds: load.seconds,
    rate: answers.length / load.seconds,
    p50Ms: quantileMs(answers, 0.5),
    p99Ms: quantileMs(answers, 0.99),
    failed: answers.filter(({ status }) => status < 200 || status > 299).length + errored,
  };
}

/** One answer as h2load saw it. */
export interface Answer {
  /** Epoch µs of the request. */
  readonly at: number;
  /** -1: none came. */
  readonly status: number;
  readonly us: number;
}

/** At a fixed rate over HTTP/1.1, whatever the target answers; each connection asks again when its time has come and its answer is there. */
export async function steadily(load: Load, rate: number): Promise<readonly Answer[]> {
  const each = Math.max(1, Math.round(rate / load.connections));
  const { answers } = await measure(load, ['--h1', `--rps=${each}`]);
  return answers;
}

export function quantileMs(answers: readonly Answer[], share: number): number {
  const times = answers.map(({ us }) => us).sort((a, b) => a - b);
  return (times[Math.floor((times.length - 1) * share)] ?? 0) / 1000;
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
    const answers: Answer[] = [];
    for (const line of readFileSync(log, 'latin1').split('\n')) {
      const [at, status, us] = line.split('\t');
      if (us !== undefined) answers.push({ at: Number(at), status: Number(status), us: Number(us) });
    }
    return { answers, errored: Number(errored) };
  } finally {
    rmSync(dir, { recursive: true });
  }
}
