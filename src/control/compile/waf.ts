/** WAF rules: compiled once into the process-wide registry; each route that differs gets a profile over the same program. */
import type { BundleConfig } from '../../config/bundle.ts';
import { ANSWER_BODY_BYTES, ANSWER_TYPES, type RouteWaf, type WafExclusion } from '../../config/waf-tuning.ts';
import type { WafConfig } from '../../config/waf.ts';
import type { Addon } from '../../native.ts';
import {
  WAF_WORK_MAX_DEFAULT,
  wafDiagnostics,
  type WafDiagnostic,
  type WafExclusion as NativeExclusion,
  type WafProfileOptions,
} from '../../native/waf.ts';
import type { NativeHandle } from '../../snapshot/snapshot.ts';
import type { WafAnswerPlan, WafRoutePlan } from '../../snapshot/route-plans.ts';
import type { BundleFiles } from '../build/bundle-directory.ts';
import type { Report } from './report.ts';
import { expressionsOf, listsOf, localPlace, pointerOf } from './waf-expressions.ts';
import { sourcesOf, UPDATES_SOURCE, updatePath } from './waf-sources.ts';
import { variablesOf } from './waf-variables.ts';

/** Without rules nothing is inspected: whoever wrote that it is must hear of it. */
const NO_RULES = 'nothing would be inspected: waf.yaml names no rules; add `rules: […]`, or say `mode: off`';
const OFF: WafRoutePlan = {
  mode: 'off',
  profile: -1,
  bodyBytes: 0,
  beyond: 'refuse',
  coded: 'refuse',
  exhausted: 'block',
  queueFull: 'refuse',
  detectSample: 0,
  answer: null,
};

/** What is compiled: the documents that speak of the WAF. */
export type WafInput = Pick<BundleConfig, 'waf' | 'routes'>;

export class WafCompiler {
  /** Handle of the program; -1 when there are no rules or they are wrong. */
  readonly program: NativeHandle;
  readonly #native: Addon;
  readonly #config: WafConfig;
  readonly #report: Report;
  /** Profiles by what they say: routes that say the same share one. */
  readonly #profiles = new Map<string, NativeHandle>();
  readonly #hasRules: boolean;
  /** Paths of routes by what they say of the WAF. */
  readonly #routes: ReadonlyMap<RouteWaf | undefined, string>;

  /** `modeIsWritten`: the mode stands in the document and is not the default. */
  constructor(native: Addon, input: WafInput, files: BundleFiles, report: Report, modeIsWritten = false) {
    this.#native = native;
    this.#config = input.waf;
    this.#report = report;
    this.#routes = new Map(input.routes.routes.map((r, i) => [r.waf, `/routes/${i}`]));
    this.#hasRules =
      files.seclang.length > 0 ||
      input.waf.rules.length > 0 ||
      input.routes.routes.some((r) => (r.waf?.rules ?? []).length > 0);
    this.program = this.#hasRules ? this.#compile(input, files) : -1;
    if (!this.#hasRules && modeIsWritten && input.waf.mode !== 'off') report('waf', '/mode', NO_RULES);
  }

  #compile(input: WafInput, files: BundleFiles): NativeHandle {
    const sources = sourcesOf(input.waf, answerTypesOf(input), files.seclang);
    try {
      return this.#native.wafCompile(
        [...files.seclangData, ...sources].map((f) => ({ name: f.name, bytes: f.bytes })),
        {
          expressions: expressionsOf(
            input,
            sources.map((f) => f.name),
          ),
          lists: listsOf(input.waf),
        },
      );
    } catch (error) {
      for (const p of wafDiagnostics(error) ?? [unknown(error)]) {
        const mend = p.mend === '' ? '' : `; ${p.mend}`;
        const pointer = pointerOf(p.file);
        if (pointer !== null) this.#report(pointer.part, pointer.path, `${p.message}${mend}`);
        else if (p.file === UPDATES_SOURCE)
          this.#report('waf', updatePath(this.#config, p.line), `${p.message}${mend}`);
        else this.#report('waf', '/rules', `${p.file}:${p.line}: ${p.message}${mend}`);
      }
      return -1;
    }
  }

  /** Some rule reads what TLS handshakes told. */
  get readsTls(): boolean {
    return this.program !== -1 && this.#native.wafStats(this.program).readsTls;
  }

  /** The plan of a route: its own words over those of `waf.yaml`. */
  plan(route: RouteWaf | undefined, path: string): WafRoutePlan {
    const c = this.#config;
    if (!this.#hasRules && route?.mode !== undefined && route.mode !== 'off')
      this.#report('routes', `${path}/waf/mode`, NO_RULES);
    const mode = this.program === -1 ? 'off' : (route?.mode ?? c.mode);
    if (mode === 'off') return OFF;
    // What is only watched is not stopped for being too long, coded or costly either, unless somebody says so.
    const watched = mode === 'detect';
    const answer = answerOf(c, route);
    return {
      mode,
      profile: this.#profile(mode, answer !== null, route, path),
      bodyBytes: route?.bodyBytes ?? c.bodyBytes,
      beyond: route?.beyond ?? c.beyond ?? (watched ? 'partial' : 'refuse'),
      coded: route?.coded ?? c.coded ?? (watched ? 'pass' : 'refuse'),
      exhausted: route?.exhausted ?? c.exhausted ?? (watched ? 'log' : 'block'),
      queueFull: route?.queueFull ?? c.queueFull ?? 'refuse',
      detectSample: watched ? (route?.detectSample ?? c.detectSample ?? 1) : 1,
      answer,
    };
  }

  #profile(mode: 'detect' | 'block', answers: boolean, route: RouteWaf | undefined, path: string): NativeHandle {
    const c = this.#config;
    const options: WafProfileOptions = {
      mode,
      answers,
      workMax: route?.workMax ?? c.workMax ?? WAF_WORK_MAX_DEFAULT,
      exclusions: [...c.exclude, ...(route?.exclude ?? [])].map(exclusionOf),
      variables: variablesOf(c, route),
      localRules: (route?.rules ?? []).map((_, i) => localPlace(this.#routes.get(route) ?? path, i)),
    };
    const key = JSON.stringify(options);
    const known = this.#profiles.get(key);
    if (known !== undefined) return known;
    let profile = -1;
    try {
      profile = this.#native.wafProfile(this.program, options);
    } catch (error) {
      this.#report('routes', `${path}/waf`, error instanceof Error ? error.message : String(error));
    }
    this.#profiles.set(key, profile);
    return profile;
  }

  /** Takes the program and its profiles out of the registry. */
  release(): void {
    if (this.program !== -1) this.#native.wafRelease(this.program);
  }
}

/** How answers of a route are inspected; null: they are not. */
export function answerOf(config: WafConfig, route: RouteWaf | undefined): WafAnswerPlan | null {
  const r = { ...config.responses, ...route?.responses };
  if (r.inspect !== true) return null;
  return {
    bodyBytes: r.bodyBytes ?? ANSWER_BODY_BYTES,
    beyond: r.beyond ?? 'pass',
    coded: r.coded ?? 'decode',
    types: r.types ?? ANSWER_TYPES,
  };
}

/** Media types whose bodies some route inspects. */
function answerTypesOf({ waf, routes }: WafInput): readonly string[] {
  const types = new Set<string>();
  for (const { waf: route } of routes.routes) for (const type of answerOf(waf, route)?.types ?? []) types.add(type);
  return [...types].toSorted();
}

function exclusionOf(e: WafExclusion): NativeExclusion {
  return {
    ...(e.rule === undefined && e.rules === undefined ? {} : { rules: e.rules ?? `${e.rule}` }),
    ...(e.tag === undefined ? {} : { tag: e.tag }),
    ...(e.message === undefined ? {} : { message: e.message }),
    ...(e.target === undefined ? {} : { target: e.target }),
  };
}

/** Not a list of diagnostics: the addon failed otherwise, and its words say how. */
function unknown(error: unknown): WafDiagnostic {
  return { file: 'waf', line: 0, message: error instanceof Error ? error.message : String(error), mend: '' };
}
