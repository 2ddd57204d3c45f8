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

/** Names whose answer is remembered: the same few occur in every request. Longer ones than NAME_CHARS_MAX are not. */
export const NAMES_REMEMBERED_MAX = 1024;
const NAME_CHARS_MAX = 64;

export interface MaskerOptions {
  /** Every value that has a name is masked, and every value that a rule matched: what the operator calls secret is not known (any more). */
  readonly everyValue?: boolean;
}

/** Masks for one revision: the built-in lists and the operator's own names. */
export class Masker {
  readonly #configured: ReadonlySet<string>;
  readonly #everyValue: boolean;
  readonly #remembered = new Map<string, boolean>();

  /** `configured`: names besides the built-in lists, in any case. */
  constructor(configured: Iterable<string>, options: MaskerOptions = {}) {
    this.#configured = new Set([...configured].map((name) => name.toLowerCase()));
    this.#everyValue = options.everyValue ?? false;
  }

  /** Is the value of this parameter, header or field a secret? */
  isMasked(name: string): boolean {
    if (this.#everyValue) return true;
    const known = this.#remembered.get(name);
    if (known !== undefined) return known;
    const masked = this.#decide(name);
    if (name.length > NAME_CHARS_MAX) return masked;
    if (this.#remembered.size >= NAMES_REMEMBERED_MAX) this.#remembered.clear();
    this.#remembered.set(name, masked);
    return masked;
  }

  #decide(name: string): boolean {
    const plain = decoded(name).toLowerCase();
    const configured = this.#configured;
    if (configured.has(plain)) return true;
    // `api_key`, `api-key` and `apiKey` are one word; `key` counts at the end of a name only: `ssh_key`, not `keyboard`.
    const joined = plain.replaceAll(/[-_ ]/gu, '');
    if (within.test(joined) || joined.endsWith('key')) return true;
    return plain.split(/[[\].:]/u).some((part) => exact.has(part) || configured.has(part) || part.endsWith('key'));
  }

  /** A query with the values of secret parameters masked. `&` and `;` both part parameters. */
  query(query: string): string {
    let masked = '';
    let from = 0;
    for (let i = 0; i <= query.length; i++) {
      const c = i < query.length ? query[i] : '';
      if (c !== '&' && c !== ';' && c !== '') continue;
      masked += this.#parameter(query.slice(from, i)) + c;
      from = i + 1;
    }
    return masked;
  }

  #parameter(piece: string): string {
    const equals = piece.indexOf('=');
    if (equals < 0) return this.text(piece);
    const name = piece.slice(0, equals);
    if (this.isMasked(name)) return `${name}=${MASK}`;
    // A value may be an address with a query of its own, or a form.
    return `${name}=${this.text(piece.slice(equals + 1))}`;
  }

  /** Free text (a matched value, a path, a detail, an address) with what looks like a secret masked. */
  text(text: string): string {
    if (!SUSPECT.test(text)) return text;
    return this.#pairs(maskTokens(text).replaceAll(USERINFO, `$1$2$3${MASK}$4`));
  }

  #pairs(text: string): string {
    let masked = '';
    let from = 0;
    PAIR.lastIndex = 0;
    for (let found = PAIR.exec(text); found !== null; found = PAIR.exec(text)) {
      const [whole, name = '', sign = ''] = found;
      // What is no secret may hold a pair that is one: `https://host/?token=…`.
      if (!this.isMasked(name)) continue;
      const at = found.index + whole.length;
      const end = valueEnd(text, at, sign, name);
      // There is nothing to mask.
      if (end === at) continue;
      masked += text.slice(from, at) + MASK;
      from = PAIR.lastIndex = end;
    }
    return from === 0 ? text : masked + text.slice(from);
  }

  /** Matches of the WAF out of a record's text. Of a text that was cut, the matches that are whole, and of the last one its rule and variable. */
  matches(text: string): WafMatch[] {
    if (text === '') return [];
    const whole = listOf(text);
    if (whole !== null)
      return whole
        .filter((m) => !isRest(m))
        .slice(0, WAF_MATCHES_MAX)
        .map((m) => this.#match(m));
    let end = text.length;
    for (let i = 0; i < WAF_MATCHES_MAX; i++) {
      // Once more up to the end of the last whole object; a brace within a text is no such end, and its list does not parse.
      end = end < 2 ? 0 : text.lastIndexOf('}', end - 2) + 1;
      const list = end === 0 ? [] : listOf(`${text.slice(0, end)}]`);
      if (list === null) continue;
      const [, rule, variable] = LAST_MATCH.exec(text.slice(end)) ?? [];
      const last = rule === undefined ? [] : [{ rule: Number(rule), variable, value: CUT }];
      return [...list, ...last].map((m) => this.#match(m));
    }
    return [];
  }

  #match(match: unknown): WafMatch {
    const m = (typeof match === 'object' && match !== null ? match : {}) as Record<string, unknown>;
    const variable = typeof m['variable'] === 'string' ? m['variable'] : '';
    const value = typeof m['value'] === 'string' ? m['value'] : '';
    const colon = variable.indexOf(':');
    const secret =
      this.#everyValue ||
      variable.toUpperCase().startsWith('REQUEST_COOKIES:') ||
      (colon > 0 && this.isMasked(variable.slice(colon + 1)));
    return {
      rule: typeof m['rule'] === 'number' ? m['rule'] : 0,
      variable,
      value: secret ? MASK : this.text(value),
      message: typeof m['message'] === 'string' ? m['message'] : '',
      ...(m['decides'] === true ? { decides: true as const } : {}),
    };
  }
}

/** Counts of matches for which a record had no room; in a text of a match quotes are escaped. */
const REST = /\{"more":(\d{1,9})\}/gu;

/** Matches that a record only counts. */
export function matchesNotTold(text: string): number {
  let sum = 0;
  for (const [, count] of text.matchAll(REST)) sum += Number(count);
  return sum;
}

function isRest(match: unknown): boolean {
  return typeof match === 'object' && match !== null && 'more' in match;
}

/** Begin of `name=value`, `name: value`, `"name":"value"`, also with the sign percent-encoded, up to three times. The name ends at the first sign. */
const PAIR = /((?:(?!%(?:25){0,2}3[aAdD])[\w.%[\]-]){1,64})(["']?\s{0,8}(?:=|:|%(?:25){0,2}3[aAdD])\s{0,8}["']?)/gu;
/** Where a value without quotes ends. */
const VALUE_END = /[\s&;,"'<>]/gu;

/** Where the value that begins at `at` ends: at its closing quote, if its sign ends in one; a list of cookies at the line's end. */
function valueEnd(text: string, at: number, sign: string, name: string): number {
  const quote = sign.at(-1);
  if (quote === '"' || quote === "'") {
    let i = at;
    while (i < text.length && text[i] !== quote) i += text[i] === '\\' ? 2 : 1;
    return Math.min(i, text.length);
  }
  if (sign.includes(':') && name.toLowerCase().endsWith('cookie')) {
    const line = text.indexOf('\n', at);
    return line < 0 ? text.length : line;
  }
  VALUE_END.lastIndex = at;
  return VALUE_END.exec(text)?.index ?? text.length;
}

/** The password of an address (RFC 3986 §3.2.1), also percent-encoded. */
const USERINFO = /(\/\/|%2f%2f)([^\s/?#@:%]{0,64})(:|%3a)[^\s/?#@]{1,256}?(@|%40)/giu;

/**
 * Credentials as they stand in an Authorization header (RFC 9110 §11.4), and JSON Web Tokens: those only where a word begins, so that a text of nothing
 * but `eyJ` is walked once.
 */
const TOKEN =
  /\b(bearer|basic|digest|negotiate)(\s+|\+|%20)[\w.~+/=-]{6,}|(?<=^|[^\w-]|%[0-9a-f]{2})eyJ[\w-]{6,}(?:\.[\w-]*){1,4}/giu;

/** What a text must contain to hold a pair or a token: most paths do not, and the log masks every one of them. */
const SUSPECT = /[=:]|%(?:25){0,2}3|eyJ|bearer|basic|digest|negotiate/iu;

function maskTokens(text: string): string {
  if (!SUSPECT.test(text)) return text;
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

/** Stands for a value of which too little is left to be shown safely. */
const CUT = '(cut)';
/** The beginning of a match whose end was cut. */
const LAST_MATCH = /^[[,]\{"rule":(\d+),"variable":"([^"\\]*)"/u;

function listOf(text: string): unknown[] | null {
  try {
    const list: unknown = JSON.parse(text);
    return Array.isArray(list) ? list : [];
  } catch {
    return null;
  }
}

/** One match of a WAF rule, as a stage describes it. */
export interface WafMatch {
  readonly rule: number;
  readonly variable: string;
  readonly value: string;
  readonly message: string;
  /** The rule that refused, or would have, such as the one over the sum of scores; or one that only reports (phase 5). */
  readonly decides?: true;
}

/** Matches read out of a record at most. */
export const WAF_MATCHES_MAX = 64;
