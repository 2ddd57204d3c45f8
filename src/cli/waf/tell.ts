/** A trace of the engine as text for a terminal. */
import { printable } from '../../admin/explain.ts';
import type { WafTrace, WafTraceMatch } from '../../native/waf.ts';
import type { WafRoutePlan } from '../../snapshot/route-plans.ts';
import { exclusionOf, type Matched } from '../../admin/waf-exclusion.ts';
import type { RawRequest } from './raw-message.ts';

export interface Told {
  readonly trace: WafTrace;
  readonly plan: WafRoutePlan;
  /** As written; the plan of a route where nothing is asked detects. */
  readonly mode: 'off' | 'detect' | 'block';
  readonly route?: string;
  /** The route was looked for, and is the one that takes the request; without `route` none does. */
  readonly found: boolean;
  readonly request: RawRequest;
  readonly exclusions: readonly string[];
  /** The trace with the exclusions pasted; null when there are none. */
  readonly lifted: WafTrace | null;
  /** Rules that do not report are told, too. */
  readonly all: boolean;
}

const SEVERITY_WIDTH = 9;
const LAST_PHASE = 5;
const INDENT = ' '.repeat(27);

export function tellTrace(t: Told): string {
  const { trace, request } = t;
  const lines = [
    `${request.method} ${request.target} ${request.protocol}: ${outcome(t)}`,
    ...routeFound(t),
    ...notes(t),
    '',
  ];
  const shown = trace.matches.filter((m) => t.all || m.logged);
  for (const m of shown) lines.push(...tellMatch(m));
  if (shown.length === 0) lines.push('no rule matched');
  if (trace.notTold > 0) lines.push(`and ${trace.notTold} more matches`);
  lines.push('', ...scores(trace), `work      ${trace.work} of the route's budget`);
  if (t.exclusions.length > 0 && t.lifted !== null) {
    lines.push(
      '',
      `if that was a false positive, paste into ${t.route === undefined ? 'waf.yaml' : `\`waf\` of the route ${t.route}`}:`,
      '  exclude:',
    );
    for (const exclusion of t.exclusions) lines.push(`    - ${exclusion}`);
    lines.push(`with it: ${afterwards(t.lifted)}`);
  }
  return `${lines.map(printable).join('\n')}\n`;
}

function outcome({ trace, mode }: Told): string {
  const by = trace.blockingRuleId === 0 ? '' : ` by rule ${trace.blockingRuleId}`;
  if (trace.verdict === 'error') return 'the engine failed';
  if (trace.verdict === 'budget-exceeded') return `not inspected to its end: the bound of ${trace.limit} was passed`;
  if (trace.verdict === 'block') return `REFUSED${by}`;
  if (trace.wouldBlock)
    return mode === 'off'
      ? `passes: the WAF is off here. In block mode it would be refused${by}`
      : `passes, and is recorded: detect mode. In block mode it would be refused${by}`;
  return mode === 'off' ? 'passes: the WAF is off here' : 'passes';
}

function routeFound({ found, route }: Told): string[] {
  if (!found) return [];
  return [`route     ${route ?? 'none takes it: the gateway would refuse it; here waf.yaml alone counts'}`];
}

/** What the gateway does before rules see anything. */
function notes({ plan, request }: Told): string[] {
  const found: string[] = [];
  const coding = request.headers.find(([name]) => name.toLowerCase() === 'content-encoding')?.[1] ?? 'identity';
  if (request.body.length > 0 && plan.bodyBytes > 0 && coding.toLowerCase() !== 'identity')
    found.push(
      `note      the body is coded (${coding}): coded: ${plan.coded} decides in the gateway; rules saw it here as it is`,
    );
  if (plan.bodyBytes > 0 && request.body.length > plan.bodyBytes)
    found.push(
      plan.beyond === 'refuse'
        ? `note      the body has ${request.body.length} bytes, ${plan.bodyBytes} are inspected: the gateway refuses it with 413 before rules see it`
        : `note      the body has ${request.body.length} bytes, of which the first ${plan.bodyBytes} are inspected`,
    );
  if (plan.bodyBytes === 0 && request.body.length > 0) found.push('note      the body is not inspected (bodyBytes: 0)');
  return found;
}

/** A match as an exclusion is made from it. */
export function matchedOf(m: WafTraceMatch): Matched {
  // Phase 5 is too late to refuse anything: its rules report what others have found.
  return {
    rule: m.ruleId,
    variable: m.variable,
    ...(m.action === 'pass' && m.phase < LAST_PHASE ? {} : { decides: true }),
  };
}

function tellMatch(m: WafTraceMatch): string[] {
  const severity = m.logged ? m.severity || '-' : 'nolog';
  const lines = [`phase ${m.phase}  ${`${m.ruleId}`.padEnd(8)} ${severity.padEnd(SEVERITY_WIDTH)} ${m.message}`];
  if (m.variable !== '') lines.push(`${INDENT}${m.variable} = ${m.value}`);
  if (m.data !== '') lines.push(`${INDENT}${m.data}`);
  lines.push(`${INDENT}${m.file}:${m.line}${m.action === 'pass' ? '' : `, ${m.action}`}${statusOf(m)}`);
  const exclusion = m.logged ? exclusionOf(matchedOf(m)) : null;
  if (exclusion !== null) lines.push(`${INDENT}exclude: ${exclusion}`);
  return lines;
}

/** What the rule would answer, and that it is not what the client gets. */
function statusOf({ status }: WafTraceMatch): string {
  return status === undefined ? '' : ` with status ${status} (the gateway answers with its own refusal)`;
}

function scores(trace: WafTrace): string[] {
  const { inbound, outbound, inboundPerLevel, outboundPerLevel } = trace.scores;
  const row = (name: string, score: number, perLevel: readonly number[], threshold: string | undefined): string =>
    `${name}  ${score}${threshold === undefined ? '' : ` of ${threshold}`}${perLevel.some((n) => n > 0) ? ` (by paranoia level: ${perLevel.join(', ')})` : ''}`;
  const lines = [row('inbound ', inbound, inboundPerLevel, trace.tx['inbound_anomaly_score_threshold'])];
  if (outbound > 0 || outboundPerLevel.some((n) => n > 0))
    lines.push(row('outbound', outbound, outboundPerLevel, trace.tx['outbound_anomaly_score_threshold']));
  return lines;
}

function afterwards(trace: WafTrace): string {
  if (trace.verdict === 'block' || trace.wouldBlock)
    return `still refused by rule ${trace.blockingRuleId}: look at what is left with \`exclude\` written`;
  const left = trace.matches.filter((m) => m.logged).length;
  return `passes, ${left === 0 ? 'and no rule matches' : `${left} match${left === 1 ? '' : 'es'} left, score ${trace.scores.inbound}`}`;
}
