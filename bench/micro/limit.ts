/**
 * What limits cost from JavaScript, crossings included: `node bench/micro/limit.ts`. Prints one JSON row per case. How many requests are admitted is
 * checked, so that a wrong answer cannot win.
 */
import { performance } from 'node:perf_hooks';
import { pathToFileURL } from 'node:url';
import { native } from '../../src/native.ts';
import {
  LIMIT_BURST,
  LIMIT_COLUMNS,
  LIMIT_EMISSION_NS,
  LIMIT_ENFORCE,
  LIMIT_IDENTITY,
  LIMIT_KEY_HIGH,
  LIMIT_KEY_LOW,
} from '../../src/native/limits.ts';

export interface MicroRow {
  readonly name: string;
  readonly metric: string;
  readonly unit: string;
  readonly ours: number;
}

const ROUNDS = 5;
const CLIENTS = 20_000;

export function run(calls = 300_000): MicroRow[] {
  const addon = native();
  const block = addon.limitsBlock();
  const rows: MicroRow[] = [];
  const clients = Array.from({ length: CLIENTS }, (_, i) => `10.${(i >> 8) & 255}.${i & 255}.7`);
  let now = Date.now();
  let admitted = 0;
  const lay = (row: number, identity: number, emissionMs: number, burst: number): void => {
    const at = row * LIMIT_COLUMNS;
    block[at + LIMIT_IDENTITY] = identity;
    block[at + LIMIT_EMISSION_NS] = emissionMs * 1e6;
    block[at + LIMIT_BURST] = burst;
    block[at + LIMIT_ENFORCE] = 1;
    block[at + LIMIT_KEY_LOW] = block[at + LIMIT_KEY_HIGH] = 0;
  };
  /** Best of some rounds; each begins long after the one before, with every bucket as good as new. */
  const measure = (metric: string, expected: number, body: (i: number) => void): void => {
    let least = Number.POSITIVE_INFINITY;
    for (let r = 0; r < ROUNDS; r++) {
      now += 86_400_000;
      admitted = 0;
      const from = performance.now();
      for (let i = 0; i < calls; i++) body(i);
      least = Math.min(least, ((performance.now() - from) * 1e6) / calls);
      if (admitted !== expected) throw new Error(`${metric}: ${admitted} of ${calls} were admitted, not ${expected}`);
    }
    rows.push({ name: 'limit', metric, unit: 'ns', ours: Math.round(least) });
  };
  measure('one limit by address, 20,000 clients, admitted', calls, (i) => {
    lay(0, 1, 1, calls);
    addon.limitsAddress(0, clients[i % CLIENTS] ?? '');
    if (addon.limitsTake(1, now)) admitted++;
  });
  measure('one limit by address, one client, refused', 100, () => {
    lay(0, 2, 1000, 100);
    addon.limitsAddress(0, '192.0.2.1');
    if (addon.limitsTake(1, now)) admitted++;
  });
  measure('two limits, by address and by tenant and route, admitted', calls, (i) => {
    lay(0, 3, 1, calls);
    addon.limitsAddress(0, clients[i % CLIENTS] ?? '');
    lay(1, 4, 1, calls);
    addon.limitsText(1, 'tenant-1');
    addon.limitsText(1, 'orders');
    if (addon.limitsTake(2, now)) admitted++;
  });
  // As the stages do when they have met the parts of a key before.
  lay(0, 3, 1, calls);
  addon.limitsAddress(0, '192.0.2.1');
  addon.limitsTake(1, now);
  const [low, high] = [block[LIMIT_KEY_LOW] ?? 0, block[LIMIT_KEY_HIGH] ?? 0];
  measure('one limit by a key that was met before, admitted', calls, () => {
    lay(0, 3, 1, calls);
    block[LIMIT_KEY_LOW] = low;
    block[LIMIT_KEY_HIGH] = high;
    if (addon.limitsTake(1, now)) admitted++;
  });
  return rows;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  for (const row of run()) console.log(JSON.stringify(row));
}
