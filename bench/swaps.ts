/**
 * New bundles under load: no failed request, what the swaps do to the tail, and that memory stays flat. First each bundle serves at once, then a tenth as many go by steps, so that two revisions
 * are live most of the time.
 */
import { createPrivateKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { type AssembledBundle, assembleBundle } from '../src/control/oci/artifact.ts';
import { OciLayout } from '../src/control/oci/layout.ts';
import { LAYERS } from '../src/control/oci/media-types.ts';
import { publishBundle, signBundle } from '../src/control/oci/publish.ts';
import { CHANNEL, plainBundle, PRODUCT } from '../test/harness/bundle.ts';
import { type BenchGateway, startGateway } from './lib/gateway.ts';
import type { LoadResult } from './lib/load.ts';
import { paced } from './lib/paced.ts';
import { upstream } from './lib/peers.ts';
import { rssMib, sleep } from './lib/process.ts';
import { CONNECTIONS } from './plain.ts';
import type { Bench } from './lib/bench.ts';
import { type Figure, median } from './lib/row.ts';

/** Requests per second during the swaps: what a busy gateway sees, well below its peak. */
const RATE = 2_000;
/** Load is measured in pieces of this length. Unit: seconds. */
const PIECE_SECONDS = 5;
/** Pieces before the first swap. */
const CALM_PIECES = 3;
/** A swap is published at most so often. */
const SWAP_EVERY_MS = 250;
/** Between two looks at what serves. */
const LOOK_EVERY_MS = 50;
/** A bundle that does not serve after this time has failed. */
const SERVES_WITHIN_MS = 60_000;
const ROUTES = 200;
/** Swaps after which memory is first looked at: by then everything has been made that is made once. */
const WARM_SHARE = 0.2;
/** One in so many goes by steps besides. */
const STAGED_ONE_IN = 10;
/** Quick steps; the load's address is one identity, so there may be no samples, and times of answers would be compared with those of another moment. */
const STAGED = {
  plan: 'staged',
  steps: [50, 100],
  soakMs: 500,
  samplesMin: 0,
  onNoSamples: 'advance',
  p99AddedMsMax: 600_000,
};

function documentsOf(port: number, n: number): ReturnType<typeof plainBundle> {
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

/** Publishes a bundle as `cnx bundle build` does, but for its look at all that was published before and the channel's tag, which comes when it is its turn. */
async function published(
  layout: OciLayout,
  gateway: BenchGateway,
  port: number,
  seq: number,
): Promise<AssembledBundle> {
  const { routes, cells, waf } = documentsOf(port, seq);
  const bundle = assembleBundle({
    release: {
      schema: 1,
      product: PRODUCT,
      audience: { channels: [CHANNEL] },
      seq,
      floor: 0,
      createdAt: '2026-01-01T00:00:00Z',
    },
    layers: Object.entries({ routes, cells, waf }).map(([part, value]) => ({
      mediaType: LAYERS[part as 'routes' | 'cells' | 'waf'].mediaType,
      title: `${part}.json`,
      bytes: Buffer.from(JSON.stringify(value)),
    })),
    createdEpochS: 1_767_225_600,
  });
  await publishBundle(layout, bundle);
  await signBundle(layout, bundle.digest, createPrivateKey(readFileSync(gateway.key.keyFile)));
  return bundle;
}

async function serves(gateway: BenchGateway, digest: string): Promise<void> {
  const until = performance.now() + SERVES_WITHIN_MS;
  while (
    !(await gateway.metrics()).split('\n').some((line) => line.startsWith('bundle_info{') && line.includes(digest))
  ) {
    if (performance.now() > until) throw new Error(`${digest} does not serve after ${SERVES_WITHIN_MS} ms`);
    await sleep(LOOK_EVERY_MS);
  }
}

interface Swapped {
  readonly before: readonly LoadResult[];
  readonly during: readonly LoadResult[];
  readonly warmMib: number;
  readonly endMib: number;
}

/** Swaps so many bundles under load; throws when one never serves. */
async function swapped(count: number, rollout?: object): Promise<Swapped> {
  const up = await upstream();
  const gateway = await startGateway(documentsOf(up.port, 0), {
    lanes: 1,
    core: null,
    ...(rollout === undefined ? {} : { rollout }),
  });
  const load = { url: `http://127.0.0.1:${gateway.port}/bench`, connections: CONNECTIONS, seconds: PIECE_SECONDS };
  const piece = (): Promise<LoadResult> => paced(load, RATE);
  const layout = OciLayout.at(gateway.layout);
  // Ahead of the load: who makes and signs bundles does not do it on the gateway's machine.
  const bundles: AssembledBundle[] = [];
  for (let n = 1; n <= count; n++) bundles.push(await published(layout, gateway, up.port, n + 1));
  try {
    await piece();
    const before: LoadResult[] = [];
    for (let i = 0; i < CALM_PIECES; i++) before.push(await piece());
    const during: LoadResult[] = [];
    const state = { swapping: true };
    const loading = (async () => {
      while (state.swapping) during.push(await piece());
    })();
    let warmMib = rssMib(gateway.pid);
    try {
      for (const [i, bundle] of bundles.entries()) {
        const from = performance.now();
        await layout.putManifest(bundle.manifest, bundle.descriptor, CHANNEL);
        await serves(gateway, bundle.digest);
        await sleep(Math.max(0, SWAP_EVERY_MS - (performance.now() - from)));
        if (i + 1 === Math.ceil(count * WARM_SHARE)) warmMib = rssMib(gateway.pid);
      }
    } finally {
      state.swapping = false;
      await loading;
    }
    return { before, during, warmMib, endMib: rssMib(gateway.pid) };
  } finally {
    await gateway.stop();
    await up.stop();
  }
}

export const swaps: Bench = async (options) => {
  const stagedCount = Math.ceil(options.swaps / STAGED_ONE_IN);
  const atOnce = await swapped(options.swaps);
  const staged = await swapped(stagedCount, STAGED);
  const failed = (...of: readonly Swapped[]): number =>
    of.flatMap(({ before, during }) => [...before, ...during]).reduce((sum, piece) => sum + piece.failed, 0);
  const p99 = (pieces: readonly LoadResult[]): number => median(pieces.map((piece) => piece.p99Ms));
  const figure = (metric: string, unit: string, ours: number): Figure => ({ metric, unit, ours, rounds: 1 });
  const [before, during] = [p99(atOnce.before), p99(atOnce.during)];
  return [
    figure('swaps', 'bundles', options.swaps),
    figure('failed_requests', 'requests', failed(atOnce, staged)),
    figure('latency_p99_before', 'ms', before),
    figure('latency_p99_during', 'ms', during),
    figure('latency_p99_factor', 'during / before', during / before),
    figure('latency_p99_worst_piece', 'ms', Math.max(...atOnce.during.map((piece) => piece.p99Ms))),
    figure('rss_warm', 'MiB', atOnce.warmMib),
    figure('rss_growth', 'MiB', atOnce.endMib - atOnce.warmMib),
    figure('staged_swaps', 'bundles', stagedCount),
    figure('staged_latency_p99_during', 'ms', p99(staged.during)),
    figure('staged_rss_growth', 'MiB', staged.endMib - staged.warmMib),
  ];
};
