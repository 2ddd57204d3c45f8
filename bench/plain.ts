/** Plain proxying: one lane on one core beside one worker of nginx and HAProxy, 64 connections, 1 KB answers, keep-alive on both sides; and the same with TLS 1.3. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { plainBundle } from '../test/harness/bundle.ts';
import { testAuthority } from '../test/harness/certs.ts';
import { startGateway } from './lib/gateway.ts';
import type { LoadResult } from './lib/load.ts';
import { paced } from './lib/paced.ts';
import { type Figure, median } from './lib/row.ts';
import {
  ANSWER,
  LARGE_BYTES,
  hasHaproxy,
  hasNginx,
  haproxyProxy,
  nginxProxy,
  type Server,
  upstream,
} from './lib/peers.ts';
import { figures, interleaved, type RoundsOptions, type Target } from './lib/rounds.ts';
import { undisturbed } from './lib/undisturbed.ts';
import type { Bench } from './lib/bench.ts';
import { get as httpGet } from 'node:http';
import { get as httpsGet } from 'node:https';

export const CONNECTIONS = 64;
/** Connections of the second measurement. */
const MANY = 1_000;

/** The upstream as the bundle names it, with room for all connections of the bench. */
function endpoint(up: Server): object {
  return { address: `127.0.0.1:${up.port}`, capacity: 4 * MANY, connectionsMax: MANY };
}

/** One answer, compared byte by byte: a wrong one cannot win. */
export function checkAnswer(
  url: string,
  headers: Readonly<Record<string, string>> = {},
  answer = ANSWER,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const get = url.startsWith('https:') ? httpsGet : httpGet;
    get(url, { headers, rejectUnauthorized: false }, (res) => {
      let body = '';
      res.setEncoding('latin1');
      res.on('data', (chunk: string) => (body += chunk));
      res.on('end', () => {
        if (res.statusCode === 200 && body === answer) resolve();
        else reject(new Error(`${url} answered ${res.statusCode} with ${body.length} bytes: ${body.slice(0, 200)}`));
      });
    }).on('error', reject);
  });
}

/** A server as `interleaved` measures it. */
export function target(s: Server, scheme: string, port: number): Target {
  return { name: s.name, pid: s.pid, load: { url: `${scheme}://127.0.0.1:${port}/bench`, connections: CONNECTIONS } };
}

export const plain: Bench = async (options) => {
  const up = await upstream();
  const gateway = await startGateway(plainBundle([endpoint(up)]));
  const peers = [
    ...(hasNginx ? [await nginxProxy(up.port, null)] : []),
    ...(hasHaproxy ? [await haproxyProxy(up.port, null)] : []),
  ];
  try {
    const targets = [gateway, ...peers].map((s) => target(s, 'http', s.port));
    const check = (t: Target): Promise<void> => checkAnswer(t.load.url);
    const measured = await interleaved(targets, options, check);
    const rows: Figure[] = figures(measured, gateway.name, options.rounds);
    rows.push(...(await addedAtHalf(up, [gateway, ...peers], (measured.get(gateway.name)?.rate ?? 0) / 2, options)));
    const many = targets.map((t) => ({ ...t, load: { ...t.load, connections: MANY } }));
    rows.push(
      ...figures(await interleaved(many, options, check), gateway.name, options.rounds, `_${MANY}_connections`),
    );
    const large = targets.map((t) => ({ ...t, load: { ...t.load, url: t.load.url.replace('/bench', '/64k') } }));
    const sized = (t: Target): Promise<void> => checkAnswer(t.load.url, {}, 'x'.repeat(LARGE_BYTES));
    rows.push(...figures(await interleaved(large, options, sized), gateway.name, options.rounds, '_64k'));
    return rows;
  } finally {
    for (const s of [gateway, ...peers, up]) await s.stop();
  }
};

/**
 * What the gateway adds at half of its peak, and what the peers do, at the same rate through each of them and straight to the upstream, in turns. The direct way crosses no cores, each proxy does:
 * that part is the machine's.
 */
async function addedAtHalf(
  up: Server,
  proxies: readonly Server[],
  rate: number,
  options: RoundsOptions,
): Promise<Figure[]> {
  const [gateway, ...peers] = proxies;
  if (gateway === undefined) return [];
  const through = (s: Server): Promise<LoadResult> =>
    undisturbed(options.tries, async () => {
      const load = { url: `http://127.0.0.1:${s.port}/bench`, connections: CONNECTIONS, seconds: options.seconds };
      const result = await paced(load, rate);
      if (result.failed > 0) throw new Error(`${s.name}: ${result.failed} requests failed at half of the peak`);
      return result;
    });
  const added = new Map<string, number[]>(proxies.map(({ name }) => [name, []]));
  for (let i = 0; i < options.rounds; i++) {
    const direct = await through(up);
    for (const proxy of proxies) {
      const by = await through(proxy);
      const rates = `${Math.round(direct.rate)}/s direct, ${Math.round(by.rate)}/s through ${proxy.name}`;
      console.error(`  ${rates}: p99 ${direct.p99Ms.toFixed(2)} and ${by.p99Ms.toFixed(2)} ms`);
      added.get(proxy.name)?.push(by.p99Ms - direct.p99Ms);
    }
  }
  const of = (s: Server): number => median(added.get(s.name) ?? []);
  return [
    {
      metric: 'p99_added_at_half_peak',
      unit: 'ms',
      ours: of(gateway),
      peers: Object.fromEntries(peers.map((peer) => [peer.name, of(peer)])),
      rounds: options.rounds,
    },
  ];
}

/** Certificate and key in one file, as HAProxy wants them. */
export function bothFile(): string {
  const leaf = testAuthority().leaf();
  const file = join(mkdtempSync(join(tmpdir(), 'cnx-bench-')), 'both.pem');
  writeFileSync(file, `${leaf.certificate}\n${leaf.key}`);
  return file;
}

export const tls: Bench = async (options) => {
  const up = await upstream();
  const leaf = testAuthority().leaf();
  const gateway = await startGateway(plainBundle([endpoint(up)]));
  const peers = [
    ...(hasNginx ? [await nginxProxy(up.port, leaf)] : []),
    ...(hasHaproxy ? [await haproxyProxy(up.port, { ...leaf, bothFile: bothFile() })] : []),
  ];
  try {
    const targets = [target(gateway, 'https', gateway.httpsPort), ...peers.map((s) => target(s, 'https', s.port))];
    const check = (t: Target): Promise<void> => checkAnswer(t.load.url);
    const rows: Figure[] = figures(await interleaved(targets, options, check), gateway.name, options.rounds);
    // Each request on a connection of its own: what a handshake costs, with TCP's and one exchange.
    const once = targets.map((t) => ({ ...t, load: { ...t.load, headers: { Connection: 'close' } } }));
    rows.push(...figures(await interleaved(once, options, check), gateway.name, options.rounds, '_handshakes'));
    return rows;
  } finally {
    for (const s of [gateway, ...peers, up]) await s.stop();
  }
};
