/** Answers one by one, as generators log them, and what is said of many. */
import type { LoadResult } from './load.ts';

export interface Answer {
  /** Epoch µs of the request. */
  readonly at: number;
  /** -1: none came. */
  readonly status: number;
  readonly us: number;
  /** Before it went out: for an idle connection; 0 where the generator does not tell. */
  readonly waitedUs: number;
  /** Of several kinds of load the number of its own. */
  readonly kind: number;
}

/** Lines of time, status, duration, wait and kind, between tabs. */
export function answersOf(log: string): Answer[] {
  const answers: Answer[] = [];
  for (const line of log.split('\n')) {
    const [at, status, us, waited = '0', kind = '0'] = line.split('\t');
    if (us === undefined) continue;
    answers.push({
      at: Number(at),
      status: Number(status),
      us: Number(us),
      waitedUs: Number(waited),
      kind: Number(kind),
    });
  }
  return answers;
}

export function quantileMs(answers: readonly Answer[], share: number): number {
  const times = answers.map(({ us }) => us).sort((a, b) => a - b);
  return (times[Math.floor((times.length - 1) * share)] ?? 0) / 1000;
}

export function resultOf(answers: readonly Answer[], seconds: number): LoadResult {
  return {
    requests: answers.length,
    seconds,
    rate: answers.length / seconds,
    p50Ms: quantileMs(answers, 0.5),
    p99Ms: quantileMs(answers, 0.99),
    failed: answers.filter(({ status }) => status < 200 || status > 299).length,
  };
}
