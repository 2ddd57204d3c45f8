/** The tests that lie beside a policy, `<same>_test.rego`: run by `opa test` when a bundle is checked or built. A policy whose tests fail, or leave rules untried, goes into no bundle. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { PolicyError } from '../../policy/policy-error.ts';
import type { RegoSource } from './rego.ts';

/** Longest time that the tests of one policy may take. Unit: milliseconds. */
const TEST_TIMEOUT_MS = 120_000;
const OUTPUT_BYTES_MAX = 4 * 1024 * 1024;
/** Lines without a test that an error names. */
const LINES_NAMED_MAX = 10;

export interface TestedSource extends RegoSource {
  /** Document that the policy has as data; absent: none. */
  readonly dataFile?: string;
  /** Least share of the source's lines that tests must reach, percent. */
  readonly coverageMin: number;
}

/** Path of a policy's tests, or null when it has none. */
export function testsOf(file: string): string | null {
  const tests = file.replace(/\.rego$/, '_test.rego');
  return existsSync(tests) ? tests : null;
}

/** Resolves when the tests pass and reach enough; does nothing when there are none. Throws PolicyError with what failed. */
export async function runTests(source: TestedSource, opa: string): Promise<void> {
  const tests = testsOf(source.file);
  if (tests === null) return;
  const args = ['test', '--coverage', '--format', 'json'];
  if (source.rego === 'v0') args.push('--v0-compatible');
  args.push(basename(source.file), basename(tests));
  if (source.dataFile !== undefined) args.push(source.dataFile);
  const report = readReport(await run(source, opa, args), basename(source.file));
  if (report === null)
    throw new PolicyError('tests_failed', source.name, `\`opa test\` told of no coverage of ${basename(source.file)}`);
  const { coverage, lines } = report;
  if (coverage >= source.coverageMin) return;
  const named = lines.slice(0, LINES_NAMED_MAX).join(', ');
  throw new PolicyError(
    'tests_failed',
    source.name,
    `its tests reach ${Math.floor(coverage)} % of ${basename(source.file)}, ${source.coverageMin} % are asked for: nothing tries line ${named}; test them, or lower \`coverageMin\` of the policy`,
  );
}

function run(source: TestedSource, opa: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = {
      cwd: dirname(source.file),
      timeout: TEST_TIMEOUT_MS,
      maxBuffer: OUTPUT_BYTES_MAX,
      encoding: 'utf8',
    } as const;
    execFile(opa, args, options, (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else {
        const said = `${stderr}${stdout}`.trim() || error.message;
        reject(new PolicyError('tests_failed', source.name, `its tests fail: ${said}`));
      }
    });
  });
}

/** Coverage of one file and the lines that nothing tried. */
function readReport(
  text: string,
  file: string,
): { readonly coverage: number; readonly lines: readonly number[] } | null {
  const report = JSON.parse(text) as {
    readonly files?: Readonly<
      Record<
        string,
        { readonly coverage?: number; readonly not_covered?: readonly { readonly start: { readonly row: number } }[] }
      >
    >;
  };
  const found = report.files?.[file];
  if (found === undefined) return null;
  const lines = [...new Set((found.not_covered ?? []).map(({ start }) => start.row))];
  return { coverage: found.coverage ?? 0, lines };
}
