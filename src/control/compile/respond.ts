/** What a route does to the request on its way up and to the answer on its way down. */
import type { HeaderEditsConfig } from '../../config/fields.ts';
import type { RespondConfig } from '../../config/route.ts';
import type { HeaderEdits, RespondPlan } from '../../snapshot/snapshot.ts';
import type { Report } from './report.ts';
import type { SecretReader } from './secrets.ts';

/** A year, as browsers' preload lists ask for. Subdomains are not included: they may be somebody else's. */
const STRICT_TRANSPORT = 'max-age=31536000';
/** Fields that tell browsers to be strict, unless the operator sets or removes them. */
const SECURITY_HEADERS: readonly (readonly [string, string])[] = [
  ['x-content-type-options', 'nosniff'],
  ['x-frame-options', 'DENY'],
  ['referrer-policy', 'strict-origin-when-cross-origin'],
];
const HTTPS_PORT = 443;
/** Field names (RFC 9110 §5.1). */
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$/;
/** What a secret may hold to become a field value. */
const FIELD_VALUE = /^[\x20-\x7e\t]{1,4096}$/;
/** Fields that belong to a connection or to the framing of a message (RFC 9110 §7.6.1): no edit may touch them. */
const UNTOUCHABLE = new Set([
  'connection',
  'content-length',
  'host',
  'keep-alive',
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
}

export function compileRespond(input: RespondInput): RespondPlan {
  const { config, path } = input;
  const answer = compileEdits(config?.answerHeaders, `${path}/respond/answerHeaders`, input);
  const secure = config?.securityHeaders ?? input.securityHeaders;
  const named = new Set([...answer.remove, ...answer.set.filter((_, i) => i % 2 === 0)]);
  const security = secure ? SECURITY_HEADERS.filter(([name]) => !named.has(name)).flat() : [];
  const redirect = config?.redirect;
  return {
    redirect:
      redirect === undefined
        ? null
        : {
            status: redirect.status,
            to: redirect.to === 'https' ? 'https' : { location: redirect.to },
            httpsPort: HTTPS_PORT,
          },
    stripPrefix: prefixOf(config?.stripPrefix ?? '', `${path}/respond/stripPrefix`, input.report),
    addPrefix: prefixOf(config?.addPrefix ?? '', `${path}/respond/addPrefix`, input.report),
    host: config?.host ?? null,
    request: compileEdits(config?.requestHeaders, `${path}/respond/requestHeaders`, input),
    answer: { ...answer, set: [...security, ...answer.set] },
    strictTransport: secure && !named.has('strict-transport-security') ? STRICT_TRANSPORT : '',
  };
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
    report('routes', path, `"${name}" belongs to the connection or the framing and cannot be edited`);
  }
}

/** A prefix as the upstream path has it: percent-encoded, without a slash at the end. */
function prefixOf(text: string, path: string, report: Report): string {
  if (text !== '' && !text.startsWith('/')) report('routes', path, `"${text}" must begin with /`);
  const bare = text.endsWith('/') ? text.slice(0, -1) : text;
  return encodeURI(bare).replaceAll('?', '%3F').replaceAll('#', '%23');
}

/** A name as a part of a JSON Pointer (RFC 6901 §3). */
function pointer(name: string): string {
  return name.replaceAll('~', '~0').replaceAll('/', '~1');
}
