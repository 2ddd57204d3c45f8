/**
 * Answers that are compressed: 32 KB of JSON as gzip, one lane beside one worker of nginx, both at the level that is the gateway's default; what each leaves of it; and the
 * gateway's other algorithms beside its own gzip.
 */
import { get } from 'node:http';
import { brotliDecompressSync, gunzipSync, zstdDecompressSync } from 'node:zlib';
import { plainBundle } from '../test/harness/bundle.ts';
import { startGateway } from './lib/gateway.ts';
import { hasNginx, nginxProxy, upstream } from './lib/peers.ts';
import { figures, interleaved, type Target } from './lib/rounds.ts';
import type { Figure } from './lib/row.ts';
import { target } from './plain.ts';
import type { Bench } from './lib/bench.ts';

const PATH = '/items';
/** The default of `compress.levels.gzip`. */
const GZIP_LEVEL = 5;
const ROWS = 300;
const DECODERS = { gzip: gunzipSync, br: brotliDecompressSync, zstd: zstdDecompressSync };

/** What an interface answers: the same fields in each row, other values. */
function items(): string {
  const rows = Array.from({ length: ROWS }, (_, i) => ({
    id: (i * 7_919) % 100_003,
    name: `item ${(i * 104_729) % 9_973}`,
    price: ((i * 31_337) % 10_000) / 100,
    tags: [['red', 'green', 'blue'][i % 3], ['large', 'small'][(i * i) % 2]],
    created: `2026-0${(i % 9) + 1}-1${i % 10}T0${i % 10}:00:00Z`,
  }));
  return JSON.stringify(rows);
}

/** Bytes of an answer on the wire; throws when it is not what the upstream says. */
function coded(url: string, coding: keyof typeof DECODERS, expected: string): Promise<number> {
  return new Promise((resolve, reject) => {
    get(url, { headers: { 'accept-encoding': coding } }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () => {
        const body = Buffer.concat(chunks);
        const said = response.headers['content-encoding'];
        if (said !== coding) reject(new Error(`${url} answered with Content-Encoding ${String(said)}`));
        else if (DECODERS[coding](body).toString() !== expected) reject(new Error(`${url} decodes to something else`));
        else resolve(body.length);
      });
    }).on('error', reject);
  });
}

export const compress: Bench = async (options) => {
  const text = items();
  const up = await upstream({ [PATH]: text });
  const gateway = await startGateway(
    plainBundle([{ address: `127.0.0.1:${up.port}`, capacity: 1_000, connectionsMax: 1_000 }], {
      routes: {
        routes: [
          {
            id: 'all',
            match: { path: { prefix: '/' } },
            access: 'public',
            reason: 'everything, for a bench',
            compress: { levels: { gzip: GZIP_LEVEL } },
          },
        ],
      },
    }),
  );
  const http = `gzip on; gzip_comp_level ${GZIP_LEVEL}; gzip_min_length 1024; gzip_proxied any; gzip_types text/plain;`;
  const peers = hasNginx ? [await nginxProxy(up.port, null, { http })] : [];
  try {
    const asking = (coding: string): Target[] =>
      [gateway, ...(coding === 'gzip' ? peers : [])].map((s) => {
        const t = target(s, 'http', s.port);
        const url = `http://127.0.0.1:${s.port}${PATH}`;
        return { ...t, load: { ...t.load, url, headers: { 'Accept-Encoding': coding } } };
      });
    const rows: Figure[] = [];
    for (const coding of ['gzip', 'br', 'zstd'] as const) {
      const targets = asking(coding);
      const check = async (t: Target): Promise<void> => void (await coded(t.load.url, coding, text));
      const measured = await interleaved(targets, options, check);
      rows.push(...figures(measured, gateway.name, options.rounds, `_${coding}`));
      const bytes = new Map<string, number>();
      for (const t of targets) bytes.set(t.name, await coded(t.load.url, coding, text));
      const left = (name: string): number => (100 * (bytes.get(name) ?? 0)) / text.length;
      rows.push({
        metric: `left_${coding}`,
        unit: '%',
        ours: left(gateway.name),
        peers: Object.fromEntries(targets.slice(1).map((t) => [t.name, left(t.name)])),
        rounds: 1,
      });
    }
    return rows;
  } finally {
    for (const s of [gateway, ...peers, up]) await s.stop();
  }
};
