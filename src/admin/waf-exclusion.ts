/** What to paste into `exclude` of a route (or of `waf.yaml`) when a match was a false positive. */

/** A rule that matched, and what it matched on. */
export interface Matched {
  readonly rule: number;
  /** As in `ARGS:q`; empty when the rule looks at nothing. */
  readonly variable: string;
  /** It refused, or would have, or only reports (phase 5). */
  readonly decides?: true;
}

/** Collections that rules write themselves: nothing of a request can be left out of them, so the rule is left out whole. */
const STORES: ReadonlySet<string> = new Set([
  'TX',
  'IP',
  'GLOBAL',
  'SESSION',
  'USER',
  'RESOURCE',
  'MATCHED_VAR',
  'MATCHED_VARS',
  'RULE',
  'ENV',
]);
/** Ids of WAF expressions (`native/waf/src/expression/rule.rs`), up to the rules that judge their scores. */
const EXPRESSION_IDS = { first: 90_000_000, judge: 90_999_998 } as const;
/** Longest name that a record surely holds whole (100 bytes, of which the last escape may have found no room): of a longer one only the begin is known. */
const NAME_BYTES_MAX = 96;
/** A member that can be written as it is. */
const PLAIN = /^\w(?:[\w.@$[\]: -]*[\w.@$[\]:-])?$/;
/** Exclusions made of one request at most. */
export const EXCLUSIONS_MAX = 64;

/** The exclusion that lifts one match, as a flow mapping of YAML; null when there is nothing to exclude. */
export function exclusionOf({ rule, variable, decides }: Matched): string | null {
  // Nothing can be left out of what an expression asks.
  if (rule >= EXPRESSION_IDS.first && rule < EXPRESSION_IDS.judge) return `{ rule: ${rule} }`;
  if (rule <= 0 || variable === '') return null;
  const target = targetOf(variable);
  // A rule that decides over what other rules have written, such as the sum of scores, is not what was wrong.
  if (target === null) return decides === true ? null : `{ rule: ${rule} }`;
  return `{ rule: ${rule}, target: '${target.replaceAll("'", "''")}' }`;
}

/** The exclusions that lift these matches, each once, in their order. */
export function exclusionsOf(matches: readonly Matched[]): string[] {
  const found = new Set<string>();
  for (const match of matches) {
    const exclusion = exclusionOf(match);
    if (exclusion !== null && found.size < EXCLUSIONS_MAX) found.add(exclusion);
  }
  return [...found];
}

/** Null: only the rule as a whole can be left out. */
function targetOf(variable: string): string | null {
  const colon = variable.indexOf(':');
  const collection = (colon < 0 ? variable : variable.slice(0, colon)).replace(/^&/, '');
  if (STORES.has(collection.toUpperCase())) return null;
  if (colon < 0) return collection;
  const member = variable.slice(colon + 1);
  if (collection.toUpperCase() === 'XML' || (PLAIN.test(member) && variable.length <= NAME_BYTES_MAX))
    return `${collection}:${member}`;
  if (member === '') return `${collection}:/^$/`;
  // Records show other bytes as \xHH, which an expression reads in the same way.
  const literal = member.replaceAll(/\\x[0-9a-f]{2}|[^\w.-]/gi, (c) =>
    c.length > 1 ? c : `\\x${(c.codePointAt(0) ?? 0).toString(16).padStart(2, '0')}`,
  );
  return `${collection}:/^${literal.replaceAll('.', '\\.')}${variable.length <= NAME_BYTES_MAX ? '$' : ''}/`;
}
