import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { HandOverOffer } from './offer.ts';
import { HAND_OVER_SOCKET } from './talk.ts';

describe('a process that hands over', () => {
  const directory = mkdtempSync(join(tmpdir(), 'cnx-offer-'));
  after(() => rmSync(directory, { recursive: true }));

  /** What it does, in order; and the end of the talk that the next process has, after it has heard all up to `sent`. */
  async function handing(): Promise<{ did: string[]; next: Socket; done: Promise<void>; close: () => void }> {
    const did: string[] = [];
    let isDone = (): void => undefined;
    const done = new Promise<void>((resolve) => (isDone = resolve));
    const doing = (what: string) => (): Promise<void> => {
      did.push(what);
      if (what === 'thaw') isDone();
      return Promise.resolve();
    };
    const offer = new HandOverOffer({
      stateDir: directory,
      unable: () => null,
      freeze: () => Promise.resolve('sha256:a'),
      shown: [9901, 9902],
      thaw: doing('thaw'),
      send: () => Promise.resolve(2),
      ticketKeys: () => '',
      yield: doing('yield'),
      onHandedOver: () => {
        did.push('handed over');
        isDone();
      },
      event: (_, message) => void did.push(message),
    });
    await offer.open();
    const next = connect(join(directory, HAND_OVER_SOCKET));
    next.setEncoding('utf8').write('{"kind":"ask","version":1}\n');
    assert.deepEqual(await once(next, 'data'), [
      '{"kind":"granted","version":1,"digest":"sha256:a","shown":[9901,9902]}\n',
    ]);
    next.write('{"kind":"take"}\n');
    assert.deepEqual(await once(next, 'data'), ['{"kind":"sent","sockets":2,"ticketKeys":""}\n']);
    return {
      did,
      next,
      done,
      close: () => {
        next.destroy();
        offer.close();
      },
    };
  }

  it('leaves when the next one serves', async () => {
    const { did, next, done, close } = await handing();
    next.write('{"kind":"serving"}\n');
    assert.deepEqual(await once(next, 'data'), ['{"kind":"yours"}\n']);
    await done;
    assert.deepEqual(did, ['yield', 'handed over', 'handed over']);
    close();
  });

  it('goes on when the next one has left, though it said that it serves: nobody else would', async () => {
    const { did, next, done, close } = await handing();
    next.end('{"kind":"serving"}\n');
    next.destroySoon();
    await done;
    assert.deepEqual(did, ['not handed over; this gateway goes on', 'thaw']);
    close();
  });
});
