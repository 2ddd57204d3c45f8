/**
 * What the last stages cost: balance, respond, forward. `node --expose-gc bench/micro/balance.ts`. Prints one JSON row per case; rows of the heap are bytes that one call
 * leaves behind (0 but for noise where nothing is allocated). The wire counts edits and keeps nothing.
 */
import assert from 'node:assert/strict';
import { performance } from 'node:perf_hooks';
import { pathToFileURL } from 'node:url';
import { Prng } from '../../src/base/prng.ts';
import { Balance } from '../../src/data/stages/balance.ts';
import { Forward } from '../../src/data/stages/forward.ts';
import { Respond } from '../../src/data/stages/respond.ts';
import type { NewTrace } from '../../src/data/trace-context.ts';
import { CellMembers } from '../../src/data/upstream/cell-members.ts';
import { Chooser } from '../../src/data/upstream/choose.ts';
import { EndpointUse } from '../../src/data/upstream/endpoint-use.ts';
import { EndpointColumns } from '../../src/snapshot/endpoint-columns.ts';
import type { EndpointPlan } from '../../src/snapshot/cell-plans.ts';
import type { Snapshot } from '../../src/snapshot/snapshot.ts';
import { testPaths, TestWire, testExchange, testRoute } from '../../test/harness/wire.ts';

export interface MicroRow {
  readonly name: string;
  readonly metric: string;
  readonly unit: string;
  readonly ours: number;
}

const ROUNDS = 5;
/** Calls that leave less garbage than a young generation holds, so that no collection hides it. */
const HEAP_CALLS = 10_000;

/** Counts what is asked of it, and keeps nothing: what remains on the heap is the stages' own. */
class CountingWire extends TestWire {
  edits = 0;
  handed = 0;
  override setUpstreamHeader(_: string, value: string): boolean {
    this.edits += value.length > 0 ? 1 : 0;
    return true;
  }
  override identify(_id: string, _seq: number, trace: NewTrace | null): void {
    this.edits += trace === null ? 2 : 3;
  }
  override addUpstreamHeader(_: string, value: string): boolean {
    this.edits += value.length > 0 ? 1 : 0;
    return true;
  }
  override removeUpstreamHeader(): void {
    this.edits++;
  }
  override setAnswerHeader(_: string, value: string): boolean {
    this.edits += value.length > 0 ? 1 : 0;
    return true;
  }
  override addAnswerHeader(): boolean {
    this.edits++;
    return true;
  }
  override forward(): void {
    this.handed++;
  }
}

/** Median of the bytes that a call leaves on the heap; -1 without `--expose-gc`. */
function heapPerCall(body: () => void): number {
  if (globalThis.gc === undefined) return -1;
  const each: number[] = [];
  for (let r = 0; r < ROUNDS; r++) {
    globalThis.gc();
    const before = process.memoryUsage().heapUsed;
    for (let i = 0; i < HEAP_CALLS; i++) body();
    each.push((process.memoryUsage().heapUsed - before) / HEAP_CALLS);
  }
  each.sort((a, b) => a - b);
  return Math.max(0, Math.round(each[ROUNDS >> 1] ?? 0));
}

export function run(calls = 200_000): MicroRow[] {
  const rows: MicroRow[] = [];
  const measure = (metric: string, body: () => void): void => {
    let least = Number.POSITIVE_INFINITY;
    for (let r = 0; r < ROUNDS; r++) {
      const from = performance.now();
      for (let i = 0; i < calls; i++) body();
      least = Math.min(least, ((performance.now() - from) * 1e6) / calls);
    }
    rows.push({ name: 'balance', metric, unit: 'ns', ours: Math.round(least) });
    const bytes = heapPerCall(body);
    if (bytes >= 0) rows.push({ name: 'balance', metric: `${metric}, heap`, unit: 'bytes', ours: bytes });
  };
  const prng = new Prng(1);
  for (const [endpointCount, laneCount] of [
    [2, 1],
    [8, 2],
    [32, 8],
  ] as const) {
    const columns = new EndpointColumns(EndpointColumns.create());
    const endpoints = Array.from(
      { length: endpointCount },
      (_, slot): EndpointPlan => ({
        slot,
        identity: `c/h:${slot}`,
        cell: 0,
        host: 'h',
        port: 1,
        tls: null,
        capacity: 100,
        connectionsMax: 8,
        http2: false,
      }),
    );
    const health = { alpha: 0.3, latencyGoodMs: 50, latencyBadMs: 500, errorBad: 0.05 };
    const cells = [{ id: 'c', region: '', endpoints: endpoints.map((e) => e.slot), health, probe: null }];
    const use = new EndpointUse(columns, 0);
    const balance = new Balance(new Chooser(columns, laneCount), use);
    const x = testExchange(new CountingWire(), {
      snapshot: { cells, endpoints } as Partial<Snapshot> as Snapshot,
      members: [new CellMembers(endpoints)],
    });
    x.cell = 0;
    x.now = 1_800_000_000_000;
    const seen = new Set<number>();
    measure(`balance and release, ${endpointCount} endpoints, ${laneCount} lanes`, () => {
      x.random = prng.uint32();
      x.attempts = 0;
      balance.enter(x);
      seen.add(x.endpoint?.slot ?? -1);
      use.release(x);
    });
    assert.equal(seen.size, endpointCount, 'every endpoint gets its share');
  }
  const wire = new CountingWire({
    headers: ['accept', '*/*', 'user-agent', 'bench', 'traceparent', `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`],
  });
  const without = new CountingWire({ headers: ['accept', '*/*', 'user-agent', 'bench'] });
  const answer = { set: ['x-content-type-options', 'nosniff', 'x-frame-options', 'DENY'], add: [], remove: ['server'] };
  const plain = testRoute({
    respond: { ...testRoute().respond, answer, stripPrefix: '/api', strictTransport: 'max-age=1' },
  });
  const respond = new Respond(testPaths);
  const forward = new Forward();
  const endpoint: EndpointPlan = {
    slot: 0,
    identity: 'c',
    cell: 0,
    host: 'h',
    port: 1,
    tls: null,
    capacity: 1,
    connectionsMax: 1,
    http2: false,
  };
  for (const [name, given] of [
    ['traced', wire],
    ['beginning a trace', without],
  ] as const) {
    const x = testExchange(given, {}, plain);
    x.host = 'shop.example';
    x.encodedPath = '/api/orders/17';
    x.query = 'a=1';
    x.id = 'abcdef-00-00000001';
    x.clientAddress = '192.0.2.7';
    x.endpoint = endpoint;
    x.attempts = 1;
    measure(`respond, ${name}`, () => respond.enter(x));
    measure(`forward, ${name}`, () => {
      x.random = prng.uint32();
      forward.enter(x);
    });
    assert.equal(x.plan.target, '/orders/17?a=1');
    assert.ok(given.handed > 0);
  }
  return rows;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  for (const row of run()) console.log(JSON.stringify(row));
}
