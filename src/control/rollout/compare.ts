/** Whether a candidate does worse than what is active: pure functions over what both have answered within the same time. */
import { percentile, slowerThan } from './buckets.ts';

/** What was counted of one revision within a time. */
export interface Tally {
  readonly requests: number;
  readonly failed: number;
  readonly refused: number;
  readonly policyErrors: number;
  readonly denied: number;
  /** Answers by the time they took: the buckets of `REQUEST_BOUNDS_US`, the one without bound last. */
  readonly buckets: readonly number[];
}

export const EMPTY_TALLY: Tally = { requests: 0, failed: 0, refused: 0, policyErrors: 0, denied: 0, buckets: [] };

/** By how much a candidate may do worse. Shares 0 … 1. */
export interface Tolerance {
  readonly failedAboveMax: number;
  readonly refusedAboveMax: number;
  readonly policyErrorsAboveMax: number;
  readonly p99FactorMax: number;
  readonly p99AddedMsMax: number;
}

/** Events that are needed to speak of a difference at all: one client's bad luck is no evidence. */
export const EVIDENCE_MIN = 5;
/** Requests from which on a percentile means something. */
export const PERCENTILE_REQUESTS_MIN = 100;
const P99 = 0.99;
/** How far beyond what chance explains a count must lie, in standard deviations. */
const DEVIATIONS = 3;

/**
 * Why the candidate must go, as a sentence; null when nothing speaks against it. `baseline`: of the active revision, from the same time or, when it answers nothing any
 * more, from the last time when it did; null when it has never answered enough to compare with.
 */
export function objection(candidate: Tally, baseline: Tally | null, tolerance: Tolerance): string | null {
  const rate = (n: number): number => (baseline === null || baseline.requests === 0 ? 0 : n / baseline.requests);
  const shares: readonly (readonly [what: string, events: number, before: number, above: number])[] = [
    ['failed answers', candidate.failed, rate(baseline?.failed ?? 0), tolerance.failedAboveMax],
    ['policy errors', candidate.policyErrors, rate(baseline?.policyErrors ?? 0), tolerance.policyErrorsAboveMax],
    // What clients are refused for is theirs: without a comparison it says nothing of the bundle.
    ...(baseline === null
      ? []
      : [['refusals', candidate.refused, rate(baseline.refused), tolerance.refusedAboveMax] as const]),
  ];
  for (const [what, events, before, above] of shares)
    if (exceeds(events, candidate.requests, before + above))
      return `${what}: ${events} of ${candidate.requests} (${percent(events / candidate.requests)}), the active bundle ${percent(before)}, tolerated ${percent(above)} more`;
  if (baseline === null) return null;
  const { p99FactorMax, p99AddedMsMax } = tolerance;
  if (Math.min(candidate.requests, baseline.requests) < PERCENTILE_REQUESTS_MIN) return null;
  const before = percentile(baseline.buckets, P99);
  if (!Number.isFinite(before)) return null;
  // That one answer in a hundred was slow is what one pause makes of a hundred answers: more of them must be than chance explains.
  const slow = slowerThan(candidate.buckets, Math.max(before * p99FactorMax, before + p99AddedMsMax * 1000));
  if (exceeds(slow, candidate.requests, 1 - P99))
    return `p99 of the time to answer: ${ms(percentile(candidate.buckets, P99))}, the active bundle ${ms(before)}`;
  return null;
}

/** More events than a share of `expected` explains (normal approximation of the binomial, one-sided). */
function exceeds(events: number, requests: number, expected: number): boolean {
  if (events < EVIDENCE_MIN || requests === 0 || expected >= 1) return false;
  const mean = requests * expected;
  return events - mean > DEVIATIONS * Math.sqrt(mean * (1 - expected));
}

function percent(share: number): string {
  return `${Math.round(share * 10_000) / 100} %`;
}

function ms(us: number): string {
  return Number.isFinite(us) ? `${Math.round(us / 100) / 10} ms` : 'beyond the last bucket';
}
