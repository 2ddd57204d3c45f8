/** What a packed verdict of the WAF says, into an exchange's record. */
import { readVerdict, type WafMatch, type WafVerdict } from '../../native/waf.ts';
import type { Exchange } from '../exchange.ts';

/** Score and matches of a request; answers why, in a line. */
export function noteRequest(x: Exchange, out: Buffer): string {
  const verdict = readVerdict(out);
  x.wafScore = verdict.score;
  x.wafMatches = told(verdict.matches, verdict.blockingRuleId);
  return why(verdict);
}

/** The same of its answer: the matches follow those of the request. */
export function noteAnswer(x: Exchange, out: Buffer): string {
  const verdict = readVerdict(out);
  x.wafAnswerScore = verdict.score;
  const found = told(verdict.matches, verdict.blockingRuleId);
  const { wafMatches: before } = x;
  x.wafMatches = before.length <= NONE.length ? found : `${before.slice(0, -1)},${found.slice(1)}`;
  return `answer: ${why(verdict)}`;
}

/** Its rules can refuse nothing any more: they report. */
const LAST_PHASE = 5;
/** A list of no matches, or none. */
const NONE = '[]';

function why(verdict: WafVerdict): string {
  const limit = verdict.limit === 'none' ? '' : `, bound passed: ${verdict.limit}`;
  return `rule ${verdict.blockingRuleId}, score ${verdict.score}, ${verdict.matchCount} match(es)${limit}`;
}

/** Room for matches in a record (`wafMatches` of snapshot/records.ts). Unit: characters. */
const MATCHES_CHARS_MAX = 400;
/** Longest value and message, from what is best read to what finds room when many rules matched. */
const DETAIL = [
  [100, 200],
  [32, 48],
  [12, 0],
] as const;

/** The matches, each rule once for a variable, in as much detail as there is room for: rules and variables are what exclusions are made from. */
function told(matches: readonly WafMatch[], blockingRule: number): string {
  const seen = new Set<string>();
  const kept = matches.filter((m) => {
    const key = `${m.ruleId} ${m.variable}`;
    return !seen.has(key) && seen.add(key);
  });
  let text = '';
  for (const [value, message] of DETAIL) {
    text = JSON.stringify(
      kept.map((m) => ({
        rule: m.ruleId,
        variable: m.variable,
        value: shortened(m.value, value),
        ...(message === 0 ? {} : { message: shortened(m.message, message) }),
        ...(m.ruleId === blockingRule || m.phase === LAST_PHASE ? { decides: true } : {}),
      })),
    );
    if (text.length <= MATCHES_CHARS_MAX) return text;
  }
  return text;
}

function shortened(text: string, most: number): string {
  return text.length > most ? `${text.slice(0, most)}…` : text;
}
