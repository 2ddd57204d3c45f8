/** What uWebSockets.js asks of the threads around it (docs/transport.md): its environment set before, ports shared by number, closed before its thread ends. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { Worker } from 'node:worker_threads';
import { freePorts } from '../harness/ports.ts';
import { RawConnection } from '../harness/raw-client.ts';
import { UWS_ENVIRONMENT } from '../../src/data/transport/uws/bounds.ts';

const CONNECTIONS = 200;
const PATIENCE_MS = 10_000;

// As main does it, before the first lane is made.
Object.assign(process.env, UWS_ENVIRONMENT);

/** A lane whose stages refuse every request with its own index as the request id's second part. */
async function lane(laneIndex: number, port: number): Promise<Worker> {
  const worker = new Worker(new URL('./thread-under-test.ts', import.meta.url), { workerData: { laneIndex, port } });
  const [said] = (await once(worker, 'message')) as [unknown];
  assert.equal(said, port);
  return worker;
}

async function answer(port: number, head: string): Promise<string> {
  const connection = await RawConnection.open({ port });
  connection.send(head);
  await connection.until((got) => got.includes('\r\n\r\n'), PATIENCE_MS);
  connection.destroy();
  return connection.received().toString('latin1');
}

async function ends(worker: Worker): Promise<void> {
  const ended = once(worker, 'exit');
  worker.postMessage('close');
  assert.deepEqual(await ended, [0]);
}

describe('threads with uWebSockets.js', () => {
  it('share one port, and connections spread over them', async () => {
    const [port = 0] = await freePorts(1);
    const lanes = [await lane(0, port), await lane(1, port)];
    const served = [0, 0];
    for (let i = 0; i < CONNECTIONS; i++) {
      const at = Number(/abcdef-0([01])-/.exec(await answer(port, 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'))?.[1]);
      served[at] = (served[at] ?? 0) + 1;
    }
    assert.equal((served[0] ?? 0) + (served[1] ?? 0), CONNECTIONS);
    for (const count of served) assert.ok(count > CONNECTIONS / 5, `spread: ${served.join(', ')}`);
    for (const worker of lanes) await ends(worker);
  });

  it('end in order once closed, with connections open, and the process lives on', async () => {
    const [port = 0] = await freePorts(1);
    const worker = await lane(0, port);
    const open = await RawConnection.open({ port });
    open.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    await open.until((got) => got.includes('\r\n\r\n'), PATIENCE_MS);
    await ends(worker);
    assert.ok(await open.untilClosed(PATIENCE_MS));
  });

  it('have it set by main as the transport asks', () => {
    const main = readFileSync(new URL('../../src/main.ts', import.meta.url), 'utf8');
    for (const [name, value] of Object.entries(UWS_ENVIRONMENT))
      assert.ok(main.includes(`['${name}'] ??= '${value}'`), name);
  });

  it('read heads of 16 KiB, because main set the environment', async () => {
    const [port = 0] = await freePorts(1);
    const worker = await lane(0, port);
    const text = await answer(port, `GET / HTTP/1.1\r\nHost: a\r\nX: ${'y'.repeat(16_384)}\r\n\r\n`);
    assert.match(text, /^HTTP\/1\.1 403 /);
    await ends(worker);
  });
});
