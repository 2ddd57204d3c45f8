/** The suite `h2`: h2spec, vectors of single frames, and floods, over plain text by prior knowledge and over TLS by ALPN. */
import { afterwards, CONNECTIONS, GOOD_TIMEOUT_MS } from '../afterwards.ts';
import type { DataDirectory } from '../data.ts';
import type { CaseResult } from '../result.ts';
import { BUSY, type Busy, runBusy } from './busy.ts';
import { goodRequest, type H2Target, schemeOf, STALL_MS } from './connection.ts';
import { runFlood } from './flooding.ts';
import { type Flood, FLOODS } from './floods.ts';
import { h2specTool, runH2spec } from './h2spec.ts';
import { observe } from './observe.ts';
import { type Plan, plansOf, readVectors, VECTORS } from './vectors.ts';

export interface H2Options {
  readonly data: DataDirectory;
  readonly targets: readonly H2Target[];
  readonly progress: (line: string) => void;
  /** Told in the output: what was left out. */
  readonly note: (line: string) => void;
  /** Others than the defaults in tests of the suite itself only. */
  readonly stallMs?: number;
  readonly floods?: readonly Flood[];
  readonly busy?: readonly Busy[];
  readonly floodConnections?: number;
  readonly h2spec?: boolean;
}

export async function runH2(options: H2Options): Promise<CaseResult[]> {
  const results: CaseResult[] = [];
  const { data, targets, progress, note, floods = FLOODS, busy = BUSY } = options;
  const vectors = readVectors(data);
  const tool = options.h2spec === false ? { absent: 'it was not asked for' } : await h2specTool(progress);
  if ('absent' in tool) note(`left out: h2spec (${tool.absent})`);
  for (const target of targets) {
    const fault = await goodRequest(target, GOOD_TIMEOUT_MS);
    if (fault !== undefined)
      throw new Error(`a good request does not pass through ${target.name} ${target.host}:${target.port}: ${fault}`);
    const timed = async (set: string, run: () => Promise<CaseResult[]>): Promise<void> => {
      const startedAt = performance.now();
      const own = await run();
      results.push(...own, await afterwards(set, good(target)));
      progress(`${set}: ${own.length} cases in ${((performance.now() - startedAt) / 1000).toFixed(1)} s`);
    };
    if ('path' in tool) await timed(`h2spec-${target.name}`, () => runH2spec(tool.path, target));
    const plans = vectors.flatMap((vector) => plansOf(vector, schemeOf(target)));
    if (plans.length > 0)
      await timed(`${VECTORS}-${target.name}`, () => runPlans(plans, target, options.stallMs ?? STALL_MS));
    if (busy.length > 0) await timed(`h2-busy-${target.name}`, () => runRows(busy, target));
    if (floods.length > 0)
      await timed(`h2-floods-${target.name}`, async () => {
        const own: CaseResult[] = [];
        for (const flood of floods) own.push(await runFlood(target, flood, options.floodConnections ?? CONNECTIONS));
        return own;
      });
  }
  return results;
}

async function runRows(rows: readonly Busy[], target: H2Target): Promise<CaseResult[]> {
  const set = `h2-busy-${target.name}`;
  const results: CaseResult[] = [];
  for (const row of rows) results.push({ id: `${set}/${row.id}`, set, ...(await runBusy(target, row)) });
  return results;
}

async function runPlans(plans: readonly Plan[], target: H2Target, stallMs: number): Promise<CaseResult[]> {
  const set = `${VECTORS}-${target.name}`;
  const results: CaseResult[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let n = next++; n < plans.length; n = next++) {
      const plan = plans[n];
      if (plan === undefined) return;
      const id = `${set}/${plan.id}`;
      try {
        const verdict = await observe(target, plan, stallMs);
        results[n] = { id, set, ...verdict, expected: `${plan.description}: ${verdict.expected}` };
      } catch (error) {
        const got = `the connection failed: ${(error as Error).message}`;
        results[n] = { id, set, mark: 'fail', stall: false, expected: 'a connection', got, outcome: 'unreachable' };
      }
    }
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, worker));
  return results;
}

/** GET and POST in turn. */
function good(target: H2Target): (n: number) => Promise<string | undefined> {
  return (n) => goodRequest(target, GOOD_TIMEOUT_MS, n % 2 === 0 ? undefined : Buffer.from('content', 'latin1'));
}
