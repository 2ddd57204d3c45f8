/** Rules as the commands take them: a bundle directory, a Core Rule Set, or files. */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { Value } from 'typebox/value';
import { ConfigError, type Problem } from '../../config/document.ts';
import type { RouteWaf } from '../../config/waf-tuning.ts';
import { WafConfig } from '../../config/waf.ts';
import { type BundleFiles, readBundleDirectory } from '../../control/build/bundle-directory.ts';
import { type WafInput, WafCompiler } from '../../control/compile/waf.ts';
import { readCrs } from '../../control/crs/directory.ts';
import { LOCK_FILE } from '../../control/crs/lock.ts';
import { readRelease } from '../../control/crs/release.ts';
import { findOpa } from '../../control/policy/rego.ts';
import { native } from '../../native.ts';
import type { WafRoutePlan } from '../../snapshot/route-plans.ts';
import type { RawRequest } from './raw-message.ts';
import { routeOf } from './route-of.ts';
import { UsageError } from '../command.ts';

/** Rules that are compiled; `release` gives them back. */
export class RuleSet {
  readonly #compiler: WafCompiler;
  readonly #input: WafInput;
  readonly #problems: Problem[] = [];

  constructor(input: WafInput, files: BundleFiles) {
    this.#input = input;
    this.#compiler = new WafCompiler(native(), input, files, (file, path, message) =>
      this.#problems.push({ file, line: 0, column: 0, path, message }),
    );
    if (this.#compiler.program === -1 && this.#problems.length === 0)
      this.#problems.push({ file: 'waf', line: 0, column: 0, path: '', message: 'there are no rules' });
    this.#stop();
  }

  get program(): number {
    return this.#compiler.program;
  }

  /** What a route says of the WAF; undefined: nothing, so that `waf.yaml` alone counts. Throws when there is no such route. */
  route(id: string): RouteWaf | undefined {
    const { routes } = this.#input.routes;
    const found = routes.find((r) => r.id === id);
    if (found === undefined)
      throw new UsageError(`there is no route "${id}"; there are ${routes.map((r) => r.id).join(', ') || 'none'}`);
    return found.waf;
  }

  /** Id of the route that takes a request; undefined: none does. */
  routeOf(request: RawRequest): string | undefined {
    const { routes } = this.#input.routes;
    return routes[routeOf(routes, request)]?.id;
  }

  /** There are routes to choose from. */
  get hasRoutes(): boolean {
    return this.#input.routes.routes.length > 0;
  }

  get mode(): WafConfig['mode'] {
    return this.#input.waf.mode;
  }

  /** A plan for these words, with the expressions of the route of that id. Throws ConfigError when they cannot be followed. */
  plan(words: RouteWaf, id: string | undefined): WafRoutePlan {
    const plan = this.#compiler.plan(words, `/routes/${this.#input.routes.routes.findIndex((r) => r.id === id)}`);
    this.#stop();
    return plan;
  }

  release(): void {
    this.#compiler.release();
  }

  #stop(): void {
    if (this.#problems.length === 0) return;
    this.#compiler.release();
    throw new ConfigError(this.#problems);
  }
}

/** Opens rules by their paths. Throws ConfigError and UsageError. */
export async function openRules(paths: readonly string[], searchPath: string | undefined): Promise<RuleSet> {
  const [first, ...more] = paths;
  if (first === undefined) throw new UsageError('a bundle directory, or files with rules, are expected');
  if (statSync(first).isDirectory()) {
    if (more.length > 0) throw new UsageError(`${first} is a directory: it is given alone`);
    if (!existsSync(join(first, LOCK_FILE)) && !existsSync(join(first, 'rules'))) {
      const { config, files } = await readBundleDirectory(first, findOpa(searchPath));
      return new RuleSet(config, files);
    }
    return new RuleSet(
      {
        waf: { ...Value.Create(WafConfig), mode: 'block', crs: { dir: 'crs', before: [], plugins: [] } },
        routes: { routes: [] },
      },
      crsOf(first),
    );
  }
  const files = paths.map((path) => ({ name: path, bytes: readFileSync(path) }));
  const isRules = (name: string): boolean => /\.conf(\.example)?$/.test(name);
  return new RuleSet(
    { waf: { ...Value.Create(WafConfig), mode: 'block' }, routes: { routes: [] } },
    {
      seclang: files.filter((f) => isRules(f.name)),
      // Rules name phrase files without their directory.
      seclangData: files.filter((f) => !isRules(f.name)).map((f) => ({ ...f, name: basename(f.name) })),
      modules: new Map(),
    },
  );
}

/** A Core Rule Set without a bundle around it: with its lock, or as a release has it. */
function crsOf(dir: string): BundleFiles {
  const named = (path: string, bytes: Uint8Array): { name: string; bytes: Uint8Array } => ({
    name: `crs/${path}`,
    bytes,
  });
  if (existsSync(join(dir, LOCK_FILE))) {
    const problems: Problem[] = [];
    const set = readCrs(dir, (message) => problems.push({ file: dir, line: 0, column: 0, path: '', message }));
    if (set === null) throw new ConfigError(problems);
    return {
      seclang: [set.setup, ...set.rules].map((f) => named(f.path, f.bytes)),
      seclangData: set.data.map((f) => named(f.path, f.bytes)),
      modules: new Map(),
    };
  }
  const files = [...readRelease(dir).files].toSorted(([a], [b]) => (a < b ? -1 : 1));
  return {
    seclang: files
      .filter(([path]) => path.startsWith('crs-setup.conf') || /^rules\/.*\.conf$/.test(path))
      .map(([path, bytes]) => named(path, bytes)),
    seclangData: files.filter(([path]) => path.endsWith('.data')).map(([path, bytes]) => named(path, bytes)),
    modules: new Map(),
  };
}
