/**
 * Whose request it is, as far as the head alone tells: what a share of identities is taken from while two revisions are live. The tenant, from where the route says;
 * for a claim, what the token says without its signature having been looked at, which is good enough to be hashed and for nothing else; else the client's address.
 */
import { Recent } from '../../base/recent.ts';
import { keyedHash } from '../../base/keyed-hash.ts';
import type { RoutePlan, TenantSource } from '../../snapshot/route-plans.ts';
import type { Exchange } from '../exchange.ts';
import { claimAt } from '../authn/claims.ts';
import { tenantFromHead, textOf } from '../tenant.ts';

/** Tokens of which it is remembered what they say. */
export const READINGS_MAX = 1_024;
/** Characters of a token that is read; of a longer one the address counts. */
export const TOKEN_CHARS_MAX = 16_384;
const BEARER_CHARS = 'bearer '.length;

/** 64 bits of key, as two 32-bit integers. */
export interface HashKey {
  readonly k0: number;
  readonly k1: number;
}

/** What tokens said, by the whole Authorization field. A lane's own, for one claim each. */
export class TokenReadings {
  readonly #known = new Recent<string, { readonly claim: string; readonly text: string }>(READINGS_MAX);

  /** The claim of the token in an Authorization field, `''` when there is none. Unverified. */
  read(field: string | undefined, claim: string): string {
    if (field === undefined || field.length > TOKEN_CHARS_MAX) return '';
    const known = this.#known.get(field);
    if (known !== undefined && known.claim === claim) return known.text;
    const text = textOf(claimAt(payloadOf(field), claim));
    this.#known.set(field, { claim, text });
    return text;
  }
}

/** Unsigned 32 bits: the same identity gives the same number for the same key, in every lane and every gateway. `route`: the first that the active revision has for it. */
export function identityHash(x: Exchange, route: RoutePlan | null, readings: TokenReadings, key: HashKey): number {
  const identity = identityOf(x, route?.tenant ?? null, readings);
  return keyedHash(identity, key.k0, key.k1);
}

function identityOf(x: Exchange, source: TenantSource | null, readings: TokenReadings): string {
  if (source === null || source.from === 'fixed') return x.clientAddress;
  const tenant =
    source.from === 'claim' ? readings.read(x.wire.header('authorization'), source.name) : tenantFromHead(x, source);
  return tenant === '' ? x.clientAddress : tenant;
}

const NOTHING: Readonly<Record<string, unknown>> = {};

function payloadOf(field: string): Readonly<Record<string, unknown>> {
  const from = field.indexOf('.', BEARER_CHARS);
  const to = from < 0 ? -1 : field.indexOf('.', from + 1);
  if (to < 0) return NOTHING;
  try {
    const value: unknown = JSON.parse(Buffer.from(field.slice(from + 1, to), 'base64url').toString('utf8'));
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Readonly<Record<string, unknown>>)
      : NOTHING;
  } catch {
    // No token at all; who judges tokens will say so.
    return NOTHING;
  }
}
