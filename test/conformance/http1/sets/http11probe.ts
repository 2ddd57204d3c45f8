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
import { judgeByText, namesStatus } from './http11probe-text.ts';

export const SET = 'http11probe';

type State = 'Open' | 'ClosedByServer' | 'TimedOut';

/** `s1`, `s2` …: status of a step; `state1` …: the connection after it; `status_lines_in_s1`: answers to the first step, 1 or 2 and more. */
type Row = Readonly<Record<string, number | string | null>> & { readonly verdict: string };

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
}

function stepsOf(entry: Record<string, unknown>, host: string): Step[] {
  const list: readonly StepEntry[] = Array.isArray(entry['steps']) ? (entry['steps'] as StepEntry[]) : [entry];
  return list.map((one) => {
    const label = one.label ?? '';
    const { request } = one;
    if (request !== undefined) return { label, parts: () => [{ bytes: bytesOfTemplate(request, host), delayMs: 0 }] };
    const parts = partsOf(one, host);
    if (parts.length > 0) return { label, parts: () => parts };
    return { label, parts: (previous) => [{ bytes: conditionalRequest(label, host, previous), delayMs: 0 }] };
  });
}

/** A step that is sent in pieces with pauses: a list of templates, each with its pause in milliseconds. */
function partsOf(one: StepEntry, host: string): StepPart[] {
  const list = Object.values(one).find((value): value is Record<string, unknown>[] => Array.isArray(value));
  return (list ?? []).flatMap((part) => {
    const template = ('template_latin1' in part ? part : part['request']) as Template | undefined;
    const delay = Object.entries(part).find(([key, value]) => /delay|pause/i.test(key) && typeof value === 'number');
    return template === undefined ? [] : [{ bytes: bytesOfTemplate(template, host), delayMs: Number(delay?.[1] ?? 0) }];
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
  // Tables were made with empty bodies and no fields. Where those matter, the words decide, and the table only where they cannot be read.
  if (rows?.length !== 0 && entry['verdict_depends_on_body_or_headers'] !== true) return byTable;
  return judgeByText(entry, seen) ?? (byTable === 'fail' && namesStatus(entry, seen) ? 'warn' : byTable);
}

type Table = Readonly<Partial<Record<State, Readonly<Record<string, readonly (number | null)[]>>>>>;

export function lookUp(verdictTable: Table | undefined, seen: StepSeen | undefined): Mark {
  if (verdictTable === undefined || seen === undefined) return 'fail';
  const row = verdictTable[stateOf(seen)] ?? {};
  // The authors' runner takes the first status line that comes, an interim one as well: "no 1xx" is told by it.
  const status = seen.responses[0]?.status ?? null;
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
  const found = rows.find((row) => Object.entries(row).every(([key, value]) => cellMatches(key, value, rows, steps)));
  return found === undefined ? 'fail' : markNamed(found.verdict);
}

function cellMatches(key: string, value: Row[string], rows: readonly Row[], steps: readonly StepSeen[]): boolean {
  const match = /^(s|state|status_lines_in_s)(\d+)$/.exec(key);
  if (match === null) return true;
  const step = steps[Number(match[2]) - 1];
  const status = step?.executed === true ? (finalResponse(step)?.status ?? null) : null;
  switch (match[1]) {
    case 'state':
      return step !== undefined && value === stateOf(step);
    case 's': {
      const listed = new Set(rows.map((row) => row[key]).filter((one): one is number => typeof one === 'number'));
      // A follow-up that got no answer before the connection ended was, for the table, not executed.
      if (status === null) return key === 's1' ? value === null : value === null || value === 'not_executed';
      return value === rowStatus(status, listed);
    }
    default: {
      const lines = step?.responses.filter((response) => response.status >= 200).length ?? 0;
      return value === Math.min(2, Math.max(1, status === null ? 1 : lines));
    }
  }
}

function rowStatus(status: number | null, listed: ReadonlySet<number | null>): number | null {
  return status === null || listed.has(status) ? status : likeStatus(status, listed);
}

function markNamed(verdict: string): Mark {
  return verdict === 'Pass' ? 'pass' : verdict === 'Warn' ? 'warn' : 'fail';
}
