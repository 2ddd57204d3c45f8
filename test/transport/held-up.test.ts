/** A lane whose thread was held up, as on a machine that gave its core to others: what came in time counts as in time. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, describe, it } from 'node:test';
import { Worker } from 'node:worker_threads';
import { Verdict } from '../../src/data/verdict.ts';
import { answer, PATIENCE_MS } from './lane-worker.ts';
import { closeLanes, endpointAt, LaneUnderTest, SUITE_TIMEOUT_MS } from './lane-under-test.ts';

const HEAD_TIMEOUT_MS = 1_000;

/** In a thread of its own: tells of each request, answers it when it is told to, and tells of that in shared memory. */
const ENDPOINT = `
  const { parentPort, workerData } = require('node:worker_threads');
  const answered = new Int32Array(workerData);
  const server = require('node:http').createServer((_, response) => {
    parentPort.postMessage('asked');
    setTimeout(() => response.end('in time', () => { Atomics.store(answered, 0, 1); Atomics.notify(answered, 0); }), 50);
  });
  server.listen(0, '127.0.0.1', () => parentPort.postMessage(server.address().port));
`;

describe('a lane that was held up', { timeout: SUITE_TIMEOUT_MS }, () => {
  after(() => closeLanes());

  it('takes what has come meanwhile before it judges deadlines', async (t) => {
    const answered = new Int32Array(new SharedArrayBuffer(4));
    const endpoint = new Worker(ENDPOINT, { eval: true, workerData: answered.buffer });
    t.after(() => endpoint.terminate());
    const [port] = (await once(endpoint, 'message')) as [number];
    for (let tries = 0; ; tries++) {
      assert.ok(tries < 10, 'each time the answer was there before the lane was held up');
      let early = false;
      const lane = await LaneUnderTest.start({
        transport: 'native',
        endpoints: [endpointAt(port)],
        limits: { headTimeoutMs: HEAD_TIMEOUT_MS, retries: 0 },
        authorize: (x) => {
          if (x.path !== '/hold-up') return Verdict.Next;
          early = lane.seen.length > 0;
          Atomics.wait(answered, 0, 0, PATIENCE_MS);
          // The deadline of the first request passes, though its answer is there.
          Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2 * HEAD_TIMEOUT_MS);
          return Verdict.Next;
        },
      });
      Atomics.store(answered, 0, 0);
      const asked = once(endpoint, 'message');
      const first = answer(lane.port, 'GET / HTTP/1.1\r\nHost: a\r\n\r\n');
      await asked;
      const second = answer(lane.port, 'GET /hold-up HTTP/1.1\r\nHost: a\r\n\r\n');
      const line = (await first).split('\r\n')[0];
      await second;
      lane.close();
      if (early) continue;
      assert.equal(line, 'HTTP/1.1 200 OK');
      return;
    }
  });
});
