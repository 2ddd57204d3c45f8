/** What an entry of a cell says of its endpoints, whichever addresses they turn out to have. */
import type { EndpointPlan, TlsIdentity } from '../../snapshot/cell-plans.ts';
import { stickyValue } from './balance.ts';
import type { NameSource } from '../discovery/name-watch.ts';

/** Where endpoints come from. */
export type EndpointOrigin = NameSource | { readonly kind: 'file'; readonly name: string };

export interface TemplateTls {
  /** Null: the name that the endpoint was found by. */
  readonly serverName: string | null;
  readonly ca: string | null;
  readonly identity?: TlsIdentity;
}

export interface EndpointTemplate {
  readonly tls: TemplateTls | null;
  readonly capacity: number;
  readonly connectionsMax: number;
  readonly pendingMax: number | null;
  readonly http2: boolean;
  readonly weight: number;
  readonly zone: string;
  readonly priority: number;
  readonly passHost: boolean;
  /** Key of the cookies that bind clients to endpoints; empty: there are none. */
  readonly stickySecret: string;
}

/** An entry of a cell whose endpoints are discovered. */
export interface CellSource {
  /** Index of the cell. */
  readonly cell: number;
  readonly cellId: string;
  readonly from: EndpointOrigin;
  readonly template: EndpointTemplate;
}

/** What is known of one endpoint beyond its entry. */
export interface EndpointAddress {
  readonly identity: string;
  readonly slot: number;
  /** Epoch ms since when it is known. */
  readonly since: number;
  readonly cell: number;
  /** Address literal. */
  readonly host: string;
  readonly port: number;
  /** What it was found by; null: by its address alone. */
  readonly name: string | null;
}

/** An endpoint as lanes use it. */
export function endpointPlan(template: EndpointTemplate, at: EndpointAddress): EndpointPlan {
  const { tls } = template;
  return {
    slot: at.slot,
    identity: at.identity,
    cell: at.cell,
    host: at.host,
    port: at.port,
    tls: tls === null ? null : { ...tls, serverName: tls.serverName ?? at.name ?? at.host },
    capacity: template.capacity,
    connectionsMax: template.connectionsMax,
    ...(template.pendingMax === null ? {} : { pendingMax: template.pendingMax }),
    http2: template.http2,
    weight: template.weight,
    zone: template.zone,
    priority: template.priority,
    authority: template.passHost ? '' : authorityOf(at, tls !== null),
    since: at.since,
    cookie: template.stickySecret === '' ? '' : stickyValue(template.stickySecret, at.identity),
  };
}

const HTTP_PORT = 80;
const HTTPS_PORT = 443;

/** Name or address literal, with the port unless the scheme says it already (RFC 9110 §4.2). */
function authorityOf({ name, host, port }: EndpointAddress, secure: boolean): string {
  const called = name ?? (host.includes(':') ? `[${host}]` : host);
  return port === (secure ? HTTPS_PORT : HTTP_PORT) ? called : `${called}:${port}`;
}
