/** The wall clock is set while the gateway runs: what is judged by how long ago something was goes by the monotonic clock. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { WINDOW_MS } from '../../src/admin/percentiles.ts';
import { LANE_SILENT_MS_MAX } from '../../src/admin/probe-server.ts';
import { sharedTick } from '../../src/base/shared-tick.ts';
import { PolicyOutcome } from '../../src/data/exchange.ts';
import { Gauge, LaneColumns } from '../../src/snapshot/lane-columns.ts';
import { givenExchange } from './given.ts';
import { get, givenAdmin } from './given-admin.ts';

const HOUR_MS = 3_600_000;

async function given(t: Parameters<typeof givenAdmin>[0]) {
  const clock = { wall: Date.UTC(2026, 10, 21), tick: 50_000 };
  const admin = givenAdmin(t, 1, { now: () => clock.wall, tick: () => clock.tick });
  const ports = await admin.admin.listen({
    probes: { address: '127.0.0.1', port: 0 },
    admin: { address: '127.0.0.1', port: 0, token: null },
  });
  return { ...admin, clock, probes: `http://127.0.0.1:${ports.probes}` };
}

test('set back by an hour, percentiles and the share of denials fade as on any other day', async (t) => {
  const { admin, clock, observers, probes } = await given(t);
  const told = async (): Promise<number[]> => {
    const { body } = await get(`${probes}/metrics`);
    return ['policy_eval_latency_p99', 'policy_deny_rate'].map((name) =>
      Number(new RegExp(`^${name} (\\S+)$`, 'mu').exec(body)?.[1]),
    );
  };
  const x = givenExchange();
  x.policy = PolicyOutcome.Denied;
  observers[0]?.ended(x);
  admin.drain.turn();
  const [p99 = 0, denied] = await told();
  assert.ok(p99 > 0);
  assert.equal(denied, 1);
  clock.wall -= HOUR_MS;
  clock.tick += 2 * WINDOW_MS;
  admin.drain.turn();
  assert.deepEqual(await told(), [0, 0]);
});

test('set in either direction, a lane that ticks is alive and one that hangs is not', async (t) => {
  const { clock, laneColumns, probes } = await given(t);
  const alive = async (): Promise<number> => (await get(`${probes}/healthz`)).status;
  const { gauges } = new LaneColumns(laneColumns[0] as SharedArrayBuffer);
  gauges[Gauge.TickedAt] = clock.tick;
  clock.wall += HOUR_MS;
  assert.equal(await alive(), 200);
  clock.wall -= 2 * HOUR_MS;
  clock.tick += LANE_SILENT_MS_MAX;
  assert.equal(await alive(), 200);
  clock.tick += 1;
  assert.equal(await alive(), 503);
});

test('what a thread says by the shared clock lies between what another one says before and after', async () => {
  const source = `
    const { parentPort, workerData } = require('node:worker_threads');
    import(workerData).then(({ sharedTick }) => parentPort.postMessage(sharedTick()));`;
  const workerData = new URL('../../src/base/shared-tick.ts', import.meta.url).href;
  const before = sharedTick();
  const worker = new Worker(source, { eval: true, workerData });
  const said = await new Promise<number>((resolve, reject) => worker.once('message', resolve).once('error', reject));
  assert.ok(before <= said && said <= sharedTick(), `${before}, ${said}`);
  await worker.terminate();
});
