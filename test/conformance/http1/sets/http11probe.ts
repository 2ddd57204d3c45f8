/**
 * http11probe: judged by its own tables (connection state × status, or rows for sequences), and above them by two rules of this suite: a stall
 * is a failure even where the table passes silence, and nothing may reach the upstream but what was sent.
 */
import type { Mark, Verdict } from '../../result.ts';
import { bytesOf, textField } from '../../data.ts';
import { type Http1Case, hostOf } from '../case.ts';
import { REFUSALS_BY_RFC } from '../findings.ts';
import { breachOf, type Seen } from '../judge.ts';
import { finalResponse, type Step, type StepPart, type StepSeen } from '../observe.ts';
import { fieldOf, type ReadResponse } from '../responses.ts';
import { judgeByText } from './http11probe-text.ts';

export const SET = 'http11probe';

type State = 'Open' | 'ClosedByServer' | 'TimedOut';

interface Row {
  readonly s1: number | null;
  readonly state1: State;
  readonly status_lines_in_s1: number;
  readonly s2?: number | null | 'not_executed';
  readonly verdict: string;
}

interface Template {
  readonly template_latin1: string;
  readonly run?: { readonly char: string; readonly count: number };
}

export function casesOf(list: readonly Record<string, unknown>[], from: number): Http1Case[] {
  return list.map((entry, n) => {
    const host = hostOf(from + n);
    return {
      set: SET,
      id: textField(entry, 'id'),
      steps: stepsOf(entry, host),
      judge: (seen) => judgeEntry(entry, seen),
    };
  });
}

function bytesOfTemplate(template: Template, host: string): Buffer {
  const run = template.run === undefined ? '' : template.run.char.repeat(template.run.count);
  return bytesOf(template.template_latin1.replaceAll('@@HOST@@', host).replaceAll('@@RUN@@', run));
}

interface StepEntry {
  readonly label?: string;
  readonly request?: Template;
  readonly parts?: readonly {
    readonly request?: Template;
    readonly template_latin1?: string;
    readonly delay_ms?: number;
  }[];
  readonly dynamic?: string;
}

function stepsOf(entry: Record<string, unknown>, host: string): Step[] {
  const list: readonly StepEntry[] = Array.isArray(entry['steps']) ? (entry['steps'] as StepEntry[]) : [entry];
  return list.map((one) => {
    const label = one.label ?? '';
    const { request } = one;
    if (request !== undefined) return { label, parts: () => [{ bytes: bytesOfTemplate(request, host), delayMs: 0 }] };
    if (one.parts !== undefined) {
      const parts = one.parts.map((part): StepPart => {
        const template = part.request ?? { template_latin1: part.template_latin1 ?? '' };
        return { bytes: bytesOfTemplate(template, host), delayMs: part.delay_ms ?? 0 };
      });
      return { label, parts: () => parts };
    }
    return { label, parts: (previous) => [{ bytes: conditionalRequest(label, host, previous), delayMs: 0 }] };
  });
}

/** A step that the data only names: a conditional GET made from the validators of the answer before it. The label says which. */
function conditionalRequest(label: string, host: string, previous: ReadResponse | undefined): Buffer {
  const etag = (previous === undefined ? undefined : fieldOf(previous, 'etag')) ?? '"none"';
  const modified =
    (previous === undefined ? undefined : fieldOf(previous, 'last-modified')) ?? 'Thu, 01 Jan 1970 00:00:00 GMT';
  const opaque = etag.replace(/^W\//, '');
  const fields: string[] = [];
  if (/W\//i.test(label)) fields.push(`If-None-Match: W/${opaque}`);
  else if (/unquoted/i.test(label)) fields.push(`If-None-Match: ${opaque.replaceAll('"', '')}`);
  else if (/INM|If-None-Match/i.test(label)) fields.push(`If-None-Match: ${etag}`);
  if (/stale/i.test(label)) fields.push('If-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT');
  else if (/invalid|garbage|malformed/i.test(label)) fields.push('If-Modified-Since: not-a-date');
  else if (/IMS|If-Modified-Since/i.test(label)) fields.push(`If-Modified-Since: ${modified}`);
  return Buffer.from(
    `GET / HTTP/1.1\r\nHost: ${host}\r\n${fields.map((field) => `${field}\r\n`).join('')}\r\n`,
    'latin1',
  );
}

export function stateOf(seen: StepSeen): State {
  if (seen.ending !== 'open') return 'ClosedByServer';
  return seen.responses.length === 0 ? 'TimedOut' : 'Open';
}

export function judgeEntry(entry: Record<string, unknown>, seen: Seen): Verdict {
  const expected = textField(entry, 'expected_text');
  const steps = seen.steps;
  const told = steps
    .map((one) => (one.executed ? String(finalResponse(one)?.status ?? '-') : 'not executed'))
    .join(', ');
  const complete = seen.records.filter((record) => record.outcome === 'complete').length;
  const got = `${told}; ${steps[0] === undefined ? 'nothing sent' : stateOf(steps[0])}; ${complete} upstream`;
  if (steps.some((one) => one.stalled)) return { mark: 'fail', stall: true, expected, got, outcome: 'stalled' };
  const breach = breachOf(seen);
  if (breach !== undefined)
    return { mark: 'fail', stall: false, expected, got: `${breach.text}; ${got}`, outcome: breach.outcome };
  const mark = complete === 0 && refusedByRfc(steps[0]) ? softened(markFrom(entry, seen)) : markFrom(entry, seen);
  // What upstream does not score (capabilities and preferences of an origin) cannot fail a gateway, only be remarked on.
  const scored = entry['scored'] !== false;
  return {
    mark: mark === 'fail' && !scored ? 'warn' : mark,
    stall: false,
    expected,
    got,
    outcome: complete > 0 ? 'served' : 'refused',
  };
}

/** Refused with another status than the table knows, but with the one that the RFC names for what the bytes are. */
function refusedByRfc(first: StepSeen | undefined): boolean {
  const status = first === undefined ? undefined : finalResponse(first)?.status;
  const findings = [...(first?.messages[0]?.findings ?? [])];
  return status !== undefined && findings.some((finding) => REFUSALS_BY_RFC[finding]?.includes(status) === true);
}

function softened(mark: Mark): Mark {
  return mark === 'fail' ? 'warn' : mark;
}

function markFrom(entry: Record<string, unknown>, seen: Seen): Mark {
  const rows = entry['verdict_rows'] as readonly Row[] | undefined;
  const byTable =
    rows === undefined
      ? lookUp(entry['verdict_table'] as Table | undefined, seen.steps[0])
      : lookUpRows(rows, seen.steps);
  const dynamic = rows !== undefined && rows.length === 0;
  if (byTable === 'pass' || !(dynamic || entry['verdict_depends_on_body_or_headers'] === true)) {
    // A table was made with empty bodies: where it passes a 2xx and the text speaks of what is in the body, the body decides.
    return entry['verdict_depends_on_body_or_headers'] === true ? (judgeByText(entry, seen) ?? byTable) : byTable;
  }
  return judgeByText(entry, seen) ?? byTable;
}

type Table = Readonly<Partial<Record<State, Readonly<Record<string, readonly (number | null)[]>>>>>;

export function lookUp(verdictTable: Table | undefined, seen: StepSeen | undefined): Mark {
  if (verdictTable === undefined || seen === undefined) return 'fail';
  const row = verdictTable[stateOf(seen)] ?? {};
  const status = finalResponse(seen)?.status ?? null;
  const listed = new Set(Object.values(row).flat());
  const key = listed.has(status) ? status : likeStatus(status, listed);
  for (const [verdict, statuses] of Object.entries(row)) if (statuses.includes(key)) return markNamed(verdict);
  return 'fail';
}

/** A status that the table does not know counts as another of its class. */
function likeStatus(status: number | null, listed: ReadonlySet<number | null>): number | null {
  if (status === null) return null;
  const same = [...listed].filter(
    (one): one is number => one !== null && Math.floor(one / 100) === Math.floor(status / 100),
  );
  // 400 is often what a case is about: an unknown 4xx is like 404, not like it.
  return same.find((one) => one !== 400) ?? same[0] ?? status;
}

export function lookUpRows(rows: readonly Row[], steps: readonly StepSeen[]): Mark {
  const [first, second] = steps;
  if (first === undefined || rows.length === 0) return 'fail';
  const s1 = rowStatus(finalResponse(first)?.status ?? null, new Set(rows.map((row) => row.s1)));
  const lines =
    s1 === null ? 1 : Math.min(2, Math.max(1, first.responses.filter((response) => response.status >= 200).length));
  const answered = second?.executed === true ? (finalResponse(second)?.status ?? null) : null;
  const statuses = new Set(rows.map((row) => row.s2).filter((status): status is number => typeof status === 'number'));
  // A follow-up that got no answer before the connection ended was, for the table, not executed.
  const s2 = answered === null ? 'not_executed' : rowStatus(answered, statuses);
  const found = rows.find(
    (row) =>
      row.s1 === s1 &&
      row.state1 === stateOf(first) &&
      row.status_lines_in_s1 === lines &&
      (row.s2 === undefined || row.s2 === s2),
  );
  return found === undefined ? 'fail' : markNamed(found.verdict);
}

function rowStatus(status: number | null, listed: ReadonlySet<number | null>): number | null {
  return status === null || listed.has(status) ? status : likeStatus(status, listed);
}

function markNamed(verdict: string): Mark {
  return verdict === 'Pass' ? 'pass' : verdict === 'Warn' ? 'warn' : 'fail';
}
