/**
 * Whose request it is. Read once, by whoever asks first (limits keyed by tenant and policies ask before `route` does); only from where the route says, so
 * that no client chooses a tenant by a header unless the operator wants that.
 */
import { Recent } from '../base/recent.ts';
import type { TenantSource } from '../snapshot/route-plans.ts';
import { onlyBelieved } from './answers/received.ts';
import { claimAt } from './authn/claims.ts';
import type { Exchange } from './exchange.ts';

/** Longest tenant id, characters. */
export const TENANT_LENGTH_MAX = 128;
/** What a tenant id is made of: safe in a log line, a metric, a key and a header. */
const TENANT = /^[A-Za-z0-9][A-Za-z0-9._~:@+-]*$/;
/** Tenants that were found sane and are not looked at again, per thread. */
const SANE_MAX = 4_096;
const sane = new Recent<string, true>(SANE_MAX);

/** The tenant's id, or `''` when the route names no source or nothing sane is there. Sets `x.tenant`. */
export function readTenant(x: Exchange): string {
  if (x.tenant !== '') return x.tenant;
  const source = x.route?.tenant ?? null;
  if (source === null) return '';
  const found =
    source.from === 'claim'
      ? x.identity === null
        ? ''
        : textOf(claimAt(x.identity.claims, source.name))
      : tenantFromHead(x, source);
  if (isTenant(found)) x.tenant = found;
  return x.tenant;
}

/** Whether it can be the id of a tenant. */
export function isTenant(tenant: string): boolean {
  if (tenant.length === 0 || tenant.length > TENANT_LENGTH_MAX) return false;
  if (sane.get(tenant) === true) return true;
  if (!TENANT.test(tenant)) return false;
  sane.set(tenant, true);
  return true;
}

/** What stands where a source other than a token says, sane or not. */
export function tenantFromHead(x: Exchange, source: Exclude<TenantSource, { readonly from: 'claim' }>): string {
  switch (source.from) {
    case 'header':
      return onlyBelieved(x, source.name);
    case 'host':
      return part(x.host, '.', source.label);
    case 'path':
      return part(x.path, '/', source.segment + 1);
    case 'sni':
      return part(x.wire.serverName.toLowerCase(), '.', source.label);
    case 'fixed':
      return source.name;
  }
}

/** Identifiers come as texts, and from some issuers as whole numbers. */
export function textOf(value: unknown): string {
  if (typeof value === 'string') return value;
  return Number.isSafeInteger(value) && (value as number) >= 0 ? String(value) : '';
}

/** The part with this index between separators; `''` when there are fewer. */
function part(text: string, separator: string, index: number): string {
  let from = 0;
  for (let i = 0; i < index; i++) {
    const at = text.indexOf(separator, from);
    if (at < 0) return '';
    from = at + 1;
  }
  const to = text.indexOf(separator, from);
  return text.slice(from, to < 0 ? text.length : to);
}
