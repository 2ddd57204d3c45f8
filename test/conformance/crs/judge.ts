/** What a test wanted of the log, and what was logged. */
import type { WafTrace } from '../../../src/native/waf.ts';
import type { StageOutput } from './cases.ts';

/** Undefined when everything is as expected; else what was wanted and what came. */
export function judgeLog(output: StageOutput, trace: WafTrace): { expected: string; got: string } | undefined {
  const logged = trace.matches.filter((match) => match.logged);
  const ids = new Set(logged.map((match) => match.ruleId));
  const missing = output.expectIds.filter((id) => !ids.has(id));
  const surplus = output.noExpectIds.filter((id) => ids.has(id));
  const wanted: string[] = [];
  if (missing.length > 0) wanted.push(`ids ${missing.join(', ')}`);
  if (surplus.length > 0) wanted.push(`not ids ${surplus.join(', ')}`);
  const { matches, noMatches } = output;
  if (matches !== undefined && !logged.some((match) => matches.test(match.logLine)))
    wanted.push(`a log line like ${matches.source}`);
  if (noMatches !== undefined && logged.some((match) => noMatches.test(match.logLine)))
    wanted.push(`no log line like ${noMatches.source}`);
  if (wanted.length === 0) return undefined;
  return {
    expected: wanted.join('; '),
    got: ids.size === 0 ? 'no rule logged' : `ids ${[...ids].sort((a, b) => a - b).join(', ')}`,
  };
}

/** True when a stage says something of the log; else only of the answer. */
export function isOfLog(output: StageOutput): boolean {
  return (
    output.expectIds.length > 0 ||
    output.noExpectIds.length > 0 ||
    output.matches !== undefined ||
    output.noMatches !== undefined
  );
}
