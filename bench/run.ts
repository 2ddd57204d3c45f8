/**
 * The bench: `npm run bench -- [name …] [--json FILE] [--quick]`. Without a name all but `memory`, `surge`, `noisy` and `engine` run. Peers are measured in the same run; a peer that is missing is
 * said. Results also go to bench/record/ with machine and commit.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { buildAddon } from '../scripts/addon.ts';
import type { Bench, BenchOptions } from './lib/bench.ts';
import { hasH2load } from './lib/h2load.ts';
import { hasWrk } from './lib/load.ts';
import { hasHaproxy, hasNginx } from './lib/peers.ts';
import { ratios, round, type Row } from './lib/row.ts';

const BENCHES: Readonly<Record<string, () => Promise<Bench>>> = {
  plain: async () => (await import('./plain.ts')).plain,
  tls: async () => (await import('./plain.ts')).tls,
  http2: async () => (await import('./http2.ts')).http2,
  engine: async () => (await import('./engine.ts')).engine,
  lanes: async () => (await import('./lanes.ts')).lanes,
  idle: async () => (await import('./idle.ts')).idle,
  'waf-chain': async () => (await import('./waf-chain.ts')).wafChain,
  compress: async () => (await import('./compress.ts')).compress,
  chain: async () => (await import('./chain.ts')).chain,
  stages: async () => (await import('./stages.ts')).stages,
  cache: async () => (await import('./cache.ts')).cache,
  surge: async () => (await import('./surge.ts')).surge,
  noisy: async () => (await import('./surge.ts')).noisy,
  swaps: async () => (await import('./swaps.ts')).swaps,
  activation: async () => (await import('./activation.ts')).activation,
  memory: async () => (await import('./memory.ts')).memory,
  waf: async () => (await import('./waf.ts')).waf,
  micro: async () => (await import('./micro.ts')).micro,
};
const DEFAULT = [
  'plain',
  'tls',
  'http2',
  'lanes',
  'idle',
  'chain',
  'stages',
  'cache',
  'compress',
  'swaps',
  'activation',
  'waf',
  'waf-chain',
  'micro',
];
/** Many short rounds in turns: what a machine does to one of them it does to all. */
const FULL: BenchOptions = { rounds: 9, seconds: 2, tries: 8, soakSeconds: 300, swaps: 1_000 };
/** To see that everything works; not for figures. */
const QUICK: BenchOptions = { rounds: 1, seconds: 1, tries: 1, soakSeconds: 5, swaps: 5 };

function machine(): string {
  const model = cpus()[0]?.model.trim() ?? 'unknown';
  return `${model}, ${cpus().length} cores, ${Math.round(totalmem() / 2 ** 30)} GiB, Linux, Node ${process.version}`;
}

function commit(): string {
  try {
    const dirty = execFileSync('git', ['status', '--porcelain', '--untracked-files=no'], { encoding: 'utf8' }) !== '';
    return execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim() + (dirty ? '-dirty' : '');
  } catch {
    return 'unknown'; // Not a work tree.
  }
}

function print(rows: readonly Row[]): void {
  const shown = rows.map((r) => [
    r.name,
    r.metric,
    `${round(r.ours, 3)} ${r.unit}`,
    Object.entries(r.peers)
      .map(([peer, value]) => `${peer} ${round(value, 3)} (× ${r.ratio[peer]})`)
      .join('  '),
  ]);
  const widths = [0, 1, 2].map((c) => Math.max(...shown.map((row) => (row[c] ?? '').length)));
  for (const row of shown)
    console.log(
      row
        .map((cell, c) => cell.padEnd(widths[c] ?? 0))
        .join('  ')
        .trimEnd(),
    );
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      json: { type: 'string' },
      quick: { type: 'boolean', default: false },
      soak: { type: 'string' },
      swaps: { type: 'string' },
    },
  });
  const names = positionals.length > 0 ? positionals : DEFAULT;
  for (const name of names) {
    if (BENCHES[name] === undefined) {
      console.error(`there is no bench "${name}"; there are ${Object.keys(BENCHES).join(', ')}`);
      return 2;
    }
  }
  // What users run.
  buildAddon('shipped');
  for (const [peer, there] of [
    ['nginx', hasNginx],
    ['haproxy', hasHaproxy],
    ['wrk', hasWrk],
    ['nghttp2-client', hasH2load],
  ] as const) {
    if (!there) console.error(`${peer} is not installed: its figures are missing (apt-get install ${peer})`);
  }
  const base = values.quick ? QUICK : FULL;
  const options = {
    ...base,
    soakSeconds: Number(values.soak ?? base.soakSeconds),
    swaps: Number(values.swaps ?? base.swaps),
  };
  const about = { machine: machine(), commit: commit() };
  const rows: Row[] = [];
  for (const name of names) {
    console.error(`— ${name}`);
    const bench = await BENCHES[name]?.();
    for (const f of (await bench?.(options)) ?? []) {
      const peers = f.peers ?? {};
      rows.push({
        name,
        metric: f.metric,
        unit: f.unit,
        ours: f.ours,
        peers,
        ratio: ratios(f.ours, peers),
        rounds: f.rounds,
        ...about,
      });
    }
  }
  print(rows);
  const text = `${JSON.stringify(rows, null, 2)}\n`;
  if (values.json !== undefined) writeFileSync(values.json, text);
  if (!values.quick) {
    const record = join(import.meta.dirname, 'record');
    mkdirSync(record, { recursive: true });
    for (const name of new Set(names)) {
      writeFileSync(
        join(record, `${name}.json`),
        `${JSON.stringify(
          rows.filter((r) => r.name === name),
          null,
          2,
        )}\n`,
      );
    }
  }
  return rows.length > 0 ? 0 : 1;
}

process.exitCode = await main();
