/** The suite `cache`: tests of HTTP caching that others wrote, each a short conversation with an origin of their own through the gateway. */
import { randomUUID } from 'node:crypto';
import { Agent } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import type { DataDirectory } from '../data.ts';
import type { Target } from '../http1/observe.ts';
import type { CaseResult } from '../result.ts';
import { type Heard, send, StalledError } from './client.ts';
import type { CacheSet, CacheTest, Kind } from './definition.ts';
import { CheckError, judgeAnswer, judgeOrigin } from './judge.ts';
import type { Origin } from './origin.ts';

/** After a request that says so, so that what was stored for a second or two is stale. */
const PAUSE_MS = 3_000;
/** Tests at once: most of their time they wait. */
const AT_ONCE = 48;

export interface CacheOptions {
  readonly data: DataDirectory;
  readonly target: Target;
  readonly origin: Origin;
  readonly progress: (line: string) => void;
  readonly note: (line: string) => void;
  /** Told how many tests of each kind pass. */
  readonly extra: (name: string, value: unknown) => void;
}

interface Case {
  readonly set: string;
  readonly test: CacheTest;
}

export async function runCache({ data, target, origin, progress, note, extra }: CacheOptions): Promise<CaseResult[]> {
  const sets = data.json('cache-tests', 'tests.json') as readonly CacheSet[] | undefined;
  const all = (sets ?? []).flatMap((set) => set.tests.map((test): Case => ({ set: set.id, test })));
  const cases = all.filter(({ test }) => test.browser_only !== true);
  if (all.length > cases.length) note(`left out: ${all.length - cases.length} tests of caches in browsers`);
  const agent = new Agent({ keepAlive: true, maxSockets: AT_ONCE });
  const results: CaseResult[] = [];
  const waiting = [...cases];
  const startedAt = performance.now();
  const work = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift())
      results.push(await runOne(next, target, origin, agent));
  };
  try {
    await Promise.all(Array.from({ length: AT_ONCE }, work));
  } finally {
    agent.destroy();
  }
  progress(`cache-tests: ${cases.length} tests in ${((performance.now() - startedAt) / 1000).toFixed(1)} s`);
  const order = new Map(cases.map(({ set, test }, i) => [`${set}/${test.id}`, i]));
  results.sort((a, b) => (order.get(a.id) ?? 0) - (order.get(b.id) ?? 0));
  for (const kind of ['required', 'optimal', 'check'] as const) {
    const ids = new Set(cases.filter(({ test }) => kindOf(test) === kind).map(({ set, test }) => `${set}/${test.id}`));
    const own = results.filter((result) => ids.has(result.id));
    const passed = own.filter((result) => result.mark === 'pass').length;
    note(`${kind}: ${passed} of ${own.length}`);
    extra(kind, { total: own.length, passed });
  }
  return results;
}

function kindOf(test: CacheTest): Kind {
  return test.kind ?? 'required';
}

async function runOne({ set, test }: Case, target: Target, origin: Origin, agent: Agent): Promise<CaseResult> {
  const kind = kindOf(test);
  const found = await converse(test, target, origin, agent);
  // Only what is required can fail; `optimal` and `check` are measured and told. A test whose origin's answer is refused as no HTTP cannot be made: nothing of it is stored.
  const mark = found.fault === null ? 'pass' : kind === 'required' && !found.refused ? 'fail' : 'warn';
  return {
    id: `${set}/${test.id}`,
    set,
    mark,
    stall: found.stall && kind === 'required',
    expected: test.name,
    got: found.fault ?? 'so it is',
    outcome:
      found.fault === null
        ? `${kind}:yes`
        : `${kind}:${found.refused ? 'refused' : found.setup ? 'not-prepared' : 'no'}`,
  };
}

interface Found {
  /** Null: all is as it must be. */
  readonly fault: string | null;
  readonly setup: boolean;
  /** The gateway took the origin's answer for malformed. */
  readonly refused: boolean;
  readonly stall: boolean;
}

async function converse(test: CacheTest, target: Target, origin: Origin, agent: Agent): Promise<Found> {
  const token = randomUUID();
  const running = origin.begin(token, test.requests);
  const heard: Heard[] = [];
  try {
    for (const [i, plan] of test.requests.entries()) {
      const number = i + 1;
      const before = heard.at(-1);
      const answer = await send({ target, agent, plan, token, testId: test.id, number, before });
      heard.push(answer);
      judgeAnswer(plan, number, answer, token);
      if (plan.pause_after === true) await sleep(PAUSE_MS);
    }
    judgeOrigin(test.requests, heard, running);
    return { fault: null, setup: false, refused: false, stall: false };
  } catch (error) {
    const fault = error instanceof Error ? error.message : String(error);
    if (error instanceof CheckError) {
      const refused = error.setup && isRefusal(heard.at(-1));
      return { fault, setup: error.setup, refused, stall: false };
    }
    return { fault, setup: false, refused: false, stall: error instanceof StalledError };
  } finally {
    origin.end(token);
  }
}

const BAD_GATEWAY = 502;

/** A 502 that is not the origin's own: every answer of the origin tells its count of requests. */
function isRefusal(heard: Heard | undefined): boolean {
  return heard?.status === BAD_GATEWAY && !heard.headers.has('server-request-count');
}
