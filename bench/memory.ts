/** Resident memory of the single binary with two lanes and a thousand connections, and over a soak. */
import { plainBundle } from '../test/harness/bundle.ts';
import { startGateway } from './lib/gateway.ts';
import { saturate } from './lib/load.ts';
import { upstream } from './lib/peers.ts';
import { rssMib } from './lib/process.ts';
import type { Bench } from './lib/bench.ts';

const CONNECTIONS = 1_000;
/** Memory is read after each of these. Unit: seconds. */
const SLICE_SECONDS = 10;

export const memory: Bench = async (options) => {
  const up = await upstream();
  const gateway = await startGateway(
    plainBundle([{ address: `127.0.0.1:${up.port}`, capacity: 4 * CONNECTIONS, connectionsMax: CONNECTIONS }]),
    { lanes: 2, core: null, binary: true },
  );
  const url = `http://127.0.0.1:${gateway.port}/bench`;
  try {
    const idle = rssMib(gateway.pid);
    const seen: number[] = [];
    let failed = 0;
    const slices = Math.max(2, Math.ceil(options.soakSeconds / SLICE_SECONDS));
    for (let i = 0; i < slices; i++) {
      const seconds = Math.min(SLICE_SECONDS, options.soakSeconds);
      failed += (await saturate({ url, connections: CONNECTIONS, seconds })).failed;
      seen.push(rssMib(gateway.pid));
      console.error(`  ${(i + 1) * seconds} s: ${Math.round(seen.at(-1) ?? 0)} MiB`);
    }
    // The first third warms up; from there on it must be flat.
    const third = Math.max(1, Math.floor(seen.length / 3));
    const mean = (list: readonly number[]): number => list.reduce((a, b) => a + b, 0) / Math.max(1, list.length);
    return [
      { metric: 'rss_idle', unit: 'MiB', ours: idle, rounds: 1 },
      { metric: 'rss_1000_connections', unit: 'MiB', ours: Math.max(...seen), rounds: slices },
      {
        metric: 'rss_drift',
        unit: 'MiB',
        ours: mean(seen.slice(-third)) - mean(seen.slice(third, third * 2)),
        rounds: slices,
      },
      { metric: 'failed_requests', unit: 'requests', ours: failed, rounds: slices },
    ];
  } finally {
    await gateway.stop();
    await up.stop();
  }
};
