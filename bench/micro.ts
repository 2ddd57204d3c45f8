/** The parts alone: each file of bench/micro/ says what it measures and exports `run()`. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Figure } from './lib/row.ts';
import type { Bench } from './lib/bench.ts';

interface MicroRow {
  readonly name: string;
  readonly metric: string;
  readonly unit: string;
  readonly ours: number;
}

export const micro: Bench = async () => {
  const dir = join(import.meta.dirname, 'micro');
  const figures: Figure[] = [];
  for (const file of readdirSync(dir).sort()) {
    if (!file.endsWith('.ts') || file.endsWith('.test.ts')) continue;
    const module = (await import(join(dir, file))) as { run(): readonly MicroRow[] | Promise<readonly MicroRow[]> };
    for (const row of await module.run()) {
      figures.push({ metric: `${row.name}: ${row.metric}`, unit: row.unit, ours: row.ours, rounds: 1 });
    }
  }
  return figures;
};
