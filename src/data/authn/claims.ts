/** The claims of a token whose signature holds: time, issuer, audience (RFC 7519 §4.1), and what requests with it carry. */
import type { Identity } from '../exchange.ts';
import type { IssuerPlan } from '../../snapshot/snapshot.ts';

export type ClaimsResult =
  | { readonly kind: 'identity'; readonly identity: Identity }
  | { readonly kind: 'expired'; readonly why: string }
  | { readonly kind: 'invalid'; readonly why: string };

/** Longest subject, role and claim header value. Unit: characters. */
const TEXT_MAX = 1024;
const ROLES_MAX = 64;
/** What a header value may hold (RFC 9110 §5.5), without obs-text. No white space at its ends: whoever reads the field takes it off, and ` root` would be `root`. */
const HEADER_VALUE = /^(?:[\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?)?$/;

/** A claim by its name, dots descending into objects; a claim whose own name holds the dots comes first. Only own properties, and nothing out of lists. */
export function claimAt(claims: Readonly<Record<string, unknown>>, name: string): unknown {
  if (Object.hasOwn(claims, name)) return claims[name];
  let value: unknown = claims;
  let from = 0;
  while (from <= name.length) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
    const dot = name.indexOf('.', from);
    const key = name.slice(from, dot < 0 ? name.length : dot);
    if (!Object.hasOwn(value, key)) return undefined;
    value = (value as Record<string, unknown>)[key];
    if (dot < 0) return value;
    from = dot + 1;
  }
  return undefined;
}

/**
 * A text, number or boolean as a text; null for anything else. An integer that a double does not hold exactly counts as anything else: what is left of it after parsing may be somebody
 * else's (RFC 8259 §6).
 */
export function claimText(value: unknown): string | null {
  if (typeof value === 'string') return value;
  if (typeof value === 'number') {
    const exact = Number.isInteger(value) ? Number.isSafeInteger(value) : Number.isFinite(value);
    return exact ? String(value) : null;
  }
  return typeof value === 'boolean' ? String(value) : null;
}

function isNumericDate(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0;
}

/** Checks the claims against the issuer's plan at `nowSeconds` (epoch). */
export function checkClaims(
  claims: Readonly<Record<string, unknown>>,
  plan: IssuerPlan,
  issuerIndex: number,
  nowSeconds: number,
): ClaimsResult {
  const skew = plan.clockSkewSeconds;
  for (const name of plan.requiredClaims) {
    if (claims[name] === undefined) return { kind: 'invalid', why: `the claim ${name} is missing` };
  }
  if (claims['iss'] !== plan.issuer) return { kind: 'invalid', why: 'the issuer is another one' };
  const audience: unknown = claims['aud'];
  const audiences: readonly unknown[] = Array.isArray(audience) ? audience : [audience];
  if (!audiences.some((a) => typeof a === 'string' && plan.audiences.includes(a))) {
    return { kind: 'invalid', why: 'the token is for another audience' };
  }
  const { exp, nbf, iat } = claims;
  for (const [name, value] of [
    ['exp', exp],
    ['nbf', nbf],
    ['iat', iat],
  ] as const) {
    if (value !== undefined && !isNumericDate(value)) return { kind: 'invalid', why: `${name} is no point in time` };
  }
  if (isNumericDate(nbf) && nbf > nowSeconds + skew) return { kind: 'invalid', why: 'the token is not valid yet' };
  if (isNumericDate(iat) && iat > nowSeconds + skew)
    return { kind: 'invalid', why: 'the token was issued in the future' };
  if (isNumericDate(exp) && exp <= nowSeconds - skew) return { kind: 'expired', why: 'the token has expired' };
  const subject = claims['sub'];
  if (subject !== undefined && (typeof subject !== 'string' || subject.length > TEXT_MAX)) {
    return { kind: 'invalid', why: 'sub is no text of sane length' };
  }
  const roles = rolesOf(claimAt(claims, plan.rolesClaim));
  return {
    kind: 'identity',
    identity: Object.freeze({
      issuer: issuerIndex,
      issuerId: plan.id,
      subject: subject ?? '',
      claims,
      roles,
      headers: headersOf(claims, plan.claimHeaders),
      expiresAt: isNumericDate(exp) ? exp + skew : Number.POSITIVE_INFINITY,
    }),
  };
}

/** Roles as a list: an array of texts, or one text with spaces between (RFC 8693 §4.2 writes scopes so). */
function rolesOf(value: unknown): readonly string[] {
  const list: readonly unknown[] = Array.isArray(value) ? value : typeof value === 'string' ? value.split(' ') : [];
  return list.filter((r): r is string => typeof r === 'string' && r !== '' && r.length <= TEXT_MAX).slice(0, ROLES_MAX);
}

/** Headers made from claims. What cannot be a header value is left out: the upstream then sees that it is absent. */
function headersOf(claims: Readonly<Record<string, unknown>>, claimHeaders: readonly string[]): readonly string[] {
  const headers: string[] = [];
  for (let i = 0; i + 1 < claimHeaders.length; i += 2) {
    const text = claimText(claimAt(claims, claimHeaders[i] ?? ''));
    if (text !== null && text.length <= TEXT_MAX && HEADER_VALUE.test(text))
      headers.push(claimHeaders[i + 1] ?? '', text);
  }
  return headers;
}
