/** What a route does to the request on its way up and to the answer on its way down. */
import type { HeaderEditsConfig } from '../../config/fields.ts';
import type { RespondConfig } from '../../config/route.ts';
import type { HeaderEdits, RedirectPlan, RespondPlan } from '../../snapshot/snapshot.ts';
import type { Report } from './report.ts';
import type { SecretReader } from './secrets.ts';

/** A year, as browsers' preload lists ask for. Subdomains are not included: they may be somebody else's. */
export const STRICT_TRANSPORT = 'max-age=31536000';
/** Fields that tell browsers to be strict, unless the operator sets or removes them. */
const SECURITY_HEADERS: readonly (readonly [string, string])[] = [
  ['x-content-type-options', 'nosniff'],
  ['x-frame-options', 'DENY'],
  ['referrer-policy', 'strict-origin-when-cross-origin'],
];
/**
 * Edits of one direction that a bundle may ask for, claims' headers included: beyond its own bound a transport would leave some undone, and a client's copy
 * of a field would pass. The gateway needs up to 16 for itself.
 */
export const EDITS_MAX = 48;
const HTTPS_PORT = 443;
/** What `redirect.to` may be besides a location: the scheme changes, the rest stays. */
const TO_HTTPS = /^https(?::([1-9][0-9]{0,4}))?$/;
/** A location (RFC 9110 §10.2.2): an absolute http(s) address, or a path with one slash; printable ASCII without spaces, quotes and what browsers mend. */
const LOCATION = /^(?:https?:\/\/[^/?#\\@]+|\/(?!\/))[\x21\x23-\x3b\x3d\x3f-\x5b\x5d\x5f\x61-\x7a\x7c\x7e]*$/;
/** Host and port as the Host field holds them (RFC 9110 §7.2). */
const AUTHORITY = /^(?:[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?$/;
/** Characters of a canonical path that are not percent-encoded (RFC 3986 §3.3). */
const UNESCAPED = /[A-Za-z0-9\-._~!$&'()*+,;=:@/]/;
/** Field names (RFC 9110 §5.1). */
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$/;
/** What a secret may hold to become a field value. */
const FIELD_VALUE = /^[\x20-\x7e\t]{1,4096}$/;
/** Fields that belong to a connection or to the framing of a message (RFC 9110 §7.6.1): no edit may touch them. */
const UNTOUCHABLE = new Set([
  'connection',
  'content-length',
  'expect',
  'host',
  'http2-settings',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authentication-info',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

export interface RespondInput {
  readonly config: RespondConfig | undefined;
  /** Of `defaults.yaml`. */
  readonly securityHeaders: boolean;
  /** JSON Pointer of the route. */
  readonly path: string;
  readonly secret: SecretReader;
  readonly report: Report;
  /** Distinct header names that issuers make from claims. */
  readonly claimHeaders?: number;
}

/** The plan of a route; what is wrong is reported. `claimHeaders`: names that every request loses, whatever its route. */
export function compileRespond(input: RespondInput): RespondPlan {
  const { config, path } = input;
  tooMany(input.claimHeaders ?? 0, config?.requestHeaders, `${path}/respond/requestHeaders`, input.report);
  tooMany(0, config?.answerHeaders, `${path}/respond/answerHeaders`, input.report);
  const answer = compileEdits(config?.answerHeaders, `${path}/respond/answerHeaders`, input);
  const secure = config?.securityHeaders ?? input.securityHeaders;
  const named = new Set([...answer.remove, ...answer.set.filter((_, i) => i % 2 === 0)]);
  const security = secure ? SECURITY_HEADERS.filter(([name]) => !named.has(name)).flat() : [];
  const at = `${path}/respond`;
  return {
    redirect: config?.redirect === undefined ? null : redirectPlan(config.redirect, `${at}/redirect/to`, input.report),
    stripPrefix: prefixOf(config?.stripPrefix ?? '', `${at}/stripPrefix`, input.report),
    addPrefix: prefixOf(config?.addPrefix ?? '', `${at}/addPrefix`, input.report),
    host: config?.host === undefined ? null : upstreamHost(config.host, `${at}/host`, input.report),
    request: compileEdits(config?.requestHeaders, `${at}/requestHeaders`, input),
    answer: { ...answer, set: [...security, ...answer.set] },
    strictTransport: secure && !named.has('strict-transport-security') ? STRICT_TRANSPORT : '',
    showAnswer: false,
  };
}

function tooMany(claimHeaders: number, config: HeaderEditsConfig | undefined, path: string, report: Report): void {
  const { set = {}, add = {}, setSecret = {}, remove = [] } = config ?? {};
  const edits = [set, add, setSecret].reduce((sum, fields) => sum + Object.keys(fields).length, remove.length);
  if (claimHeaders + edits <= EDITS_MAX) return;
  const claims = claimHeaders === 0 ? '' : `, and issuers make ${claimHeaders} headers from claims`;
  report('routes', path, `${edits} fields are edited here${claims}; at most ${EDITS_MAX} are possible together`);
}

function compileEdits(config: HeaderEditsConfig | undefined, path: string, input: RespondInput): HeaderEdits {
  if (config === undefined) return { set: [], add: [], remove: [] };
  const { report, secret } = input;
  const flat = (kind: 'set' | 'add' | 'setSecret', value: (text: string, at: string) => string): string[] =>
    Object.entries(config[kind]).flatMap(([name, text]) => {
      const at = `${path}/${kind}/${pointer(name)}`;
      checkName(name, at, report);
      return [name.toLowerCase(), value(text, at)];
    });
  const fromSecret = (name: string, at: string): string => {
    const value = secret('routes', at, name);
    if (value !== '' && !FIELD_VALUE.test(value)) {
      report('routes', at, `the secret "${name}" holds what a header field cannot: line breaks or bytes beyond ASCII`);
    }
    return value;
  };
  for (const [i, name] of config.remove.entries()) checkName(name, `${path}/remove/${i}`, report);
  return {
    remove: config.remove.map((name) => name.toLowerCase()),
    set: [...flat('set', (text) => text), ...flat('setSecret', fromSecret)],
    add: flat('add', (text) => text),
  };
}

function checkName(name: string, path: string, report: Report): void {
  if (!TOKEN.test(name)) report('routes', path, `"${name}" is not a header field name`);
  else if (UNTOUCHABLE.has(name.toLowerCase())) {
    report(
      'routes',
      path,
      `"${name}" belongs to the connection or the framing and cannot be edited${name.toLowerCase() === 'host' ? '; see respond.host' : ''}`,
    );
  }
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

function upstreamHost(host: string, at: string, report: Report): string {
  if (!AUTHORITY.test(host)) {
    report('routes', at, `"${host}" is no host; a name or an address with an optional port is expected`);
  }
  return host;
}

/** A prefix as it stands in a canonical, percent-encoded path: no slash at the end, `''` for none. It is written decoded, as the paths of routes are. */
function prefixOf(text: string, at: string, report: Report): string {
  const bare = text.endsWith('/') ? text.slice(0, -1) : text;
  if (bare === '') return '';
  const fault = prefixFault(bare);
  if (fault !== null) report('routes', at, `"${text}" ${fault}`);
  let encoded = '';
  for (const byte of Buffer.from(bare, 'utf8')) {
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

/** A name as a part of a JSON Pointer (RFC 6901 §3). */
function pointer(name: string): string {
  return name.replaceAll('~', '~0').replaceAll('/', '~1');
}
