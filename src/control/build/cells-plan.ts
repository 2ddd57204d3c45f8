/**
 * What adding or removing cells would do, before it is done (`cnx cells plan`, docs/cells.md): each cell's share of the ring, exactly, by its arcs; and, of tenants that are given, who would
 * live where, who would move, and which pins would even it out. Nothing is sampled and nothing is guessed: the same ring as the gateway's is built and asked.
 */
import { ANY_REGION, liesIn, regionsOf } from '../../snapshot/regions.ts';
import { buildRing, Ring } from '../../snapshot/ring.ts';
import type { CellPlan, RegionPlan } from '../../snapshot/cell-plans.ts';

/** How far a cell may be from its even share before it is told. */
export const SKEW_MAX = 0.05;
const RING = 2 ** 64;
const ROUNDING = 1e-9;

/** Further from an even share than is told. */
export function isOff(skew: number): boolean {
  return Math.abs(skew) > SKEW_MAX + ROUNDING;
}

/** A cell that takes tenants. */
export interface PlannedCell {
  readonly id: string;
  readonly region: string;
}

export interface PlannedTenant {
  readonly id: string;
  /** Its share of the load, in any unit; 1 unless known. */
  readonly weight: number;
}

export interface PlanInput {
  readonly before: readonly PlannedCell[];
  readonly after: readonly PlannedCell[];
  readonly pins: ReadonlyMap<string, string>;
  /** Tenant id → regions; '' holds those of everybody else, if they are kept anywhere. */
  readonly regions: ReadonlyMap<string, readonly string[]>;
  readonly tenants: readonly PlannedTenant[];
}

/** How one cell fares. */
export interface CellLoad {
  readonly cell: string;
  /** Share of the ring, 0 … 1. */
  readonly share: number;
  /** How far that is from an even share: 0.05 is 5 % more. */
  readonly skew: number;
  readonly tenants: number;
  /** Weight of its tenants. */
  readonly load: number;
  /** The same for the load; 0 without tenants. */
  readonly loadSkew: number;
}

export interface Move {
  readonly tenant: string;
  readonly weight: number;
  /** '' = nowhere. */
  readonly from: string;
  readonly to: string;
}

export interface CellsChange {
  readonly before: readonly CellLoad[];
  readonly after: readonly CellLoad[];
  /** Parts of the ring that go from one cell to another, largest first. */
  readonly arcs: readonly { readonly from: string; readonly to: string; readonly share: number }[];
  readonly moves: readonly Move[];
  /** Tenants that no cell takes afterwards: of their regions, or at all. */
  readonly homeless: readonly string[];
  /** Pins that would bring every cell within SKEW_MAX, as far as that is possible. */
  readonly mend: readonly Move[];
  /** The same with the pins of `mend`. */
  readonly mended: readonly CellLoad[];
}

export function planCells(input: PlanInput): CellsChange {
  const before = placed(input, input.before, input.pins);
  const after = placed(input, input.after, input.pins);
  const moves: Move[] = [];
  const homeless: string[] = [];
  for (const { id, weight } of input.tenants) {
    const from = before.homes.get(id) ?? '';
    const to = after.homes.get(id) ?? '';
    if (to === '') homeless.push(id);
    if (from !== to) moves.push({ tenant: id, weight, from, to });
  }
  const mend = mending(input, after.homes);
  const pins = new Map([...input.pins, ...mend.map((m) => [m.tenant, m.to] as const)]);
  return {
    before: before.loads,
    after: after.loads,
    arcs: arcsMoved(input.before, input.after),
    moves,
    homeless,
    mend,
    mended: mend.length === 0 ? after.loads : placed(input, input.after, pins).loads,
  };
}

interface Placed {
  readonly loads: readonly CellLoad[];
  readonly homes: ReadonlyMap<string, string>;
}

function placed(input: PlanInput, cells: readonly PlannedCell[], pins: ReadonlyMap<string, string>): Placed {
  const ring = new Ring(buildRing(cells.map(({ id }, index) => ({ id, index }))));
  const { plan, plans } = regionBits(input, cells);
  const known = new Set(cells.map(({ id }) => id));
  const homes = new Map<string, string>();
  const count = new Map<string, number>();
  const load = new Map<string, number>();
  for (const { id, weight } of input.tenants) {
    const pin = pins.get(id);
    const regions = regionsOf(plan, id);
    const at =
      regions === ANY_REGION ? ring.cellOf(id) : ring.cellAmong(id, (cell) => liesIn(regions, plans[cell] as CellPlan));
    // A pin may name a cell that takes no tenants of the ring: it is kept. One that is removed is not there any more.
    const home = pin !== undefined && (known.has(pin) || !isRemoved(input, pin)) ? pin : (cells[at]?.id ?? '');
    homes.set(id, home);
    count.set(home, (count.get(home) ?? 0) + 1);
    load.set(home, (load.get(home) ?? 0) + weight);
  }
  const shares = sharesOf(cells);
  const total = cells.reduce((sum, { id }) => sum + (load.get(id) ?? 0), 0);
  const loads = cells.map(({ id }, i): CellLoad => {
    const share = shares[i] ?? 0;
    const its = load.get(id) ?? 0;
    return {
      cell: id,
      share,
      skew: share * cells.length - 1,
      tenants: count.get(id) ?? 0,
      load: its,
      loadSkew: total === 0 ? 0 : (its / total) * cells.length - 1,
    };
  });
  return { loads, homes };
}

function isRemoved(input: PlanInput, cell: string): boolean {
  return input.before.some(({ id }) => id === cell) && !input.after.some(({ id }) => id === cell);
}

function regionBits(
  input: PlanInput,
  cells: readonly PlannedCell[],
): { readonly plan: RegionPlan | undefined; readonly plans: readonly Partial<CellPlan>[] } {
  const names = [...new Set([...input.before, ...input.after].map((c) => c.region))].filter((name) => name !== '');
  const bits = new Map(names.map((name, i) => [name, 1 << i]));
  const mask = (regions: readonly string[]): number => regions.reduce((sum, r) => sum | (bits.get(r) ?? 0), 0);
  const others = input.regions.get('');
  const plan =
    input.regions.size === 0
      ? undefined
      : {
          tenants: new Map([...input.regions].flatMap(([id, list]) => (id === '' ? [] : [[id, mask(list)] as const]))),
          others: others === undefined ? ANY_REGION : mask(others),
        };
  return { plan, plans: cells.map((c) => ({ regionBit: bits.get(c.region) ?? 0 })) };
}

/** Each cell's share of the ring, in their order. */
function sharesOf(cells: readonly PlannedCell[]): number[] {
  const plan = buildRing(cells.map(({ id }, index) => ({ id, index })));
  const positions = new BigUint64Array(plan.positions);
  const owners = new Uint16Array(plan.cells);
  const shares = cells.map(() => 0n);
  for (let i = 0; i < plan.count; i++) {
    const last = positions[i === 0 ? plan.count - 1 : i - 1] as bigint;
    const owner = owners[i] as number;
    // One node alone owns everything: its arc is 2^64, which wraps to 0.
    const arc = BigInt.asUintN(64, (positions[i] as bigint) - last);
    shares[owner] = (shares[owner] as bigint) + (plan.count === 1 ? 1n << 64n : arc);
  }
  return shares.map((share) => Number(share) / RING);
}

/** What of the ring changes hands. */
function arcsMoved(before: readonly PlannedCell[], after: readonly PlannedCell[]): CellsChange['arcs'] {
  const rings = [before, after].map((cells) => buildRing(cells.map(({ id }, index) => ({ id, index }))));
  const [was, is] = rings.map((plan) => new Ring(plan)) as [Ring, Ring];
  const cuts = [...new Set(rings.flatMap((plan) => [...new BigUint64Array(plan.positions)]))].sort((a, b) =>
    a < b ? -1 : 1,
  );
  const moved = new Map<string, bigint>();
  for (const [i, cut] of cuts.entries()) {
    const high = Number(cut >> 32n);
    const low = Number(cut & 0xffff_ffffn);
    const from = before[was.cellAt(high, low)]?.id ?? '';
    const to = after[is.cellAt(high, low)]?.id ?? '';
    if (from === to) continue;
    const last = cuts[i === 0 ? cuts.length - 1 : i - 1] as bigint;
    const key = `${from}\n${to}`;
    moved.set(key, (moved.get(key) ?? 0n) + BigInt.asUintN(64, cut - last));
  }
  return [...moved]
    .map(([key, arc]) => {
      const [from = '', to = ''] = key.split('\n');
      return { from, to, share: Number(arc) / RING };
    })
    .sort((a, b) => b.share - a.share);
}

/**
 * Pins that even out the load, few rather than many: from the fullest cell the heaviest tenant that neither overfills the emptiest cell that may have it nor takes more than is too much.
 * Pinned tenants stay: whoever pinned them had a reason.
 */
function mending(input: PlanInput, homes: ReadonlyMap<string, string>): Move[] {
  const cells = input.after;
  const load = new Map(cells.map(({ id }) => [id, 0]));
  const living = new Map<string, PlannedTenant[]>(cells.map(({ id }) => [id, []]));
  for (const tenant of input.tenants) {
    const home = homes.get(tenant.id) ?? '';
    if (!load.has(home)) continue;
    load.set(home, (load.get(home) ?? 0) + tenant.weight);
    if (!input.pins.has(tenant.id)) living.get(home)?.push(tenant);
  }
  for (const list of living.values()) list.sort((a, b) => b.weight - a.weight || (a.id < b.id ? -1 : 1));
  const total = [...load.values()].reduce((sum, l) => sum + l, 0);
  const even = total / Math.max(1, cells.length);
  const most = even * (1 + SKEW_MAX);
  const least = even * (1 - SKEW_MAX);
  const regionOf = new Map(cells.map((c) => [c.id, c.region]));
  const may = (tenant: string, cell: string): boolean => {
    const allowed = input.regions.get(tenant) ?? input.regions.get('');
    return allowed === undefined || allowed.includes(regionOf.get(cell) ?? '');
  };
  const pins: Move[] = [];
  // Each step moves one tenant, and no tenant twice.
  for (let step = 0; step < input.tenants.length; step++) {
    const order = [...load].sort((a, b) => b[1] - a[1]);
    const move = nextMove(order, living, may, { even, most, least });
    if (move === null) break;
    const list = living.get(move.from) ?? [];
    list.splice(
      list.findIndex((t) => t.id === move.tenant),
      1,
    );
    load.set(move.from, (load.get(move.from) ?? 0) - move.weight);
    load.set(move.to, (load.get(move.to) ?? 0) + move.weight);
    pins.push(move);
  }
  return pins;
}

function nextMove(
  order: readonly (readonly [cell: string, load: number])[],
  living: ReadonlyMap<string, readonly PlannedTenant[]>,
  may: (tenant: string, cell: string) => boolean,
  { even, most, least }: { readonly even: number; readonly most: number; readonly least: number },
): Move | null {
  const needed = order.some(([, load]) => load > most || load < least);
  if (!needed) return null;
  for (const [from, full] of order) {
    if (full <= even) break;
    for (const [to, empty] of [...order].reverse()) {
      if (empty >= even || (full <= most && empty >= least)) break;
      const room = Math.min(full - least, most - empty);
      const found = (living.get(from) ?? []).find(
        // It must bring the two nearer to each other, or the same tenants would go round for ever.
        (t) => t.weight > 0 && t.weight <= room && t.weight < full - empty && may(t.id, to),
      );
      if (found !== undefined) return { tenant: found.id, weight: found.weight, from, to };
    }
  }
  return null;
}
