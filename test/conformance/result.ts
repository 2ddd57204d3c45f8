/** What a suite says about its cases, and how it is shown and written. The file's shape is a contract: see docs/conformance.md. */

export type Mark = 'pass' | 'warn' | 'fail';

export interface Verdict {
  readonly mark: Mark;
  /** No byte and no close within the bound where one was due. Counts as failed. */
  readonly stall: boolean;
  readonly expected: string;
  readonly got: string;
  /** One word for the table: refused, served, stalled … */
  readonly outcome: string;
}

export interface CaseResult extends Verdict {
  /** `set/case`. */
  readonly id: string;
  readonly set: string;
}

export interface SuiteReport {
  readonly suite: string;
  readonly total: number;
  readonly passed: number;
  readonly warned: number;
  readonly stalls: number;
  readonly failed: readonly { readonly id: string; readonly expected: string; readonly got: string }[];
}

export function reportOf(suite: string, results: readonly CaseResult[]): SuiteReport {
  const count = (mark: Mark): number => results.filter((result) => markOf(result) === mark).length;
  return {
    suite,
    total: results.length,
    passed: count('pass'),
    warned: count('warn'),
    stalls: results.filter((result) => result.stall).length,
    failed: results
      .filter((result) => markOf(result) === 'fail')
      .map(({ id, expected, got }) => ({ id, expected, got })),
  };
}

/** A stall is a failure whatever else was said. */
export function markOf(verdict: Verdict): Mark {
  return verdict.stall ? 'fail' : verdict.mark;
}

/** One line a set, and under it the outcomes that its cases had. */
export function table(results: readonly CaseResult[]): string {
  const sets = [...new Set(results.map((result) => result.set))];
  const rows = [['set', 'total', 'passed', 'warned', 'failed', 'stalls', 'outcomes']];
  for (const set of sets) {
    const own = results.filter((result) => result.set === set);
    const outcomes = new Map<string, number>();
    for (const { outcome } of own) outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    const told = [...outcomes].sort((a, b) => b[1] - a[1]).map(([outcome, n]) => `${outcome} ${n}`);
    const report = reportOf(set, own);
    rows.push([
      set,
      ...[report.total, report.passed, report.warned, report.failed.length, report.stalls].map(String),
      told.join(', '),
    ]);
  }
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => (row[column] ?? '').length)));
  const last = widths.length - 1;
  return rows
    .map((row) =>
      row
        .map((cell, column) =>
          column === 0 || column === last
            ? cell.padEnd(column === last ? 0 : (widths[column] ?? 0))
            : cell.padStart(widths[column] ?? 0),
        )
        .join('  '),
    )
    .join('\n');
}
