/** Plans that the engine and its peers run alike, and the programs that run them: see native/waf/examples/plan.rs. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { WafRequest } from './requests.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const peers = join(root, 'bench/peers');
const CRS = join(root, '../shared/data/crs-4.28.0');
/** The core that programs run on: one alone, so that helpers on others (Go collects garbage on all) count. */
const CORE = String(availableParallelism() - 1);
/** Longest build of a program. */
const BUILD_MS_MAX = 600_000;

/** What stands before the rule set: the lines of the recommended configuration that matter to a bench. */
const BEFORE = `SecRuleEngine DetectionOnly
SecRequestBodyAccess On
SecRequestBodyLimit 13107200
SecRequestBodyLimitAction Reject
SecResponseBodyAccess Off
SecAuditEngine Off
SecRule REQUEST_HEADERS:Content-Type "^(?:application(?:/soap\\+|/)|text/)xml" "id:200000,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=XML"
SecRule REQUEST_HEADERS:Content-Type "^application/json" "id:200001,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=JSON"
`;

/** A program that runs plans. */
export interface Runner {
  readonly name: string;
  readonly command: readonly string[];
}

/** What a program says of a request. */
export interface Timing {
  readonly ns: number;
  readonly ids: readonly number[];
}

/** What a program says of a plan; numbers that it does not say are absent. */
export interface Result {
  readonly numbers: ReadonlyMap<string, number>;
  readonly requests: ReadonlyMap<string, Timing>;
  /** Medians when every value is new. */
  readonly fresh: ReadonlyMap<string, number>;
  /** What it wrote to standard error. */
  readonly said: string;
  /** It did not end in time. */
  readonly stopped: boolean;
}

/** A directory with rule files and requests, gone when the process ends. */
export class PlanDirectory {
  readonly path: string = mkdtempSync(join(tmpdir(), 'cnx-waf-bench-'));
  #count = 0;

  constructor() {
    if (!existsSync(CRS)) throw new Error(`${CRS} is missing: the bench waf needs the rule set`);
    process.once('exit', () => rmSync(this.path, { recursive: true, force: true }));
  }

  /** Writes a plan at a paranoia level; its path. */
  write(paranoia: number, requests: readonly WafRequest[], how: { millis: number } | { times: number }): string {
    const folder = join(this.path, String(this.#count++));
    mkdirSync(folder);
    const file = (name: string, content: string | Buffer): string => {
      writeFileSync(join(folder, name), content);
      return join(folder, name);
    };
    const level = ['blocking', 'detection'].map((kind) => `setvar:tx.${kind}_paranoia_level=${paranoia}`).join();
    const rules = readdirSync(join(CRS, 'rules')).filter((name) => name.endsWith('.conf'));
    const lines = [
      `rules\t${file('before.conf', BEFORE)}`,
      `rules\t${join(CRS, 'crs-setup.conf.example')}`,
      `rules\t${file('level.conf', `SecAction "id:900000,phase:1,pass,t:none,nolog,${level}"\n`)}`,
      ...rules.sort().map((name) => `rules\t${join(CRS, 'rules', name)}`),
      ...Object.entries(how).map(([word, n]) => `${word}\t${n}`),
      ...requests.map((r, i) => `request\t${file(`${i}.http`, r.bytes)}\t${r.name}`),
    ];
    return file('plan', `${lines.join('\n')}\n`);
  }
}

/** Runs a plan on one core; a program that does not end in time is stopped. */
export function run(runner: Runner, plan: string, limitMs: number, env: NodeJS.ProcessEnv = {}): Result {
  const [program = '', ...args] = runner.command;
  const child = spawnSync('taskset', ['-c', CORE, program, plan, ...args], {
    encoding: 'utf8',
    timeout: limitMs,
    killSignal: 'SIGKILL',
    env: { ...process.env, ...env },
  });
  const stopped = child.error !== undefined && 'code' in child.error && child.error.code === 'ETIMEDOUT';
  if (!stopped && child.status !== 0) throw new Error(`${runner.name}: ${child.error?.message ?? child.stderr}`);
  const numbers = new Map<string, number>();
  const requests = new Map<string, Timing>();
  const fresh = new Map<string, number>();
  for (const line of child.stdout.trim().split('\n')) {
    const [word = '', name = '', ns, ids = ''] = line.split('\t');
    if (word === 'request') requests.set(name, { ns: Number(ns), ids: ids.split(',').filter(Boolean).map(Number) });
    else if (word === 'fresh') fresh.set(name, Number(ns));
    else if (word !== '') numbers.set(word, Number(name));
  }
  return { numbers, requests, fresh, said: child.stderr, stopped };
}

function build(command: readonly string[], cwd: string): string | null {
  const [program = '', ...args] = command;
  const child = spawnSync(program, args, { cwd, encoding: 'utf8', timeout: BUILD_MS_MAX });
  return child.status === 0 ? null : (child.error?.message ?? child.stderr.trim());
}

/** The engine. */
export function engine(): Runner {
  const native = join(root, 'native');
  const failed = build(['cargo', 'build', '--locked', '--release', '-p', 'cnx-waf', '--example', 'plan'], native);
  if (failed !== null) throw new Error(failed);
  const target = process.env['CARGO_TARGET_DIR'] ?? join(native, 'target');
  return { name: 'gateway', command: [join(target, 'release/examples/plan')] };
}

/** libmodsecurity, or why it is not there. */
export function libmodsecurity(directory: string): Runner | string {
  const program = join(directory, 'libmodsecurity');
  const failed = build(['cc', '-O2', '-o', program, join(peers, 'libmodsecurity/plan.c'), '-lmodsecurity'], root);
  if (failed !== null) return `${failed}\napt-get install -y --no-install-recommends gcc libmodsecurity-dev`;
  return { name: 'libmodsecurity', command: [program] };
}

/** Coraza as it comes, with its prefilter, and with RE2 and the prefilter; or why it is not there. */
export function coraza(directory: string): readonly Runner[] | string {
  const program = join(directory, 'coraza');
  const failed = build(['go', 'build', '-mod=readonly', '-buildvcs=false', '-o', program, '.'], join(peers, 'coraza'));
  if (failed !== null) return failed;
  return [
    { name: 'coraza', command: [program] },
    { name: 'coraza-prefilter', command: [program, 'prefilter'] },
    { name: 'coraza-re2', command: [program, 'prefilter', 're2'] },
  ];
}

/** A library that counts allocations of the program it is loaded into; its path. */
export function allocationCounter(directory: string): string {
  const library = join(directory, 'allocations.so');
  const failed = build(['cc', '-O2', '-shared', '-fPIC', '-o', library, join(peers, 'allocations.c')], root);
  if (failed !== null) throw new Error(failed);
  return library;
}
