/** Issuers: from what an operator wrote to what a lane reads. */
import type { IssuersConfig } from '../../config/issuer.ts';
import type { IssuerPlan } from '../../snapshot/snapshot.ts';
import type { SecretReader } from './secrets.ts';

export function compileIssuers(config: IssuersConfig, secret: SecretReader): IssuerPlan[] {
  return config.issuers.map((i, index) => ({
    id: i.id,
    issuer: i.issuer,
    audiences: i.audiences,
    algorithms: i.algorithms,
    clockSkewSeconds: i.clockSkewSeconds,
    tokenBytesMax: i.tokenBytesMax,
    requiredClaims: i.requiredClaims,
    claimHeaders: Object.entries(i.claimHeaders).flatMap(([claim, header]) => [claim, header.toLowerCase()]),
    rolesClaim: i.rolesClaim,
    jwks:
      i.hmacSecret === undefined
        ? i.jwks === undefined
          ? null
          : JSON.stringify(i.jwks)
        : hmacKeys(secret('issuers', `/issuers/${index}/hmacSecret`, i.hmacSecret)),
    jwksUrl: i.jwksUrl ?? null,
    jwksRefreshMs: i.refreshMs,
    jwksCooldownMs: i.cooldownMs,
  }));
}

function hmacKeys(secret: string): string {
  return JSON.stringify({ keys: [{ kty: 'oct', k: Buffer.from(secret, 'utf8').toString('base64url') }] });
}
