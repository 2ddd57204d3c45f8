import { isLoopbackHost } from './address.ts';
import { type Challenge, parseChallenges } from './challenge.ts';
import { type JsonObject, parseStrictJson } from './json.ts';
import { Rejection, SourceError } from './rejection.ts';

export interface Credentials {
  readonly username: string;
  readonly password: string;
}

/** What is asked of the registry; becomes the scope of a token. */
export type RegistryAction = 'pull' | 'pull,push';

/** Hosts of token services of well-known registries that lie elsewhere than the registry. Every other must be listed by the operator. */
const KNOWN_TOKEN_HOSTS: ReadonlyMap<string, string> = new Map([
  ['registry-1.docker.io', 'auth.docker.io'],
  ['registry.gitlab.com', 'gitlab.com'],
]);

const TOKEN_ANSWER_BYTES_MAX = 64 * 1024;
const TOKEN_LIFE_DEFAULT_S = 60;
const TOKEN_LIFE_MAX_S = 3600;
/** A token is replaced when this part of its life is over. */
const TOKEN_LIFE_USED = 0.8;

export interface RegistryAuthOptions {
  /** Origin of the registry. */
  readonly origin: URL;
  readonly repository: string;
  readonly credentials: (() => Credentials | undefined | Promise<Credentials | undefined>) | undefined;
  /** Further hosts (with port, if not the default) that may be sent the password for a token. */
  readonly tokenHosts: readonly string[];
  /** Whether plain HTTP beyond loopback was allowed by the operator. */
  readonly insecure: boolean;
  readonly now: () => number;
  /** Fetches a token without following redirects; gives status and at most `bytesMax` bytes. */
  readonly fetch: (
    url: URL,
    headers: Record<string, string>,
    bytesMax: number,
  ) => Promise<{ status: number; bytes: Uint8Array }>;
}

interface CachedToken {
  readonly header: string;
  readonly untilMs: number;
}

/**
 * Answers the registry's challenges: Basic, or the token flow of the CNCF distribution. Nothing is sent before the registry
 * has asked. The realm of a token is pinned: a registry can name any place and would be handed the password there. The
 * scope is built here; the one in the challenge is not echoed, it could be wider.
 */
export class RegistryAuth {
  readonly #options: RegistryAuthOptions;
  readonly #tokens = new Map<RegistryAction, CachedToken>();
  readonly #pending = new Map<RegistryAction, Promise<string>>();
  #basic = false;

  constructor(options: RegistryAuthOptions) {
    this.#options = options;
  }

  /** The header for a request, if the registry is known to want one. */
  async header(action: RegistryAction): Promise<string | undefined> {
    const token = this.#tokens.get(action);
    if (token !== undefined && this.#options.now() < token.untilMs) return token.header;
    return this.#basic ? this.#basicHeader() : undefined;
  }

  /**
   * The header that answers a 401. What was cached is dropped: it has just been refused.
   * @throws {SourceError} `unauthorized`, `realm_refused`.
   */
  async answer(wwwAuthenticate: string | readonly string[] | undefined, action: RegistryAction): Promise<string> {
    this.#tokens.delete(action);
    const challenges = wwwAuthenticate === undefined ? [] : parseChallenges(wwwAuthenticate);
    if (challenges === undefined)
      throw new SourceError('protocol', `${this.#host} sent a WWW-Authenticate field that cannot be read`);
    const bearer = challenges.find((item) => item.scheme === 'bearer');
    if (bearer !== undefined) {
      // Several requests may be refused at once: one token serves them all.
      const running =
        this.#pending.get(action) ?? this.#fetchToken(bearer, action).finally(() => this.#pending.delete(action));
      this.#pending.set(action, running);
      return running;
    }
    if (challenges.some((item) => item.scheme === 'basic')) {
      const header = await this.#basicHeader();
      if (header === undefined)
        throw new SourceError(
          'unauthorized',
          `${this.#host} asks for a user name and password, and none is configured`,
        );
      this.#basic = true;
      return header;
    }
    throw new SourceError('unauthorized', `${this.#host} refuses and offers neither Basic nor Bearer authentication`);
  }

  get #host(): string {
    return this.#options.origin.host;
  }

  async #basicHeader(): Promise<string | undefined> {
    const credentials = await this.#options.credentials?.();
    if (credentials === undefined) return undefined;
    if (credentials.username.includes(':'))
      throw new SourceError('unauthorized', 'a user name for a registry cannot hold a colon');
    return `Basic ${Buffer.from(`${credentials.username}:${credentials.password}`, 'utf8').toString('base64')}`;
  }

  async #fetchToken(challenge: Challenge, action: RegistryAction): Promise<string> {
    const realm = this.#realm(challenge);
    const service = challenge.parameters.get('service');
    if (service !== undefined) realm.searchParams.set('service', service);
    realm.searchParams.set('scope', `repository:${this.#options.repository}:${action}`);
    const basic = await this.#basicHeader();
    const { status, bytes } = await this.#options.fetch(
      realm,
      basic === undefined ? {} : { authorization: basic },
      TOKEN_ANSWER_BYTES_MAX,
    );
    if (status === 401 || status === 403) {
      const whom = basic === undefined ? 'without credentials' : 'for the configured credentials';
      throw new SourceError(
        'unauthorized',
        `${realm.host} gives no token for ${this.#options.repository} (${action}) ${whom}`,
      );
    }
    if (status !== 200)
      throw new SourceError('server_error', `${realm.host} answered ${status} when asked for a token`);
    const answer = readToken(bytes, realm.host);
    const lifeS = Math.min(answer.expiresS, TOKEN_LIFE_MAX_S) * TOKEN_LIFE_USED;
    const header = `Bearer ${answer.token}`;
    this.#tokens.set(action, { header, untilMs: this.#options.now() + lifeS * 1000 });
    return header;
  }

  #realm(challenge: Challenge): URL {
    const text = challenge.parameters.get('realm') ?? '';
    if (!URL.canParse(text))
      throw new SourceError('realm_refused', `${this.#host} names no readable realm for its tokens`);
    const realm = new URL(text);
    const { origin, tokenHosts, insecure } = this.#options;
    const known =
      realm.hostname === origin.hostname ||
      KNOWN_TOKEN_HOSTS.get(origin.hostname) === realm.hostname ||
      tokenHosts.includes(realm.host);
    if (!known) {
      throw new SourceError(
        'realm_refused',
        `${this.#host} wants the password to be sent to ${realm.host}; list that host for tokens if it is right`,
      );
    }
    const plain = realm.protocol === 'http:' && (isLoopbackHost(realm.hostname) || insecure);
    if ((realm.protocol !== 'https:' && !plain) || realm.username !== '' || realm.password !== '') {
      throw new SourceError(
        'realm_refused',
        `${this.#host} names a realm for its tokens that is not https: ${realm.protocol}//${realm.host}`,
      );
    }
    return realm;
  }
}

function readToken(bytes: Uint8Array, host: string): { token: string; expiresS: number } {
  let answer: JsonObject;
  try {
    answer = parseStrictJson(bytes, { what: 'token answer', bytesMax: TOKEN_ANSWER_BYTES_MAX }) as JsonObject;
  } catch (error) {
    if (!(error instanceof Rejection)) throw error;
    throw new SourceError('protocol', `${host}: ${error.message}`, { cause: error });
  }
  const token = answer?.['token'] ?? answer?.['access_token'];
  // What goes into a header must be able to: RFC 6750 §2.1, b64token.
  if (typeof token !== 'string' || !/^[A-Za-z0-9._~+/-]+=*$/.test(token))
    throw new SourceError('protocol', `${host} gave an answer without a usable token`);
  const expires = answer['expires_in'];
  const expiresS = typeof expires === 'number' && expires > 0 ? expires : TOKEN_LIFE_DEFAULT_S;
  return { token, expiresS };
}
