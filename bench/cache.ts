/** Answers from the response cache: the gateway beside a worker of nginx with proxy_cache, each on one core. The upstream is asked once. */
import { mkdtempSync } from 'node:fs';
import { get } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { plainBundle } from '../test/harness/bundle.ts';
import { startGateway } from './lib/gateway.ts';
import { ANSWER, hasNginx, LARGE_BYTES, nginxProxy, type Server, upstream } from './lib/peers.ts';
import { figures, interleaved, type Target } from './lib/rounds.ts';
import type { Figure } from './lib/row.ts';
import { checkAnswer, target } from './plain.ts';
import type { Bench } from './lib/bench.ts';

/** As its documentation has it, with descriptors of stored files kept open: what an operator who measures would set. */
function proxyCache(): string {
  const dir = mkdtempSync(join(tmpdir(), 'cnx-nginx-cache-'));
  return [
    `proxy_cache_path ${dir} levels=1:2 keys_zone=bench:10m max_size=256m inactive=1h use_temp_path=off;`,
    'proxy_cache bench; proxy_cache_lock on; open_file_cache max=1000 inactive=1h; sendfile on;',
    'add_header Cache-Status $upstream_cache_status;',
  ].join(' ');
}

/** A cache that asks the upstream cannot win. */
function mustHit(url: string): Promise<void> {
  return new Promise((resolve, reject) => {
    get(url, (res) => {
      const said = String(res.headers['cache-status']);
      res.resume().on('end', () => (/hit/i.test(said) ? resolve() : reject(new Error(`${url}: Cache-Status ${said}`))));
    }).on('error', reject);
  });
}

export const cache: Bench = async (options) => {
  const up = await upstream();
  const stored = {
    id: 'stored',
    match: { path: { prefix: '/' } },
    access: 'public',
    reason: 'stored answers, for the bench',
    cache: {},
  };
  const gateway = await startGateway(plainBundle([`127.0.0.1:${up.port}`], { routes: { routes: [stored] } }));
  const servers: Server[] = [gateway, ...(hasNginx ? [await nginxProxy(up.port, null, { http: proxyCache() })] : [])];
  const rows: Figure[] = [];
  try {
    for (const [path, answer, suffix] of [
      ['/cached', ANSWER, ''],
      ['/cached64k', 'x'.repeat(LARGE_BYTES), '_64k'],
    ] as const) {
      const targets: Target[] = servers.map((s) => {
        const one = target(s, 'http', s.port);
        return { ...one, load: { ...one.load, url: one.load.url.replace('/bench', path) } };
      });
      const check = async (t: Target): Promise<void> => {
        await checkAnswer(t.load.url, {}, answer);
        await mustHit(t.load.url);
      };
      const measured = await interleaved(targets, options, check);
      rows.push(...figures(measured, gateway.name, options.rounds, suffix));
    }
    return rows;
  } finally {
    for (const s of [...servers, up]) await s.stop();
  }
};
