/** What uWebSockets.js asks of the threads around it (docs/transport.md): its environment set before, ports shared by number, closed before its thread ends. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { freePorts } from '../harness/ports.ts';
import { RawConnection } from '../harness/raw-client.ts';
import { answer, ends, lane, PATIENCE_MS, spreads } from './lane-worker.ts';
import { UWS_ENVIRONMENT } from '../../src/data/transport/uws/bounds.ts';

// As main does it, before the first lane is made.
Object.assign(process.env, UWS_ENVIRONMENT);

describe('threads with uWebSockets.js', () => {
  it('share one port, and connections spread over them', async () => {
    const [port = 0] = await freePorts(1);
    const lanes = [await lane('uws', 0, port), await lane('uws', 1, port)];
    await spreads(port);
    for (const worker of lanes) await ends(worker);
  });

  it('end in order once closed, with connections open, and the process lives on', async () => {
    const [port = 0] = await freePorts(1);
    const worker = await lane('uws', 0, port);
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
    const worker = await lane('uws', 0, port);
    const text = await answer(port, `GET / HTTP/1.1\r\nHost: a\r\nX: ${'y'.repeat(16_384)}\r\n\r\n`);
    assert.match(text, /^HTTP\/1\.1 403 /);
    await ends(worker);
  });
});
