/** WAF rules: compiled once into the process-wide registry; each route that differs gets a profile over the same program. */
import type { WafConfig } from '../../config/waf.ts';
import type { RouteWaf } from '../../config/route.ts';
import type { Addon } from '../../native.ts';
import type { NativeHandle, WafRoutePlan } from '../../snapshot/snapshot.ts';
import type { BundleFiles } from '../build/bundle-directory.ts';
import type { Report } from './report.ts';

/** Without rules nothing is inspected: whoever wrote that it is must hear of it. */
const NO_RULES = 'nothing would be inspected: waf.yaml names no rules; add `rules: […]`, or say `mode: off`';

/** A rule file's problem as the addon says it. */
interface RuleProblem {
  readonly file: string;
  readonly line: number;
  readonly message: string;
  readonly mend: string;
}

export class WafCompiler {
  /** Handle of the program; -1 when there are no rules or they are wrong. */
  readonly program: NativeHandle;
  readonly #native: Addon;
  readonly #config: WafConfig;
  readonly #report: Report;
  /** Profiles by what they say: routes that say the same share one. */
  readonly #profiles = new Map<string, NativeHandle>();

  /** `modeIsWritten`: the mode stands in the document and is not the default. */
  constructor(native: Addon, config: WafConfig, files: BundleFiles, report: Report, modeIsWritten = false) {
    this.#native = native;
    this.#config = config;
    this.#report = report;
    this.program = config.rules.length === 0 ? -1 : this.#compile(files);
    if (config.rules.length === 0 && modeIsWritten && config.mode !== 'off') report('waf', '/mode', NO_RULES);
  }

  #compile(files: BundleFiles): NativeHandle {
    try {
      return this.#native.wafCompile(
        [...files.seclangData, ...files.seclang].map((f) => ({ name: f.name, bytes: f.bytes })),
        {},
      );
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      for (const p of problemsOf(message))
        this.#report('waf', '/rules', `${p.file}:${p.line}: ${p.message}${p.mend === '' ? '' : `; ${p.mend}`}`);
      return -1;
    }
  }

  /** The plan of a route: its own words over those of `waf.yaml`. */
  plan(route: RouteWaf | undefined, path: string): WafRoutePlan {
    const c = this.#config;
    if (c.rules.length === 0 && route?.mode !== undefined && route.mode !== 'off')
      this.#report('routes', `${path}/waf/mode`, NO_RULES);
    const mode = this.program === -1 ? 'off' : (route?.mode ?? c.mode);
    const bodyBytes = route?.bodyBytes ?? c.bodyBytes;
    const beyond = route?.beyond ?? c.beyond;
    if (mode === 'off') return { mode, profile: -1, bodyBytes: 0, beyond };
    const options = {
      mode,
      removeRuleIds: route?.excludeRules ?? [],
      removeTags: route?.excludeTags ?? [],
      paranoiaLevel: route?.paranoiaLevel ?? c.paranoiaLevel,
      inboundAnomalyThreshold: route?.threshold ?? c.threshold,
    };
    const key = JSON.stringify(options);
    let profile = this.#profiles.get(key);
    if (profile === undefined) {
      try {
        profile = this.#native.wafProfile(this.program, options);
      } catch (error) {
        this.#report('routes', `${path}/waf`, error instanceof Error ? error.message : String(error));
        profile = -1;
      }
      this.#profiles.set(key, profile);
    }
    return { mode, profile, bodyBytes, beyond };
  }

  /** Takes the program and its profiles out of the registry. */
  release(): void {
    if (this.program !== -1) this.#native.wafRelease(this.program);
  }
}

function problemsOf(message: string): readonly RuleProblem[] {
  try {
    return JSON.parse(message) as RuleProblem[];
  } catch {
    return [{ file: 'waf', line: 0, message, mend: '' }]; // Not a list: the addon failed otherwise, and its words say how.
  }
}
