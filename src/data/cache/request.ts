/** What the cache asks of a request: its address, who may share its answer, and the fields that answers vary by, as the upstream sees them. */
import { madeUpstream } from '../answers/made-edits.ts';
import { madeHost } from '../answers/upstream-target.ts';
import type { Exchange } from '../exchange.ts';
import { joined } from '../joined.ts';
import { isClaim } from '../transport/claims.ts';

/** Path and query in canonical form, as they are keyed and purged. */
export function targetOf(x: Exchange): string {
  return x.query === '' ? x.encodedPath : `${x.encodedPath}?${x.query}`;
}

/**
 * Who shares an answer, beside its address: requests of one route, to one cell, of one tenant, by one scheme. What a route does to a request, what a cell holds and what a tenant
 * may see differs from one to the next, and no answer says so. What was stored before the WAF looked at answers, or while it only watched, is not what it would let pass now.
 */
export function scopeOf(x: Exchange): string {
  const judged = x.kept === null ? '' : (x.route?.waf.mode ?? '');
  // What is sent as Host may follow from what no address says.
  const host = typeof x.route?.respond.host === 'object' ? (madeHost(x) ?? '') : '';
  return `${x.route?.id ?? ''}\n${x.cell}\n${x.secure ? 's' : ''}\n${x.wire.host}\n${x.tenant}\n${judged}${host === '' ? '' : `\n${host}`}`;
}

/** Whether the request has credentials, so that its answer is somebody's own unless it says otherwise (RFC 9111 §3.5). */
export function hasCredentials(x: Exchange): boolean {
  if (x.identity !== null || x.wire.header('authorization') !== undefined) return true;
  return x.route?.forwardClientCertificate === true && (x.wire.tls?.client ?? null) !== null;
}

/** Fields that the gateway writes anew for every request: an answer that varies by them is one request's own, but for the scheme and the host. */
const OWN_FIELDS: ReadonlySet<string> = new Set(['x-forwarded-for', 'forwarded', 'x-request-id', 'traceparent']);

/** A field of the request as the upstream sees it: claims of the token instead of what the client says of itself, and the route's own edits. */
export function fieldUpstream(x: Exchange, name: string): string | undefined {
  const made = x.route?.respond.requestMade ?? null;
  const before = fixedUpstream(x, name);
  return made === null ? before : madeUpstream(x, made, name, before);
}

function fixedUpstream(x: Exchange, name: string): string | undefined {
  const { identity, route, wire } = x;
  const edits = route?.respond.request;
  if (edits !== undefined && edits.set.length > 0) {
    for (let i = 0; i < edits.set.length; i += 2) if (edits.set[i] === name) return edits.set[i + 1];
  }
  const headers = identity?.headers ?? [];
  for (let i = 0; i < headers.length; i += 2) if (headers[i]?.toLowerCase() === name) return headers[i + 1];
  if (OWN_FIELDS.has(name)) return x.id;
  if (name === 'x-forwarded-proto') return x.secure ? 'https' : 'http';
  if (name === 'x-forwarded-host') return wire.host;
  if (isClaim(name) || isClaimOfIssuer(x, name)) return undefined;
  return joined(wire, name);
}

/** Names that issuers make from claims: a client's own never reach the upstream. */
function isClaimOfIssuer(x: Exchange, name: string): boolean {
  for (const { claimHeaders } of x.revision.snapshot.issuers) {
    for (let i = 1; i < claimHeaders.length; i += 2) if (claimHeaders[i]?.toLowerCase() === name) return true;
  }
  return false;
}
