/** Lanes in threads of their own, for tests of what threads share and of how they end. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { RawConnection } from '../harness/raw-client.ts';
import type { TransportName } from './lane-under-test.ts';

export const PATIENCE_MS = 10_000;
const CONNECTIONS = 200;

/** A lane whose stages refuse every request with its own index as the request id's second part. */
export async function lane(transport: TransportName, laneIndex: number, port: number): Promise<Worker> {
  const worker = new Worker(new URL('./thread-under-test.ts', import.meta.url), {
    workerData: { laneIndex, port, transport },
  });
  const [said] = (await once(worker, 'message')) as [unknown];
  assert.equal(said, port);
  return worker;
}

export async function answer(port: number, head: string): Promise<string> {
  const connection = await RawConnection.open({ port });
  connection.send(head);
  await connection.until((got) => got.includes('\r\n\r\n'), PATIENCE_MS);
  connection.destroy();
  return connection.received().toString('latin1');
}

export async function ends(worker: Worker): Promise<void> {
  const ended = once(worker, 'exit');
  worker.postMessage('close');
  assert.deepEqual(await ended, [0]);
}

/** Requests on connections of their own, until all are answered; fails when one lane gets next to nothing. */
export async function spreads(port: number): Promise<void> {
  const served = [0, 0];
  for (let i = 0; i < CONNECTIONS; i++) {
    const at = Number(/abcdef-0([01])-/.exec(await answer(port, 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'))?.[1]);
    served[at] = (served[at] ?? 0) + 1;
  }
  assert.equal((served[0] ?? 0) + (served[1] ?? 0), CONNECTIONS);
  for (const count of served) assert.ok(count > CONNECTIONS / 5, `spread: ${served.join(', ')}`);
}
