/** All issuers of a lane and the cache of verified tokens: bounded by entries, each until its token expires, its issuer's keys change, or ten minutes have passed. */
import { Recent } from '../../base/recent.ts';
import type { IssuerPlan, Snapshot } from '../../snapshot/snapshot.ts';
import type { Exchange, Identity } from '../exchange.ts';
import type { Wake } from '../stage.ts';
import { Issuer, type TokenResult } from './issuer.ts';

/** Verified tokens kept per lane. */
export const TOKENS_MAX = 20_000;
/** Their memory, roughly. Unit: bytes. */
export const TOKENS_BYTES_MAX = 32 * 1024 * 1024;
/** A token is verified again after this time, whatever it says. */
export const TOKEN_AGE_MS_MAX = 600_000;
/** Verifications at once per lane. */
export const VERIFYING_MAX = 1_024;

/**
 * Characters at the end of a header by which its token is looked up: the end of a signature, which is unlike any other's. What is found counts only if all of the
 * header is the same, so nothing hangs on that; it merely spares hashing all of it.
 */
const TAIL_LENGTH = 24;
/** Memory of a token beside its text, roughly: its claims, and the headers made from them. */
const IDENTITY_BYTES = 1_024;

interface CachedToken {
  /** The whole Authorization field. */
  readonly header: string;
  readonly identity: Identity;
  readonly issuer: Issuer;
  readonly generation: number;
  /** Epoch ms. */
  readonly until: number;
}

export class Authenticator {
  readonly #wake: Wake;
  readonly #ask: (jwksUrl: string) => void;
  readonly #nowMs: () => number;
  /** Of all snapshots that are live, by the plan's text: an issuer that a new snapshot repeats keeps its keys and tokens. */
  readonly #issuers = new Map<string, Issuer>();
  readonly #remoteKeys = new Map<string, string>();
  readonly #tokens = new Recent<string, CachedToken>(
    TOKENS_MAX,
    TOKENS_BYTES_MAX,
    (token) => token.header.length + IDENTITY_BYTES,
  );
  #verifying = 0;

  constructor(wake: Wake, askForKeys: (jwksUrl: string) => void, nowMs: () => number) {
    this.#wake = wake;
    this.#ask = askForKeys;
    this.#nowMs = nowMs;
  }

  /** The issuers of a snapshot, in its order. They get keys until `retain` leaves them out. */
  open(snapshot: Snapshot): readonly Issuer[] {
    return snapshot.issuers.map((plan) => {
      const key = JSON.stringify(plan);
      const issuer = this.#issuers.get(key) ?? this.#make(plan);
      this.#issuers.set(key, issuer);
      return issuer;
    });
  }

  /** Lets go of all issuers but these: those of revisions that still serve. The last one opened may be tried and taken back, and the one before it goes on. */
  retain(live: ReadonlySet<Issuer>): void {
    for (const [key, issuer] of this.#issuers) if (!live.has(issuer)) this.#issuers.delete(key);
  }

  #make(plan: IssuerPlan): Issuer {
    const issuer = new Issuer(plan, this.#ask, this.#nowMs);
    const keys = plan.jwksUrl === null ? undefined : this.#remoteKeys.get(plan.jwksUrl);
    if (keys !== undefined) void issuer.setKeys(keys);
    return issuer;
  }

  /** New keys from control. */
  setKeys(jwksUrl: string, jwks: string): void {
    this.#remoteKeys.set(jwksUrl, jwks);
    for (const issuer of this.#issuers.values()) if (issuer.plan.jwksUrl === jwksUrl) void issuer.setKeys(jwks);
  }

  /** The identity of an Authorization field whose token was verified before by one of these issuers, or null. */
  cached(header: string, issuers: readonly Issuer[], allowed: readonly number[], now: number): Identity | null {
    const key = header.slice(-TAIL_LENGTH);
    const hit = this.#tokens.get(key);
    if (hit === undefined || hit.header !== header) return null;
    const { identity, issuer } = hit;
    if (hit.until <= now || hit.generation !== issuer.generation || issuers[identity.issuer] !== issuer) {
      this.#tokens.delete(key);
      return null;
    }
    return allowed.includes(identity.issuer) ? identity : null;
  }

  /** Starts a verification and wakes the exchange with its result in `x.delivered`. False when too many run. */
  verify(x: Exchange, header: string, token: string, issuer: Issuer, issuerIndex: number): boolean {
    if (this.#verifying >= VERIFYING_MAX) return false;
    this.#verifying++;
    const { ticket } = x;
    // Of the keys that it is verified with: if they change meanwhile, what was found counts for this request only.
    const { generation } = issuer;
    const deliver = (result: TokenResult): void => {
      this.#verifying--;
      if (result.kind === 'identity') this.#keep(header, result.identity, issuer, generation);
      if (x.ticket !== ticket) return;
      x.delivered = result;
      this.#wake(x, ticket);
    };
    issuer
      .verify(token, issuerIndex)
      .then(deliver, (error: unknown) =>
        deliver({ kind: 'invalid', why: error instanceof Error ? error.message : String(error) }),
      );
    return true;
  }

  #keep(header: string, identity: Identity, issuer: Issuer, generation: number): void {
    const until = Math.min(identity.expiresAt * 1000, this.#nowMs() + TOKEN_AGE_MS_MAX);
    this.#tokens.set(header.slice(-TAIL_LENGTH), { header, identity, issuer, generation, until });
  }
}
