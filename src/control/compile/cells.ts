/** From `cells.yaml` to cells, endpoints with their rows in the shared columns, pins, and the ring. */
import { isIP } from 'node:net';
import type { CellsConfig, EndpointConfig } from '../../config/cell.ts';
import { suggestion } from '../../config/nearest.ts';
import { buildRing } from '../../snapshot/ring.ts';
import type { CellPlan, EndpointPlan, HealthPlan, RegionPlan, RingPlan } from '../../snapshot/cell-plans.ts';
import { certificateFault, readCertificates } from '../certificates/pem.ts';
import { type EndpointSlots, type SlotLease, SlotsFull } from '../health/slots.ts';
import type { CellSource, EndpointOrigin, EndpointTemplate, TemplateTls } from './endpoint-template.ts';
import { endpointPlan } from './endpoint-template.ts';
import { compileRegions } from './regions.ts';
import { compileBalance } from './balance.ts';
import { guardsOf } from './guards.ts';
import type { Report } from './report.ts';
import type { SecretReader } from './secrets.ts';

/** What holds for a cell that says nothing about health. */
const HEALTH: HealthPlan = { alpha: 0.3, latencyGoodMs: 50, latencyBadMs: 500, errorBad: 0.05 };

export interface CompiledCells {
  readonly cells: readonly CellPlan[];
  /** Those with an address literal. */
  readonly endpoints: readonly EndpointPlan[];
  /** Where further ones come from. */
  readonly sources: readonly CellSource[];
  readonly ring: RingPlan;
  readonly pins: ReadonlyMap<string, number>;
  /** Absent: tenants may be served anywhere. */
  readonly regions?: RegionPlan;
  /** Gives the endpoints' rows back. Call it when no lane uses the snapshot any more. */
  release(): void;
}

/** What compiling cells stands on. */
export interface CellParts {
  readonly slots: EndpointSlots;
  readonly report: Report;
  readonly secret: SecretReader;
  /** Nothing will run: secrets are stand-ins, which are not looked at, and any transport may serve. */
  readonly checkOnly: boolean;
  /** The transport speaks HTTP/2 to endpoints. */
  readonly http2: boolean;
  /** Where the gateway stands; absent: nobody said. */
  readonly zone?: string;
  /** Endpoints files that the bootstrap maps; absent: any. */
  readonly endpointFiles?: ReadonlySet<string>;
}

/** References (pins, addresses, ports) have been checked with the documents; a table without room and certificates that cannot be used are reported. */
export function compileCells(config: CellsConfig, parts: CellParts): CompiledCells {
  const { slots, report } = parts;
  // A cell has a row of its own; its name holds no slash, so it is nobody else's identity.
  const identities = config.cells.flatMap((cell) => [
    cell.id,
    ...cell.endpoints.flatMap(({ address }) => (isLiteral(address) ? [identityOf(cell.id, address)] : [])),
  ]);
  const lease = leaseOf(slots, identities, report);
  const endpoints: EndpointPlan[] = [];
  const sources: CellSource[] = [];
  const index = new Map(config.cells.map((cell, i) => [cell.id, i]));
  const { bits, plan: regions } = compileRegions(config);
  const cells = config.cells.map((cell, place): CellPlan => {
    const first = endpoints.length;
    const sticky = cell.balance?.sticky;
    const stickySecret =
      sticky === undefined ? '' : parts.secret('cells', `/cells/${place}/balance/sticky/secret`, sticky.secret);
    for (const [i, e] of cell.endpoints.entries()) {
      const path = `/cells/${place}/endpoints/${i}`;
      const template = templateOf(e, path, parts, stickySecret);
      if (isLiteral(e.address)) {
        const identity = identityOf(cell.id, e.address);
        const { host, port } = splitAddress(e.address);
        endpoints.push(
          endpointPlan(template, {
            identity,
            slot: lease?.slotOf(identity) ?? 0,
            since: lease?.sinceOf(identity) ?? 0,
            cell: place,
            host,
            port,
            name: null,
          }),
        );
      } else {
        const from = originOf(e);
        if (from.kind === 'file' && parts.endpointFiles?.has(from.name) === false)
          report(
            'cells',
            `${path}/file`,
            `the bootstrap maps no endpoints file "${from.name}"${suggestion(from.name, [...parts.endpointFiles])}`,
          );
        sources.push({ cell: place, cellId: cell.id, from, template });
      }
    }
    const bit = bits.get(cell.region);
    const standby = index.get(cell.standby ?? '');
    return {
      id: cell.id,
      region: cell.region,
      ...(bit === undefined ? {} : { regionBit: bit }),
      ...(standby === undefined ? {} : { standby }),
      endpoints: Array.from({ length: endpoints.length - first }, (_, i) => first + i),
      health: cell.health ?? HEALTH,
      probe: cell.probe ?? null,
      balance: compileBalance(cell, `/cells/${place}`, parts.zone ?? '', parts.secret),
      guards: guardsOf(cell, lease?.slotOf(cell.id) ?? 0),
    };
  });
  const ring = buildRing(config.cells.flatMap((cell, i) => (cell.tenants ? [{ id: cell.id, index: i }] : [])));
  const pins = new Map<string, number>();
  for (const [tenant, cell] of Object.entries(config.pins)) {
    const at = index.get(cell);
    if (at !== undefined) pins.set(tenant, at);
  }
  return {
    cells,
    endpoints,
    sources,
    ring,
    pins,
    ...(regions === undefined ? {} : { regions }),
    release: () => lease?.release(),
  };
}

function templateOf(e: EndpointConfig, path: string, parts: CellParts, stickySecret: string): EndpointTemplate {
  if (e.protocol === 'http2' && !parts.checkOnly && !parts.http2)
    parts.report(
      'cells',
      `${path}/protocol`,
      'the transport uws speaks HTTP/1.1 only to endpoints; say `transport: native` in the bootstrap, or protocol: http1',
    );
  return {
    tls: e.tls === undefined ? null : endpointTls(e.tls, `${path}/tls`, parts),
    capacity: e.capacity,
    connectionsMax: e.connectionsMax,
    pendingMax: e.pendingMax ?? null,
    http2: e.protocol === 'http2',
    weight: e.weight,
    zone: e.zone,
    priority: e.priority,
    passHost: e.passHost,
    stickySecret,
  };
}

function leaseOf(slots: EndpointSlots, identities: readonly string[], report: Report): SlotLease | null {
  try {
    return slots.lease(identities);
  } catch (error) {
    if (!(error instanceof SlotsFull)) throw error;
    report(
      'cells',
      '/cells',
      `${error.message}; remove endpoints, or wait until those of former bundles are forgotten`,
    );
    return null;
  }
}

type EndpointTlsConfig = NonNullable<EndpointConfig['tls']>;

function endpointTls(tls: EndpointTlsConfig, path: string, parts: CellParts): TemplateTls {
  const plain = { serverName: tls.serverName ?? null, ca: tls.ca ?? null };
  // A lane could only refuse requests for such an endpoint, as if it were unreachable.
  const authority = tls.ca === undefined ? null : authorityFault(tls.ca);
  if (authority !== null) parts.report('cells', `${path}/ca`, authority);
  const named = tls.clientCertificate;
  if (named === undefined) return plain;
  const at = `${path}/clientCertificate`;
  const chain = parts.secret('cells', `${at}/certificateSecret`, named.certificateSecret);
  const key = parts.secret('cells', `${at}/keySecret`, named.keySecret);
  // A secret that nobody mapped has been reported.
  const fault = parts.checkOnly || chain === '' || key === '' ? null : certificateFault(chain, key);
  if (fault !== null)
    parts.report(
      'cells',
      at,
      `secrets ${named.certificateSecret} and ${named.keySecret}: ${fault}; is the one a certificate, the other its key, both PEM?`,
    );
  return { ...plain, identity: { chain, key } };
}

/** Why a text cannot say which authorities are believed, or null. */
function authorityFault(pem: string): string | null {
  try {
    readCertificates(pem);
    return null;
  } catch (error) {
    return `no certificate authority can be read from it: ${(error as Error).message}; the PEM of one is expected, or leave \`ca\` out for the system's roots`;
  }
}

/** `cell/host:port`. The cell is part of it: cells are bulkheads, also when they share an address. */
function identityOf(cell: string, address: string): string {
  return `${cell}/${address.toLowerCase()}`;
}

/** Host without brackets, and port. */
function splitAddress(address: string): { host: string; port: number } {
  const colon = address.lastIndexOf(':');
  return { host: address.slice(0, colon).replace(/^\[|\]$/g, ''), port: Number(address.slice(colon + 1)) };
}

/** An address that needs no resolving. */
function isLiteral(address: string | undefined): address is string {
  return address !== undefined && isIP(splitAddress(address).host) !== 0;
}

/** Where the endpoints of an entry without an address literal come from. */
function originOf({ address, srv, file, family }: EndpointConfig): EndpointOrigin {
  if (file !== undefined) return { kind: 'file', name: file };
  if (srv !== undefined) return { kind: 'srv', name: srv.toLowerCase(), family };
  const { host, port } = splitAddress(address ?? '');
  return { kind: 'address', name: host.toLowerCase(), port, family };
}
