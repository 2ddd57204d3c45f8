/** A bundle that asks something of every stage: a token, a policy, limits, WAF rules, a tenant. */
import type { BundleParts } from '../harness/bundle.ts';
import { AUDIENCE, ISSUER, type TestIssuer } from '../harness/issuer.ts';
import { rolesPolicy } from './policies.ts';

/** Longest request that a lane matches itself; what is longer goes to the pool. */
export const LANE_BYTES_MAX = 4_096;

/** A few rules of our own; what they look for stands in the tests. */
export const RULES = `SecRuleEngine On
SecRequestBodyAccess On
SecRule ARGS|ARGS_NAMES|REQUEST_BODY "@rx (?i)union\\s+select" \\
  "id:1001,phase:2,deny,t:none,t:urlDecodeUni,msg:'SQL in %{MATCHED_VAR_NAME}',tag:'attack-sqli',severity:CRITICAL"
SecRule REQUEST_HEADERS:User-Agent "@pm sqlmap nikto" \\
  "id:1002,phase:1,deny,t:none,t:lowercase,msg:'Scanner',tag:'scanner',severity:CRITICAL"
SecRule REQUEST_HEADERS:Authorization "@contains sqlmap" "id:1003,phase:1,deny,t:none,msg:'Scanner token',severity:CRITICAL"
`;

/** `/open` is public, `/api` needs the role `admin` to POST; both are inspected. */
export function fullBundle(endpoint: string, issuer: TestIssuer): BundleParts {
  const policy = rolesPolicy('roles');
  return {
    cells: { cells: [{ id: 'one', endpoints: [{ address: endpoint }] }] },
    issuers: {
      issuers: [
        {
          id: 'main',
          issuer: ISSUER,
          audiences: [AUDIENCE],
          algorithms: ['ES256'],
          jwks: issuer.jwks,
          claimHeaders: { sub: 'x-user' },
        },
      ],
    },
    limits: { limits: [{ id: 'few', key: ['header:x-key'], requests: 1, windowMs: 3_600_000, burst: 2 }] },
    policies: { policies: [policy.entry] },
    waf: { mode: 'block', rules: ['waf/test.conf'], bodyBytes: 131_072, laneBytesMax: LANE_BYTES_MAX },
    files: { ...policy.files, 'waf/test.conf': RULES },
    routes: {
      routes: [
        {
          id: 'open',
          match: { path: { prefix: '/' } },
          access: 'public',
          reason: 'what needs no token',
          cell: 'one',
        },
        {
          id: 'limited',
          match: { path: { exact: '/limited' } },
          access: 'public',
          reason: 'shows a limit',
          limits: ['few'],
          cell: 'one',
        },
        {
          id: 'api',
          match: { path: { prefix: '/echo' } },
          issuers: ['main'],
          policy: { name: 'roles' },
          tenant: { claim: 'tenant' },
        },
      ],
    },
  };
}
