/** Threads with the native transport: they share a port, and the process survives the end of any of them, however it comes. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import type { Worker } from 'node:worker_threads';
import { freePorts } from '../harness/ports.ts';
import { RawConnection } from '../harness/raw-client.ts';
import { answer, ends, lane, PATIENCE_MS, spreads } from './lane-worker.ts';

const REQUEST = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';
const CLIENTS = 8;

/** Clients that ask again as soon as they are answered, until their connections break. */
async function traffic(port: number): Promise<readonly RawConnection[]> {
  const clients: RawConnection[] = [];
  for (let i = 0; i < CLIENTS; i++) {
    const client = await RawConnection.open({ port, receivedBytesMax: 1_000_000_000 });
    client.socket.on('data', () => client.socket.write(REQUEST));
    client.send(REQUEST);
    clients.push(client);
  }
  for (const client of clients) assert.ok(await client.until((got) => got.includes('403'), PATIENCE_MS));
  return clients;
}

describe('threads with the native transport', () => {
  it('share one port, and connections spread over them', async () => {
    const [port = 0] = await freePorts(1);
    const lanes = [await lane('native', 0, port), await lane('native', 1, port)];
    await spreads(port);
    for (const worker of lanes) await ends(worker);
  });

  const ways: readonly (readonly [name: string, end: (worker: Worker) => unknown])[] = [
    ['terminated', (worker) => worker.terminate()],
    ['that exit', (worker) => worker.postMessage('exit')],
    ['that throw', (worker) => worker.postMessage('throw')],
    ['that close', (worker) => worker.postMessage('close')],
  ];
  for (const [name, end] of ways) {
    it(`${name} with traffic running take only their own connections with them`, async () => {
      const [port = 0] = await freePorts(1);
      const worker = await lane('native', 0, port);
      const clients = await traffic(port);
      worker.on('error', () => undefined);
      // Not `once` of events: that would end with the error of the thread that throws, before its exit.
      const ended = new Promise((resolve) => worker.once('exit', resolve));
      end(worker);
      await ended;
      for (const client of clients) assert.ok(await client.untilClosed(PATIENCE_MS));
      const next = await lane('native', 1, port);
      assert.match(await answer(port, REQUEST), /^HTTP\/1\.1 403 /);
      await ends(next);
    });
  }

  it('hear what their own code throws as uncaught, after the request was answered', async () => {
    const [port = 0] = await freePorts(1);
    const worker = await lane('native', 0, port);
    const failed = once(worker, 'error') as Promise<[Error]>;
    assert.match(await answer(port, REQUEST.replace('/', '/throws')), /^HTTP\/1\.1 500 [\s\S]*connection: close/);
    assert.equal((await failed)[0].message, 'thrown in begin');
  });

  it('end without traffic, before and after a request', async () => {
    const [port = 0] = await freePorts(1);
    await (await lane('native', 0, port)).terminate();
    const worker = await lane('native', 0, port);
    assert.match(await answer(port, REQUEST), /^HTTP\/1\.1 403 /);
    await worker.terminate();
  });
});
