/** How long an answer may be used (RFC 9111 §4.2), how old it is (§4.2.3), and whether it may be stored at all (§3). Pure; times are epoch ms unless the name says otherwise. */
import { parseHttpDate } from './date.ts';
import type { AnswerDirectives } from './directives.ts';
import { SECONDS_MAX } from './directives.ts';
import type { FieldLines } from './fields.ts';
import { fieldOf, firstOf } from './fields.ts';

/** Share of the time since Last-Modified for which an answer without a lifetime counts as fresh (RFC 9111 §4.2.2). */
export const HEURISTIC_SHARE = 0.1;
/** Longest such time: a day. */
export const HEURISTIC_SECONDS_MAX = 86_400;
/** Statuses that may be used again without a lifetime (RFC 9110 §15.1). */
const HEURISTIC_STATUSES: ReadonlySet<number> = new Set([200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501]);
/** Statuses whose requirements on caches are met here; the others are stored unless `must-understand` is said. */
const UNDERSTOOD: ReadonlySet<number> = new Set([
  200, 203, 204, 206, 300, 301, 302, 303, 307, 308, 404, 405, 410, 414, 501,
]);

/** Age at its arrival, seconds (RFC 9111 §4.2.3): the greater of what the Age field says, with the time it took to come, and of what Date shows. */
export function initialAge(fields: FieldLines, askedAt: number, cameAt: number): number {
  const date = parseHttpDate(firstOf(fields, 'date') ?? '', cameAt);
  const apparent = Number.isNaN(date) ? 0 : Math.max(0, (cameAt - date) / 1000);
  const corrected = ageField(fieldOf(fields, 'age')) + Math.max(0, cameAt - askedAt) / 1000;
  return Math.max(apparent, corrected);
}

/** Value of an Age field: the first member of a list counts, what is no number is ignored (RFC 9111 §5.1). */
export function ageField(value: string | undefined): number {
  const first = (value ?? '').split(',', 1)[0]?.trim() ?? '';
  return /^\d+$/.test(first) ? Math.min(Number(first), SECONDS_MAX) : 0;
}

/** Freshness lifetime in seconds; 0 = stale at once. */
export function lifetime(status: number, fields: FieldLines, d: AnswerDirectives, cameAt: number): number {
  if (d.maxAge !== null) return d.maxAge;
  const named = parseHttpDate(firstOf(fields, 'date') ?? '', cameAt);
  const date = Number.isNaN(named) ? cameAt : named;
  const expires = d.targeted ? undefined : firstOf(fields, 'expires');
  if (expires !== undefined) {
    // What is no date has passed (RFC 9111 §5.3).
    const until = parseHttpDate(expires, cameAt);
    return Number.isNaN(until) ? 0 : Math.max(0, (until - date) / 1000);
  }
  if (!HEURISTIC_STATUSES.has(status) && !d.public) return 0;
  const modified = parseHttpDate(firstOf(fields, 'last-modified') ?? '', cameAt);
  if (Number.isNaN(modified)) return 0;
  return Math.min(Math.max(0, ((date - modified) / 1000) * HEURISTIC_SHARE), HEURISTIC_SECONDS_MAX);
}

/** What is done with answers that set cookies. */
export type SetCookiePolicy = 'skip' | 'strip' | 'store';

export interface StoreQuestion {
  readonly status: number;
  readonly fields: FieldLines;
  readonly directives: AnswerDirectives;
  /** The request had credentials: an Authorization field, a verified identity, a client certificate that the upstream is told of. */
  readonly credentials: boolean;
  readonly setCookie: SetCookiePolicy;
}

/** Why an answer to GET may not be stored (RFC 9111 §3); null when it may. */
export function whyNotStored(q: StoreQuestion): string | null {
  const { status, fields, directives: d } = q;
  if (d.mustUnderstand ? !UNDERSTOOD.has(status) : d.noStore) return 'no-store';
  if (d.private) return 'private';
  if (q.credentials && !d.forCredentials) return 'credentials';
  if (q.setCookie === 'skip' && firstOf(fields, 'set-cookie') !== undefined) return 'set-cookie';
  const explicit = d.maxAge !== null || (!d.targeted && firstOf(fields, 'expires') !== undefined);
  if (!explicit && !d.public && !HEURISTIC_STATUSES.has(status)) return 'status';
  return null;
}
