import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { TestWire, testExchange } from '../../../test/harness/wire.ts';
import { LaneColumns } from '../../snapshot/lane-columns.ts';
import { LaneLoadWatch } from './lane-load.ts';
import { Overload } from './overload.ts';

const TURN_MS = 60;
const TURNS_MAX = 500;

/** A lane whose transport measures nothing; each of its turns takes so many requests and keeps the thread. Whether it comes to turn requests away. */
async function turns(count: number, requests: number, keep: () => void): Promise<boolean> {
  const overload = new Overload(
    { enabled: true, delayTargetMs: 20, heapPercent: 100 },
    new LaneColumns(LaneColumns.create()),
    1,
  );
  const watch = new LaneLoadWatch(overload, { open: () => 100, waitedMs: null, unread: null, turnedAway: () => {} });
  try {
    for (let i = 0; i < count; i++) {
      for (let r = 0; r < requests; r++) {
        overload.admit(testExchange(new TestWire(), {}));
      }
      keep();
      await sleep(0);
      if (overload.shed > 0) return true;
    }
    return false;
  } finally {
    watch.close();
  }
}

function work(): void {
  const from = process.cpuUsage();
  for (let ran = process.cpuUsage(from); (ran.user + ran.system) / 1_000 < TURN_MS; ran = process.cpuUsage(from));
}

function stand(): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, TURN_MS);
}

test('a timer that is late while requests are worked on is a queue', async () => {
  assert.equal(await turns(TURNS_MAX, 50, work), true);
});

test('a timer that is late since the thread did not run, or for something else than requests, is none', async () => {
  assert.equal(await turns(20, 50, stand), false);
  assert.equal(await turns(20, 3, work), false);
});
