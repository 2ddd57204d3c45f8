/** What a route does to the request on its way up and to the answer on its way down. */
import type { RespondConfig } from '../../config/respond.ts';
import { STATUSES } from '../../config/static.ts';
import type { StrictTransportConfig } from '../../config/strict-transport.ts';
import type { CorsConfig } from '../../config/cors.ts';
import type { CorsPlan } from '../../snapshot/respond-plans.ts';
import type { HeaderEdits, RespondPlan } from '../../snapshot/route-plans.ts';
import type { TextPart } from '../../snapshot/variables.ts';
import { compileCors, CORS_ANSWER_FIELDS, CORS_EDITS_MAX } from './cors.ts';
import { compileEdits, tooManyEdits } from './header-edits.ts';
import { pathChange } from './paths.ts';
import { redirectPlan } from './redirect.ts';
import type { Report } from './report.ts';
import type { Rewrites } from './rewrites.ts';
import type { SecretReader } from './secrets.ts';
import type { StaticAnswers } from './static.ts';
import { literalOf, partsOf } from './variables.ts';

const YEAR_SECONDS = 31_536_000;
/** A year, as browsers' preload lists ask for. Subdomains are not included: they may be somebody else's. */
export const STRICT_TRANSPORT = `max-age=${YEAR_SECONDS}`;
/** Fields that tell browsers to be strict, unless the operator sets or removes them. */
const SECURITY_HEADERS: readonly (readonly [string, string])[] = [
  ['x-content-type-options', 'nosniff'],
  ['x-frame-options', 'DENY'],
  ['referrer-policy', 'strict-origin-when-cross-origin'],
];
/** Those and others of the kind: they stand in refusals too. */
const SECURITY_NAMES: ReadonlySet<string> = new Set([
  ...SECURITY_HEADERS.map(([name]) => name),
  'content-security-policy',
  'permissions-policy',
  'cross-origin-opener-policy',
  'cross-origin-embedder-policy',
  'cross-origin-resource-policy',
]);
/** Host and port as the Host field holds them (RFC 9110 §7.2). */
const AUTHORITY = /^(?:[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?$/;
export interface RespondInput {
  readonly config: RespondConfig | undefined;
  /** Of `defaults.yaml`. */
  readonly securityHeaders: boolean;
  /** JSON Pointer of the route. */
  readonly path: string;
  /** Of `defaults.yaml`. */
  readonly strictTransport?: StrictTransportConfig | undefined;
  readonly secret: SecretReader;
  readonly report: Report;
  /** Where expressions over paths are collected. */
  readonly rewrites: Rewrites;
  /** Where files and pages are gathered. */
  readonly statics: StaticAnswers;
  /** Pages of `defaults.yaml`. */
  readonly pages?: readonly number[];
  /** The route's own, or that of `defaults.yaml`. */
  readonly cors?: { readonly config: CorsConfig; readonly path: string } | undefined;
  /** Methods of the route; absent or empty = all. */
  readonly methods?: readonly string[];
  /** Distinct header names that issuers make from claims. */
  readonly claimHeaders?: number;
}

/** The plan of a route; what is wrong is reported. `claimHeaders`: names that every request loses, whatever its route. */
export function compileRespond(input: RespondInput): RespondPlan {
  const { config, path, report } = input;
  const at = `${path}/respond`;
  const own = (['redirect', 'direct', 'files'] as const).filter((kind) => config?.[kind] !== undefined);
  for (const kind of own.slice(1)) report('routes', `${at}/${kind}`, `\`${own[0]}\` answers already; keep one of them`);
  const claims = input.claimHeaders ?? 0;
  const ofClaims = { count: claims, whose: `issuers make ${claims} headers from claims` };
  const ofCors = { count: input.cors === undefined ? 0 : CORS_EDITS_MAX, whose: `\`cors\` needs ${CORS_EDITS_MAX}` };
  tooManyEdits(ofClaims, config?.requestHeaders, `${at}/requestHeaders`, report);
  tooManyEdits(ofCors, config?.answerHeaders, `${at}/answerHeaders`, report);
  const request = compileEdits(config?.requestHeaders, 'request', `${at}/requestHeaders`, input);
  const answer = compileEdits(config?.answerHeaders, 'answer', `${at}/answerHeaders`, input);
  const secure = config?.securityHeaders ?? input.securityHeaders;
  const { named } = answer;
  const cors = input.cors === undefined ? null : compileCors(input.cors.config, input.cors.path, answer, input);
  const security = secure ? SECURITY_HEADERS.filter(([name]) => !named.has(name)).flat() : [];
  const pages = [...input.statics.addPages(config?.errorPages, 'routes', `${at}/errorPages`), ...(input.pages ?? [])];
  const intercept = interceptOf(config?.interceptErrors ?? [], pages, `${at}/interceptErrors`, input);
  return {
    redirect: config?.redirect === undefined ? null : redirectPlan(config.redirect, `${at}/redirect`, input),
    ...pathChange(config ?? {}, at, input),
    host: config?.host === undefined ? null : upstreamHost(config.host, `${at}/host`, report),
    request: request.fixed,
    answer: withCors({ ...answer.fixed, set: [...security, ...answer.fixed.set] }, cors),
    security: securityOf([...security, ...answer.fixed.set]),
    cors,
    direct: config?.direct === undefined ? null : input.statics.direct(config.direct, `${at}/direct`),
    files: config?.files === undefined ? null : input.statics.files(config.files, `${at}/files`),
    pages,
    ...(intercept.length === 0 ? {} : { intercept }),
    requestMade: request.made,
    answerMade: answer.made,
    strictTransport: named.has('strict-transport-security')
      ? ''
      : strictTransportOf(input, secure, `${at}/strictTransport`),
    showAnswer: intercept.length > 0,
  };
}

/** Ranges of statuses; one that no page is for would be a promise that nobody keeps. */
function interceptOf(
  named: readonly string[],
  pages: readonly number[],
  at: string,
  { statics, report }: RespondInput,
): number[] {
  const on = pages.flatMap((page) => statics.pages[page]?.on ?? []);
  return named.flatMap((name, i) => {
    const [, one, last] = STATUSES.exec(name) ?? [];
    const from = one === undefined ? Number(`${name.charAt(0)}00`) : Number(one);
    const to = one === undefined ? from + 99 : Number(last ?? one);
    if (from > to) report('routes', `${at}/${i}`, `${name} ends before it begins`);
    const within = (text: string): boolean =>
      /^[45]xx$/.test(text)
        ? Math.floor(from / 100) <= Number(text.charAt(0)) && Number(text.charAt(0)) <= Math.floor(to / 100)
        : from <= Number(text) && Number(text) <= to;
    if (from <= to && !on.some(within))
      report('routes', `${at}/${i}`, `no page is for ${name}: name it, or its class, in \`on\` of an errorPages`);
    return [from, to];
  });
}

/** What of the fields that a route sets protects whoever reads an answer, whatever it says. */
function securityOf(set: readonly string[]): HeaderEdits | null {
  const own = set.filter((_, i) => SECURITY_NAMES.has(set[i - (i % 2)] ?? ''));
  return own.length === 0 ? null : { remove: [], add: [], set: own };
}

/** An upstream's own word on other origins does not pass where the gateway has it; caches are told what an answer follows from. */
function withCors(answer: HeaderEdits, cors: CorsPlan | null): HeaderEdits {
  if (cors === null) return answer;
  const remove = [...answer.remove, ...CORS_ANSWER_FIELDS];
  if (!cors.varies) return { ...answer, remove };
  const append = [...(answer.append ?? [])];
  const at = append.findIndex((name, i) => i % 2 === 0 && name === 'vary');
  if (at < 0) append.push('vary', 'Origin');
  else append[at + 1] = `${append[at + 1]}, Origin`;
  return { ...answer, remove, append };
}

/** What is written counts whether or not the other security headers are wanted. */
function strictTransportOf(input: RespondInput, secure: boolean, at: string): string {
  const own = input.config?.strictTransport;
  const config = own ?? input.strictTransport;
  if (config === undefined) return secure ? STRICT_TRANSPORT : '';
  const { maxAgeSeconds, includeSubDomains, preload } = config;
  if (preload && (!includeSubDomains || maxAgeSeconds < YEAR_SECONDS))
    input.report(
      own === undefined ? 'defaults' : 'routes',
      `${own === undefined ? '/strictTransport' : at}/preload`,
      `lists take hosts with includeSubDomains and at least ${YEAR_SECONDS} seconds only`,
    );
  return `max-age=${maxAgeSeconds}${includeSubDomains ? '; includeSubDomains' : ''}${preload ? '; preload' : ''}`;
}

/** A Host without variables is checked here, one with them when it is made. */
function upstreamHost(host: string, at: string, report: Report): string | readonly TextPart[] {
  let sound = true;
  const parts = partsOf(host, (message) => {
    sound = false;
    report('routes', at, message);
  });
  const text = literalOf(parts);
  if (text === null) return parts;
  if (sound && !AUTHORITY.test(text)) {
    report('routes', at, `"${host}" is no host; a name or an address with an optional port is expected`);
  }
  return text;
}
