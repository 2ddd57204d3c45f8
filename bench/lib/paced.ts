/**
 * Load at a rate, whatever the target answers: `native/transport/examples/load.rs`, HTTP/1.1 without TLS. Requests come as those of many independent clients do. Other generators (autocannon, h2load) send
 * for all their connections at once, every tick: straight to an upstream, at a tenth of its peak, they see a p99 of 4 to 27 ms where there is one of 0.3.
 */
import { spawn } from 'node:child_process';
import { type Answer, answersOf, resultOf } from './answers.ts';
import type { Load, LoadResult } from './load.ts';
import { LOAD_CORE } from './process.ts';
import { builtExample } from './example.ts';

/** Seconds of a load at a rate that are not counted. */
const BEGIN_S = 1;

/** One kind of load, and how many requests per second of it over all its connections. */
export type Rated = readonly [load: Load, rate: number];

/** Every answer. `rate`: requests per second over all connections. */
export async function steadily(load: Load, rate: number): Promise<readonly Answer[]> {
  const [answers = []] = await together([[load, rate]]);
  return answers;
}

/** Every answer, by kind of load. All of them ask the same address, for as long as the first one says. */
export async function together(kinds: readonly Rated[]): Promise<readonly (readonly Answer[])[]> {
  const [first] = kinds;
  if (first === undefined) return [];
  const { hostname, port } = new URL(first[0].url);
  const rates = kinds.map(([{ connections }, rate]) => `${connections}@${rate}`);
  const program = [builtExample('load'), `${hostname}:${port}`, String(first[0].seconds), ...rates];
  const child = spawn('taskset', ['-c', String(LOAD_CORE), ...program], { stdio: ['pipe', 'pipe', 'inherit'] });
  child.stdin.end(kinds.map(([load]) => requestOf(load)).join('\0'));
  const chunks: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  if (code !== 0) throw new Error(`the load generator ended with ${code}`);
  const answers = answersOf(Buffer.concat(chunks).toString('latin1'));
  return kinds.map((_, kind) => answers.filter((answer) => answer.kind === kind));
}

function requestOf(load: Load): string {
  const { host, pathname, search } = new URL(load.url);
  const headers = Object.entries(load.headers ?? {}).map(([name, value]) => `${name}: ${value}\r\n`);
  const own = 'host' in (load.headers ?? {}) ? '' : `host: ${host}\r\n`;
  return `GET ${pathname}${search} HTTP/1.1\r\n${own}${headers.join('')}\r\n`;
}

/** The load, without its begin. */
export async function paced(load: Load, rate: number): Promise<LoadResult> {
  return withoutBegin(await steadily({ ...load, seconds: load.seconds + BEGIN_S }, rate), load.seconds);
}

/**
 * The begin is left out: dozens of connections are made at once, which is 1 % of five seconds and would be all that a p99 tells. What failed in it counts.
 */
export function withoutBegin(answers: readonly Answer[], seconds: number): LoadResult {
  const from = answers.reduce((first, { at }) => Math.min(first, at), Infinity) + BEGIN_S * 1e6;
  const after = answers.filter(({ at }) => at >= from);
  return { ...resultOf(after, seconds), failed: resultOf(answers, seconds).failed };
}
