/** A split as lanes read it: the scale of 32 bits, and the seeds of its hash. */
import { hash } from 'node:crypto';
import type { SplitConfig } from '../../config/split.ts';
import type { SplitArm, SplitKey, SplitPlan } from '../../snapshot/route-plans.ts';

const SCALE = 0x1_0000_0000;
const PERCENT = 100;

/** `cells`: places by id; what they refer to has been checked. */
export function compileSplit(config: SplitConfig, routeId: string, cells: ReadonlyMap<string, number>): SplitPlan {
  const total = config.cells.reduce((sum, { weight }) => sum + weight, 0);
  let reached = 0;
  const arms = config.cells.map(({ cell, weight, when }): SplitArm => {
    reached += weight;
    return {
      cell: cells.get(cell) ?? -1,
      below: weight === 0 ? 0 : Math.round((reached / total) * SCALE),
      when: when.map((m) => ({
        ...(m.country === undefined ? {} : { countries: m.country }),
        from: m.country !== undefined ? 'country' : m.cookie === undefined ? 'header' : 'cookie',
        name: m.cookie ?? (m.header ?? '').toLowerCase(),
        value: m.value ?? null,
      })),
    };
  });
  const digest = hash('sha256', `split:${config.key === '' ? routeId : config.key}`, 'buffer');
  return {
    by: config.by.map(keyOf),
    seeds: [digest.readInt32LE(0), digest.readInt32LE(4)],
    arms,
    ...(config.prefer === 'latency' ? { slowest: 1 + config.tolerancePercent / PERCENT } : {}),
  };
}

function keyOf(text: string): SplitKey {
  const colon = text.indexOf(':');
  if (colon < 0) return text === 'tenant' ? { from: 'tenant' } : { from: 'address' };
  const name = text.slice(colon + 1);
  return text.startsWith('cookie:') ? { from: 'cookie', name } : { from: 'header', name: name.toLowerCase() };
}
