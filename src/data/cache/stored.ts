/** An answer as it is stored: made from what the upstream sent, freshened by a 304, and asked how fresh it is. */
import type { CachePlan, HeaderEdits } from '../../snapshot/route-plans.ts';
import type { StoredBody } from './body.ts';
import { type AnswerDirectives, answerDirectives, SECONDS_MAX } from './directives.ts';
import type { FieldLines } from './fields.ts';
import { fieldOf, firstOf, fits, freshened, names, storedFields } from './fields.ts';
import { initialAge, lifetime, whyNotStored } from './freshness.ts';
import type { ContentRange } from './range.ts';
import { parseContentRange } from './range.ts';
import { variantKey, varyNames } from './vary.ts';

/** Tags of one answer by which it can be purged. */
export const TAGS_MAX = 32;
/** Bytes that an entry costs beside its texts and its body: objects, places in maps. An estimate. */
export const ENTRY_OVERHEAD_BYTES = 512;

/** What came so much later than now came before the clock was set back; less may be the order of two requests. */
const CLOCK_SET_BACK_MS = 2_000;
const OK = 200;
const PARTIAL_CONTENT = 206;
const NOT_MODIFIED = 304;
/** Fields that name tags: Cloudflare's and Akamai's, and Fastly's. */
const TAG_FIELDS = ['cache-tag', 'surrogate-key'];

export interface StoredAnswer {
  readonly status: number;
  readonly fields: FieldLines;
  readonly body: StoredBody;
  /** A part of the whole, and the Range that was asked for it; null: all of it. */
  readonly part: { readonly range: ContentRange; readonly asked: string } | null;
  /** Epoch ms of its arrival. */
  readonly cameAt: number;
  /** Age then, seconds. */
  readonly ageThen: number;
  /** Seconds. */
  readonly lifetime: number;
  /** Never used without asking. */
  readonly noCache: boolean;
  /** Never used stale. */
  readonly mustRevalidate: boolean;
  /** Seconds beyond its lifetime in which it may be used while it is fetched anew, and when that fails. */
  readonly staleWhileRevalidate: number;
  readonly staleIfError: number;
  /** Names of Vary, and the text that requests for this answer make of them. */
  readonly vary: readonly string[];
  readonly variant: string;
  readonly tags: readonly string[];
  readonly bytes: number;
}

/** What an answer answers. */
export interface Asked {
  readonly plan: CachePlan;
  readonly credentials: boolean;
  /** The Range that went upstream; '' = none. */
  readonly range: string;
  /** Epoch ms. */
  readonly askedAt: number;
  /** The route's own edits of answers, which are written beside the stored fields. */
  readonly edits: HeaderEdits;
  /** All lines of a field of the request, joined. */
  readonly requestField: (name: string) => string | undefined;
}

/** An answer of the upstream. */
export interface Came {
  readonly status: number;
  readonly fields: FieldLines;
  /** Epoch ms. */
  readonly at: number;
}

/** Why an answer is not stored. */
export type NotStored = { readonly why: string };

/** Everything but the body, decided from the head alone. */
export type StoredHead = Omit<StoredAnswer, 'body' | 'bytes'>;

/** Reads a head: what would be stored with its body, or why nothing is. */
export function storedHead(asked: Asked, came: Came): StoredHead | NotStored {
  const { plan } = asked;
  const directives = directivesOf(came.fields);
  const why = whyNotStored({
    status: came.status,
    fields: came.fields,
    directives,
    credentials: asked.credentials,
    setCookie: plan.setCookie,
  });
  if (why !== null) return { why };
  // Answers to a question that only this client asked: whether it has it, or for a part.
  if (came.status === NOT_MODIFIED) return { why: 'status' };
  if (asked.range !== '' && came.status !== OK && came.status !== PARTIAL_CONTENT) return { why: 'partial' };
  const range = came.status === PARTIAL_CONTENT ? parseContentRange(firstOf(came.fields, 'content-range')) : null;
  if (came.status === PARTIAL_CONTENT && (range === null || asked.range === '')) return { why: 'partial' };
  const fields = storedFields(came.fields, notKept(plan, directives));
  return headOf(asked, came.status, fields, came, directives, range === null ? null : { range, asked: asked.range });
}

/** The whole. `bytes` counts what it costs to keep. */
export function withBody(head: StoredHead, body: StoredBody): StoredAnswer {
  let bytes = ENTRY_OVERHEAD_BYTES + body.length + head.variant.length;
  // Twice: as they came, and as they are written (prepared.ts).
  for (const text of head.fields) bytes += 2 * text.length;
  return { ...head, body, bytes };
}

/** A stored answer after the upstream has said that it is still right, by a 304 or a 200 to HEAD (RFC 9111 §4.3.4). */
export function validated(stored: StoredAnswer, asked: Asked, news: Came): StoredAnswer | NotStored {
  const said = directivesOf(news.fields);
  const fields = freshened(stored.fields, news.fields, notKept(asked.plan, said));
  const directives = directivesOf(fields);
  const why = whyNotStored({
    status: stored.status,
    fields,
    directives,
    credentials: asked.credentials,
    setCookie: asked.plan.setCookie,
  });
  if (why !== null) return { why };
  // Age and Date tell of this answer, whatever the stored one had.
  const head = headOf(asked, stored.status, fields, news, directives, stored.part);
  return 'why' in head ? head : withBody(head, stored.body);
}

/** What a 304 makes of an answer that is used once more and not kept. */
export function freshenedOnce(stored: StoredAnswer, news: Came, plan: CachePlan): StoredAnswer {
  const fields = freshened(stored.fields, news.fields, notKept(plan, directivesOf(news.fields)));
  return { ...stored, fields, cameAt: news.at, ageThen: initialAge(news.fields, news.at, news.at) };
}

/** True when the answer to HEAD shows that what is stored is not what a GET would get now (RFC 9111 §4.3.5). */
export function contradicts(stored: StoredAnswer, head: Came, contentLength: string | undefined): boolean {
  if (head.status !== stored.status) return true;
  for (const name of ['etag', 'last-modified']) {
    const said = firstOf(head.fields, name);
    if (said !== undefined && said !== firstOf(stored.fields, name)) return true;
  }
  return contentLength !== undefined && stored.part === null && Number(contentLength) !== stored.body.length;
}

/** Seconds since the origin made it or last said that it is right. Nobody knows how long it has been here when it came later than now: it is as old as may be. */
export function ageOf(stored: StoredAnswer, now: number): number {
  if (stored.cameAt - now > CLOCK_SET_BACK_MS) return SECONDS_MAX;
  return stored.ageThen + Math.max(0, now - stored.cameAt) / 1000;
}

/** True when it can be asked whether it is still right. */
export function hasValidator(stored: StoredAnswer): boolean {
  return firstOf(stored.fields, 'etag') !== undefined || firstOf(stored.fields, 'last-modified') !== undefined;
}

function directivesOf(fields: FieldLines): AnswerDirectives {
  return answerDirectives(fieldOf(fields, 'cache-control'), fieldOf(fields, 'cdn-cache-control'));
}

function notKept(plan: CachePlan, directives: AnswerDirectives): readonly string[] {
  return plan.setCookie === 'strip' ? [...directives.noCacheFields, 'set-cookie'] : directives.noCacheFields;
}

function headOf(
  asked: Asked,
  status: number,
  fields: FieldLines,
  came: Came,
  directives: AnswerDirectives,
  part: StoredAnswer['part'],
): StoredHead | NotStored {
  const vary = varyNames(fieldOf(fields, 'vary'));
  if (vary === null) return { why: 'vary' };
  if (!fits(fields, asked.edits)) return { why: 'fields' };
  const { plan } = asked;
  const mayBeStale = !directives.mustRevalidate && !directives.noCache;
  const life = lifetime(status, fields, directives, came.at);
  const staleIfError = mayBeStale ? (directives.staleIfError ?? plan.staleIfErrorMs / 1000) : 0;
  const staleWhileRevalidate = mayBeStale ? (directives.staleWhileRevalidate ?? plan.staleWhileRevalidateMs / 1000) : 0;
  const ageThen = initialAge(came.fields, asked.askedAt, came.at);
  const validator = firstOf(fields, 'etag') ?? firstOf(fields, 'last-modified');
  const fresh = !directives.noCache && life > ageThen;
  if (!fresh && validator === undefined && staleIfError === 0 && staleWhileRevalidate === 0) return { why: 'stale' };
  return {
    status,
    fields,
    part,
    cameAt: came.at,
    ageThen,
    lifetime: life,
    noCache: directives.noCache,
    mustRevalidate: directives.mustRevalidate,
    staleWhileRevalidate,
    staleIfError,
    vary,
    variant: variantKey(vary, asked.requestField),
    tags: tagsOf(fields),
  };
}

/** Tags of an answer: of Cache-Tag by commas, of Surrogate-Key by spaces. */
function tagsOf(fields: FieldLines): readonly string[] {
  const tags = TAG_FIELDS.flatMap((name) => names((fieldOf(fields, name) ?? '').replaceAll(' ', ',')));
  return [...new Set(tags)].slice(0, TAGS_MAX);
}
