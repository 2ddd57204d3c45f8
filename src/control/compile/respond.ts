/** What a route does to the request on its way up and to the answer on its way down. */
import type { RespondConfig } from '../../config/respond.ts';
import type { RedirectPlan, RespondPlan } from '../../snapshot/snapshot.ts';
import type { TextPart } from '../../snapshot/variables.ts';
import { compileEdits, tooManyEdits } from './header-edits.ts';
import type { Report } from './report.ts';
import type { Rewrites } from './rewrites.ts';
import type { SecretReader } from './secrets.ts';
import { literalOf, partsOf } from './variables.ts';

/** A year, as browsers' preload lists ask for. Subdomains are not included: they may be somebody else's. */
export const STRICT_TRANSPORT = 'max-age=31536000';
/** Fields that tell browsers to be strict, unless the operator sets or removes them. */
const SECURITY_HEADERS: readonly (readonly [string, string])[] = [
  ['x-content-type-options', 'nosniff'],
  ['x-frame-options', 'DENY'],
  ['referrer-policy', 'strict-origin-when-cross-origin'],
];
const HTTPS_PORT = 443;
/** What `redirect.to` may be besides a location: the scheme changes, the rest stays. */
const TO_HTTPS = /^https(?::([1-9][0-9]{0,4}))?$/;
/** A location (RFC 9110 §10.2.2): an absolute http(s) address, or a path with one slash; printable ASCII without spaces, quotes and what browsers mend. */
const LOCATION = /^(?:https?:\/\/[^/?#\\@]+|\/(?!\/))[\x21\x23-\x3b\x3d\x3f-\x5b\x5d\x5f\x61-\x7a\x7c\x7e]*$/;
/** Host and port as the Host field holds them (RFC 9110 §7.2). */
const AUTHORITY = /^(?:[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?$/;
/** Characters of a canonical path that are not percent-encoded (RFC 3986 §3.3). */
const UNESCAPED = /[A-Za-z0-9\-._~!$&'()*+,;=:@/]/;
export interface RespondInput {
  readonly config: RespondConfig | undefined;
  /** Of `defaults.yaml`. */
  readonly securityHeaders: boolean;
  /** JSON Pointer of the route. */
  readonly path: string;
  readonly secret: SecretReader;
  readonly report: Report;
  /** Where expressions over paths are collected. */
  readonly rewrites: Rewrites;
  /** Distinct header names that issuers make from claims. */
  readonly claimHeaders?: number;
}

/** The plan of a route; what is wrong is reported. `claimHeaders`: names that every request loses, whatever its route. */
export function compileRespond(input: RespondInput): RespondPlan {
  const { config, path, report } = input;
  const at = `${path}/respond`;
  tooManyEdits(input.claimHeaders ?? 0, config?.requestHeaders, `${at}/requestHeaders`, report);
  tooManyEdits(0, config?.answerHeaders, `${at}/answerHeaders`, report);
  const request = compileEdits(config?.requestHeaders, 'request', `${at}/requestHeaders`, input);
  const answer = compileEdits(config?.answerHeaders, 'answer', `${at}/answerHeaders`, input);
  const secure = config?.securityHeaders ?? input.securityHeaders;
  const { named } = answer;
  const security = secure ? SECURITY_HEADERS.filter(([name]) => !named.has(name)).flat() : [];
  return {
    redirect: config?.redirect === undefined ? null : redirectPlan(config.redirect, `${at}/redirect/to`, report),
    stripPrefix: prefixOf(config?.stripPrefix ?? '', `${at}/stripPrefix`, report),
    replace: replacementOf(config, at, input),
    addPrefix: prefixOf(config?.addPrefix ?? '', `${at}/addPrefix`, report),
    host: config?.host === undefined ? null : upstreamHost(config.host, `${at}/host`, report),
    request: request.fixed,
    answer: { ...answer.fixed, set: [...security, ...answer.fixed.set] },
    requestMade: request.made,
    answerMade: answer.made,
    strictTransport: secure && !named.has('strict-transport-security') ? STRICT_TRANSPORT : '',
    showAnswer: false,
  };
}

function replacementOf(config: RespondConfig | undefined, at: string, input: RespondInput): RespondPlan['replace'] {
  const { report } = input;
  const { replacePath: whole, replacePathRegex: regex } = config ?? {};
  if (whole !== undefined && regex !== undefined)
    report('routes', `${at}/replacePathRegex`, '`replacePath` says the whole path already; keep one of them');
  if (whole !== undefined && (config?.stripPrefix ?? '') !== '')
    report(
      'routes',
      `${at}/stripPrefix`,
      '`replacePath` says the whole path, so that nothing is stripped; keep one of them',
    );
  if (whole !== undefined) return { path: whole === '/' ? '/' : encodedPath(whole, `${at}/replacePath`, report) };
  return regex === undefined ? null : { rule: input.rewrites.add(regex, `${at}/replacePathRegex`) };
}

function redirectPlan(config: { to: string; status: number }, at: string, report: Report): RedirectPlan {
  const https = TO_HTTPS.exec(config.to);
  if (https !== null) {
    const httpsPort = https[1] === undefined ? HTTPS_PORT : Number(https[1]);
    if (httpsPort > 65_535) report('routes', at, `${httpsPort} is not a port; 1 to 65535 is expected`);
    return { status: config.status, to: 'https', httpsPort };
  }
  if (!LOCATION.test(config.to)) {
    report(
      'routes',
      at,
      `"${config.to}" is no location; \`https\`, \`https:<port>\`, \`https://host/…\` or a path that begins with one slash is expected`,
    );
  }
  return { status: config.status, to: { location: config.to }, httpsPort: HTTPS_PORT };
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

/** A prefix as it stands in a canonical, percent-encoded path: no slash at the end, `''` for none. It is written decoded, as the paths of routes are. */
function prefixOf(text: string, at: string, report: Report): string {
  const bare = text.endsWith('/') ? text.slice(0, -1) : text;
  return bare === '' ? '' : encodedPath(bare, at, report);
}

/** A path that is written decoded, in canonical form. A slash at its end stays. */
function encodedPath(text: string, at: string, report: Report): string {
  const fault = prefixFault(text.endsWith('/') ? text.slice(0, -1) : text);
  if (fault !== null) report('routes', at, `"${text}" ${fault}`);
  let encoded = '';
  for (const byte of Buffer.from(text, 'utf8')) {
    const char = String.fromCharCode(byte);
    encoded += UNESCAPED.test(char) ? char : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return encoded;
}

function prefixFault(prefix: string): string | null {
  if (!prefix.startsWith('/')) return 'must begin with /';
  // eslint-disable-next-line no-control-regex -- control bytes are what is looked for
  if (/[\x00-\x1f\x7f?#\\%]/.test(prefix)) {
    return 'is written decoded and without query: no %, ?, #, backslash or control character';
  }
  const segments = prefix.slice(1).split('/');
  return segments.some((segment) => segment === '' || segment === '.' || segment === '..')
    ? 'has an empty, `.` or `..` segment, which no canonical path has'
    : null;
}
