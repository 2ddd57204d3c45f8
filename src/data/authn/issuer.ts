/**
 * One issuer in one lane: its keys, and tokens verified with them. Keys of a remote issuer come from control by message; an unknown `kid` asks control for
 * a refetch and waits a bounded time for it. All that is asynchronous about tokens is in here; the stage stays synchronous.
 */
import type { IssuerPlan } from '../../snapshot/snapshot.ts';
import { checkClaims, type ClaimsResult } from './claims.ts';
import { objectOfBytes } from './jws.ts';
import { importKeys, verifySignature, type VerifyKey } from './keys.ts';

/** How long a request waits for keys that were asked for. */
export const KEY_WAIT_MS = 2_000;
/** Requests of one issuer that wait for keys at once; further ones are refused at once. */
export const KEY_WAITERS_MAX = 256;

export type TokenResult = ClaimsResult | { readonly kind: 'keysUnavailable'; readonly why: string };

export class Issuer {
  readonly plan: IssuerPlan;
  /** Grows when keys change: tokens verified before are looked at again. */
  generation = 0;
  #keys: readonly VerifyKey[] = [];
  #rejected: readonly string[] = [];
  #loaded = Promise.resolve();
  #haveKeys = false;
  /** The key set that was taken over last. */
  #text = '';
  #askedAt = Number.NEGATIVE_INFINITY;
  readonly #waiters = new Set<() => void>();
  readonly #ask: (url: string) => void;
  readonly #nowMs: () => number;

  constructor(plan: IssuerPlan, ask: (jwksUrl: string) => void, nowMs: () => number) {
    this.plan = plan;
    this.#ask = ask;
    this.#nowMs = nowMs;
    if (plan.jwks !== null) void this.setKeys(plan.jwks);
  }

  /** Keys that were left out, and why. */
  get rejected(): readonly string[] {
    return this.#rejected;
  }

  /** Takes a key set over. A text that is no key set leaves the last good keys in place. */
  setKeys(jwks: string): Promise<void> {
    if (jwks === this.#text && this.#haveKeys) {
      // Unknown key ids make control fetch, and anybody can send those: the same keys again must not empty the cache of verified tokens.
      for (const wake of this.#waiters) wake();
      return this.#loaded;
    }
    this.#text = jwks;
    // One after another: an older set that takes longer to read must not bring back what a newer one has withdrawn.
    const before = this.#loaded;
    const load = async (): Promise<void> => {
      await before;
      const { keys, rejected } = await importKeys(parsed(jwks), this.plan.algorithms);
      this.#rejected = rejected;
      if (keys.length === 0 && this.#haveKeys) return;
      this.#keys = keys;
      this.#haveKeys = keys.length > 0;
      this.generation++;
      for (const wake of this.#waiters) wake();
    };
    this.#loaded = load();
    return this.#loaded;
  }

  /** Verifies signature and claims. Never rejects. */
  async verify(token: string, issuerIndex: number): Promise<TokenResult> {
    await this.#loaded;
    let result = await verifySignature(token, this.#keys, this.plan.algorithms);
    if ((result.kind === 'unknownKid' || !this.#haveKeys) && this.plan.jwksUrl !== null) {
      const came = await this.#refetch();
      if (came) result = await verifySignature(token, this.#keys, this.plan.algorithms);
      if (!this.#haveKeys) return { kind: 'keysUnavailable', why: `no keys of issuer ${this.plan.id} yet` };
    }
    if (result.kind === 'unknownKid') return { kind: 'invalid', why: 'the key id is not known' };
    if (result.kind === 'invalid') return { kind: 'invalid', why: result.why };
    const claims = objectOfBytes(Buffer.from(result.payload));
    if (claims === null) return { kind: 'invalid', why: 'the payload is no JSON object with unique keys' };
    return checkClaims(claims, this.plan, issuerIndex, this.#nowMs() / 1000);
  }

  /** Asks control for new keys, at most once a cool-down, and waits for them. False: nothing came, or it is too early to ask. */
  async #refetch(): Promise<boolean> {
    const now = this.#nowMs();
    // The distance either way: a clock that was set back must not put it off.
    const early = Math.abs(now - this.#askedAt) < this.plan.jwksCooldownMs;
    if (this.#waiters.size >= KEY_WAITERS_MAX || (early && this.#waiters.size === 0)) return false;
    if (!early) {
      this.#askedAt = now;
      this.#ask(this.plan.jwksUrl ?? '');
    }
    return new Promise((resolve) => {
      const done = (came: boolean): void => {
        this.#waiters.delete(wake);
        clearTimeout(timer);
        resolve(came);
      };
      const wake = (): void => done(true);
      const timer = setTimeout(() => done(false), KEY_WAIT_MS);
      timer.unref();
      this.#waiters.add(wake);
    });
  }
}

function parsed(jwks: string): unknown {
  try {
    return JSON.parse(jwks);
  } catch {
    return null; // importKeys says that there is no key set.
  }
}
