/** What holds for every suite that runs against a server: it still serves good requests when a set is over, and our own gateway ends in order. */
import type { TestGateway } from '../harness/gateway.ts';
import type { CaseResult } from './result.ts';

/** Connections at once, in all suites. */
export const CONNECTIONS = 32;
const GOOD_REQUESTS = 64;
/** Longest wait for the answer to a good request. */
export const GOOD_TIMEOUT_MS = 5_000;

/** Good requests must pass when a set is over. `ask` sends the n-th and says what went wrong; a text that begins with `no answer` is a stall. */
export async function afterwards(set: string, ask: (n: number) => Promise<string | undefined>): Promise<CaseResult> {
  const faults: string[] = [];
  for (let n = 0; n < GOOD_REQUESTS; n += CONNECTIONS) {
    const answers = await Promise.all(Array.from({ length: CONNECTIONS }, (_, i) => ask(n + i)));
    faults.push(...answers.filter((fault) => fault !== undefined));
  }
  const [first] = faults;
  return {
    id: `${set}/afterwards`,
    set,
    mark: first === undefined ? 'pass' : 'fail',
    stall: faults.some((fault) => fault.startsWith('no answer')),
    expected: `${GOOD_REQUESTS} good requests pass after the set`,
    got: first === undefined ? 'all passed' : `${faults.length} of ${GOOD_REQUESTS} did not: ${first}`,
    outcome: first === undefined ? 'served' : 'lost',
  };
}

/** Stops our own gateway. What was measured stands even when it cannot end in order; that is a failure of its own, added to `results`. */
export async function stopped(gateway: TestGateway, results: CaseResult[]): Promise<CaseResult[]> {
  const fault = await gateway.stop().then(
    () => undefined,
    (error: unknown) => (error as Error).message,
  );
  if (fault !== undefined)
    results.push({
      id: 'gateway/stop',
      set: 'gateway',
      mark: 'fail',
      stall: false,
      expected: 'an orderly end, code 0',
      got: fault,
      outcome: 'lost',
    });
  return results;
}
