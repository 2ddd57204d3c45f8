/** Interleaved rounds over several targets: the machine's moods hit all of them. */
import { cpuTimes } from './process.ts';
import { type Load, type LoadResult, saturate } from './load.ts';
import { median } from './row.ts';
import { undisturbed } from './undisturbed.ts';

export interface Target {
  readonly name: string;
  readonly pid: number;
  readonly load: Omit<Load, 'seconds'>;
}

export interface Measured {
  /** Medians over the rounds. */
  readonly rate: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** CPU microseconds that the target used per request. */
  readonly cpuUs: number;
  /** Of these, in the kernel. */
  readonly systemUs: number;
  readonly failed: number;
}

export interface RoundsOptions {
  readonly rounds: number;
  readonly seconds: number;
  /** Times that a round is measured at most, when others disturb it. */
  readonly tries: number;
}

/** Checks one answer of every target, warms each, then measures all in turn. Throws when an answer is wrong or a request failed. */
export async function interleaved(
  targets: readonly Target[],
  options: RoundsOptions,
  check: (t: Target) => Promise<void>,
  loaded: (load: Load) => Promise<LoadResult> = saturate,
): Promise<Map<string, Measured>> {
  const results = new Map<string, (LoadResult & { readonly cpuUs: number; readonly systemUs: number })[]>();
  for (const t of targets) {
    await check(t);
    await loaded({ ...t.load, seconds: 2 });
    results.set(t.name, []);
  }
  for (let round = 0; round < options.rounds; round++) {
    for (const t of targets) {
      const { before, r, after } = await undisturbed(options.tries, async () => {
        const before = cpuTimes(t.pid);
        const r = await loaded({ ...t.load, seconds: options.seconds });
        // Whoever disturbs a round is no reason for it.
        if (r.failed > 0) throw new Error(`${t.name}: ${r.failed} of ${r.requests} requests failed`);
        return { before, r, after: cpuTimes(t.pid) };
      });
      const perRequest = (seconds: number): number => (seconds * 1e6) / Math.max(1, r.requests);
      const systemUs = perRequest(after.system - before.system);
      const cpuUs = perRequest(after.own - before.own) + systemUs;
      results.get(t.name)?.push({ ...r, cpuUs, systemUs });
      console.error(
        `  ${t.name.padEnd(16)} ${Math.round(r.rate).toString().padStart(7)} req/s  p99 ${r.p99Ms.toFixed(2)} ms  ${cpuUs.toFixed(1)} µs CPU`,
      );
    }
  }
  for (const t of targets) await check(t);
  return new Map(
    [...results].map(([name, list]) => [
      name,
      {
        rate: median(list.map((r) => r.rate)),
        p50Ms: median(list.map((r) => r.p50Ms)),
        p99Ms: median(list.map((r) => r.p99Ms)),
        cpuUs: median(list.map((r) => r.cpuUs)),
        systemUs: median(list.map((r) => r.systemUs)),
        failed: list.reduce((n, r) => n + r.failed, 0),
      },
    ]),
  );
}

/** Figures of one target beside all others. */
export function figures(
  measured: ReadonlyMap<string, Measured>,
  ours: string,
  rounds: number,
  /** Appended to each metric's name. */
  suffix = '',
): { metric: string; unit: string; ours: number; peers: Record<string, number>; rounds: number }[] {
  const mine = measured.get(ours);
  if (mine === undefined) return [];
  const others = [...measured].filter(([name]) => name !== ours);
  const row = (metric: string, unit: string, of: (m: Measured) => number) => ({
    metric: `${metric}${suffix}`,
    unit,
    ours: of(mine),
    peers: Object.fromEntries(others.map(([name, m]) => [name, of(m)])),
    rounds,
  });
  return [
    row('requests_per_second', '1/s', (m) => m.rate),
    row('latency_p50', 'ms', (m) => m.p50Ms),
    row('latency_p99', 'ms', (m) => m.p99Ms),
    row('cpu_per_request', 'µs', (m) => m.cpuUs),
    row('system_cpu_per_request', 'µs', (m) => m.systemUs),
  ];
}
