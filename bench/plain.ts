/** Plain proxying: one lane on one core beside one worker of nginx and HAProxy, 64 connections, 1 KB answers, keep-alive on both sides; and the same with TLS 1.3. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { plainBundle } from '../test/harness/bundle.ts';
import { testAuthority } from '../test/harness/certs.ts';
import { startGateway } from './lib/gateway.ts';
import { cannon } from './lib/load.ts';
import { ANSWER, hasHaproxy, hasNginx, haproxyProxy, nginxProxy, type Server, upstream } from './lib/peers.ts';
import { figures, interleaved, type Target } from './lib/rounds.ts';
import type { Bench } from './run.ts';
import { get as httpGet } from 'node:http';
import { get as httpsGet } from 'node:https';

export const CONNECTIONS = 64;

/** One answer, compared byte by byte: a wrong one cannot win. */
export function checkAnswer(url: string, headers: Readonly<Record<string, string>> = {}): Promise<void> {
  return new Promise((resolve, reject) => {
    const get = url.startsWith('https:') ? httpsGet : httpGet;
    get(url, { headers, rejectUnauthorized: false }, (res) => {
      let body = '';
      res.setEncoding('latin1');
      res.on('data', (chunk: string) => (body += chunk));
      res.on('end', () => {
        if (res.statusCode === 200 && body === ANSWER) resolve();
        else reject(new Error(`${url} answered ${res.statusCode} with ${body.length} bytes: ${body.slice(0, 200)}`));
      });
    }).on('error', reject);
  });
}

function target(s: Server, scheme: string, port: number): Target {
  return { name: s.name, pid: s.pid, load: { url: `${scheme}://127.0.0.1:${port}/bench`, connections: CONNECTIONS } };
}

export const plain: Bench = async (options) => {
  const up = await upstream();
  const gateway = await startGateway(plainBundle([`127.0.0.1:${up.port}`]));
  const peers = [
    ...(hasNginx ? [await nginxProxy(up.port, null)] : []),
    ...(hasHaproxy ? [await haproxyProxy(up.port, null)] : []),
  ];
  try {
    const targets = [gateway, ...peers].map((s) => target(s, 'http', s.port));
    const measured = await interleaved(targets, options, (t) => checkAnswer(t.load.url));
    const rows = figures(measured, gateway.name, options.rounds);
    // What the gateway adds at half of its peak: the same rate straight to the upstream, and through the gateway, by autocannon.
    const half = (measured.get(gateway.name)?.rate ?? 0) / 2;
    const load = { connections: CONNECTIONS, seconds: options.seconds };
    const direct = await cannon({ ...load, url: `http://127.0.0.1:${up.port}/bench` }, half);
    const through = await cannon({ ...load, url: targets[0]?.load.url ?? '' }, half);
    if (through.failed > 0) throw new Error(`${through.failed} requests failed at half of the peak`);
    return [...rows, { metric: 'p99_added_at_half_peak', unit: 'ms', ours: through.p99Ms - direct.p99Ms, rounds: 1 }];
  } finally {
    for (const s of [gateway, ...peers, up]) await s.stop();
  }
};

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
  const gateway = await startGateway(plainBundle([`127.0.0.1:${up.port}`]));
  const peers = [
    ...(hasNginx ? [await nginxProxy(up.port, leaf)] : []),
    ...(hasHaproxy ? [await haproxyProxy(up.port, { ...leaf, bothFile: bothFile() })] : []),
  ];
  try {
    const targets = [target(gateway, 'https', gateway.httpsPort), ...peers.map((s) => target(s, 'https', s.port))];
    const measured = await interleaved(targets, options, (t) => checkAnswer(t.load.url));
    return figures(measured, gateway.name, options.rounds);
  } finally {
    for (const s of [gateway, ...peers, up]) await s.stop();
  }
};
