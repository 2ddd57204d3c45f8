/** Request fields as the gateway knows them: a client's own word under a claim's name is never among them. */
import type { IssuerPlan } from '../../snapshot/snapshot.ts';
import type { Exchange } from '../exchange.ts';
import { joined } from '../joined.ts';
import { isClaim } from '../transport/claims.ts';
import { listHas } from '../transport/fields.ts';

/** The value of a request field that goes upstream where the route edits nothing of it. Undefined: none does. `name` in lower case. */
export function received(x: Exchange, name: string): string | undefined {
  return isClaim(name) || isNominated(x, name) ? undefined : believed(x, name);
}

/**
 * The value of a request field for whoever decides or writes by it: under a name that issuers make from claims the token's word, never the client's; else all lines that
 * the client sent. `name` in lower case.
 */
export function believed(x: Exchange, name: string): string | undefined {
  return isOfClaim(x, name) ? ofToken(x, name) : joined(x.wire, name);
}

/**
 * As `believed`, of a field that may stand there only once: `''` when it is absent or there are two, of which the upstream might believe the other. `X_Tenant` beside `X-Tenant` is a second
 * one: to CGI and its heirs they are the same.
 */
export function onlyBelieved(x: Exchange, name: string): string {
  if (isOfClaim(x, name)) return ofToken(x, name) ?? '';
  const first = x.wire.header(name);
  return first === undefined || x.wire.repeats(name) || x.wire.hasAlias(name) ? '' : first;
}

/** Some issuer makes it from a claim: a client's own never reaches the upstream. */
export function isOfClaim(x: Exchange, name: string): boolean {
  const { issuers } = x.revision.snapshot;
  for (let i = 0; i < issuers.length; i++) {
    const { claimHeaders } = issuers[i] as IssuerPlan;
    for (let j = 1; j < claimHeaders.length; j += 2) if (claimHeaders[j] === name) return true;
  }
  return false;
}

function ofToken(x: Exchange, name: string): string | undefined {
  const headers = x.identity?.headers ?? [];
  // Of two claims for one field the last is written.
  for (let i = headers.length - 2; i >= 0; i -= 2) if (headers[i] === name) return headers[i + 1];
  return undefined;
}

/** Named by the request's Connection field: it ends here (RFC 9110 §7.6.1). */
function isNominated(x: Exchange, name: string): boolean {
  const connection = joined(x.wire, 'connection');
  return connection !== undefined && listHas(connection, name);
}
