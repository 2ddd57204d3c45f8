/**
 * What leaves the process (log, explain) without its secrets: values of query parameters, of header-like pairs in texts, and anything that looks like a
 * token. Masking happens when a record is read, not when it is written: the record is as private as the process' memory, and the lane has better things
 * to do. Masks too much rather than too little.
 */

/** Put in place of a value. */
export const MASK = '***';

/** Names that are masked when they are the whole name or a part of it between brackets and dots. */
export const MASKED_EXACT: readonly string[] = [
  'auth',
  'code',
  'cookie',
  'hmac',
  'mac',
  'otp',
  'pass',
  'pin',
  'pwd',
  'sid',
  'sig',
  'ticket',
];

/** Words that mask any name which contains them, whatever stands around: `user_password`, `X-Api-Key`, `sessionid`. */
export const MASKED_WITHIN: readonly string[] = [
  'apikey',
  'assertion',
  'authorization',
  'bearer',
  'credential',
  'jwt',
  'passphrase',
  'passw',
  'privatekey',
  'samlresponse',
  'secret',
  'session',
  'signature',
  'token',
];

const exact = new Set(MASKED_EXACT);
const within = new RegExp(MASKED_WITHIN.join('|'), 'u');
/** Rounds of percent-decoding: an upstream that decodes twice must not make a name invisible to us. */
const DECODINGS_MAX = 3;

/** Is the value of this parameter, header or field a secret? `configured` holds lower-case names of the operator. */
export function isMasked(name: string, configured: ReadonlySet<string>): boolean {
  const plain = decoded(name).toLowerCase();
  if (configured.has(plain)) return true;
  // `api_key`, `api-key` and `apiKey` are one word; `key` counts at the end of a name only: `ssh_key`, not `keyboard`.
  const joined = plain.replaceAll(/[-_ ]/gu, '');
  if (within.test(joined) || joined.endsWith('key')) return true;
  return plain.split(/[[\].:]/u).some((part) => exact.has(part) || configured.has(part) || part.endsWith('key'));
}

/** A query with the values of secret parameters masked; of all, when the names of the record's revision are not known any more (`null`). */
export function maskQuery(query: string, configured: ReadonlySet<string> | null): string {
  if (query === '') return '';
  return query
    .split(/([&;])/u)
    .map((piece) => {
      const equals = piece.indexOf('=');
      if (equals < 0) return maskTokens(piece);
      const name = piece.slice(0, equals);
      if (configured === null || isMasked(name, configured)) return `${name}=${MASK}`;
      return `${name}=${maskTokens(piece.slice(equals + 1))}`;
    })
    .join('');
}

/** `name=value`, `name: value`, `"name":"value"`, also with a percent-encoded equals sign. */
const PAIR = /([\w.%[\]-]{1,64})(["']?\s{0,8}(?:=|:|%3[dD])\s{0,8}["']?)([^\s&;,"'<>]+)/gu;

/** Free text (a matched value, a path, a detail) with what looks like a secret masked. */
export function maskText(text: string, configured: ReadonlySet<string>): string {
  return maskTokens(text).replaceAll(PAIR, (whole, name: string, sign: string) =>
    isMasked(name, configured) ? `${name}${sign}${MASK}` : whole,
  );
}

/**
 * Credentials as they stand in an Authorization header (RFC 9110 §11.4), and JSON Web Tokens: those only where a word begins, so that a text of nothing
 * but `eyJ` is walked once.
 */
const TOKEN =
  /\b(bearer|basic|digest|negotiate)(\s+|\+|%20)[\w.~+/=-]{6,}|(?<=^|[^\w-]|%[0-9a-f]{2})eyJ[\w-]{6,}(?:\.[\w-]*){1,4}/giu;

function maskTokens(text: string): string {
  return text.replaceAll(TOKEN, (whole, scheme: string | undefined) =>
    scheme === undefined ? MASK : `${whole.slice(0, scheme.length)} ${MASK}`,
  );
}

function decoded(name: string): string {
  let text = name.replaceAll('+', ' ');
  for (let i = 0; i < DECODINGS_MAX && text.includes('%'); i++) {
    const once = text.replaceAll(/%([0-9a-fA-F]{2})/gu, (_, hex: string) =>
      String.fromCharCode(Number.parseInt(hex, 16)),
    );
    if (once === text) break;
    text = once;
  }
  return text;
}

/** One match of a WAF rule, as a stage describes it. */
export interface WafMatch {
  readonly rule: number;
  readonly variable: string;
  readonly value: string;
  readonly message: string;
}

/** Matches read out of a record at most. */
export const WAF_MATCHES_MAX = 32;

/** Matches out of a record's text, masked. A text that was cut gives the matches that are whole. */
export function readMatches(text: string, configured: ReadonlySet<string>): WafMatch[] {
  let end = text.length;
  for (let i = 0; i < WAF_MATCHES_MAX && end > 0; i++) {
    try {
      const list: unknown = JSON.parse(i === 0 ? text : `${text.slice(0, end)}]`);
      return (Array.isArray(list) ? list : []).slice(0, WAF_MATCHES_MAX).map((m) => maskMatch(m, configured));
    } catch {
      // Cut: once more up to the end of the last whole object.
      end = text.lastIndexOf('}', end - 2) + 1;
    }
  }
  return [];
}

function maskMatch(match: unknown, configured: ReadonlySet<string>): WafMatch {
  const m = (typeof match === 'object' && match !== null ? match : {}) as Record<string, unknown>;
  const variable = typeof m['variable'] === 'string' ? m['variable'] : '';
  const value = typeof m['value'] === 'string' ? m['value'] : '';
  const colon = variable.indexOf(':');
  const secret =
    variable.toUpperCase().startsWith('REQUEST_COOKIES:') ||
    (colon > 0 && isMasked(variable.slice(colon + 1), configured));
  return {
    rule: typeof m['rule'] === 'number' ? m['rule'] : 0,
    variable,
    value: secret ? MASK : maskText(value, configured),
    message: typeof m['message'] === 'string' ? m['message'] : '',
  };
}
