/** What the test runners say at their end: how many ran, and whether anything was left out. */

export interface Counts {
  readonly passed: number;
  /** The runner's own closing lines. */
  readonly closing: readonly string[];
  /** What is wrong although the runner may say that all is well; null when nothing is. */
  readonly problem: string | null;
}

/** Counts of `node --test` with the reporter `spec`. */
export function nodeCounts(text: string): Counts {
  const lines = text.split('\n');
  const closing = lines.filter((line) =>
    /^ℹ (tests|suites|pass|fail|cancelled|skipped|todo|duration_ms) [\d.]+$/.test(line),
  );
  const count = (word: string): number =>
    Number(closing.find((line) => line.startsWith(`ℹ ${word} `))?.split(' ')[2] ?? Number.NaN);
  // A file that holds no test is reported as one test that passed, under the file's own name.
  const empty = lines.flatMap((line) => /^✔ (\S+\.test\.ts) \(/.exec(line)?.[1] ?? []);
  let problem: string | null = null;
  if (!(count('pass') > 0)) problem = 'nothing ran';
  else if (count('skipped') + count('todo') > 0)
    problem = `${count('skipped')} skipped, ${count('todo')} to do: a test runs, or is not there`;
  else if (count('cancelled') + count('fail') > 0) problem = `${count('fail')} failed, ${count('cancelled')} cancelled`;
  else if (empty.length > 0) problem = `without a test: ${empty.join(', ')}`;
  return { passed: count('pass') || 0, closing, problem };
}

/** Counts of `cargo test`: one closing line for each crate's binary. */
export function cargoCounts(text: string): Counts {
  const closing = text.split('\n').filter((line) => line.startsWith('test result: '));
  const sum = (word: string): number =>
    closing.reduce((all, line) => all + Number(new RegExp(`(\\d+) ${word}`).exec(line)?.[1] ?? 0), 0);
  let problem: string | null = null;
  if (sum('passed') === 0) problem = 'nothing ran';
  else if (sum('ignored') > 0) problem = `${sum('ignored')} ignored: a test runs, or is not there`;
  else if (sum('failed') > 0) problem = `${sum('failed')} failed`;
  // Binaries without a test are no news.
  return { passed: sum('passed'), closing: closing.filter((line) => !line.includes(' 0 passed; 0 failed')), problem };
}
