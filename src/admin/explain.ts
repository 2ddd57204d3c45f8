/**
 * An account as a person wants to read it: what happened, why, and each stage in order with what it decided and how long it took.
 * The same for a record out of a ring and for a line out of the log.
 */
import { STAGES } from '../snapshot/stages.ts';
import type { StageName } from '../snapshot/stages.ts';
import type { Account } from './account.ts';
import { exclusionsOf } from './waf-exclusion.ts';

/** What a stage decided about the exchange. */
export interface StageAccount {
  readonly stage: StageName;
  readonly decision: 'passed' | 'skipped' | 'refused' | 'answered' | 'forwarded' | 'left' | 'not reached';
  readonly why: string;
  /** µs; null = not timed. waf, authenticate and authorize always are, the others in one request of 64. */
  readonly us: number | null;
}

/** An account with its stages told in order: what `/v1/explain` answers. */
export interface Explanation extends Account {
  readonly stages: readonly StageAccount[];
}

export function explanationOf(account: Account): Explanation {
  return { ...account, stages: stagesOf(account) };
}

export function stagesOf(a: Account): StageAccount[] {
  const end = STAGES.indexOf(a.at as StageName);
  return STAGES.map((stage, i) => {
    const us = a.stageUs[stage] ?? null;
    if (i > end) return { stage, decision: 'not reached', why: after(stage, a), us };
    if (i === end) return { stage, decision: ending(stage, a), why: endWhy(stage, a), us };
    const why = WHY[stage](a);
    return { stage, decision: why === null ? 'skipped' : 'passed', why: why ?? NOTHING_TO_DO[stage] ?? '', us };
  });
}

/** What a stage that let the request pass has to say; null = it had nothing to do. */
const WHY: Readonly<Record<StageName, (a: Account) => string | null>> = {
  normalize: (a) => `${a.method} ${a.scheme}://${a.host}${a.path}`,
  match: (a) => (a.route === null ? null : `route ${a.route}`),
  admit: (a) => limitWhy('admit', a) ?? '',
  waf: wafWhy,
  authenticate: (a) =>
    a.credential === 'none'
      ? null
      : `token of ${a.subject === '' ? 'no subject' : a.subject} by ${a.issuer ?? 'an unknown issuer'}, ${
          a.credential === 'cached_token' ? 'verified before' : 'signature verified'
        }`,
  limit: (a) => limitWhy('limit', a),
  authorize: (a) => (a.policy === null ? null : `${a.policy.id} ${POLICY_SAYS[a.policy.outcome] ?? a.policy.outcome}`),
  route: (a) => (a.cell === null ? null : `${a.tenant === '' ? 'no tenant' : `tenant ${a.tenant}`}, cell ${a.cell}`),
  balance: (a) =>
    a.endpoint === null ? null : `endpoint ${a.endpoint}${a.attempts > 1 ? `, attempt ${a.attempts}` : ''}`,
  respond: (a) => (a.rewritten === undefined ? '' : `rewritten to ${a.rewritten}`),
  forward: (a) =>
    a.upstream === null
      ? 'no answer from the endpoint'
      : `the endpoint answered ${a.upstream.status} after ${a.upstream.ms} ms`,
};

const POLICY_SAYS: Readonly<Record<string, string>> = {
  allowed: 'allows it',
  allowed_cached: 'allows it, decided before',
  denied: 'denies it',
  denied_cached: 'denies it, decided before',
  failed: 'could not be evaluated',
};

const NOTHING_TO_DO: Readonly<Partial<Record<StageName, string>>> = {
  waf: 'not inspected on this route',
  authenticate: 'no token asked for on this route',
  limit: 'no limit by identity on this route',
  authorize: 'no policy on this route',
  route: 'no cell needed',
  balance: 'no endpoint needed',
};

function limitWhy(stage: StageName, a: Account): string | null {
  return a.limit?.stage === stage ? `${a.limit.id}: ${a.limit.remaining} left` : null;
}

function wafWhy(a: Account): string | null {
  const rules = [...new Set(a.waf.matches.map((m) => m.rule))].join(', ');
  const matched = rules === '' ? '' : `: rules ${rules}`;
  if (a.waf.verdict === 'none') return null;
  const score = `score ${a.waf.score}${a.waf.answerScore === undefined ? '' : `, of the answer ${a.waf.answerScore}`}`;
  if (a.waf.verdict === 'pass') return `no attack seen, ${score}`;
  if (a.waf.verdict === 'detected') return `attack seen but only detected here, ${score}${matched}`;
  return `${a.waf.verdict}, ${score}${matched}`;
}

function ending(stage: StageName, a: Account): StageAccount['decision'] {
  if (a.refusal !== null) return 'refused';
  if (stage === 'forward') return 'forwarded';
  return a.status === 0 ? 'left' : 'answered';
}

/** Of the response cache's outcomes those in which the client got what was stored. */
const OUT_OF_CACHE: ReadonlySet<string> = new Set(['hit', 'stale', 'validated']);

function endWhy(stage: StageName, a: Account): string {
  if (a.refusal !== null) {
    const said = stage === 'waf' || stage === 'authorize' ? WHY[stage](a) : null;
    return [a.detail, said].filter((text) => text !== null && text !== '').join('; ') || a.refusal.title;
  }
  if (stage === 'forward') return WHY.forward(a) ?? '';
  const to = a.rewritten === undefined ? '' : `, to ${a.rewritten}`;
  if (a.status === 0) return 'the client went away while it waited here';
  return OUT_OF_CACHE.has(a.cache ?? '')
    ? `answered ${a.status} out of the cache`
    : `answered ${a.status} by itself${to}`;
}

/** A later stage may have been reached by an earlier attempt: the pipeline goes back to `balance` to try another endpoint. */
function after(stage: StageName, a: Account): string {
  return stage === 'forward' && a.attempts > 0 ? `an earlier attempt at ${a.endpoint ?? 'an endpoint'} failed` : '';
}

const COLUMN_STAGE = 14;
const COLUMN_DECISION = 13;
/** Characters of a "why" before the time, when it is short enough to stand in a column. */
const COLUMN_WHY = 52;

/** The explanation as text, for a terminal. What came from outside is shown with control characters escaped. */
export function explainText(a: Account): string {
  const lines = [headline(a), ''];
  const fact = (name: string, value: string): void => {
    if (value !== '') lines.push(`  ${name.padEnd(COLUMN_STAGE)}${value}`);
  };
  fact('why', a.refusal === null ? a.detail : a.detail || a.refusal.title);
  fact(
    'request',
    `${a.method} ${a.scheme}://${a.host}${a.path}${a.query === '' ? '' : `?${a.query}`}${a.raw ? '  (as received)' : ''}`,
  );
  fact('client', `${a.clientAddress}${a.clientRequestId === '' ? '' : `, which calls it ${a.clientRequestId}`}`);
  fact('ja4', a.tls?.ja4 ?? '');
  fact('certificate', a.tls?.client?.fingerprint ?? '');
  fact('cache', a.cache ?? '');
  fact('when', `${a.time}, took ${ms(a.durationMs)}`);
  fact('bytes', `${a.bytesIn} in, ${a.bytesOut} out`);
  fact(
    'decided by',
    `revision ${a.revision}${a.bundle === null ? '' : ` (bundle ${a.bundle.seq}, ${a.bundle.digest})`} in lane ${a.lane}`,
  );
  fact('cut', a.cut.length === 0 ? '' : `only the beginning was kept of: ${a.cut.join(', ')}`);
  lines.push(
    '',
    `  ${'stage'.padEnd(COLUMN_STAGE)}${'decision'.padEnd(COLUMN_DECISION)}${'why'.padEnd(COLUMN_WHY)}took`,
  );
  for (const s of stagesOf(a)) {
    const mark = s.decision === 'refused' ? '> ' : '  ';
    const took = s.us === null ? '' : us(s.us);
    const row = `${mark}${s.stage.padEnd(COLUMN_STAGE)}${s.decision.padEnd(COLUMN_DECISION)}${took === '' ? s.why : s.why.padEnd(COLUMN_WHY)}`;
    lines.push(`${row}${took === '' || s.why.length < COLUMN_WHY ? '' : '  '}${took}`.trimEnd());
  }
  if (a.waf.matches.length > 0) {
    lines.push('', '  matched by the WAF');
    for (const m of a.waf.matches)
      lines.push(
        `    ${m.rule}  ${m.variable}${m.value === '' ? '' : ` = ${m.value}`}${m.message === '' ? '' : `  (${m.message})`}`,
      );
    if (a.waf.more !== undefined) lines.push(`    and ${a.waf.more} more`);
    // Made anew: a line of an older log has none.
    const exclusions = exclusionsOf(a.waf.matches);
    if (exclusions.length > 0)
      lines.push(
        '',
        `  if that was a false positive, paste into \`waf.exclude\` of the route${a.route === null ? '' : ` ${a.route}`}:`,
      );
    for (const exclusion of exclusions) lines.push(`    - ${exclusion}`);
  }
  return `${lines.map(printable).join('\n')}\n`;
}

function headline(a: Account): string {
  if (a.refusal !== null) {
    const blame =
      { downstream: 'the client', gateway: 'the gateway', upstream: 'the upstream' }[a.refusal.blame] ??
      a.refusal.blame;
    const seen = a.aborted ? 'The client went away before the answer was complete; ' : '';
    return `${a.id}: refused with ${a.status || 'no status'} ${a.refusal.code} by ${a.refusal.stage || 'the transport'}. ${seen}${a.refusal.title} (blame: ${blame}).`;
  }
  if (a.aborted)
    return `${a.id}: broken off${a.status === 0 ? ' before it was answered' : ` after an answer with ${a.status} had begun`}.`;
  return `${a.id}: answered with ${a.status}.`;
}

function ms(value: number): string {
  return value >= 1000 ? `${(value / 1000).toFixed(2)} s` : `${value} ms`;
}

function us(value: number): string {
  return value >= 1000 ? ms(Math.round(value) / 1000) : `${value} µs`;
}

/** Control characters, and those that turn the direction of text, would let a request write on the reader's terminal. */
const UNPRINTABLE = /[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu;

export function printable(text: string): string {
  return text.replaceAll(UNPRINTABLE, (c) => `\\u{${(c.codePointAt(0) ?? 0).toString(16)}}`);
}

/** An account out of a line of the log; null when the line is something else. Only the parts that the explanation walks are checked. */
export function readAccount(line: string): Account | null {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return null;
  }
  if (typeof value !== 'object' || value === null) return null;
  const a = value as Partial<Record<keyof Account, unknown>>;
  const isObject = (x: unknown): boolean => typeof x === 'object' && x !== null;
  const texts = [
    a.id,
    a.time,
    a.method,
    a.scheme,
    a.host,
    a.path,
    a.query,
    a.at,
    a.detail,
    a.subject,
    a.tenant,
    a.credential,
  ];
  const numbers = [a.lane, a.revision, a.status, a.durationMs, a.bytesIn, a.bytesOut, a.attempts];
  const whole =
    texts.every((x) => typeof x === 'string') &&
    numbers.every((x) => typeof x === 'number') &&
    typeof a.clientAddress === 'string' &&
    typeof a.clientRequestId === 'string' &&
    isObject(a.stageUs) &&
    Array.isArray(a.cut) &&
    isObject(a.waf) &&
    Array.isArray((a.waf as Account['waf']).matches) &&
    [a.refusal, a.limit, a.policy, a.bundle, a.upstream].every((x) => typeof x === 'object') &&
    (a.tls === undefined || (isObject(a.tls) && typeof (a.tls as { client?: unknown }).client === 'object'));
  return whole ? (value as Account) : null;
}
