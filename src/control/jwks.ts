/**
 * Keys of remote issuers: fetched in the background by the control thread, refreshed, refetched for an unknown `kid` at most once a cool-down, published to
 * the lanes when they change. When an issuer is down the lanes keep its last good keys.
 */
import { Agent, type Dispatcher, request } from 'undici';
import type { IssuerPlan } from '../snapshot/snapshot.ts';

/** Largest key set. Unit: bytes. */
export const JWKS_BYTES_MAX = 1024 * 1024;
/** Until a fetch counts as failed. */
const FETCH_TIMEOUT_MS = 5_000;
/** First wait after a failed fetch; doubles up to the refresh interval. */
const RETRY_MS = 1_000;

export interface JwksState {
  readonly url: string;
  /** Epoch ms of the last good fetch; 0 = never. */
  readonly fetchedAt: number;
  /** Why the last fetch failed; empty when it did not. */
  readonly failure: string;
}

interface Source {
  readonly url: string;
  refreshMs: number;
  cooldownMs: number;
  jwks: string | null;
  fetchedAt: number;
  askedAt: number;
  failure: string;
  failures: number;
  timer: NodeJS.Timeout | null;
  running: boolean;
}

export class JwksFetcher {
  readonly #publish: (jwksUrl: string, jwks: string) => void;
  readonly #report: (message: string) => void;
  readonly #sources = new Map<string, Source>();
  readonly #dispatcher: Dispatcher = new Agent({
    connections: 2,
    headersTimeout: FETCH_TIMEOUT_MS,
    bodyTimeout: FETCH_TIMEOUT_MS,
  });
  #stopped = false;

  constructor(publish: (jwksUrl: string, jwks: string) => void, report: (message: string) => void) {
    this.#publish = publish;
    this.#report = report;
  }

  /** Follows exactly the remote issuers of the active snapshot. New ones are fetched at once. */
  follow(issuers: readonly IssuerPlan[]): void {
    const wanted = new Map(issuers.flatMap((i) => (i.jwksUrl === null ? [] : [[i.jwksUrl, i] as const])));
    for (const [url, source] of this.#sources) {
      if (wanted.has(url)) continue;
      if (source.timer !== null) clearTimeout(source.timer);
      this.#sources.delete(url);
    }
    for (const [url, issuer] of wanted) {
      const known = this.#sources.get(url);
      if (known !== undefined) {
        known.refreshMs = issuer.jwksRefreshMs;
        known.cooldownMs = issuer.jwksCooldownMs;
        continue;
      }
      const source: Source = {
        url,
        refreshMs: issuer.jwksRefreshMs,
        cooldownMs: issuer.jwksCooldownMs,
        jwks: null,
        fetchedAt: 0,
        askedAt: 0,
        failure: '',
        failures: 0,
        timer: null,
        running: false,
      };
      this.#sources.set(url, source);
      void this.#fetch(source);
    }
  }

  /** A lane met a key id that it does not know. */
  unknownKid(jwksUrl: string): void {
    const source = this.#sources.get(jwksUrl);
    if (source === undefined || source.running || Math.abs(Date.now() - source.askedAt) < source.cooldownMs) return;
    void this.#fetch(source);
  }

  states(): readonly JwksState[] {
    return [...this.#sources.values()].map(({ url, fetchedAt, failure }) => ({ url, fetchedAt, failure }));
  }

  /** Leaves no timer and no connection behind. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.follow([]);
    await this.#dispatcher.destroy();
  }

  async #fetch(source: Source): Promise<void> {
    if (source.running || this.#stopped) return;
    source.running = true;
    source.askedAt = Date.now();
    if (source.timer !== null) clearTimeout(source.timer);
    try {
      const jwks = await this.#load(source.url);
      source.fetchedAt = Date.now();
      source.failure = '';
      source.failures = 0;
      if (this.#sources.get(source.url) === source) {
        // Published even when unchanged: lanes that wait for an unknown key id learn that this was all.
        source.jwks = jwks;
        this.#publish(source.url, jwks);
      }
    } catch (error) {
      source.failures++;
      source.failure = error instanceof Error ? error.message : String(error);
      this.#report(
        `keys of ${source.url} cannot be fetched (${source.failure}); ${source.jwks === null ? 'there are none yet' : 'the last good ones stay'}`,
      );
    } finally {
      source.running = false;
    }
    if (this.#sources.get(source.url) !== source || this.#stopped) return;
    const wait =
      source.failures === 0 ? source.refreshMs : Math.min(RETRY_MS * 2 ** (source.failures - 1), source.refreshMs);
    source.timer = setTimeout(() => void this.#fetch(source), wait);
    source.timer.unref();
  }

  async #load(url: string): Promise<string> {
    const { statusCode, body } = await request(url, {
      dispatcher: this.#dispatcher,
      headers: { accept: 'application/json', 'accept-encoding': 'identity' },
      signal: AbortSignal.timeout(FETCH_TIMEOUT_MS),
    });
    const chunks: Buffer[] = [];
    let bytes = 0;
    for await (const chunk of body as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > JWKS_BYTES_MAX) throw new Error(`the key set has more than ${JWKS_BYTES_MAX} bytes`);
      chunks.push(chunk);
    }
    if (statusCode !== 200) throw new Error(`status ${statusCode}`);
    const text = Buffer.concat(chunks).toString('utf8');
    const value: unknown = JSON.parse(text);
    if (!Array.isArray((value as { keys?: unknown } | null)?.keys)) throw new Error('no array `keys`');
    return text;
  }
}
