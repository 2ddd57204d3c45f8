/** New bundles under load: no failed request, and what the swaps do to the tail. */
import { plainBundle } from '../test/harness/bundle.ts';
import { startGateway } from './lib/gateway.ts';
import { cannon } from './lib/load.ts';
import { upstream } from './lib/peers.ts';
import { rssMib, sleep } from './lib/process.ts';
import { CONNECTIONS } from './plain.ts';
import type { Bench } from './lib/bench.ts';

/** Requests per second during the swaps: what a busy gateway sees, well below its peak. */
const RATE = 2_000;
/** Load before and after, and beyond the last swap. Unit: seconds. */
const CALM_SECONDS = 5;
/** A swap is published every so often. */
const SWAP_EVERY_MS = 250;
const ROUTES = 200;

function bundleOf(port: number, n: number): ReturnType<typeof plainBundle> {
  const extra = Array.from({ length: ROUTES }, (_, i) => ({
    id: `r-${i}`,
    match: { path: { prefix: `/v${n}/service-${i}` } },
    access: 'public',
    reason: 'a route of the bench',
  }));
  return plainBundle([`127.0.0.1:${port}`], {
    routes: {
      routes: [
        { id: 'all', match: { path: { prefix: '/' } }, access: 'public', reason: 'everything, for the bench' },
        ...extra,
      ],
    },
  });
}

export const swaps: Bench = async (options) => {
  const up = await upstream();
  const gateway = await startGateway(bundleOf(up.port, 0), { lanes: 1, core: null });
  const load = { url: `http://127.0.0.1:${gateway.port}/bench`, connections: CONNECTIONS };
  try {
    await cannon({ ...load, seconds: 3 }, RATE);
    const before = await cannon({ ...load, seconds: CALM_SECONDS }, RATE);
    const memoryBefore = rssMib(gateway.pid);
    const seconds = Math.ceil((options.swaps * SWAP_EVERY_MS) / 1000) + CALM_SECONDS;
    const running = cannon({ ...load, seconds }, RATE);
    for (let n = 1; n <= options.swaps; n++) {
      const from = performance.now();
      await gateway.publish(bundleOf(up.port, n));
      await sleep(Math.max(0, SWAP_EVERY_MS - (performance.now() - from)));
    }
    const during = await running;
    const metrics = await gateway.metrics();
    const activated = Number(/^cnx_bundle_revision (\d+)/m.exec(metrics)?.[1] ?? Number.NaN);
    return [
      { metric: 'swaps', unit: 'bundles', ours: Number.isNaN(activated) ? options.swaps : activated - 1, rounds: 1 },
      { metric: 'failed_requests', unit: 'requests', ours: before.failed + during.failed, rounds: 1 },
      { metric: 'latency_p99_before', unit: 'ms', ours: before.p99Ms, rounds: 1 },
      { metric: 'latency_p99_during', unit: 'ms', ours: during.p99Ms, rounds: 1 },
      { metric: 'rss_growth', unit: 'MiB', ours: rssMib(gateway.pid) - memoryBefore, rounds: 1 },
    ];
  } finally {
    await gateway.stop();
    await up.stop();
  }
};
