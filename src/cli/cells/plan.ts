/** `cnx cells plan`: what adding or removing cells would move, how even the cells are, and the pins that would mend it. */
import { readFileSync } from 'node:fs';
import type { BundleConfig } from '../../config/bundle.ts';
import { NAME } from '../../config/fields.ts';
import { readBundleDirectory } from '../../control/build/bundle-directory.ts';
import {
  type CellLoad,
  type CellsChange,
  isOff,
  type PlanInput,
  type PlannedCell,
  type PlannedTenant,
  planCells,
  SKEW_MAX,
} from '../../control/build/cells-plan.ts';
import { findOpa } from '../../control/policy/rego.ts';
import { command, HelpWanted, UsageError } from '../command.ts';
import type { Command } from '../io.ts';

/** Tenants of a file. */
const TENANTS_MAX = 200_000;
/** Moves that are printed; `--json` has all. */
const MOVES_SHOWN_MAX = 40;

const HELP = `usage: cnx cells plan <bundle directory> [--add <cell>[@<region>]]… [--remove <cell>]… [--tenants <file>] [--check] [--json]

  --add       a cell that would join the ring, with its region
  --remove    a cell that would leave it
  --tenants   your tenants, one id a line, and after a space its share of the load in any unit (1 unless said);
              with them it tells who moves, and the pins that would bring every cell within ${SKEW_MAX * 100} % of an even share
  --check     exit code 1 when a cell is further from an even share than that, as it would be without those pins, or none is left

Shares of the ring are exact. Without --add and --remove it tells how things are.
`;

export const run: Command = command({
  name: 'cells plan',
  help: HELP,
  options: {
    add: { type: 'string', multiple: true, default: [] },
    remove: { type: 'string', multiple: true, default: [] },
    tenants: { type: 'string' },
    check: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
  bare: true,
  act: async ({ values, positionals, io }) => {
    const [dir] = positionals;
    if (dir === undefined) throw new HelpWanted();
    const { config } = await readBundleDirectory(dir, findOpa(io.env['PATH']));
    const tenants = values.tenants === undefined ? [] : readTenants(values.tenants);
    const change = planCells(inputOf(config, values.add, values.remove, tenants));
    io.stdout(values.json ? `${JSON.stringify(change, null, 2)}\n` : textOf(change, tenants.length > 0));
    return values.check && isUneven(change, tenants.length > 0) ? 1 : 0;
  },
});

function inputOf(
  config: BundleConfig,
  add: readonly string[],
  remove: readonly string[],
  tenants: readonly PlannedTenant[],
): PlanInput {
  const { cells, pins, tenantRegions, defaultRegions } = config.cells;
  const before = cells.filter((c) => c.tenants).map(({ id, region }): PlannedCell => ({ id, region }));
  for (const id of remove)
    if (!before.some((c) => c.id === id)) throw new Error(`no cell "${id}" takes tenants, so it cannot be removed`);
  const added = add.map((text): PlannedCell => {
    const [id = '', region, ...rest] = text.split('@');
    for (const name of region === undefined ? [id] : [id, region])
      if (!new RegExp(NAME).test(name) || rest.length > 0)
        throw new UsageError(`--add "${text}": a cell, and a region after @, is a name that fits ${NAME}`);
    if (before.some((c) => c.id === id)) throw new Error(`cell "${id}" is there already`);
    return { id, region: region ?? '' };
  });
  const regions = new Map(Object.entries(tenantRegions));
  if (defaultRegions.length > 0) regions.set('', defaultRegions);
  return {
    before,
    after: [...before.filter((c) => !remove.includes(c.id)), ...added],
    pins: new Map(Object.entries(pins)),
    regions,
    tenants,
  };
}

function readTenants(file: string): PlannedTenant[] {
  const tenants = new Map<string, PlannedTenant>();
  for (const [i, line] of readFileSync(file, 'utf8').split('\n').entries()) {
    const [id = '', weight = '1', ...rest] = line.trim().split(/[\s,]+/);
    if (id === '' || id.startsWith('#')) continue;
    const share = Number(weight);
    if (rest.length > 0 || !(share >= 0 && Number.isFinite(share)))
      throw new Error(`${file}:${i + 1}: a tenant's id and, after a space, a number are expected`);
    tenants.set(id, { id, weight: share });
    if (tenants.size > TENANTS_MAX) throw new Error(`${file}: more than ${TENANTS_MAX} tenants`);
  }
  return [...tenants.values()];
}

function isUneven(change: CellsChange, byLoad: boolean): boolean {
  return isEmptied(change) || change.after.some((cell) => isOff(byLoad ? cell.loadSkew : cell.skew));
}

/** Tenants have lived somewhere, and would live nowhere. */
function isEmptied({ before, after }: CellsChange): boolean {
  return before.length > 0 && after.length === 0;
}

function textOf(change: CellsChange, byLoad: boolean): string {
  const { before, after, arcs, moves, homeless, mend, mended } = change;
  const was = new Map(before.map((cell) => [cell.cell, cell]));
  const is = new Map(after.map((cell) => [cell.cell, cell]));
  const rows = [...new Set([...was.keys(), ...is.keys()])].map((id) => rowOf(id, was.get(id), is.get(id), byLoad));
  const head = ['CELL', 'RING', 'THEN', 'SKEW', ...(byLoad ? ['TENANTS', 'LOAD', 'THEN', 'SKEW'] : [])];
  const out = [table([head, ...rows])];
  if (arcs.length > 0) {
    const total = arcs.reduce((sum, a) => sum + a.share, 0);
    out.push(
      `${percent(total)} of the ring moves:`,
      ...arcs.map((a) => `  ${a.from || 'nowhere'} -> ${a.to || 'nowhere'}: ${percent(a.share)}`),
      '',
    );
  }
  if (byLoad && moves.length > 0) {
    out.push(`${moves.length} tenant(s) move:`);
    for (const m of moves.slice(0, MOVES_SHOWN_MAX))
      out.push(`  ${m.tenant}: ${m.from || 'nowhere'} -> ${m.to || 'nowhere'}`);
    if (moves.length > MOVES_SHOWN_MAX) out.push(`  … and ${moves.length - MOVES_SHOWN_MAX} more (--json)`);
    out.push('');
  }
  if (homeless.length > 0) out.push(`no cell takes: ${homeless.slice(0, MOVES_SHOWN_MAX).join(', ')}`, '');
  out.push(...advice(change, byLoad, mend, mended));
  return `${out.join('\n')}\n`;
}

function advice(
  change: CellsChange,
  byLoad: boolean,
  mend: CellsChange['mend'],
  mended: readonly CellLoad[],
): string[] {
  if (!isUneven(change, byLoad)) return [`every cell is within ${SKEW_MAX * 100} % of an even share`];
  if (isEmptied(change)) return ['no cell is left: every tenant would be refused'];
  if (!byLoad)
    return [`some cell is more than ${SKEW_MAX * 100} % off an even share; --tenants <file> tells which pins mend it`];
  const worst = Math.max(...mended.map((cell) => Math.abs(cell.loadSkew)));
  const pins = mend.map((m) => `  ${JSON.stringify(m.tenant)}: ${m.to}  # from ${m.from}`);
  const left = isOff(worst)
    ? `with these pins the worst cell is still ${percent(worst)} off: tenants are too heavy, pinned, or kept to regions`
    : `with these pins every cell is within ${percent(worst)} of an even share`;
  if (mend.length === 0) return ['uneven, and no pin would mend it: tenants are too heavy, pinned, or kept to regions'];
  return ['pins for cells.yaml that even it out:', 'pins:', ...pins, '', left];
}

function rowOf(id: string, was: CellLoad | undefined, is: CellLoad | undefined, byLoad: boolean): string[] {
  const ring = [id, share(was), share(is), is === undefined ? '' : signed(is.skew)];
  if (!byLoad) return ring;
  const tenants = `${was?.tenants ?? 0} -> ${is?.tenants ?? 0}`;
  return [...ring, tenants, number(was?.load), number(is?.load), is === undefined ? '' : signed(is.loadSkew)];
}

const share = (cell: CellLoad | undefined): string => (cell === undefined ? '-' : percent(cell.share));
const number = (value: number | undefined): string => (value === undefined ? '-' : `${Math.round(value * 100) / 100}`);
const percent = (value: number): string => `${(value * 100).toFixed(2)} %`;
const signed = (value: number): string =>
  `${value < 0 ? '' : '+'}${(value * 100).toFixed(1)} %${isOff(value) ? ' !' : ''}`;

function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => (row[column] ?? '').length)));
  return `${rows
    .map((row) =>
      row
        .map((cell, i) => cell.padEnd(widths[i] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')}\n`;
}
