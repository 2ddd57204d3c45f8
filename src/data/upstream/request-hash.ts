/** What of a request the ring of a cell is asked with. */
import { keyedHash } from '../../base/keyed-hash.ts';
import type { BalancePlan, HashSource } from '../../snapshot/balance.ts';
import { believed } from '../answers/received.ts';
import { cookieOf } from '../cookie.ts';
import type { Exchange } from '../exchange.ts';
import { NO_HASH } from './choose.ts';

/** 32 bits; NO_HASH when the request has nothing of the kind. */
export function hashOf(x: Exchange, { k0, k1 }: BalancePlan, source: HashSource): number {
  const text = textOf(x, source);
  return text === undefined || text === '' ? NO_HASH : keyedHash(text, k0, k1);
}

function textOf(x: Exchange, source: HashSource): string | undefined {
  switch (source.by) {
    case 'address':
      return x.clientAddress;
    case 'path':
      return x.path;
    case 'tenant':
      return x.tenant;
    case 'header':
      return believed(x, source.name);
    case 'cookie':
      return cookieOf(x.wire, source.name);
  }
}
