/** From `cells.yaml` to cells, endpoints with their rows in the shared columns, pins, and the ring. */
import type { CellsConfig, EndpointConfig } from '../../config/cell.ts';
import { buildRing } from '../../snapshot/ring.ts';
import type { CellPlan, EndpointPlan, HealthPlan, RingPlan } from '../../snapshot/snapshot.ts';
import { type EndpointSlots, type SlotLease, SlotsFull } from '../health/slots.ts';
import type { Report } from './report.ts';

/** What holds for a cell that says nothing about health. */
const HEALTH: HealthPlan = { alpha: 0.3, latencyGoodMs: 50, latencyBadMs: 500, errorBad: 0.05 };

export interface CompiledCells {
  readonly cells: readonly CellPlan[];
  readonly endpoints: readonly EndpointPlan[];
  readonly ring: RingPlan;
  readonly pins: ReadonlyMap<string, number>;
  /** Gives the endpoints' rows back. Call it when no lane uses the snapshot any more. */
  release(): void;
}

/** References (pins, addresses, ports) have been checked with the documents; a table without room is reported. */
export function compileCells(config: CellsConfig, slots: EndpointSlots, report: Report): CompiledCells {
  const identities = config.cells.flatMap((cell) => cell.endpoints.map((e) => identityOf(cell.id, e)));
  const lease = leaseOf(slots, identities, report);
  const endpoints: EndpointPlan[] = [];
  const cells = config.cells.map((cell, index): CellPlan => {
    const first = endpoints.length;
    for (const e of cell.endpoints) endpoints.push(endpointPlan(e, identityOf(cell.id, e), index, lease));
    return {
      id: cell.id,
      region: cell.region,
      endpoints: cell.endpoints.map((_, i) => first + i),
      health: cell.health ?? HEALTH,
      probe: cell.probe ?? null,
    };
  });
  const index = new Map(config.cells.map((cell, i) => [cell.id, i]));
  const ring = buildRing(config.cells.flatMap((cell, i) => (cell.tenants ? [{ id: cell.id, index: i }] : [])));
  const pins = new Map<string, number>();
  for (const [tenant, cell] of Object.entries(config.pins)) {
    const at = index.get(cell);
    if (at !== undefined) pins.set(tenant, at);
  }
  return { cells, endpoints, ring, pins, release: () => lease?.release() };
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

function endpointPlan(e: EndpointConfig, identity: string, cell: number, lease: SlotLease | null): EndpointPlan {
  const { host, port } = splitAddress(e.address);
  return {
    slot: lease?.slotOf(identity) ?? 0,
    identity,
    cell,
    host,
    port,
    tls: e.tls === undefined ? null : { serverName: e.tls.serverName, ca: e.tls.ca ?? null },
    capacity: e.capacity,
    connectionsMax: e.connectionsMax,
  };
}

/** `cell/host:port`. The cell is part of it: cells are bulkheads, also when they share an address. */
function identityOf(cell: string, e: EndpointConfig): string {
  return `${cell}/${e.address.toLowerCase()}`;
}

/** Host without brackets, and port. */
function splitAddress(address: string): { host: string; port: number } {
  const colon = address.lastIndexOf(':');
  return { host: address.slice(0, colon).replace(/^\[|\]$/g, ''), port: Number(address.slice(colon + 1)) };
}
