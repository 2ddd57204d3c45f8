/** One challenge of a `WWW-Authenticate` field. */
export interface Challenge {
  /** Lower case. */
  readonly scheme: string;
  readonly token68: string | undefined;
  /** Names in lower case. */
  readonly parameters: ReadonlyMap<string, string>;
}

const HEADER_LENGTH_MAX = 8 * 1024;
const CHALLENGES_MAX = 16;
const PARAMETERS_MAX = 32;

/**
 * Reads challenges (RFC 9110 §11.6.1): a field may hold several, their parameters hold commas inside quotes, and a comma
 * separates both parameters and challenges. Undefined for what the grammar does not allow, for a parameter named twice and
 * beyond the limits: such an answer is not worth a password.
 */
export function parseChallenges(header: string | readonly string[]): Challenge[] | undefined {
  const text = typeof header === 'string' ? header : header.join(', ');
  if (text.length > HEADER_LENGTH_MAX) return undefined;
  const reader = new Reader(text);
  const challenges: Challenge[] = [];
  for (;;) {
    reader.skipEmptyElements();
    if (reader.atEnd()) return challenges;
    if (challenges.length === CHALLENGES_MAX) return undefined;
    const challenge = readChallenge(reader);
    if (challenge === undefined) return undefined;
    challenges.push(challenge);
  }
}

function readChallenge(reader: Reader): Challenge | undefined {
  const scheme = reader.token();
  if (scheme === undefined) return undefined;
  const base = { scheme: scheme.toLowerCase() };
  if (!reader.skipSpaces())
    return reader.atElementEnd() ? { ...base, token68: undefined, parameters: new Map() } : undefined;
  const token68 = reader.token68();
  if (token68 !== undefined) return { ...base, token68, parameters: new Map() };
  const parameters = new Map<string, string>();
  for (;;) {
    reader.skipEmptyElements();
    const before = reader.position;
    const name = reader.token()?.toLowerCase();
    if (name === undefined) break;
    reader.skipSpaces();
    if (!reader.take('=')) {
      // A token without "=" is the scheme of the next challenge.
      reader.position = before;
      break;
    }
    reader.skipSpaces();
    const value = reader.quoted() ?? reader.token();
    if (value === undefined || parameters.has(name) || parameters.size === PARAMETERS_MAX || !reader.atElementEnd())
      return undefined;
    parameters.set(name, value);
  }
  return { ...base, token68: undefined, parameters };
}

class Reader {
  position = 0;
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  atEnd(): boolean {
    return this.position >= this.#text.length;
  }

  take(character: string): boolean {
    if (this.#text[this.position] !== character) return false;
    this.position += 1;
    return true;
  }

  /** Optional white space; whether there was any. */
  skipSpaces(): boolean {
    const start = this.position;
    while (this.#text[this.position] === ' ' || this.#text[this.position] === '\t') this.position += 1;
    return this.position > start;
  }

  /** Commas and white space: the list rule of RFC 9110 §5.6.1 allows empty elements. */
  skipEmptyElements(): void {
    while (this.skipSpaces() || this.take(','));
  }

  /** Whether a comma or the end follows; the white space before it is skipped. */
  atElementEnd(): boolean {
    this.skipSpaces();
    return this.atEnd() || this.#text[this.position] === ',';
  }

  token(): string | undefined {
    return this.#match(/[!#$%&'*+.^_`|~0-9A-Za-z-]+/y);
  }

  /** A token68, only when it is the whole rest of the challenge: `name=value` begins like one. */
  token68(): string | undefined {
    const before = this.position;
    const value = this.#match(/[A-Za-z0-9._~+/-]+=*/y);
    if (value !== undefined && this.atElementEnd()) return value;
    this.position = before;
    return undefined;
  }

  /** A quoted string, without its quotes and escapes. */
  quoted(): string | undefined {
    const raw = this.#match(/"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\uffff]|\\[\t \x21-\x7e\x80-\uffff])*"/y);
    return raw?.slice(1, -1).replace(/\\(.)/gs, '$1');
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.position;
    const value = pattern.exec(this.#text)?.[0];
    if (value !== undefined) this.position += value.length;
    return value;
  }
}
