/** A state directory and the ports are one process's own: a second one that is started by mistake ends, and nothing has happened to the first. */
import assert from 'node:assert/strict';
import { createPublicKey } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { verifyAudit } from '../../src/control/audit/verify.ts';
import { plainBundle } from '../harness/bundle.ts';
import { Given } from './given.ts';

describe('a second gateway with the same state directory', () => {
  const given = new Given();
  after(() => given.end());

  it('ends with the reason, on whichever ports; the first goes on, and its audit log is whole', async () => {
    const upstream = await given.upstream();
    const first = await given.gateway({ bundle: plainBundle([upstream.address]) });
    const second = await first.double();
    given.ends(() => second.kill());
    assert.equal(await second.ended(), 1);
    assert.match(second.stderr, /cnx run: another gateway runs with the state directory .*--take-over/);
    assert.doesNotMatch(second.stdout, /gateway started|accepting connections/);

    const digest = await first.publish(plainBundle([upstream.address], { release: { seq: 9 } }));
    await first.until('it takes a new bundle', () => first.stdout.includes(digest));
    const audit = join(first.directory, 'state', 'audit');
    const key = createPublicKey(readFileSync(join(audit, 'key.pem'), 'utf8'));
    await first.until('what it did is in its audit log', async () => {
      const { entries, faults } = await verifyAudit(audit, key);
      assert.deepEqual(faults, []);
      return entries >= 3;
    });

    // What a killed process leaves behind holds nobody off.
    await first.restart();
    await first.untilReady();
    const held = readdirSync(join(first.directory, 'state')).filter((name) => name.startsWith('in-use'));
    assert.equal(held.length, 1, held.join(' '));
    await first.stop();
  });
});

describe('a second gateway on a port of another', () => {
  const given = new Given();
  after(() => given.end());

  for (const transport of ['native', 'uws'])
    it(`ends with the reason, and shares no client with it, with transport: ${transport}`, async () => {
      const upstream = await given.upstream();
      const first = await given.gateway({ bundle: plainBundle([upstream.address]), bootstrap: { transport } });
      const second = await first.double({
        stateDir: 'another-state',
        listeners: [{ id: 'edge', address: '127.0.0.1', port: first.ports.http }],
      });
      given.ends(() => second.kill());
      assert.equal(await second.ended(), 1);
      assert.match(second.stderr, /cannot listen: listener edge: 127\.0\.0\.1:\d+ is already in use/);
      await first.stop();
    });
});
