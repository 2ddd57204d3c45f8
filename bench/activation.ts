/**
 * From a new bundle at the source to all lanes serving it, as the gateway itself counts it (`cnx_bundle_activation_duration_seconds`): fetched, verified, compiled, its policies tried, given to the
 * lanes. Once with 5,000 routes, once with the whole Core Rule Set, each time without traffic and under load, and what it does to the tail of that.
 */
import { crsBundleFiles, crsDirectory } from '../test/harness/crs.ts';
import type { Digest } from '../src/control/oci/digest.ts';
import { type BundleParts, plainBundle } from '../test/harness/bundle.ts';
import type { Bench } from './lib/bench.ts';
import { type BenchGateway, startGateway } from './lib/gateway.ts';
import type { LoadResult } from './lib/load.ts';
import { paced } from './lib/paced.ts';
import { upstream } from './lib/peers.ts';
import { sleep } from './lib/process.ts';
import { type Figure, median } from './lib/row.ts';
import { CONNECTIONS } from './plain.ts';

const ROUTES = 5_000;
/** Requests per second meanwhile: what a busy gateway sees, well below its peak. */
const RATE = 2_000;
/** New bundles for each round that is asked for. */
const BUNDLES_PER_ROUND = 4;
/** Under load, so that what is looked at is not one bundle behind the other. */
const BETWEEN_MS = 1_000;
/** Between two looks at what serves. */
const LOOK_EVERY_MS = 50;
/** A bundle that does not serve after this time has failed. */
const SERVES_WITHIN_MS = 60_000;

/** Every route is another one in each release, so that nothing of the former is left to be used. */
function routes(port: number, n: number): BundleParts {
  const routes = Array.from({ length: ROUTES }, (_, i) => ({
    id: `r-${i}`,
    match: { path: { prefix: `/v${n}/service-${i}` } },
    access: 'public',
    reason: 'a route of the bench',
  }));
  const all = { id: 'all', match: { path: { prefix: '/' } }, access: 'public', reason: 'everything, for the bench' };
  return plainBundle([`127.0.0.1:${port}`], { routes: { routes: [all, ...routes] } });
}

/** The whole rule set, and one rule of our own, which is another one in each release: all of them are compiled anew. */
function coreRules(directory: string, port: number, n: number): BundleParts {
  return plainBundle([`127.0.0.1:${port}`], {
    waf: { mode: 'block', crs: { dir: 'waf/crs' }, rules: ['waf/own.conf'] },
    files: {
      ...crsBundleFiles(directory),
      'waf/own.conf': `SecRule REQUEST_HEADERS:X-Release "@streq ${n}" "id:1000,phase:1,deny,status:403"\n`,
    },
  });
}

async function tookMs(gateway: BenchGateway, digest: string): Promise<number> {
  const until = performance.now() + SERVES_WITHIN_MS;
  for (;;) {
    const lines = (await gateway.metrics()).split('\n');
    if (lines.some((line) => line.startsWith('bundle_info{') && line.includes(digest))) {
      const line = lines.find((text) => text.startsWith('cnx_bundle_activation_duration_seconds'));
      return Number(line?.split(' ').at(-1)) * 1_000;
    }
    if (performance.now() > until) throw new Error(`${digest} does not serve after ${SERVES_WITHIN_MS} ms`);
    await sleep(LOOK_EVERY_MS);
  }
}

async function measured(
  name: string,
  bundleOf: (port: number, n: number) => BundleParts,
  { rounds, seconds }: { readonly rounds: number; readonly seconds: number },
): Promise<Figure[]> {
  const up = await upstream();
  const gateway = await startGateway(bundleOf(up.port, 0), { lanes: 1, core: null });
  try {
    const load = { url: `http://127.0.0.1:${gateway.port}/bench`, connections: CONNECTIONS, seconds };
    const piece = (): Promise<LoadResult> => paced(load, RATE);
    // Ahead of the load: who makes and signs bundles does not do it on the gateway's machine.
    const bundles: Digest[] = [];
    for (let n = 1; n <= 2 * rounds * BUNDLES_PER_ROUND; n++) bundles.push(await gateway.build(bundleOf(up.port, n)));
    const busy = bundles.splice(rounds * BUNDLES_PER_ROUND);
    const tookCalm: number[] = [];
    for (const digest of bundles) {
      await gateway.publish(digest);
      tookCalm.push(await tookMs(gateway, digest));
    }
    await piece();
    const before: LoadResult[] = [];
    for (let i = 0; i < rounds; i++) before.push(await piece());
    const during: LoadResult[] = [];
    const state = { publishing: true };
    const loading = (async () => {
      while (state.publishing) during.push(await piece());
    })();
    const took: number[] = [];
    try {
      for (const digest of busy) {
        await gateway.publish(digest);
        took.push(await tookMs(gateway, digest));
        await sleep(BETWEEN_MS);
      }
    } finally {
      state.publishing = false;
      await loading;
    }
    const p99 = (pieces: readonly LoadResult[]): number => median(pieces.map((one) => one.p99Ms));
    const failed = [...before, ...during].reduce((sum, one) => sum + one.failed, 0);
    const figure = (metric: string, unit: string, ours: number): Figure => ({
      metric: `${name}: ${metric}`,
      unit,
      ours,
      rounds: took.length,
    });
    return [
      figure('fetch_to_active', 'ms', median(tookCalm)),
      figure('fetch_to_active_under_load', 'ms', median(took)),
      figure('fetch_to_active_worst', 'ms', Math.max(...tookCalm, ...took)),
      figure('latency_p99_before', 'ms', p99(before)),
      figure('latency_p99_during', 'ms', p99(during)),
      figure('latency_p99_factor', 'during / before', p99(during) / p99(before)),
      figure('failed_requests', 'requests', failed),
    ];
  } finally {
    await gateway.stop();
    await up.stop();
  }
}

export const activation: Bench = async (options) => {
  const crs = crsDirectory();
  if (crs === null) throw new Error('this bench needs the Core Rule Set in ../shared/data');
  return [
    ...(await measured(`${ROUTES} routes`, routes, options)),
    ...(await measured('whole CRS', (port, n) => coreRules(crs, port, n), options)),
  ];
};
