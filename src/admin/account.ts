/**
 * A decision record as an object with names: what the log holds, what `/v1/explain` answers and `cnx explain` reads. Part of the interface: fields are
 * added, not renamed. Secrets are masked here, so that no form of it can leak them.
 */
import { METHODS } from '../data/exchange.ts';
import { REFUSAL_LIST } from '../data/refusal.ts';
import { CACHE_OUTCOMES, CREDENTIALS, POLICY_OUTCOMES, WAF_VERDICTS } from '../snapshot/lane-columns.ts';
import type { RecordCopy } from '../snapshot/record-reader.ts';
import { Int, RecordFlag, Span, TEXTS, Wide } from '../snapshot/records.ts';
import { STAGES } from '../snapshot/stages.ts';
import type { WafMatch } from './masking.ts';
import { Masker, matchesNotTold } from './masking.ts';
import type { RevisionNames } from './names.ts';
import { numbered } from './names.ts';
import { exclusionsOf } from './waf-exclusion.ts';

export interface Account {
  /** Request id. */
  readonly id: string;
  /** When the head had arrived, RFC 3339 with milliseconds. */
  readonly time: string;
  readonly lane: number;
  readonly revision: number;
  /** Bundle that the revision came from; null when it is too long ago. */
  readonly bundle: { readonly digest: string; readonly seq: number } | null;
  readonly method: string;
  readonly scheme: 'http' | 'https';
  readonly host: string;
  readonly path: string;
  readonly query: string;
  /** True: host, path and query are as received, since normalize refused them. */
  readonly raw: boolean;
  readonly websocket: boolean;
  readonly clientAddress: string;
  readonly clientPort: number;
  /** What the TLS handshake told: of refused requests, and of those whose endpoint is told of the client certificate. */
  readonly tls?: {
    /** Fingerprint of the client's software. */
    readonly ja4: string;
    /** Its certificate: SHA-256, hex. */
    readonly client: { readonly fingerprint: string } | null;
  };
  /** The client's own X-Request-Id. */
  readonly clientRequestId: string;
  /** What the client saw; 0 = nothing. */
  readonly status: number;
  readonly aborted: boolean;
  readonly durationMs: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  /** Stage at which it ended. */
  readonly at: string;
  readonly refusal: {
    readonly code: string;
    readonly blame: string;
    readonly stage: string;
    readonly title: string;
  } | null;
  readonly detail: string;
  readonly route: string | null;
  /** Of the limits that were asked, the one with the least left. */
  readonly limit: { readonly id: string; readonly remaining: number; readonly stage: string } | null;
  readonly waf: {
    readonly verdict: string;
    readonly score: number;
    /** Outbound, of the answer; absent when nothing of it counted. */
    readonly answerScore?: number;
    readonly matches: readonly WafMatch[];
    /** Matches that found no room here; absent when there are none. */
    readonly more?: number;
    /** What lifts the matches when pasted into `exclude` of the route: flow mappings of YAML. Absent: nothing would. */
    readonly exclude?: readonly string[];
  };
  readonly credential: string;
  readonly issuer: string | null;
  readonly subject: string;
  readonly policy: { readonly id: string; readonly outcome: string } | null;
  readonly tenant: string;
  readonly cell: string | null;
  readonly endpoint: string | null;
  readonly attempts: number;
  /** What the response cache did; absent: it was not asked. */
  readonly cache?: string;
  /** Where it went when the route rewrites requests: host and path upstream, or the location of a redirect; absent: as it came. */
  readonly rewritten?: string;
  readonly upstream: { readonly status: number; readonly ms: number } | null;
  /** µs by stage, of those that were timed. */
  readonly stageUs: Readonly<Record<string, number>>;
  /** Texts of which only the beginning was kept. */
  readonly cut: readonly string[];
}

/** For records of revisions that are not known any more. */
const maskEverything = new Masker([], { everyValue: true });

/** The account of a record. `names` is null when its revision is too long ago: then indices stand for names and every value is masked. */
export function accountOf(r: RecordCopy, names: RevisionNames | null, instance: string, lane: number): Account {
  const masker = names?.masker ?? maskEverything;
  const refusal = REFUSAL_LIST[r.int(Int.Refusal)];
  const upstreamStatus = r.int(Int.UpstreamStatus);
  return {
    id: requestId(instance, lane, r.wide(Wide.Seq)),
    time: timeText(r.wide(Wide.StartedAt)),
    lane,
    revision: r.int(Int.Revision),
    bundle: names === null ? null : { digest: names.digest, seq: names.seq },
    method: r.text('method') || (METHODS[r.int(Int.Method)] ?? ''),
    scheme: r.flag(RecordFlag.Secure) ? 'https' : 'http',
    host: r.text('host'),
    path: masker.text(r.text('path')),
    query: masker.query(r.text('query')),
    raw: r.flag(RecordFlag.Raw),
    websocket: r.flag(RecordFlag.Websocket),
    clientAddress: r.text('clientAddress'),
    clientPort: r.int(Int.PeerPort),
    ...tlsOf(r),
    clientRequestId: r.text('clientRequestId'),
    status: r.int(Int.Status),
    aborted: r.flag(RecordFlag.Aborted),
    durationMs: rounded(r.wide(Wide.TotalUs) / 1000),
    bytesIn: r.wide(Wide.BytesIn),
    bytesOut: r.wide(Wide.BytesOut),
    at: STAGES[r.int(Int.At)] ?? '',
    refusal:
      refusal === undefined
        ? null
        : { code: refusal.code, blame: refusal.blame, stage: STAGES[r.int(Int.RefusedAt)] ?? '', title: refusal.title },
    detail: masker.text(r.text('detail')),
    route: named(names, 'route', r.int(Int.Route)),
    limit: limitOf(r, names),
    waf: wafOf(r, masker),
    credential: CREDENTIALS[r.int(Int.Credential)] ?? '',
    issuer: named(names, 'issuer', r.int(Int.Issuer)),
    subject: r.text('subject'),
    policy: policyOf(r, names),
    tenant: r.text('tenant'),
    cell: named(names, 'cell', r.int(Int.Cell)),
    endpoint: named(names, 'endpoint', r.int(Int.Endpoint)),
    attempts: r.int(Int.Attempts),
    ...(r.int(Int.Cache) > 0 ? { cache: CACHE_OUTCOMES[r.int(Int.Cache)] ?? '' } : {}),
    ...(r.text('rewritten') === '' ? {} : { rewritten: masker.text(r.text('rewritten')) }),
    upstream: upstreamStatus === 0 ? null : { status: upstreamStatus, ms: rounded(r.span(Span.UpstreamUs) / 1000) },
    stageUs: stageUsOf(r),
    cut: cutOf(r),
  };
}

/** `<instance>-<lane>-<seq>`, hexadecimal, as the pipeline writes it. */
export function requestId(instance: string, lane: number, seq: number): string {
  return `${instance}-${lane.toString(16).padStart(2, '0')}-${seq.toString(16).padStart(8, '0')}`;
}

/** What a request id names; null when it is not one. */
export function parseRequestId(id: string): { instance: string; lane: number; seq: number } | null {
  const m = /^([0-9a-f]{6})-([0-9a-f]{2})-([0-9a-f]{8,14})$/u.exec(id);
  if (m === null) return null;
  return {
    instance: m[1] as string,
    lane: Number.parseInt(m[2] as string, 16),
    seq: Number.parseInt(m[3] as string, 16),
  };
}

/** Why there is no record under an id whose request was turned away unread (src/data/request-id.ts); null when it is none of these. */
export function whyUnread(id: string): string | null {
  const m = /^[0-9a-f]{6}-([0-9a-f]{2})-s[0-9a-f]{8,14}$/u.exec(id);
  if (m === null) return null;
  const lane = Number.parseInt(m[1] as string, 16);
  return `refused with 503 shed: lane ${lane} was overloaded and turned the request away before its route was looked for; such requests are counted (cnx_shed_total{class="unread"}) and have no record`;
}

type Named = 'route' | 'limit' | 'policy' | 'cell' | 'issuer' | 'endpoint';

function named(names: RevisionNames | null, what: Named, index: number): string | null {
  if (index < 0) return null;
  return names === null ? numbered(what, index) : names[what](index);
}

function limitOf(r: RecordCopy, names: RevisionNames | null): Account['limit'] {
  const id = named(names, 'limit', r.int(Int.Limit));
  if (id === null) return null;
  const stage = names?.limitStage(r.int(Int.Route), r.int(Int.Limit)) ?? 'limit';
  return { id, remaining: r.int(Int.LimitRemaining), stage };
}

function tlsOf(r: RecordCopy): Pick<Account, 'tls'> {
  const ja4 = r.text('ja4');
  const fingerprint = r.text('certificate');
  if (ja4 === '' && fingerprint === '') return {};
  return { tls: { ja4, client: fingerprint === '' ? null : { fingerprint } } };
}

function wafOf(r: RecordCopy, masker: Masker): Account['waf'] {
  const matches = masker.matches(r.text('wafMatches'));
  const exclude = exclusionsOf(matches);
  const more = matchesNotTold(r.text('wafMatches'));
  const answerScore = r.int(Int.WafAnswerScore);
  return {
    verdict: WAF_VERDICTS[r.int(Int.Waf)] ?? '',
    score: r.int(Int.WafScore),
    ...(answerScore === 0 ? {} : { answerScore }),
    matches,
    ...(more === 0 ? {} : { more }),
    ...(exclude.length === 0 ? {} : { exclude }),
  };
}

/** Null when no policy was asked. */
function policyOf(r: RecordCopy, names: RevisionNames | null): Account['policy'] {
  const outcome = r.int(Int.PolicyOutcome);
  if (outcome === 0) return null;
  return { id: named(names, 'policy', r.int(Int.Policy)) ?? '', outcome: POLICY_OUTCOMES[outcome] ?? '' };
}

function stageUsOf(r: RecordCopy): Record<string, number> {
  const us: Record<string, number> = {};
  for (const [i, stage] of STAGES.entries()) {
    const taken = r.span(Span.Stage + i);
    if (taken > 0) us[stage] = rounded(taken);
  }
  return us;
}

function cutOf(r: RecordCopy): string[] {
  const cut: string[] = [];
  for (const [name] of TEXTS) if (r.cut(name)) cut.push(name);
  return cut;
}

/** The end of the year 9999, beyond which RFC 3339 has no form. */
const EPOCH_MS_MAX = 253_402_300_799_999;
/** The second that was written last: requests of one second share all but the milliseconds. */
const second = { at: Number.NaN, text: '' };

/** RFC 3339 in UTC, with milliseconds. */
function timeText(epochMs: number): string {
  if (!(epochMs >= 0 && epochMs <= EPOCH_MS_MAX)) return '';
  const at = Math.floor(epochMs / 1000);
  if (at !== second.at) {
    second.at = at;
    second.text = new Date(at * 1000).toISOString().slice(0, -4);
  }
  return `${second.text}${`${Math.trunc(epochMs) - at * 1000}`.padStart(3, '0')}Z`;
}

function rounded(value: number): number {
  return Math.round(value * 1000) / 1000;
}
