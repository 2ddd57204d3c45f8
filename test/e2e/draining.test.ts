/** Requests that last hold the revision that they began with: how many of these there are at most, and what becomes of the next bundle. */
import assert from 'node:assert/strict';
import { get, type IncomingMessage, type ServerResponse } from 'node:http';
import { once } from 'node:events';
import { after, describe, it } from 'node:test';
import { SNAPSHOTS_MAX } from '../../src/control/activator.ts';
import { plainBundle } from '../harness/bundle.ts';
import { ask } from './client.ts';
import { Given } from './given.ts';

/** While the last bundle waits. */
const REQUESTS = 500;

describe('revisions that drain', () => {
  const given = new Given();
  after(() => given.end());

  it(`are ${SNAPSHOTS_MAX - 1} at most: the next bundle waits until one is over, and traffic does not`, async () => {
    const held: ServerResponse[] = [];
    const upstream = await given.upstream({
      behaviours: {
        held: (_request, response) => {
          held.push(response);
          response.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: begun\n\n');
        },
      },
    });
    const bundle = (n: number) => plainBundle([upstream.address], { release: { seq: n + 1 } });
    const gateway = await given.gateway({ bundle: bundle(0), bootstrap: { limitBuckets: 1_024 } });
    const seq = async (): Promise<number> =>
      ((await gateway.admin('/v1/status')) as { bundle: { seq: number } }).bundle.seq;
    const answers: IncomingMessage[] = [];
    given.ends(() => {
      for (const answer of answers) answer.destroy();
    });
    for (let n = 1; n < SNAPSHOTS_MAX; n += 1) {
      const [answer] = (await once(get(`http://127.0.0.1:${gateway.ports.http}/held`), 'response')) as [
        IncomingMessage,
      ];
      answer.resume().on('error', () => undefined);
      answers.push(answer);
      await gateway.publish(bundle(n));
      await gateway.until(`release ${n} serves`, async () => (await seq()) === n + 1);
    }
    await gateway.publish(bundle(SNAPSHOTS_MAX));
    // It is said that it waits, and what for.
    const waits = 'a bundle waits until open requests let go';
    await gateway.until('it waits', () => gateway.stdout.includes(waits));
    // Every other one took far fewer requests until it served.
    for (let i = 0; i < REQUESTS; i += 1) assert.equal((await ask(gateway.ports.http, '/')).status, 200);
    assert.equal(await seq(), SNAPSHOTS_MAX);
    assert.match(
      (await gateway.probe('/metrics')).body,
      new RegExp(`^cnx_bundle_revisions_held ${SNAPSHOTS_MAX}$`, 'm'),
    );
    assert.equal(gateway.stdout.split(waits).length - 1, 1);
    // Those before it go on: each sees the revision that it began with.
    assert.equal(held.length, SNAPSHOTS_MAX - 1);
    held[0]?.end();
    await gateway.until('it serves', async () => (await seq()) === SNAPSHOTS_MAX + 1);
    for (const response of held) response.end();
    await gateway.stop();
  });
});
