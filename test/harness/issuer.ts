/** An issuer of tokens with real keys, and the server that publishes them: what a gateway asks for keys, and what a test asks for tokens. */
import { createServer, type Server } from 'node:http';
import { exportJWK, generateKeyPair, type CryptoKey, type JWK, type JWTPayload, SignJWT } from 'jose';
import { closed, listening } from './ports.ts';

export const ISSUER = 'https://issuer.test';
export const AUDIENCE = 'test';
const TOKEN_SECONDS = 300;

interface IssuerKey {
  readonly kid: string;
  readonly alg: string;
  readonly key: CryptoKey;
  readonly jwk: JWK;
}

export interface TokenOptions {
  readonly kid?: string;
  /** Protected header fields over those that a good token has. */
  readonly header?: Readonly<Record<string, unknown>>;
  /** Claims that are left out. */
  readonly without?: readonly string[];
}

export class TestIssuer {
  /** Requests for the key set so far. */
  fetches = 0;
  /** What the server answers with. */
  mode: 'keys' | 'failing' | 'garbage' = 'keys';
  #keys: IssuerKey[] = [];
  #server: Server | null = null;
  #port = 0;

  /** An issuer with one key, `first`. */
  static async make(alg = 'ES256'): Promise<TestIssuer> {
    const issuer = new TestIssuer();
    await issuer.addKey('first', alg);
    return issuer;
  }

  /** A further key. It is published from now on, unless told otherwise. */
  async addKey(kid: string, alg = 'ES256'): Promise<void> {
    const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true });
    this.#keys.push({ kid, alg, key: privateKey, jwk: { ...(await exportJWK(publicKey)), kid, alg, use: 'sig' } });
  }

  /** Takes a key out of the published set; tokens can be signed with it no more. */
  removeKey(kid: string): void {
    this.#keys = this.#keys.filter((k) => k.kid !== kid);
  }

  /** The public keys, as a bundle or a server shows them. */
  get jwks(): { keys: JWK[] } {
    return { keys: this.#keys.map((k) => k.jwk) };
  }

  get jwksUrl(): string {
    return `http://127.0.0.1:${this.#port}/jwks.json`;
  }

  /** A signed token: good unless claims or options say otherwise. `exp` and `iat` are epoch seconds. */
  async token(claims: JWTPayload = {}, options: TokenOptions = {}): Promise<string> {
    const key = this.#keys.find((k) => options.kid === undefined || k.kid === options.kid);
    if (key === undefined) throw new Error(`the issuer has no key ${options.kid ?? ''}`);
    const now = Math.floor(Date.now() / 1000);
    const payload: JWTPayload = {
      iss: ISSUER,
      aud: AUDIENCE,
      sub: 'alice',
      iat: now,
      exp: now + TOKEN_SECONDS,
      ...claims,
    };
    for (const name of options.without ?? []) delete payload[name];
    return new SignJWT(payload).setProtectedHeader({ alg: key.alg, kid: key.kid, ...options.header }).sign(key.key);
  }

  /** Publishes the keys at `jwksUrl`, on the same port as before if there was one. */
  async serve(): Promise<void> {
    const server = createServer((_, response) => {
      this.fetches += 1;
      if (this.mode === 'failing') response.writeHead(503).end();
      else if (this.mode === 'garbage') response.end('<html>no keys here</html>');
      else response.setHeader('content-type', 'application/json').end(JSON.stringify(this.jwks));
    });
    this.#port = await listening(server, this.#port);
    this.#server = server;
  }

  /** Publishes no more; the port is kept for the next `serve`. */
  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = null;
    if (server !== null) await closed(server);
  }
}
