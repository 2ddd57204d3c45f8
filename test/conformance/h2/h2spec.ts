/**
 * All of h2spec, strict cases among it. It is a Go tool: built once, pinned by version, into a cache outside of the project; where there is no Go it is left out, and that is said.
 */
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { builtGoTool, type FoundTool } from '../../harness/go-tool.ts';
import type { CaseResult } from '../result.ts';
import type { H2Target } from './connection.ts';

const H2SPEC = { name: 'h2spec', module: 'github.com/summerwind/h2spec/cmd/h2spec', version: 'v2.2.1+incompatible' };
const RUN_TIMEOUT_MS = 400_000;
/** h2spec's own bound on each wait, seconds. */
const WAIT_S = 2;
const OUTPUT_BYTES_MAX = 8 * 1024 * 1024;

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function run(program: string, args: readonly string[], timeoutMs: number): Promise<Ended> {
  return new Promise((resolve) => {
    const options = { timeout: timeoutMs, maxBuffer: OUTPUT_BYTES_MAX };
    execFile(program, args, options, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : -1;
      resolve({ code, stdout, stderr: error !== null && code === -1 ? `${error.message}\n${stderr}` : stderr });
    });
  });
}

/** Path of the tool, built when it is not there; or why there is none. */
export function h2specTool(progress: (line: string) => void): Promise<FoundTool> {
  return builtGoTool(H2SPEC, progress);
}

export async function runH2spec(tool: string, target: H2Target): Promise<CaseResult[]> {
  const set = `h2spec-${target.name}`;
  const directory = mkdtempSync(join(tmpdir(), 'cnx-h2spec-'));
  const report = join(directory, 'report.xml');
  try {
    const tls = target.tls === undefined ? [] : ['--tls', '--insecure'];
    const place = ['--host', target.host, '--port', String(target.port), '--timeout', String(WAIT_S)];
    const ended = await run(tool, ['--strict', ...place, ...tls, '--junit-report', report], RUN_TIMEOUT_MS);
    if (!existsSync(report)) {
      const got = `code ${ended.code}: ${(ended.stderr || ended.stdout).trim().slice(-300)}`;
      return [{ id: `${set}/run`, set, mark: 'fail', stall: false, expected: 'a report', got, outcome: 'lost' }];
    }
    return readJunit(set, readFileSync(report, 'utf8'));
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** h2spec's report: a case has nothing in it, or `<error>` with what was expected and, on the last line, what came; `<skipped>`: not applicable to the answers it got. */
export function readJunit(set: string, xml: string): CaseResult[] {
  const results: CaseResult[] = [];
  const counts = new Map<string, number>();
  const pattern = /<testcase package="([^"]*)" classname="([^"]*)"[^>]*?(?:\/>|>(.*?)<\/testcase>)/gs;
  for (const [, place = '', title = '', content = ''] of xml.matchAll(pattern)) {
    const number = (counts.get(place) ?? 0) + 1;
    counts.set(place, number);
    const fault = /<(?:error|failure)[^>]*>(.*?)<\/(?:error|failure)>/s.exec(content)?.[1];
    const lines = unescape(fault ?? '')
      .trim()
      .split('\n');
    const one = { id: `${set}/${place}/${number}`, set };
    const wanted = unescape(title);
    if (fault !== undefined) {
      const got = lines.at(-1) ?? '';
      const expected = `${wanted}: ${lines.slice(0, -1).join(' or ')}`;
      const stall = /^timeout$/i.test(got.trim());
      results.push({ ...one, mark: 'fail', stall, expected, got, outcome: stall ? 'stalled' : 'failed' });
    } else if (content.includes('<skipped')) {
      results.push({
        ...one,
        mark: 'warn',
        stall: false,
        expected: wanted,
        got: 'skipped by h2spec: the answer is too short for it',
        outcome: 'skipped',
      });
    } else {
      results.push({ ...one, mark: 'pass', stall: false, expected: wanted, got: 'as expected', outcome: 'passed' });
    }
  }
  if (results.length === 0) throw new Error('the report of h2spec has no cases');
  return results;
}

const ENTITIES: Readonly<Record<string, string>> = { lt: '<', gt: '>', amp: '&', quot: '"', apos: "'" };

function unescape(text: string): string {
  return text
    .replace(/&#(x?)([0-9a-f]+);/gi, (_, hex: string, digits: string) =>
      String.fromCodePoint(Number.parseInt(digits, hex === '' ? 10 : 16)),
    )
    .replace(/&(lt|gt|amp|quot|apos);/g, (_, name: string) => ENTITIES[name] ?? '');
}
