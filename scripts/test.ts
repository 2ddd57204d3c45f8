/** Everything that CI checks, in one command: formatting, lint, types, native and TypeScript tests, generated files, the single binary. */
import { spawn } from 'node:child_process';
import { globSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildAddon } from './addon.ts';
import { needDebian } from './debian.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const native = join(root, 'native');
const logs = join(root, '.cnx/test');
/** Longest run of one step, minutes. */
const STEP_MINUTES_MAX = 25;

interface Step {
  readonly name: string;
  readonly run: () => Promise<Outcome> | Outcome;
}
interface Outcome {
  readonly ok: boolean;
  /** Lines that are shown also when all went well. */
  readonly closing?: readonly string[];
}

function command(name: string, argv: readonly string[], cwd = root, closing?: RegExp): Step {
  return {
    name,
    run: () =>
      new Promise((resolve) => {
        const [file = '', ...args] = argv;
        const child = spawn(file, args, {
          cwd,
          stdio: ['ignore', 'pipe', 'pipe'],
          env: { ...process.env, FORCE_COLOR: '0' },
        });
        const chunks: Buffer[] = [];
        child.stdout.on('data', (c: Buffer) => chunks.push(c));
        child.stderr.on('data', (c: Buffer) => chunks.push(c));
        const timer = setTimeout(() => child.kill('SIGKILL'), STEP_MINUTES_MAX * 60_000);
        const end = (code: number | null, why = ''): void => {
          clearTimeout(timer);
          const text = Buffer.concat(chunks).toString('utf8') + why;
          writeFileSync(join(logs, `${name.replaceAll(/[^a-z0-9]+/gi, '-')}.log`), text);
          const lines = text.split('\n');
          if (code !== 0) process.stdout.write(`${lines.slice(-400).join('\n')}\n`);
          const found = closing === undefined ? [] : lines.filter((l) => closing.test(l));
          resolve({ ok: code === 0, closing: found });
        };
        child.on('error', (error) => end(1, `${error.message}\n`));
        child.on('close', (code) => end(code));
      }),
  };
}

function nodeTests(): Step {
  const files = globSync(['src/**/*.test.ts', 'test/**/*.test.ts', 'bench/**/*.test.ts', 'scripts/**/*.test.ts'], {
    cwd: root,
  })
    .filter((f) => !f.includes('node_modules'))
    .sort();
  const step = command(
    'node:test',
    [
      process.execPath,
      '--disable-warning=ExperimentalWarning',
      '--test',
      '--test-reporter=spec',
      '--test-timeout=300000',
      ...files,
    ],
    root,
    /^ℹ (tests|pass|fail|skipped|todo|cancelled|duration_ms) /,
  );
  return {
    name: step.name,
    run: async () => {
      const outcome = await step.run();
      const count = (word: string): number =>
        Number(outcome.closing?.find((l) => l.startsWith(`ℹ ${word} `))?.split(' ')[2] ?? Number.NaN);
      const ran = count('tests') > 0 && count('skipped') === 0 && count('todo') === 0;
      if (outcome.ok && !ran) console.log('node:test: nothing ran, or something was skipped');
      return { ...outcome, ok: outcome.ok && ran };
    },
  };
}

function cargoTests(): Step {
  const step = command('cargo test', ['cargo', 'test', '--locked', '--workspace'], native, /^test result: /);
  return {
    name: step.name,
    run: async () => {
      const outcome = await step.run();
      const passed = (outcome.closing ?? []).reduce((sum, l) => sum + Number(/(\d+) passed/.exec(l)?.[1] ?? 0), 0);
      if (outcome.ok && passed === 0) console.log('cargo test: nothing ran');
      return { ...outcome, ok: outcome.ok && passed > 0 };
    },
  };
}

const STEPS: readonly Step[] = [
  command('format', ['biome', 'format', '.']),
  command('rustfmt', ['cargo', 'fmt', '--all', '--check'], native),
  command('lint', ['oxlint', '--type-aware', '--deny-warnings']),
  command('types', ['tsc', '--noEmit']),
  {
    name: 'debian tools',
    run: () => (needDebian(['docker-registry', 'htpasswd', 'skopeo', 'openssl', 'curl']), { ok: true }),
  },
  { name: 'addon', run: () => (buildAddon(), { ok: true }) },
  command('clippy', ['cargo', 'clippy', '--locked', '--workspace', '--all-targets', '--', '-D', 'warnings'], native),
  cargoTests(),
  command('generated files', [process.execPath, join(root, 'scripts/generate.ts'), '--check']),
  command('binary', [process.execPath, join(root, 'scripts/build.ts')]),
  nodeTests(),
];

mkdirSync(logs, { recursive: true });
const only = process.argv.slice(2);
const rows: string[] = [];
let failed = 0;
for (const step of STEPS) {
  if (only.length > 0 && !only.includes(step.name)) continue;
  const from = Date.now();
  process.stdout.write(`— ${step.name}\n`);
  let outcome: Outcome;
  try {
    outcome = await step.run();
  } catch (error) {
    console.log(error instanceof Error ? error.message : error);
    outcome = { ok: false };
  }
  for (const line of outcome.closing ?? []) console.log(line);
  if (!outcome.ok) failed++;
  rows.push(
    `${outcome.ok ? 'ok    ' : 'FAILED'} ${step.name.padEnd(18)} ${((Date.now() - from) / 1000).toFixed(1).padStart(7)} s`,
  );
}
console.log(
  `\n${rows.join('\n')}\n${failed === 0 ? 'all checks passed' : `${failed} check(s) failed; logs in .cnx/test/`}`,
);
process.exitCode = failed === 0 && rows.length > 0 ? 0 : 1;
