/**
 * Outlier ejection: endpoints that fail several times in a row, or whose success rate lies far below that of the others of their cell, get no requests for a while, the longer
 * the more often it happens. Never more of them than the ceiling: what looks like an outlier in most of a cell is no outlier (the same words and defaults as Envoy's, but that one
 * may always be ejected). Control decides alone, so the ceiling is exact.
 */
import type { EndpointColumns } from '../../snapshot/endpoint-columns.ts';
import { ENDPOINT_SLOTS } from '../../snapshot/endpoint-columns.ts';
import type { OutlierPlan } from '../../snapshot/guards.ts';
import type { EndpointPlan } from '../../snapshot/cell-plans.ts';
import type { FaultEvent } from './faults.ts';

const PERCENT = 100;
const THOUSANDTHS = 1_000;

export interface OutlierParts {
  readonly columns: EndpointColumns;
  readonly laneCount: number;
  readonly changed: (event: FaultEvent) => void;
}

export interface OutlierCell {
  readonly id: string;
  /** Null: nothing is ejected. */
  readonly plan: OutlierPlan | null;
  readonly endpoints: readonly EndpointPlan[];
}

/** What is remembered of an endpoint. */
interface Member {
  readonly identity: string;
  readonly row: number;
  /** Epoch ms; 0 = it is not ejected. */
  until: number;
  /** Ejections that count: one more each time, one less in each interval without. */
  times: number;
  /** Counts at the last comparison of success rates. */
  answers: number;
  failures: number;
}

interface Cell {
  readonly id: string;
  readonly plan: OutlierPlan | null;
  readonly members: readonly Member[];
  comparedAt: number;
}

/** How many of so many endpoints may be ejected at once. */
export function ceilingOf(endpoints: number, maxEjectionPercent: number): number {
  if (maxEjectionPercent === 0 || endpoints < 2) return 0;
  return Math.min(endpoints - 1, Math.max(1, Math.floor((endpoints * maxEjectionPercent) / PERCENT)));
}

export class Outliers {
  readonly #parts: OutlierParts;
  #cells: Cell[] = [];
  /** Ejections since start, and those that the ceiling did not allow. */
  ejections = 0;
  overflows = 0;

  constructor(parts: OutlierParts) {
    this.#parts = parts;
  }

  activate(cells: readonly OutlierCell[]): void {
    const known = new Map(this.#cells.flatMap((c) => c.members.map((m) => [m.identity, m])));
    const times = new Map(this.#cells.map((c) => [c.id, c.comparedAt]));
    this.#cells = cells.map(({ id, plan, endpoints }) => ({
      id,
      plan,
      comparedAt: times.get(id) ?? 0,
      members: endpoints.map((e) => {
        const member = known.get(e.identity);
        if (member?.row === e.slot) return member;
        const { answers, failures } = this.#counted(e.slot);
        return { identity: e.identity, row: e.slot, until: 0, times: 0, answers, failures };
      }),
    }));
    const kept = new Set(this.#cells.flatMap((c) => c.members));
    // Who leaves leaves no mark in its row: it may come back.
    for (const member of known.values()) if (!kept.has(member)) this.#admit(member, 'it is no endpoint any more');
    for (const cell of this.#cells)
      if (cell.plan === null) for (const m of cell.members) this.#admit(m, 'ejection is off');
  }

  /** Endpoints that are ejected now. */
  get ejected(): number {
    return this.#cells.reduce((sum, cell) => sum + cell.members.filter((m) => m.until > 0).length, 0);
  }

  tick(now: number): void {
    for (const cell of this.#cells) {
      const { plan } = cell;
      if (plan === null) continue;
      // Fewer endpoints than there were, or another ceiling: those ejected last come back first.
      const ceiling = ceilingOf(cell.members.length, plan.maxEjectionPercent);
      const out = cell.members.filter((m) => m.until > 0).sort((a, b) => b.until - a.until);
      for (const m of out) {
        // A time too far ahead was made before the clock was set back.
        if (m.until <= now || m.until > now + plan.maxEjectionTimeMs) this.#admit(m, 'its time is over', now);
      }
      let ejected = cell.members.filter((m) => m.until > 0).length;
      for (const m of out) {
        if (ejected <= ceiling) break;
        if (m.until === 0) continue;
        this.#admit(m, 'too many of the cell are ejected', now);
        ejected--;
      }
      for (const m of cell.members) {
        const reason = this.#inARow(m, plan);
        if (reason !== '') this.#eject(cell, plan, m, now, reason);
      }
      if (now - cell.comparedAt >= plan.intervalMs || now < cell.comparedAt) this.#compare(cell, plan, now);
    }
  }

  #inARow(m: Member, plan: OutlierPlan): string {
    const { consecutive5xx, consecutiveGatewayFailures } = this.#parts.columns.faults;
    const failures = consecutive5xx[m.row] ?? 0;
    const gateway = consecutiveGatewayFailures[m.row] ?? 0;
    if (m.until > 0) return '';
    if (plan.consecutiveGatewayFailure > 0 && gateway >= plan.consecutiveGatewayFailure)
      return `${gateway} gateway failures in a row`;
    return plan.consecutive5xx > 0 && failures >= plan.consecutive5xx ? `${failures} failures in a row` : '';
  }

  /** Success rates of an interval. */
  #compare(cell: Cell, plan: OutlierPlan, now: number): void {
    const first = cell.comparedAt === 0;
    cell.comparedAt = now;
    const rates: { readonly member: Member; readonly rate: number }[] = [];
    for (const member of cell.members) {
      const { answers, failures } = this.#counted(member.row);
      const calls = (answers - member.answers) | 0;
      const failed = (failures - member.failures) | 0;
      member.answers = answers;
      member.failures = failures;
      if (member.until === 0 && member.times > 0 && failed === 0) member.times--;
      if (member.until === 0 && calls >= plan.successRateRequestVolume)
        rates.push({ member, rate: (PERCENT * (calls - failed)) / calls });
    }
    if (first || plan.successRateMinimumHosts === 0 || rates.length < plan.successRateMinimumHosts) return;
    const mean = rates.reduce((sum, { rate }) => sum + rate, 0) / rates.length;
    const deviation = Math.sqrt(rates.reduce((sum, { rate }) => sum + (rate - mean) ** 2, 0) / rates.length);
    const least = mean - (deviation * plan.successRateStdevFactor) / THOUSANDTHS;
    for (const { member, rate } of rates) {
      if (rate < least)
        this.#eject(cell, plan, member, now, `success rate ${rate.toFixed(1)} %, below ${least.toFixed(1)} %`);
    }
  }

  #eject(cell: Cell, plan: OutlierPlan, m: Member, now: number, reason: string): void {
    const { faults } = this.#parts.columns;
    // Counted anew: what was does not eject it again, or overflow at every look.
    Atomics.store(faults.consecutive5xx, m.row, 0);
    Atomics.store(faults.consecutiveGatewayFailures, m.row, 0);
    const ejected = cell.members.filter((other) => other.until > 0).length;
    if (ejected >= ceilingOf(cell.members.length, plan.maxEjectionPercent)) {
      this.overflows++;
      return;
    }
    m.times++;
    const ms = Math.min(plan.baseEjectionTimeMs * m.times, plan.maxEjectionTimeMs);
    m.until = now + ms;
    this.ejections++;
    Atomics.store(faults.outlier, m.row, 1);
    this.#tell(m, 'ejected', `${reason}; for ${ms} ms`);
  }

  /** `now`: it is back in rotation from then on, and begins slowly; 0: it is none of this cell, or ejection is off. */
  #admit(m: Member, reason: string, now = 0): void {
    if (m.until === 0) return;
    m.until = 0;
    const { faults, returnedAt } = this.#parts.columns;
    if (now > 0) returnedAt[m.row] = now;
    Atomics.store(faults.outlier, m.row, 0);
    Atomics.store(faults.consecutive5xx, m.row, 0);
    Atomics.store(faults.consecutiveGatewayFailures, m.row, 0);
    this.#tell(m, 'admitted', reason);
  }

  #tell(m: Member, state: string, reason: string): void {
    this.#parts.changed({ kind: 'outlier', part: 'endpoint', identity: m.identity, state, reason });
  }

  #counted(row: number): { readonly answers: number; readonly failures: number } {
    const { columns, laneCount } = this.#parts;
    let answers = 0;
    let failures = 0;
    for (let lane = 0; lane < laneCount; lane++) {
      answers = (answers + (columns.answers[lane * ENDPOINT_SLOTS + row] ?? 0)) | 0;
      failures = (failures + (columns.failures[lane * ENDPOINT_SLOTS + row] ?? 0)) | 0;
    }
    return { answers, failures };
  }
}
