/** Issuers: from what an operator wrote to what a lane reads. */
import type { JWK } from 'jose';
import { keyFault, unmeant } from '../../base/jwk.ts';
import type { IssuerConfig, IssuersConfig } from '../../config/issuer.ts';
import type { IssuerPlan } from '../../snapshot/snapshot.ts';
import type { Report } from './report.ts';
import type { SecretReader } from './secrets.ts';

export function compileIssuers(config: IssuersConfig, secret: SecretReader, report: Report): IssuerPlan[] {
  for (const [index, issuer] of config.issuers.entries()) inlineKeyProblems(issuer, `/issuers/${index}`, report);
  return config.issuers.map((i, index) => ({
    id: i.id,
    issuer: i.issuer,
    audiences: i.audiences,
    algorithms: i.algorithms,
    clockSkewSeconds: i.clockSkewSeconds,
    tokenBytesMax: i.tokenBytesMax,
    // A token that never expires could be used for ever by whoever once saw it.
    requiredClaims: [...new Set(['exp', ...i.requiredClaims])],
    claimHeaders: Object.entries(i.claimHeaders).flatMap(([claim, header]) => [claim, header.toLowerCase()]),
    rolesClaim: i.rolesClaim,
    jwks:
      i.hmacSecret === undefined
        ? i.jwks === undefined
          ? null
          : JSON.stringify(i.jwks)
        : hmacKeys(secret, report, index, i),
    jwksUrl: i.jwksUrl ?? null,
    jwksRefreshMs: i.refreshMs,
    jwksCooldownMs: i.cooldownMs,
  }));
}

/** A lane leaves such keys out, as it does with those that are fetched; but these nobody can mend while the bundle serves. */
function inlineKeyProblems({ jwks, algorithms }: IssuerConfig, path: string, report: Report): void {
  const named = new Map<string, number>();
  for (const [i, key] of ((jwks?.keys ?? []) as readonly JWK[]).entries()) {
    const at = `${path}/jwks/keys/${i}`;
    const fault = keyFault(key, algorithms);
    if (fault !== null) {
      const mend = 'remove it, or mend it or `algorithms`';
      report('issuers', at, `this key can verify nothing under ${algorithms.join(', ')}: ${fault}; ${mend}`);
      continue;
    }
    // Of several keys of one name, which one is meant cannot be told (RFC 7517 §4.5), so none is used.
    const names = key.kid === undefined ? [] : algorithms.filter((a) => unmeant(key, a) === null);
    const taken = names.find((algorithm) => named.has(`${algorithm} ${key.kid}`));
    if (taken !== undefined) {
      const other = `${path}/jwks/keys/${named.get(`${taken} ${key.kid}`)}`;
      report('issuers', at, `"${key.kid}" is already the name (kid) of ${other} for ${taken}: neither would be used`);
    }
    for (const algorithm of names) named.set(`${algorithm} ${key.kid}`, i);
  }
}

/** Shortest secret of each algorithm: as long as its hash (RFC 7518 §3.2). Unit: bytes. */
const SECRET_BYTES_MIN: Readonly<Record<string, number>> = { HS256: 32, HS384: 48, HS512: 64 };

function hmacKeys(secret: SecretReader, report: Report, index: number, issuer: IssuerConfig): string {
  const path = `/issuers/${index}/hmacSecret`;
  const name = issuer.hmacSecret ?? '';
  const bytes = Buffer.from(secret('issuers', path, name), 'utf8');
  for (const algorithm of issuer.algorithms) {
    const least = SECRET_BYTES_MIN[algorithm] ?? 0;
    if (bytes.length > 0 && bytes.length < least) {
      report('issuers', path, `the secret "${name}" has ${bytes.length} bytes; ${algorithm} needs at least ${least}`);
    }
  }
  return JSON.stringify({ keys: [{ kty: 'oct', k: bytes.toString('base64url') }] });
}
