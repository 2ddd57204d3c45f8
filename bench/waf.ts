/**
 * The WAF engine beside libmodsecurity and Coraza, each in a process of its own on one core, with the same rule files and requests: medians of
 * whole transactions, all phases, at paranoia levels 1 and 4. They must report the same rules, so that an engine that does not look cannot win.
 */
import assert from 'node:assert/strict';
import { loadavg } from 'node:os';
import { type Figure, median } from './lib/row.ts';
import type { Bench } from './lib/bench.ts';
import {
  allocationCounter,
  coraza,
  engine,
  libmodsecurity,
  PlanDirectory,
  type Result,
  type Runner,
  run,
} from './waf/plan.ts';
import { ADVERSARIAL, REQUESTS, type WafRequest } from './waf/requests.ts';

/** Each request is timed for this part of the bench's seconds. */
const PART = 0.1;
/** A plan that takes longer is stopped, but for adversarial bodies, which have a limit of their own. */
const PLAN_MS_MAX = 600_000;
/** An adversarial body is given up after so many times the bench's seconds. */
const ADVERSARIAL_PART = 4;
/** Inspections of each request when allocations are counted. */
const COUNTED = 50;
const LEVELS = [1, 4] as const;

/** Rules whose reports differ for a reason: by peer, then by rule. */
const EXPLAINED: Readonly<Record<string, Readonly<Record<number, string>>>> = {
  libmodsecurity: {
    980_170: 'says noauditlog and not log; libmodsecurity then leaves it out of the log, the others do not',
  },
};

interface Measured {
  readonly us: number;
  readonly freshUs: number;
}

function runners(directory: string): { ours: Runner; peers: readonly Runner[] } {
  const peers: Runner[] = [];
  const modsecurity = libmodsecurity(directory);
  if (typeof modsecurity === 'string') console.error(`libmodsecurity is missing: ${modsecurity}`);
  else peers.push(modsecurity);
  const go = coraza(directory);
  if (typeof go === 'string') console.error(`Coraza is missing: ${go}`);
  else peers.push(...go);
  return { ours: engine(), peers };
}

function assertSame(ours: Result, theirs: Result, peer: Runner): void {
  const explained = EXPLAINED[peer.name] ?? {};
  const left = (ids: readonly number[]): number[] => ids.filter((id) => explained[id] === undefined);
  for (const [name, timing] of theirs.requests)
    assert.deepEqual(
      left(ours.requests.get(name)?.ids ?? []),
      left(timing.ids),
      `${name}: rules of the gateway and of ${peer.name}`,
    );
}

/** Medians of all rounds by program and request. */
function medians(
  programs: readonly Runner[],
  rounds: number,
  once: (runner: Runner) => Result,
): { results: ReadonlyMap<string, Result>; at: (runner: Runner, request: string) => Measured | undefined } {
  const seen = new Map<string, Measured[]>();
  const results = new Map<string, Result>();
  for (let round = 0; round < rounds; round++) {
    for (const runner of programs) {
      const result = once(runner);
      results.set(runner.name, result);
      for (const [request, { ns }] of result.requests) {
        const key = `${runner.name}\t${request}`;
        const freshUs = (result.fresh.get(request) ?? Number.NaN) / 1e3;
        seen.set(key, [...(seen.get(key) ?? []), { us: ns / 1e3, freshUs }]);
      }
    }
  }
  const at = (runner: Runner, request: string): Measured | undefined => {
    const list = seen.get(`${runner.name}\t${request}`);
    return list && { us: median(list.map((m) => m.us)), freshUs: median(list.map((m) => m.freshUs)) };
  };
  return { results, at };
}

function geometricMean(values: readonly number[]): number {
  return Math.exp(values.reduce((sum, v) => sum + Math.log(v), 0) / values.length);
}

function byPeer(peers: readonly Runner[], value: (peer: Runner) => number | undefined): Record<string, number> {
  const entries = peers.map((peer) => [peer.name, value(peer)] as const);
  return Object.fromEntries(entries.filter((e): e is [string, number] => e[1] !== undefined));
}

/** Allocations of one transaction, all requests together: what twice as many take more. */
function allocations(
  runner: Runner,
  directory: PlanDirectory,
  library: string,
  requests: readonly WafRequest[],
): number {
  const count = (times: number): number => {
    const { said } = run(runner, directory.write(1, requests, { times }), PLAN_MS_MAX, { LD_PRELOAD: library });
    // A program that starts the runner may be counted too; it ends with other lines.
    return Math.max(...[...said.matchAll(/^allocations\t(\d+)$/gm)].map((m) => Number(m[1])));
  };
  return (count(2 * COUNTED) - count(COUNTED)) / (COUNTED * requests.length);
}

export const waf: Bench = async ({ rounds, seconds }) => {
  const directory = new PlanDirectory();
  const { ours, peers } = runners(directory.path);
  // Whoever takes longer is interrupted more: beside other work the slow look slower still.
  const [busy = 0] = loadavg();
  if (busy > 1.5) console.error(`the machine is busy (load ${busy.toFixed(1)}): these are no figures to keep`);
  const figures: Figure[] = [];
  const add = (metric: string, unit: string, value: number, others: Record<string, number> = {}): void => {
    figures.push({ metric, unit, ours: value, peers: others, rounds });
  };
  const means: number[] = [];
  for (const level of LEVELS) {
    const plan = directory.write(level, REQUESTS, { millis: seconds * 1e3 * PART });
    const { results, at } = medians([ours, ...peers], rounds, (runner) => run(runner, plan, PLAN_MS_MAX));
    const own = results.get(ours.name);
    assert.ok(own);
    for (const peer of peers) assertSame(own, results.get(peer.name) ?? own, peer);
    const rows = REQUESTS.map(({ name }) => {
      const mine = at(ours, name);
      assert.ok(mine, name);
      const others = byPeer(peers, (peer) => at(peer, name)?.us);
      add(`PL${level} ${name}`, 'µs', mine.us, others);
      add(`PL${level} ${name}, every value new`, 'µs', mine.freshUs, others);
      return { mine, others };
    });
    const mean = (of: (row: (typeof rows)[number]) => number | undefined): number =>
      geometricMean(rows.map((row) => of(row) ?? Number.NaN));
    const others = byPeer(peers, (peer) => mean((row) => row.others[peer.name]));
    means.push(mean((row) => row.mine.us));
    add(
      `PL${level} geometric mean`,
      'µs',
      mean((row) => row.mine.us),
      others,
    );
    add(
      `PL${level} geometric mean, every value new`,
      'µs',
      mean((row) => row.mine.freshUs),
      others,
    );
    if (level !== 1) continue;
    const number = (runner: Runner, name: string): number => results.get(runner.name)?.numbers.get(name) ?? Number.NaN;
    add(
      'load',
      'ms',
      number(ours, 'load') / 1e6,
      byPeer(peers, (peer) => number(peer, 'load') / 1e6),
    );
    const mib = (runner: Runner): number => number(runner, 'memory') / 2 ** 20;
    add('memory of the process for the rule set', 'MiB', mib(ours), byPeer(peers, mib));
    add('memory of the compiled rules by their own account', 'MiB', number(ours, 'program') / 2 ** 20);
  }
  add('PL4 / PL1, geometric mean', '×', (means[1] ?? Number.NaN) / (means[0] ?? Number.NaN));

  const library = allocationCounter(directory.path);
  const counted = [ours, ...peers.filter((peer) => peer.name === 'libmodsecurity')];
  const perRequest = new Map(counted.map((r) => [r.name, allocations(r, directory, library, REQUESTS)]));
  add(
    'allocations of a request after warm-up',
    '',
    perRequest.get(ours.name) ?? Number.NaN,
    byPeer(peers, (peer) => perRequest.get(peer.name)),
  );

  const limitMs = seconds * 1e3 * ADVERSARIAL_PART;
  for (const request of ADVERSARIAL) {
    const plan = directory.write(1, [request], { millis: seconds * 1e3 * PART });
    const own = run(ours, plan, PLAN_MS_MAX);
    const others = byPeer(peers, (peer) => {
      const result = run(peer, plan, limitMs);
      assertSame(own, result, peer);
      if (result.stopped)
        console.error(`${peer.name} was stopped at ${request.name}: it takes more than ${limitMs} ms`);
      return result.stopped ? limitMs : (result.requests.get(request.name)?.ns ?? Number.NaN) / 1e6;
    });
    add(request.name, 'ms', (own.fresh.get(request.name) ?? Number.NaN) / 1e6, others);
  }
  const all = run(ours, directory.write(1, ADVERSARIAL, { times: 2 }), PLAN_MS_MAX);
  add('caches of a thread after all of these', 'MiB', (all.numbers.get('caches') ?? Number.NaN) / 2 ** 20);
  return figures;
};
