/** What the cache asks of a request: its address, who may share its answer, and the fields that answers vary by, as the upstream sees them. */
import { hash } from 'node:crypto';
import type { RoutePlan } from '../../snapshot/route-plans.ts';
import type { NativeHandle } from '../../snapshot/snapshot.ts';
import type { MadeEdits, TextPart } from '../../snapshot/variables.ts';
import { madeUpstream } from '../answers/made-edits.ts';
import { received } from '../answers/received.ts';
import { hasPrefix, madeHost, PREFIX_FIELD } from '../answers/upstream-target.ts';
import type { Exchange } from '../exchange.ts';
import { between } from '../joined.ts';
import { CLIENT_CERT_FIELD, clientCertificateField } from '../stages/client-certificate.ts';
import { textOf } from '../variables.ts';

/** Path and query in canonical form, as they are keyed and purged. */
export function targetOf(x: Exchange): string {
  return x.query === '' ? x.encodedPath : `${x.encodedPath}?${x.query}`;
}

/**
 * Who shares an answer, beside its address: requests of one route, to one cell, of one tenant, by one scheme. What a route does to a request, what a cell holds and what a tenant
 * may see differs from one to the next, and no answer says so. What was stored before the WAF looked at answers, or while it only watched, is not what it would let pass now. Nothing of it
 * is a place in a list: what is stored outlives a bundle, and two may be live at once.
 */
export function scopeOf(x: Exchange): string {
  const { route, secure, tenant } = x;
  const judged = x.kept === null ? '' : (route?.waf.mode ?? '');
  // What is sent as Host may follow from what no address says.
  const made = route !== null && typeof route.respond.host === 'object' && route.respond.host !== null;
  if (route === null || made) return scope(x, judged, made ? (madeHost(x) ?? '') : '');
  const cell = x.revision.snapshot.cells[x.cell]?.id ?? '';
  const { host } = x.wire;
  const last = scopes.get(route);
  if (
    last !== undefined &&
    last.cell === cell &&
    last.secure === secure &&
    last.judged === judged &&
    last.host === host &&
    last.tenant === tenant
  )
    return last.scope;
  const text = scope(x, judged, '');
  scopes.set(route, { cell, secure, judged, host, tenant, scope: text });
  return text;
}

/** The scope of a route's last request: the next one's is most often the same, and as the same text it is not hashed anew by who looks it up. */
interface LastScope {
  readonly cell: string;
  readonly secure: boolean;
  readonly judged: string;
  readonly host: string;
  readonly tenant: string;
  readonly scope: string;
}
const scopes = new WeakMap<RoutePlan, LastScope>();

function scope(x: Exchange, judged: string, host: string): string {
  const { route } = x;
  const asks = route === null ? '' : asksOf(route, x.revision.snapshot.rewrites);
  const cell = x.revision.snapshot.cells[x.cell]?.id ?? '';
  return `${route?.id ?? ''}\n${cell}\n${asks}\n${x.secure ? 's' : ''}\n${x.wire.host}\n${x.tenant}\n${judged}${host === '' ? '' : `\n${host}`}`;
}

/** Digests of what routes make of requests; gone with their plans. */
const asked = new WeakMap<RoutePlan, string>();

/** What a route makes of a request, as a text: another bundle's route of the same name may ask for something else. `rewrites`: the table that rules are places in. */
function asksOf(route: RoutePlan, rewrites: NativeHandle): string {
  const known = asked.get(route);
  if (known !== undefined) return known;
  const { stripPrefix, replace, addPrefix, host, request, requestMade } = route.respond;
  const table = replace !== null && 'rule' in replace ? rewrites : 0;
  const certificate = route.forwardClientCertificate;
  const all = [stripPrefix, replace, table, addPrefix, host, request, requestMade, certificate];
  const digest = hash('sha256', JSON.stringify(all), 'base64url');
  asked.set(route, digest);
  return digest;
}

/** Whether the request has credentials, so that its answer is somebody's own unless it says otherwise (RFC 9111 §3.5). */
export function hasCredentials(x: Exchange): boolean {
  if (x.identity !== null || x.wire.header('authorization') !== undefined) return true;
  const client = x.wire.tls?.client ?? null;
  if (x.route?.forwardClientCertificate === true && client !== null) return true;
  const made = x.route?.respond.requestMade ?? null;
  return made !== null && hasMadeCredentials(x, made, client !== null);
}

/** Credentials that the route makes of what the request says: an Authorization field, or one that tells of the client certificate. */
function hasMadeCredentials(x: Exchange, made: MadeEdits, certified: boolean): boolean {
  for (const fields of [made.set, made.absent, made.append, made.add]) {
    for (const { name, parts } of fields) {
      if (certified && parts.some(tellsOfCertificate)) return true;
      if (name === 'authorization' && textOf(parts, x) !== '') return true;
    }
  }
  return false;
}

function tellsOfCertificate(part: TextPart): boolean {
  return typeof part !== 'string' && (part.from === 'certificate' || part.from === 'certificateSubject');
}

/** Fields that the gateway writes anew for every request: an answer that varies by them is one request's own, but for the scheme and the host. */
const OWN_FIELDS: ReadonlySet<string> = new Set([
  'x-forwarded-for',
  'forwarded',
  'x-request-id',
  'x-client-request-id',
  'traceparent',
]);

/** A field of the request as the upstream sees it: claims of the token instead of what the client says of itself, and the route's own edits. In the order in which stages write, the last first. */
export function fieldUpstream(x: Exchange, name: string): string | undefined {
  if (OWN_FIELDS.has(name)) return x.id;
  if (name === 'x-forwarded-proto') return x.secure ? 'https' : 'http';
  if (name === 'x-forwarded-host') return x.wire.host;
  const client = x.route?.forwardClientCertificate === true ? (x.wire.tls?.client ?? null) : null;
  if (name === CLIENT_CERT_FIELD && client !== null) return clientCertificateField(client);
  const stripped = x.route?.respond.stripPrefix ?? '';
  if (name === PREFIX_FIELD && hasPrefix(x.encodedPath, stripped)) return stripped;
  const made = x.route?.respond.requestMade ?? null;
  const before = fixedUpstream(x, name);
  return made === null ? before : madeUpstream(x, made, name, before);
}

function fixedUpstream(x: Exchange, name: string): string | undefined {
  const edits = x.route?.respond.request;
  if (edits === undefined) return received(x, name);
  let value = edits.remove.includes(name) ? undefined : received(x, name);
  for (let i = 0; i < edits.set.length; i += 2) if (edits.set[i] === name) value = edits.set[i + 1];
  for (let i = 0; i < edits.add.length; i += 2)
    if (edits.add[i] === name)
      value = value === undefined ? edits.add[i + 1] : `${value}${between(name)}${edits.add[i + 1]}`;
  return value;
}
