/**
 * `npm run -s conformance -- <suite> [--data <dir>] [--json <file>]`: runs one suite of vectors that others wrote, prints a table, writes a report.
 * docs/conformance.md tells how each verdict comes about.
 */
import { writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { DataDirectory } from './data.ts';
import { markOf, reportOf, table } from './result.ts';
import { SUITES } from './suites.ts';

const DATA_DEFAULT = resolve(import.meta.dirname, '../../../shared/data');
const FAILED_SHOWN = 40;

const USAGE = `usage: npm run -s conformance -- <suite> [options]
  suites: ${Object.keys(SUITES).join(', ')}
  --data <dir>          test data (default: ../shared/data beside the project)
  --json <file>         report: {suite, total, passed, warned, stalls, failed: [{id, expected, got}]}
  --details <file>      every case with its verdict
  --target <host:port>  test this proxy instead of the project's own gateway (http1, h2 without TLS)
  --upstream-port <n>   where that proxy forwards to: the recording upstream listens there (http1, h2)
  --failed-max <n>      exit with 1 when more cases fail than this
exit code: 0 measured, 1 a check failed (--failed-max; under CI=true, missing data), 2 could not measure`;

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      data: { type: 'string' },
      json: { type: 'string' },
      details: { type: 'string' },
      target: { type: 'string' },
      'upstream-port': { type: 'string' },
      'failed-max': { type: 'string' },
      help: { type: 'boolean', short: 'h' },
    },
  });
  const [name] = positionals;
  const suite = name === undefined ? undefined : SUITES[name];
  if (name === undefined || suite === undefined || values.help === true) {
    process.stderr.write(`${name !== undefined && suite === undefined ? `unknown suite "${name}"\n` : ''}${USAGE}\n`);
    return values.help === true ? 0 : 2;
  }
  const data = new DataDirectory(values.data === undefined ? DATA_DEFAULT : resolve(values.data));
  const notes: string[] = [];
  const extras: Record<string, unknown> = {};
  const results = await suite.run({
    data,
    ...(values.target === undefined ? {} : { target: values.target }),
    upstreamPort: Number(values['upstream-port'] ?? 0),
    progress: (line) => {
      process.stderr.write(`${line}\n`);
    },
    note: (line) => {
      notes.push(line);
    },
    extra: (field, value) => {
      extras[field] = value;
    },
  });
  const report = reportOf(name, results);
  if (values.json !== undefined)
    writeFileSync(resolve(values.json), `${JSON.stringify({ ...report, ...extras }, null, 2)}\n`);
  if (values.details !== undefined) writeFileSync(resolve(values.details), `${JSON.stringify(results, null, 1)}\n`);

  const out: string[] = [table(results), ''];
  for (const { id, expected, got } of report.failed.slice(0, FAILED_SHOWN))
    out.push(`failed ${id}\n  expected ${expected}\n  got      ${got}`);
  if (report.failed.length > FAILED_SHOWN) out.push(`… and ${report.failed.length - FAILED_SHOWN} more`);
  out.push(...notes);
  for (const { set, path } of data.missing) out.push(`missing: ${set} (no ${path})`);
  out.push(
    `${name}: ${report.total} cases, ${report.passed} passed, ${report.warned} warned, ${report.failed.length} failed, ${report.stalls} stalled`,
  );
  process.stdout.write(`${out.join('\n')}\n`);

  if (data.missing.length > 0 && process.env['CI'] === 'true') return 1;
  const failedMax = values['failed-max'];
  if (failedMax !== undefined && results.filter((result) => markOf(result) === 'fail').length > Number(failedMax))
    return 1;
  return 0;
}

try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`conformance: ${(error as Error).stack ?? String(error)}\n`);
  process.exitCode = 2;
}
