/** Answers one by one, as generators log them, and what is said of many. */
import type { LoadResult } from './load.ts';

export interface Answer {
  /** Epoch µs of the request. */
  readonly at: number;
  /** -1: none came. */
  readonly status: number;
  readonly us: number;
}

/** Lines of time, status and duration, between tabs. */
export function answersOf(log: string): Answer[] {
  const answers: Answer[] = [];
  for (const line of log.split('\n')) {
    const [at, status, us] = line.split('\t');
    if (us !== undefined) answers.push({ at: Number(at), status: Number(status), us: Number(us) });
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
