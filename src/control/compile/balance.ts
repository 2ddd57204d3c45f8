/** From the balancing of a cell as written to what lanes choose by. */
import { createHash, createHmac } from 'node:crypto';
import type { BalanceConfig } from '../../config/balance.ts';
import type { CellConfig } from '../../config/cell.ts';
import type { BalancePlan, HashSource } from '../../snapshot/balance.ts';
import { Algorithm } from '../../snapshot/balance.ts';
import type { SecretReader } from './secrets.ts';

const ALGORITHMS: Readonly<Record<BalanceConfig['algorithm'], Algorithm>> = {
  health: Algorithm.Health,
  'round-robin': Algorithm.RoundRobin,
  'least-request': Algorithm.LeastRequest,
  p2c: Algorithm.P2c,
  'ring-hash': Algorithm.RingHash,
};

/** What holds for a cell that says nothing. */
const UNSAID: BalanceConfig = { algorithm: 'health', hashBalanceFactor: 0, slowStartMs: 10_000, panicThreshold: 50 };

/** `path`: of the cell; `zone`: where the gateway stands. */
export function compileBalance(
  { balance: b = UNSAID, standby }: Pick<CellConfig, 'balance' | 'standby'>,
  path: string,
  zone: string,
  secret: SecretReader,
): BalancePlan {
  const { hash, sticky } = b;
  // Without a secret the same text hashes alike everywhere, which gateways side by side need.
  const key = hash?.secret === undefined ? '' : secret('cells', `${path}/balance/hash/secret`, hash.secret);
  const digest = createHash('sha256').update('ring').update(key).digest();
  return {
    algorithm: ALGORITHMS[b.algorithm],
    zone,
    hash: hash === undefined ? null : sourceOf(hash),
    k0: digest.readInt32LE(0),
    k1: digest.readInt32LE(4),
    hashBalanceFactor: b.hashBalanceFactor,
    slowStartMs: b.slowStartMs,
    // Another cell stands in before endpoints are used that probes have ejected.
    panicThreshold: standby === undefined ? b.panicThreshold / 100 : 0,
    sticky: sticky === undefined ? null : { cookie: sticky.cookie, attributes: attributesOf(sticky) },
  };
}

function sourceOf(hash: NonNullable<BalanceConfig['hash']>): HashSource {
  if (hash.header !== undefined) return { by: 'header', name: hash.header.toLowerCase() };
  if (hash.cookie !== undefined) return { by: 'cookie', name: hash.cookie };
  return { by: hash.of ?? 'address' };
}

/** RFC 6265 §4.1, RFC 6265bis §4.1.2.7. */
function attributesOf({ path, maxAgeSeconds, sameSite, secure }: NonNullable<BalanceConfig['sticky']>): string {
  const age = maxAgeSeconds === 0 ? '' : `; Max-Age=${maxAgeSeconds}`;
  return `; Path=${path}${age}; HttpOnly${secure ? '; Secure' : ''}; SameSite=${sameSite}`;
}

/** Value of the cookie that binds a client to an endpoint. Tells nothing of it, and cannot be made without the secret. */
export function stickyValue(secret: string, identity: string): string {
  return createHmac('sha256', secret).update('endpoint\0').update(identity).digest('base64url');
}
