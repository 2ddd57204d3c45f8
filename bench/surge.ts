/**
 * More than can be served, and one who takes more than his share. The gateway inspects every request with the Core Rule Set, so that one core of load can ask for twice what
 * one core of the gateway can answer.
 */
import { plainBundle } from '../test/harness/bundle.ts';
import { crsBundleFiles, crsDirectory } from '../test/harness/crs.ts';
import { type BenchGateway, startGateway } from './lib/gateway.ts';
import { type Answer, quantileMs } from './lib/answers.ts';
import { hasWrk, type Load, saturate } from './lib/load.ts';
import { type Rated, steadily, together } from './lib/paced.ts';
import { type Server, upstream } from './lib/peers.ts';
import { cpuTimes, sleep } from './lib/process.ts';
import { type Figure, median } from './lib/row.ts';
import type { Bench, BenchOptions } from './lib/bench.ts';

const CONNECTIONS = 64;
/** Of a surge: enough that a request seldom waits for the answer before it. */
const SURGE_CONNECTIONS = 4_000;
/** The surge lasts so many times as long as a round of other benches: a minute. */
const SURGE_ROUNDS = 12;
/** Turns of the noisy tenant for each round that is asked for. */
const NOISY_ROUNDS = 3;
/** What is normal again after a surge may take so long. Unit: seconds. */
const RECOVERY_SECONDS = 5;
const QUIET_TENANTS = ['ada', 'ben', 'cleo', 'dan'];
/** Of the peak, what each quiet tenant asks for. */
const QUIET_SHARE = 0.05;
/** What the noisy one asks for, in shares of a quiet one; and what any tenant may ask for. */
const NOISY_TIMES = 10;
const ALLOWED_TIMES = 2;
const BROWSER = {
  'user-agent': 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36',
  accept: 'text/html,application/xhtml+xml;q=0.9,*/*;q=0.8',
  'accept-language': 'en-US,en;q=0.9',
  cookie: 'sid=8f14e45fceea167a5a36dedd4bea2543; theme=dark; cart=3',
};
/** Values make a request cost what it would among others. */
const PATH = '/catalog/shoes?page=3&sort=price&color=blue&size=42&q=running+shoes';

interface Place {
  readonly up: Server;
  readonly gateway: BenchGateway;
  readonly load: Omit<Load, 'seconds'>;
  /** Requests a second that one core serves. */
  readonly peak: number;
  /** The same for a second of the gateway's CPU time: a figure that others on the machine do not change. */
  readonly peakOfCpu: number;
}

async function place(options: BenchOptions, limited: number | null): Promise<Place> {
  const crs = crsDirectory();
  if (crs === null || !hasWrk) {
    throw new Error('this bench needs the Core Rule Set in ../shared/data, and wrk');
  }
  const up = await upstream();
  const route = {
    id: 'shop',
    match: { path: { prefix: '/' } },
    access: 'public',
    reason: 'everything, for the bench',
    cell: 'one',
    tenant: { header: 'x-tenant' },
    ...(limited === null ? {} : { limits: ['tenant'] }),
  };
  // The endpoint's own bounds are not what is measured.
  const bundle = plainBundle([{ address: `127.0.0.1:${up.port}`, capacity: 4_000, pendingMax: 4_000 }], {
    routes: { routes: [route] },
    waf: { mode: 'block', crs: { dir: 'waf/crs' } },
    files: crsBundleFiles(crs),
    ...(limited === null
      ? {}
      : { limits: { limits: [{ id: 'tenant', key: ['tenant'], requests: Math.round(limited), windowMs: 1000 }] } }),
  });
  const gateway = await startGateway(bundle);
  const load = {
    url: `http://127.0.0.1:${gateway.port}${PATH}`,
    connections: CONNECTIONS,
    headers: { ...BROWSER, 'x-tenant': 'ada' },
  };
  await saturate({ ...load, seconds: 2 });
  const from = cpuSeconds(gateway);
  const { rate, requests } = await saturate({ ...load, seconds: options.seconds });
  return { up, gateway, load, peak: rate, peakOfCpu: requests / (cpuSeconds(gateway) - from) };
}

function cpuSeconds(gateway: BenchGateway): number {
  const { own, system } = cpuTimes(gateway.pid);
  return own + system;
}

function accepted(answers: readonly Answer[]): Answer[] {
  return answers.filter(({ status }) => status === 200);
}

/** How long the lane says that its line is, once a second. */
async function linesMs(gateway: BenchGateway, seconds: number): Promise<number[]> {
  const lines: number[] = [];
  for (let i = 0; i < seconds; i++) {
    await sleep(1_000);
    const line = (await gateway.metrics()).split('\n').find((text) => text.startsWith('cnx_lane_queue_seconds'));
    lines.push(Number(line?.split(' ').at(-1)) * 1_000);
  }
  return lines;
}

/** Twice the sustained peak: what was accepted, how soon the rest was refused, and what follows. */
export const surge: Bench = async (options) => {
  const { up, gateway, load, peak, peakOfCpu } = await place(options, null);
  try {
    const seconds = options.seconds * SURGE_ROUNDS;
    const calm = await steadily({ ...load, seconds: options.seconds }, peak / 2);
    const from = cpuSeconds(gateway);
    const [during, lines] = await Promise.all([
      steadily({ ...load, connections: SURGE_CONNECTIONS, seconds }, 2 * peak),
      linesMs(gateway, seconds),
    ]);
    const used = cpuSeconds(gateway) - from;
    await sleep(RECOVERY_SECONDS * 1000);
    const after = await steadily({ ...load, seconds: options.seconds }, peak / 2);
    const served = accepted(during);
    const refused = during.filter(({ status }) => status === 503);
    const row = (metric: string, unit: string, ours: number): Figure => ({ metric, unit, ours, rounds: 1 });
    return [
      row('peak', '1/s', peak),
      row('asked', '1/s', during.length / seconds),
      row('served_of_peak', 'share', served.length / seconds / peak),
      row('served_of_peak_by_cpu', 'share', served.length / used / peakOfCpu),
      // Of none there is nothing to say.
      ...(refused.length === 0
        ? []
        : [row('refusal_cost', 'of a request', (used * peakOfCpu - served.length) / refused.length)]),
      row('line_median', 'ms', median(lines)),
      // Where what is asked is more than can be answered at all, requests wait for connections, as they would in their clients.
      row(
        'waited_for_connection_p99',
        'ms',
        quantileMs(
          during.map((answer) => ({ ...answer, us: answer.waitedUs })),
          0.99,
        ),
      ),
      row('latency_p99_before', 'ms', quantileMs(calm, 0.99)),
      row('latency_p50_accepted', 'ms', quantileMs(served, 0.5)),
      row('latency_p99_accepted', 'ms', quantileMs(served, 0.99)),
      row('latency_p99_refused', 'ms', quantileMs(refused, 0.99)),
      row('other_answers', 'requests', during.length - served.length - refused.length),
      row('latency_p99_after', 'ms', quantileMs(after, 0.99)),
      row('refused_after', 'requests', after.length - accepted(after).length),
    ];
  } finally {
    for (const s of [gateway, up]) await s.stop();
  }
};

/** Four tenants ask for a twentieth of the peak each; then a fifth one for ten times that, under a limit per tenant of twice a share. */
export const noisy: Bench = async (options) => {
  const first = await place(options, null);
  for (const s of [first.gateway, first.up]) await s.stop();
  const share = first.peak * QUIET_SHARE;
  const { up, gateway, load } = await place({ ...options, seconds: 1 }, share * ALLOWED_TIMES);
  try {
    const asking = (tenant: string, rate: number): Rated => [
      { ...load, connections: 16, headers: { ...BROWSER, 'x-tenant': tenant }, seconds: options.seconds },
      rate,
    ];
    const quiet = QUIET_TENANTS.map((tenant) => asking(tenant, share));
    const p99: { readonly before: number[]; readonly during: number[] } = { before: [], during: [] };
    const [others, louds]: [Answer[], Answer[]] = [[], []];
    // In turns: a machine's pauses are as long as what is looked for.
    for (let i = 0; i < NOISY_ROUNDS * options.rounds; i++) {
      p99.before.push(quantileMs((await together(quiet)).flat(), 0.99));
      const [loud = [], ...rest] = await together([asking('zed', NOISY_TIMES * share), ...quiet]);
      const during = rest.flat();
      p99.during.push(quantileMs(during, 0.99));
      for (const answer of during) others.push(answer);
      for (const answer of loud) louds.push(answer);
    }
    const row = (metric: string, unit: string, ours: number): Figure => ({
      metric,
      unit,
      ours,
      rounds: p99.before.length,
    });
    return [
      row('latency_p99_before', 'ms', median(p99.before)),
      row('latency_p99_during', 'ms', median(p99.during)),
      row('latency_p99_ratio', '×', median(p99.during) / median(p99.before)),
      row('others_refused', 'requests', others.length - accepted(others).length),
      row('noisy_served', 'share', accepted(louds).length / louds.length),
    ];
  } finally {
    for (const s of [gateway, up]) await s.stop();
  }
};
