/** Exclusions and updates of rules that there are not: a slip of the pen, or of a rule set that was upgraded. */
import type { BundleConfig } from '../../config/bundle.ts';
import type { WafExclusion } from '../../config/waf-tuning.ts';
import type { WafRule } from '../../native/waf.ts';

export function wafWarnings(config: Pick<BundleConfig, 'waf' | 'routes'>, rules: readonly WafRule[]): string[] {
  const found: string[] = [];
  const ids = rules.map((r) => r.id);
  const tags = new Set(rules.flatMap((r) => r.tags));
  const messages = new Set(rules.map((r) => r.message));
  const missing = (e: WafExclusion): string | null => {
    if (e.tag !== undefined) return tags.has(e.tag) ? null : `no rule has the tag "${e.tag}"`;
    if (e.message !== undefined) return messages.has(e.message) ? null : `no rule says "${e.message}"`;
    return idsMissing(e.rules ?? `${e.rule}`, ids);
  };
  const tell = (where: string, why: string | null): void => {
    if (why !== null) found.push(`${where}: ${why}, so it changes nothing`);
  };
  for (const [i, e] of config.waf.exclude.entries()) tell(`waf.yaml: /exclude/${i}`, missing(e));
  for (const [i, u] of config.waf.updates.entries()) tell(`waf.yaml: /updates/${i}`, idsMissing(u.rules, ids));
  for (const route of config.routes.routes)
    for (const [i, e] of (route.waf?.exclude ?? []).entries())
      tell(`route "${route.id}": waf/exclude/${i}`, missing(e));
  return found;
}

/** The first id or range that means no rule. */
function idsMissing(text: string, ids: readonly number[]): string | null {
  for (const range of text.split(/[, ]+/).filter((part) => part !== '')) {
    const [from = 0, to = from] = range.split('-').map(Number);
    if (!ids.some((id) => id >= from && id <= to)) return `there is no rule ${range}`;
  }
  return null;
}
