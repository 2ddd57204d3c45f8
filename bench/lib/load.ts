/** Load as fast as the target answers: wrk where it is installed (it leaves room for the upstream on its core), else autocannon, as users would. */
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createRequire } from 'node:module';
import { promisify } from 'node:util';
import { LOAD_CORE } from './process.ts';

export interface Load {
  readonly url: string;
  readonly connections: number;
  readonly seconds: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** GET unless said. */
  readonly method?: string;
  /** With wrk, `{n}` in it, in the URL and in values of fields is another number in every request. */
  readonly body?: string;
  /** Streams of one connection at once (HTTP/2). */
  readonly streams?: number;
}

export interface LoadResult {
  readonly requests: number;
  readonly seconds: number;
  /** Requests per second. */
  readonly rate: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Connection errors, timeouts and answers that are no 2xx. */
  readonly failed: number;
}

export const hasWrk = existsSync('/usr/bin/wrk');
const run = promisify(execFile);

/** Prints exact figures at the end of a wrk run, failures included. */
const WRK_REPORT = `
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format("RESULT %d %d %.1f %.1f %d\\n", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), e.connect + e.read + e.write + e.status + e.timeout))
end
`;

/** What wrk sends when it is more than a GET with fixed fields. */
function wrkRequest(load: Load): string {
  const { pathname, search } = new URL(load.url);
  const path = decodeURI(pathname + search);
  const fields = Object.entries(load.headers ?? {}).map(
    ([k, v]) => `[${JSON.stringify(k)}] = number(${JSON.stringify(v)})`,
  );
  return `
local n = math.random(1000000) * 1000000
local function number(text) return (text:gsub("{n}", tostring(n))) end
request = function()
  n = n + 1
  return wrk.format(${JSON.stringify(load.method ?? 'GET')}, number(${JSON.stringify(path)}), { ${fields.join(', ')} }, ${
    load.body === undefined ? 'nil' : `number(${JSON.stringify(load.body)})`
  })
end
`;
}

/** As fast as the target answers. */
export async function saturate(load: Load): Promise<LoadResult> {
  return hasWrk ? wrk(load) : cannon(load);
}

async function wrk(load: Load): Promise<LoadResult> {
  const dir = mkdtempSync(join(tmpdir(), 'cnx-bench-'));
  try {
    const special = load.method !== undefined || JSON.stringify(load).includes('{n}');
    writeFileSync(join(dir, 'report.lua'), special ? WRK_REPORT + wrkRequest(load) : WRK_REPORT);
    const headers = special ? [] : Object.entries(load.headers ?? {}).flatMap(([k, v]) => ['-H', `${k}: ${v}`]);
    const { stdout } = await run('taskset', [
      '-c',
      String(LOAD_CORE),
      'wrk',
      '-t1',
      `-c${load.connections}`,
      `-d${load.seconds}s`,
      '--timeout',
      '10s',
      '-s',
      join(dir, 'report.lua'),
      ...headers,
      special ? new URL(load.url).origin : load.url,
    ]);
    const [, requests, durationUs, p50, p99, failed] = /RESULT (\d+) (\d+) ([\d.]+) ([\d.]+) (\d+)/.exec(stdout) ?? [];
    if (requests === undefined) throw new Error(`wrk said: ${stdout}`);
    const seconds = Number(durationUs) / 1e6;
    return {
      requests: Number(requests),
      seconds,
      rate: Number(requests) / seconds,
      p50Ms: Number(p50) / 1000,
      p99Ms: Number(p99) / 1000,
      failed: Number(failed),
    };
  } finally {
    rmSync(dir, { recursive: true });
  }
}

interface CannonResult {
  readonly requests: { readonly total: number };
  readonly duration: number;
  readonly latency: { readonly p50: number; readonly p99: number };
  readonly errors: number;
  readonly timeouts: number;
  readonly non2xx: number;
}
const require = createRequire(import.meta.url);

async function cannon(load: Load): Promise<LoadResult> {
  const file = require.resolve('autocannon');
  const options = {
    url: load.url,
    connections: load.connections,
    duration: load.seconds,
    headers: load.headers ?? {},
    ...(load.method === undefined ? {} : { method: load.method }),
    ...(load.body === undefined ? {} : { body: load.body }),
    timeout: 10,
  };
  const script = `require(${JSON.stringify(file)})(${JSON.stringify(options)}).then((r) => console.log(JSON.stringify(r)))`;
  const { stdout } = await run('taskset', ['-c', String(LOAD_CORE), process.execPath, '-e', script], {
    env: { ...process.env, NODE_TLS_REJECT_UNAUTHORIZED: '0', NODE_NO_WARNINGS: '1' },
    maxBuffer: 16 * 1024 * 1024,
  });
  const r = JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as CannonResult;
  return {
    requests: r.requests.total,
    seconds: r.duration,
    rate: r.requests.total / r.duration,
    p50Ms: r.latency.p50,
    p99Ms: r.latency.p99,
    failed: r.errors + r.timeouts + r.non2xx,
  };
}
