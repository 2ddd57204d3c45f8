/**
 * What the stages take of their budget: a whole chain (the Core Rule Set, tokens, limits, a policy) under load at about half of its peak, requests with values never seen
 * before. From the gateway's own histograms, so each p99 is the upper end of a bucket, never less than the true one.
 */
import { plainBundle } from '../test/harness/bundle.ts';
import { crsBundleFiles, crsDirectory } from '../test/harness/crs.ts';
import { chainBundle } from './chain.ts';
import { startGateway } from './lib/gateway.ts';
import { hasWrk, saturate } from './lib/load.ts';
import { paced } from './lib/paced.ts';
import { upstream } from './lib/peers.ts';
import type { Figure } from './lib/row.ts';
import type { Bench } from './lib/bench.ts';

const CONNECTIONS = 16;
/** The budget of the architecture, by what it is for. Unit: ms. */
const GROUPS: Readonly<Record<string, readonly string[]>> = {
  edge_and_waf: ['normalize', 'match', 'admit', 'waf'],
  jwt_and_routing: ['authenticate', 'limit', 'route', 'balance', 'respond', 'forward'],
  policy: ['authorize'],
};

/** Buckets of a stage's histogram: upper end in seconds, and how many lie below it. */
type Buckets = ReadonlyMap<number, number>;

function bucketsOf(metrics: string, stage: string): Buckets {
  const found = new Map<number, number>();
  for (const [, labels = '', count] of metrics.matchAll(/^cnx_stage_duration_seconds_bucket\{(.*)\} (\d+)$/gm)) {
    if (!labels.includes(`stage="${stage}"`)) continue;
    const le = /le="([^"]+)"/.exec(labels)?.[1] ?? '+Inf';
    found.set(le === '+Inf' ? Number.POSITIVE_INFINITY : Number(le), Number(count));
  }
  return found;
}

/** Upper end of the bucket in which the 99th of a hundred lies of what came between two readings, ms; 0 when nothing did. */
function p99Ms(before: Buckets, after: Buckets): number {
  const counts = [...after].map(([le, count]) => ({ le, count: count - (before.get(le) ?? 0) }));
  const all = counts.at(-1)?.count ?? 0;
  return all === 0 ? 0 : (counts.find(({ count }) => count >= 0.99 * all)?.le ?? Number.POSITIVE_INFINITY) * 1000;
}

export const stages: Bench = async (options) => {
  const crs = crsDirectory();
  if (crs === null || !hasWrk) throw new Error('this bench needs the Core Rule Set in ../shared/data and wrk');
  const up = await upstream();
  const { bundle, token } = await chainBundle(up.port);
  const gateway = await startGateway({
    ...plainBundle([]),
    ...bundle,
    waf: { mode: 'block', crs: { dir: 'waf/crs' } },
    files: { ...bundle.files, ...crsBundleFiles(crs) },
  });
  const headers = { authorization: `Bearer ${token}`, 'user-agent': 'bench', accept: '*/*', host: 'shop.example.com' };
  const load = {
    url: `http://127.0.0.1:${gateway.port}/api/orders?page={n}&sort=date`,
    connections: CONNECTIONS,
    seconds: options.seconds,
    headers,
  };
  try {
    const peak = await saturate(load);
    const before = await gateway.metrics();
    const half = await paced({ ...load, url: load.url.replace('{n}', '2') }, peak.rate / 2);
    if (half.failed > 0) throw new Error(`${half.failed} requests failed at half of the peak`);
    const after = await gateway.metrics();
    return Object.entries(GROUPS).map(
      ([group, names]): Figure => ({
        metric: `p99_${group}`,
        unit: 'ms',
        ours: names.reduce((sum, stage) => sum + p99Ms(bucketsOf(before, stage), bucketsOf(after, stage)), 0),
        rounds: 1,
      }),
    );
  } finally {
    for (const s of [gateway, up]) await s.stop();
  }
};
