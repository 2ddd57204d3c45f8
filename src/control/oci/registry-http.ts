import type { IncomingHttpHeaders } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { Agent, type Dispatcher, ProxyAgent, request } from 'undici';
import { classOfAddress, classOfHost, guardedLookup, isLoopbackHost, literalOf, mayLead } from './address.ts';
import { type ProxyOptions, throughProxy } from './proxy.ts';
import { type Credentials, RegistryAuth, type RegistryAction } from './registry-auth.ts';
import { SourceError, type SourceErrorCode } from './rejection.ts';

export interface RegistryOptions {
  /** Plain HTTP beyond loopback. Default false. */
  readonly insecure?: boolean;
  /** `https` always, except on loopback, where `http` is the default. */
  readonly scheme?: 'https' | 'http';
  /** PEM certificates of authorities to trust instead of the system's. */
  readonly ca?: string;
  /** Asked anew for every token, so that a changed file counts. Not called before the registry asks for authentication. */
  readonly credentials?: () => Credentials | undefined | Promise<Credentials | undefined>;
  /** Hosts besides the registry's own that may be sent the password for a token. */
  readonly tokenHosts?: readonly string[];
  /** For everything but this machine itself. The addresses of names are then the proxy's to find: of a redirect only the name is judged. */
  readonly proxy?: ProxyOptions | undefined;
  readonly connectTimeoutMs?: number;
  /** Longest silence of the registry. */
  readonly idleTimeoutMs?: number;
  /** Longest duration of one request with its body. */
  readonly totalTimeoutMs?: number;
  readonly now?: () => number;
  readonly random?: () => number;
  /** How a pause between attempts is made; a test passes one that does not wait. */
  readonly sleep?: (ms: number, signal: AbortSignal) => Promise<void>;
}

export interface RegistryRequest {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT';
  /** Path and query at the registry, or a URL that it gave for an upload. */
  readonly target: string | URL;
  readonly action: RegistryAction;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
  /** Bytes of the answer's body that are read; more is an error. */
  readonly bytesMax: number;
  /** Statuses besides 2xx that are answers and not errors. */
  readonly accept?: readonly number[];
}

export interface RegistryAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly bytes: Uint8Array;
  readonly url: URL;
}

const REDIRECTS_MAX = 5;
const ATTEMPTS_MAX = 3;
const RETRY_PAUSE_MS = 200;
/** A longer Retry-After is handed to whoever polls, rather than waited for. */
const RETRY_WAIT_MAX_MS = 3000;
const RETRY_AFTER_MAX_MS = 3_600_000;
const CONNECTIONS_MAX = 4;
const DISCARDED_BYTES_MAX = 64 * 1024;
const REDIRECTS = new Set([301, 302, 303, 307, 308]);
const RETRIED: ReadonlySet<SourceErrorCode> = new Set(['unreachable', 'timeout', 'rate_limited', 'server_error']);

/** HTTP to one registry: authentication, redirects, caps, timeouts and retries; knows nothing of manifests. */
export class RegistryHttp {
  readonly origin: URL;
  readonly #auth: RegistryAuth;
  readonly #options: RegistryOptions;
  readonly #agent: Dispatcher;
  /** For where redirects lead. */
  #elsewhere: { agent: Agent; from: Awaited<ReturnType<typeof classOfHost>> } | undefined;
  readonly #proxied: ProxyAgent | undefined;
  readonly #closing = new AbortController();

  constructor(host: string, repository: string, options: RegistryOptions) {
    const bare = new URL(`https://${host}`);
    const loopback = isLoopbackHost(bare.hostname);
    const scheme = options.scheme ?? (loopback || options.insecure === true ? 'http' : 'https');
    if (scheme === 'http' && !loopback && options.insecure !== true) {
      throw new SourceError('protocol', `${host}: plain HTTP is only spoken to loopback, or when insecure is set`);
    }
    this.origin = new URL(`${scheme}://${host}`);
    this.#options = options;
    this.#proxied = options.proxy === undefined ? undefined : this.#makeProxyAgent(options.proxy);
    this.#agent = throughProxy(options.proxy, this.origin) ? this.#requireProxied() : this.#makeAgent();
    this.#auth = new RegistryAuth({
      origin: this.origin,
      repository,
      credentials: options.credentials,
      tokenHosts: options.tokenHosts ?? [],
      insecure: options.insecure === true,
      now: options.now ?? Date.now,
      fetch: async (url, headers, bytesMax) => {
        const answer = await this.#exchange(
          'GET',
          url,
          { ...headers, accept: 'application/json' },
          undefined,
          bytesMax,
          throughProxy(options.proxy, url) ? this.#requireProxied() : this.#agent,
        );
        return { status: answer.status, bytes: answer.bytes };
      },
    });
  }

  /** One request with its retries. @throws {SourceError} for every status that is neither 2xx nor accepted. */
  async send(wanted: RegistryRequest): Promise<RegistryAnswer> {
    const repeatable = wanted.method === 'GET' || wanted.method === 'HEAD';
    for (let attempt = 1; ; attempt += 1) {
      try {
        const answer = await this.#follow(wanted);
        const { status } = answer;
        if ((status >= 200 && status < 300) || wanted.accept?.includes(status) === true) return answer;
        throw this.#statusError(answer, wanted);
      } catch (error) {
        if (!(error instanceof SourceError) || !RETRIED.has(error.code)) throw error;
        const pause =
          error.retryAfterMs ?? RETRY_PAUSE_MS * 2 ** (attempt - 1) * (0.5 + (this.#options.random ?? Math.random)());
        if (!repeatable || attempt === ATTEMPTS_MAX || pause > RETRY_WAIT_MAX_MS || this.#closing.signal.aborted)
          throw error;
        await this.#pause(pause);
      }
    }
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.#agent.destroy();
    await this.#elsewhere?.agent.destroy();
    await this.#proxied?.destroy();
  }

  async #pause(ms: number): Promise<void> {
    const pause = this.#options.sleep ?? ((time, signal) => sleep(time, undefined, { signal }));
    try {
      await pause(ms, this.#closing.signal);
    } catch (cause) {
      throw new SourceError('unreachable', `${this.origin.host}: closed while waiting`, { cause });
    }
  }

  /** Redirects and one answer to a challenge. The header of the registry goes to the registry's origin only. */
  async #follow(wanted: RegistryRequest): Promise<RegistryAnswer> {
    let url = new URL(wanted.target, this.origin);
    if (url.origin !== this.origin.origin) {
      throw new SourceError(
        'redirect_refused',
        `${this.origin.host} sends an upload to ${url.host}; that is not followed`,
      );
    }
    let challenged = false;
    for (let hops = 0; ; ) {
      const home = url.origin === this.origin.origin;
      const authorization = home ? await this.#auth.header(wanted.action) : undefined;
      const headers = { ...wanted.headers, ...(authorization === undefined ? {} : { authorization }) };
      const agent = home ? this.#agent : await this.#agentFor(url);
      let answer = await this.#exchange(wanted.method, url, headers, wanted.body, wanted.bytesMax, agent);
      if (answer.status === 401 && home && !challenged) {
        challenged = true;
        const fresh = await this.#auth.answer(answer.headers['www-authenticate'], wanted.action);
        answer = await this.#exchange(
          wanted.method,
          url,
          { ...wanted.headers, authorization: fresh },
          wanted.body,
          wanted.bytesMax,
          agent,
        );
      }
      const { location } = answer.headers;
      if (!REDIRECTS.has(answer.status) || location === undefined) return answer;
      if (wanted.method !== 'GET' && wanted.method !== 'HEAD') return answer;
      hops += 1;
      if (hops > REDIRECTS_MAX)
        throw new SourceError('redirect_refused', `${this.origin.host} redirects more than ${REDIRECTS_MAX} times`);
      url = this.#redirected(location, url);
    }
  }

  #redirected(location: string, from: URL): URL {
    if (!URL.canParse(location, from))
      throw new SourceError('redirect_refused', `${from.host} redirects to something that is no URL`);
    const url = new URL(location, from);
    const refuse = (why: string): never => {
      throw new SourceError('redirect_refused', `${from.host} redirects to ${url.protocol}//${url.host}: ${why}`);
    };
    if (url.protocol !== 'https:' && url.protocol !== 'http:') refuse('only http and https are followed');
    if (url.protocol === 'http:' && from.protocol === 'https:' && this.#options.insecure !== true)
      refuse('from https to http');
    if (url.username !== '' || url.password !== '') refuse('with credentials in it');
    return url;
  }

  /** Judges the place a redirect leads to: by address, also when its name is resolved for the connection. */
  async #agentFor(url: URL): Promise<Dispatcher> {
    if (this.#elsewhere === undefined) {
      const from = await classOfHost(this.origin.hostname);
      // Two redirects at once may both come here; the second is thrown away unused.
      this.#elsewhere ??= { from, agent: this.#makeAgent((to) => mayLead(from, to)) };
    }
    const { agent, from } = this.#elsewhere;
    const literal = literalOf(url.hostname);
    const to = literal === undefined ? undefined : classOfAddress(literal);
    if (to !== undefined && !mayLead(from, to)) {
      throw new SourceError('redirect_refused', `${this.origin.host} redirects to ${url.host}, a ${to} address`);
    }
    return throughProxy(this.#options.proxy, url) ? this.#requireProxied() : agent;
  }

  #requireProxied(): ProxyAgent {
    if (this.#proxied === undefined) throw new Error('there is no proxy');
    return this.#proxied;
  }

  #makeProxyAgent({ url }: ProxyOptions): ProxyAgent {
    const { ca } = this.#options;
    const { username, password } = url;
    const user = username === '' ? undefined : `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
    return new ProxyAgent({
      uri: url.origin,
      ...(user === undefined ? {} : { token: `Basic ${Buffer.from(user, 'utf8').toString('base64')}` }),
      connections: CONNECTIONS_MAX,
      allowH2: false,
      requestTls: { timeout: this.#options.connectTimeoutMs ?? 5000, ...(ca === undefined ? {} : { ca }) },
      proxyTls: { timeout: this.#options.connectTimeoutMs ?? 5000, ...(ca === undefined ? {} : { ca }) },
      headersTimeout: this.#options.idleTimeoutMs ?? 15_000,
      bodyTimeout: this.#options.idleTimeoutMs ?? 15_000,
    });
  }

  #makeAgent(allowed?: Parameters<typeof guardedLookup>[0]): Agent {
    const { ca } = this.#options;
    return new Agent({
      connections: CONNECTIONS_MAX,
      allowH2: false,
      connect: {
        timeout: this.#options.connectTimeoutMs ?? 5000,
        ...(ca === undefined ? {} : { ca }),
        ...(allowed === undefined ? {} : { lookup: guardedLookup(allowed) }),
      },
      headersTimeout: this.#options.idleTimeoutMs ?? 15_000,
      bodyTimeout: this.#options.idleTimeoutMs ?? 15_000,
    });
  }

  async #exchange(
    method: RegistryRequest['method'],
    url: URL,
    headers: Readonly<Record<string, string>>,
    body: Uint8Array | undefined,
    bytesMax: number,
    dispatcher: Dispatcher,
  ): Promise<RegistryAnswer> {
    const signal = AbortSignal.any([
      AbortSignal.timeout(this.#options.totalTimeoutMs ?? 120_000),
      this.#closing.signal,
    ]);
    try {
      const response = await request(url, {
        method,
        // Registries that compress in transit would break every digest.
        headers: { 'user-agent': 'cloudnexus-gateway', 'accept-encoding': 'identity', ...headers },
        dispatcher,
        signal,
        ...(body === undefined ? {} : { body }),
      });
      // The length that a HEAD names is that of a body which does not come.
      const ok = method !== 'HEAD' && response.statusCode >= 200 && response.statusCode < 300;
      const bytes = await readBody(response, ok ? bytesMax : DISCARDED_BYTES_MAX, ok, url);
      return { status: response.statusCode, headers: response.headers, bytes, url };
    } catch (error) {
      throw asSourceError(error, url);
    }
  }

  #statusError(answer: RegistryAnswer, wanted: RegistryRequest): SourceError {
    const { status, url } = answer;
    const what = `${url.host} answered ${status} to ${wanted.method} ${url.pathname}`;
    const retryAfterMs = retryAfter(answer.headers['retry-after'], (this.#options.now ?? Date.now)());
    if (status === 429) return new SourceError('rate_limited', what, { retryAfterMs });
    if (status >= 500) return new SourceError('server_error', what, { retryAfterMs });
    if (status === 401 || status === 403) return new SourceError('unauthorized', what);
    if (status === 404) return new SourceError('not_found', what);
    if (wanted.method === 'PUT' || wanted.method === 'POST')
      return new SourceError('write_refused', `${what}: ${firstLine(answer.bytes)}`);
    return new SourceError('protocol', what);
  }
}

/** Reads at most `bytesMax` bytes. Of an error's body the rest is not wanted; of content more than that is a lie. */
async function readBody(
  response: Dispatcher.ResponseData,
  bytesMax: number,
  strict: boolean,
  url: URL,
): Promise<Uint8Array> {
  const { body, headers } = response;
  const encoding = headers['content-encoding'];
  const declared = Number(headers['content-length'] ?? 0);
  if (strict && (declared > bytesMax || (encoding !== undefined && encoding !== 'identity'))) {
    body.destroy();
    if (declared > bytesMax)
      throw new SourceError('too_large', `${url.host} announces ${declared} bytes, at most ${bytesMax} are taken`);
    throw new SourceError('protocol', `${url.host} compresses its answer although it was asked not to`);
  }
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of body as AsyncIterable<Uint8Array>) {
    length += chunk.byteLength;
    if (length > bytesMax) {
      body.destroy();
      if (strict)
        throw new SourceError('too_large', `${url.host} sends more than the ${bytesMax} bytes that are taken`);
      break;
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function asSourceError(error: unknown, url: URL): SourceError {
  if (error instanceof SourceError) return error;
  const { name, code, message } = error as NodeJS.ErrnoException;
  if (
    name === 'TimeoutError' ||
    name === 'HeadersTimeoutError' ||
    name === 'BodyTimeoutError' ||
    name === 'ConnectTimeoutError'
  ) {
    return new SourceError('timeout', `${url.host} did not answer in time`, { cause: error });
  }
  if (code === 'EACCES') return new SourceError('redirect_refused', message, { cause: error });
  return new SourceError('unreachable', `${url.host}: ${code ?? name}: ${message}`, { cause: error });
}

/** Retry-After (RFC 9110 §10.2.3): seconds or a date, in milliseconds, bounded. */
export function retryAfter(value: string | string[] | undefined, nowMs: number): number | undefined {
  if (typeof value !== 'string') return undefined;
  const date = /^[A-Z][a-z]{2,8},? /.test(value) ? Date.parse(value) : Number.NaN;
  const ms = /^\d{1,9}$/.test(value) ? Number(value) * 1000 : date - nowMs;
  return Number.isNaN(ms) ? undefined : Math.min(Math.max(ms, 0), RETRY_AFTER_MAX_MS);
}

function firstLine(bytes: Uint8Array): string {
  return Buffer.from(bytes.subarray(0, 300))
    .toString('latin1')
    .replace(/[^\x20-\x7e]+/g, ' ')
    .trim();
}
