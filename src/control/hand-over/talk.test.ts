import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import fc from 'fast-check';
import { forOwnerOnly, lineOf, Talk } from './talk.ts';

/** Long enough for a busy machine; waited for only where nothing comes. */
const PATIENCE_MS = 20_000;

describe('two processes', () => {
  const directory = mkdtempSync(join(tmpdir(), 'cnx-talk-'));
  after(() => rmSync(directory, { recursive: true }));
  let number = 0;

  /** Two ends of a Unix socket. */
  async function ends(): Promise<{ here: Socket; there: Socket; close: () => void }> {
    const path = join(directory, String(number++));
    const server = createServer();
    forOwnerOnly(() => server.listen(path));
    assert.equal(statSync(path).mode & 0o777, 0o600);
    const here = connect(path);
    const [there] = (await once(server, 'connection')) as [Socket];
    return {
      here,
      there,
      close: () => {
        here.destroy();
        there.destroy();
        server.close();
      },
    };
  }

  it('hear each other line by line, however the bytes come', async () => {
    const { here, there, close } = await ends();
    const talk = new Talk(here);
    there.write('{"kind":"granted","digest":"sha256:a"}\n{"kind":"se');
    assert.equal((await talk.hear('granted', PATIENCE_MS)).digest, 'sha256:a');
    there.write('nt","sockets":4}\n');
    assert.equal((await talk.hear('sent', PATIENCE_MS)).sockets, 4);
    close();
  });

  it('end with a reason: a refusal, another line than is due, nothing in time, no line, an endless one, a closed connection', async () => {
    const cases: readonly (readonly [RegExp, (there: Socket) => void])[] = [
      [/it drains/, (there) => there.write('{"kind":"refused","reason":"it drains"}\n')],
      [/"yours" was said/, (there) => there.write('{"kind":"yours"}\n')],
      [/does not understand/, (there) => there.write('GET / HTTP/1.1\n')],
      [/does not end its line/, (there) => there.write('x'.repeat(10_000))],
      [/closed the connection/, (there) => there.end()],
    ];
    for (const [reason, act] of cases) {
      const { here, there, close } = await ends();
      there.on('error', () => undefined);
      const heard = new Talk(here).hear('granted', PATIENCE_MS);
      act(there);
      await assert.rejects(heard, reason);
      close();
    }
    const { here, close } = await ends();
    await assert.rejects(new Talk(here).hear('granted', 1), /no "granted" within 1 ms/);
    close();
  });

  it('never take anything else for a line', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
        const line = lineOf(text);
        if (line !== null) assert.equal(typeof line.kind, 'string');
      }),
    );
    for (const text of ['null', '[]', '{}', '{"kind":"ask","version":"1"}', '{"kind":"sent","sockets":1.5}'])
      assert.equal(lineOf(text), null);
  });
});
