/**
 * Everything that CI checks, in one command; what is cheap comes first. A step's whole output lies in `.cnx/test/<step>.log`; what failed is shown. `npm test -- lint types`
 * runs only these steps.
 */
import { spawn, type StdioOptions } from 'node:child_process';
import { closeSync, globSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildAddon, needCargo } from './addon.ts';
import { buildBinary } from './build.ts';
import { needDebian } from './debian.ts';
import { cargoCounts, type Counts, nodeCounts } from './test-counts.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const native = join(root, 'native');
const logs = join(root, '.cnx/test');
/** Longest run of one step, minutes: for what hangs. The longest takes nine minutes on two cores that nobody else wants. */
const STEP_MINUTES_MAX = 40;
/** Longest run of one test file, milliseconds: far more than any needs, even on a busy machine. */
const TEST_FILE_MS_MAX = 300_000;
/** Lines of a failed step that are shown; its log has all. */
const LINES_SHOWN = 300;
/** What tests start beside the gateway. */
const TOOLS = [
  'docker-registry',
  'htpasswd',
  'skopeo',
  'openssl',
  'curl',
  'nghttp',
  'h2load',
  'slowhttptest',
  'chromium-headless-shell',
  'c++',
  '/usr/include/modsecurity/modsecurity.h',
  '/usr/share/modsecurity-crs/rules',
];

interface Step {
  readonly name: string;
  /** Steps without whose success this one says nothing. */
  readonly needs?: readonly string[];
  readonly run: () => Promise<Outcome>;
}
interface Outcome {
  readonly ok: boolean;
  /** Lines that are shown also when all went well. */
  readonly closing?: readonly string[];
  /** A few words for the summary. */
  readonly said?: string;
}

/** Process group of the step that runs, so that nothing of it outlives this process. */
let group: number | null = null;
function endGroup(): void {
  if (group === null) return;
  try {
    process.kill(-group, 'SIGKILL');
  } catch (error) {
    // Gone already.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    endGroup();
    process.exit(130);
  });
}

/** Runs a command into its log; resolves with its exit code and the text. */
function logged(
  name: string,
  argv: readonly string[],
  cwd: string,
  env: NodeJS.ProcessEnv = {},
): Promise<{ code: number; text: string }> {
  const log = join(logs, `${name.replaceAll(/[^a-z0-9]+/gi, '-')}.log`);
  const to = openSync(log, 'w');
  const stdio: StdioOptions = ['ignore', to, to];
  const [file = '', ...args] = argv;
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { cwd, stdio, detached: true, env: { ...process.env, FORCE_COLOR: '0', ...env } });
    group = child.pid ?? null;
    const timer = setTimeout(endGroup, STEP_MINUTES_MAX * 60_000);
    const end = (): void => {
      clearTimeout(timer);
      closeSync(to);
      endGroup();
      group = null;
    };
    child.once('error', (error) => {
      end();
      reject(error);
    });
    child.once('exit', (code, signal) => {
      end();
      const late = signal === null ? '' : `\nended by ${signal} (a step may take ${STEP_MINUTES_MAX} minutes)\n`;
      resolve({ code: code ?? 1, text: readFileSync(log, 'utf8') + late });
    });
  });
}

function show(text: string): void {
  console.log(text.trimEnd().split('\n').slice(-LINES_SHOWN).join('\n'));
}

function command(
  name: string,
  argv: readonly string[],
  cwd = root,
  more: Partial<Step> = {},
  env: NodeJS.ProcessEnv = {},
): Step {
  return {
    name,
    run: async () => {
      const { code, text } = await logged(name, argv, cwd, env);
      if (code !== 0) show(text);
      return { ok: code === 0 };
    },
    ...more,
  };
}

/** A test runner: beside its exit code, something must have run and nothing may have been left out. */
function suite(
  name: string,
  argv: readonly string[],
  cwd: string,
  needs: readonly string[],
  count: (text: string) => Counts,
  env: NodeJS.ProcessEnv = {},
): Step {
  return {
    name,
    needs,
    run: async () => {
      const { code, text } = await logged(name, argv, cwd, env);
      const { passed, closing, problem } = count(text);
      if (code !== 0) show(text);
      if (problem !== null) console.log(`${name}: ${problem}`);
      return { ok: code === 0 && problem === null, closing, said: `${passed} passed` };
    },
  };
}

function now(name: string, act: () => void | Promise<unknown>, needs: readonly string[] = []): Step {
  return {
    name,
    needs,
    run: async () => {
      await act();
      return { ok: true };
    },
  };
}

/** Test files at once. A file with gateways is several threads, and waits about as long as it computes. */
const AT_ONCE = availableParallelism();
/** Rust tests at once: those over sockets wait for deadlines most of their time. */
const RUST_TESTS_AT_ONCE = 2 * availableParallelism();

function testFiles(): string[] {
  return globSync('{src,test,bench,scripts}/**/*.test.ts', { cwd: root }).sort();
}

/** What is linked with libFuzzer is only checked: without this libFuzzer would be compiled. `cargo test` runs the same targets, with the same inputs each time. */
const FUZZ_CRATES = ['-p', 'cnx-fuzz-waf', '-p', 'cnx-fuzz-transport'];
const fuzzEnv = { CUSTOM_LIBFUZZER_PATH: '/none/libfuzzer.a' };

const node = [process.execPath, '--disable-warning=ExperimentalWarning'];
const STEPS: readonly Step[] = [
  command('format', ['biome', 'format', '.']),
  command('lint', ['oxlint', '--type-aware', '--deny-warnings']),
  command('types', ['tsc', '--noEmit', '--pretty', 'false']),
  now('cargo', needCargo),
  command('rustfmt', ['cargo', 'fmt', '--all', '--check'], native, { needs: ['cargo'] }),
  now('debian packages', () => needDebian(TOOLS)),
  now('addon', buildAddon, ['cargo']),
  command('clippy', ['cargo', 'clippy', '--locked', '--workspace', '--all-targets', '--', '-D', 'warnings'], native, {
    needs: ['cargo'],
  }),
  command(
    'clippy fuzz',
    ['cargo', 'clippy', '--locked', ...FUZZ_CRATES, '--features', 'libfuzzer', '--bins', '--', '-D', 'warnings'],
    native,
    { needs: ['cargo'] },
    fuzzEnv,
  ),
  suite('cargo test', ['cargo', 'test', '--locked', '--workspace'], native, ['cargo', 'debian packages'], cargoCounts, {
    RUST_TEST_THREADS: String(RUST_TESTS_AT_ONCE),
  }),
  command('generated files', [...node, join(root, 'scripts/generate.ts'), '--check'], root, { needs: ['cargo'] }),
  now('binary', buildBinary, ['addon']),
  suite(
    'node:test',
    [
      ...node,
      '--test',
      '--test-reporter=spec',
      `--test-concurrency=${AT_ONCE}`,
      `--test-timeout=${TEST_FILE_MS_MAX}`,
      ...testFiles(),
    ],
    root,
    ['addon', 'binary', 'debian packages'],
    nodeCounts,
  ),
];

async function runStep(step: Step, failed: ReadonlySet<string>): Promise<Outcome> {
  const missing = step.needs?.find((name) => failed.has(name));
  if (missing !== undefined) return { ok: false, said: `not run: needs ${missing}` };
  try {
    return await step.run();
  } catch (error) {
    console.log(error instanceof Error ? error.message : error);
    return { ok: false };
  }
}

async function main(only: readonly string[]): Promise<void> {
  const unknown = only.filter((name) => !STEPS.some((step) => step.name === name));
  if (unknown.length > 0)
    throw new Error(`no such step: ${unknown.join(', ')}; there are: ${STEPS.map((step) => step.name).join(', ')}`);
  mkdirSync(logs, { recursive: true });
  const begin = Date.now();
  const failed = new Set<string>();
  const rows: string[] = [];
  const seconds = (from: number): string => `${((Date.now() - from) / 1_000).toFixed(1).padStart(7)} s`;
  for (const step of STEPS) {
    if (only.length > 0 && !only.includes(step.name)) continue;
    const from = Date.now();
    console.log(`▸ ${step.name}`);
    const { ok, closing = [], said = '' } = await runStep(step, failed);
    for (const line of closing) console.log(`  ${line}`);
    if (!ok) failed.add(step.name);
    rows.push(`${ok ? '✔' : '✖'} ${step.name.padEnd(16)}${seconds(from)}   ${said}`.trimEnd());
  }
  const all = failed.size === 0 ? 'all checks passed' : `failed: ${[...failed].join(', ')}; logs in .cnx/test/`;
  console.log(`\n${rows.join('\n')}\n${' '.repeat(18)}${seconds(begin)}\n\n${all}`);
  process.exitCode = failed.size === 0 ? 0 : 1;
}

main(process.argv.slice(2)).catch((error: unknown) => {
  console.error(`npm test: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 2;
});
