/** Several sources: the first that answers counts, and none of them is believed. */
import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { describe, it, type TestContext } from 'node:test';
import { OciRegistry } from '../../src/control/oci/registry.ts';
import { FailoverSource } from '../../src/control/source/failover.ts';
import { EMPTY_SEQUENCE } from '../../src/control/trust/rules.ts';
import { bundle, verified } from './harness/sample.ts';
import { type Hook, ScriptedRegistry } from './harness/scripted-registry.ts';

const [OLD, NEW] = [bundle(1), bundle(2)];

async function world(t: TestContext, count = 2) {
  const registries = await Promise.all(Array.from({ length: count }, () => ScriptedRegistry.start(t)));
  for (const registry of registries) {
    registry.publish(OLD, undefined, 'old');
    registry.publish(NEW);
  }
  const clients = registries.map((registry) => {
    const source = new OciRegistry(registry.host, 'edge/config', { sleep: async () => {} });
    return { source, reference: 'prod' };
  });
  const clock = { now: 1_000_000 };
  const [first, ...rest] = clients;
  assert.ok(first);
  const place = new FailoverSource([first, ...rest], () => clock.now);
  t.after(() => place.close());
  return { registries, place, clock };
}
const answer =
  (status: number, headers: Record<string, string> = {}): Hook =>
  (_, to) => {
    to.writeHead(status, headers).end();
    return true;
  };

describe('several sources', () => {
  it('are one HEAD at the first while that answers', async (t) => {
    const { registries, place } = await world(t);
    const known = await place.resolve('');
    assert.ok(known.state === 'found');
    for (let i = 0; i < 10; i += 1) assert.equal((await place.resolve('', known)).state, 'unchanged');
    assert.deepEqual(
      registries.map((item) => item.requests.length),
      [11, 0],
    );
    assert.ok(registries[0]?.requests.every((item) => item.method === 'HEAD'));
    assert.equal(place.mirror, false);
  });

  it('fail over when the first is down, has no such tag or wants to be left alone, and come back', async (t) => {
    const { registries, place, clock } = await world(t);
    const [first, second] = registries;
    assert.ok(first && second);
    for (const hook of [answer(503), answer(404), answer(401)]) {
      first.hook = hook;
      assert.equal((await place.resolve('')).state, 'found');
      assert.equal(place.mirror, true);
      await verified(place, NEW);
      first.hook = undefined;
      await place.resolve('');
      assert.equal(place.mirror, false);
    }
    first.hook = answer(429, { 'retry-after': '60' });
    await place.resolve('');
    const before = first.requests.length;
    await place.resolve('');
    assert.equal(first.requests.length, before, 'it is left alone for as long as it asked');
    clock.now += 61_000;
    first.hook = undefined;
    await place.resolve('');
    assert.equal(place.mirror, false);
    await first.stop();
    assert.equal((await place.resolve('')).state, 'found');
    await second.stop();
    await assert.rejects(place.resolve(''), { code: 'unreachable', message: /; / });
  });

  it("do not use one's validator at another", async (t) => {
    const { registries, place } = await world(t);
    const known = await place.resolve('');
    assert.ok(known.state === 'found' && known.etag !== undefined);
    await registries[0]?.stop();
    await place.resolve('', known);
    assert.equal(registries[1]?.requests[0]?.headers['if-none-match'], undefined);
  });

  it('say anew at the first what only a mirror has named until then: there it may count, though from a mirror it did not', async (t) => {
    const { registries, place } = await world(t);
    const [first, second] = registries;
    assert.ok(first && second);
    await place.resolve('');
    first.hook = answer(503);
    second.tags.set('prod', OLD.digest);
    const known = await place.resolve('');
    assert.ok(known.state === 'found');
    assert.equal((await place.resolve('', known)).state, 'unchanged');
    // Somebody has gone back, and the mirror has heard of it sooner.
    first.hook = undefined;
    first.tags.set('prod', OLD.digest);
    const found = await place.resolve('', known);
    assert.equal(found.state, 'found');
    assert.equal(place.mirror, false);
    assert.equal((await place.resolve('', known)).state, 'unchanged', 'once');
  });

  it('are not mistaken for one another when a poll that was interrupted hears its answer late', async (t) => {
    const { registries, place } = await world(t);
    const [first] = registries;
    assert.ok(first);
    /** A question that the first place answers when it is let go of; the ones after it are answered with `next`. */
    const heldBack = async (status: number, next: Hook | undefined) => {
      const asked = Promise.withResolvers<ServerResponse>();
      first.hook = (_, to) => {
        first.hook = next;
        asked.resolve(to);
        return true;
      };
      const late = place.resolve('');
      const to = await asked.promise;
      return async (): Promise<void> => {
        to.writeHead(status, { 'docker-content-digest': NEW.digest }).end();
        assert.equal((await late).state, 'found');
      };
    };
    // Left at the first place, it goes on to the mirror.
    let letGo = await heldBack(404, undefined);
    let known = await place.resolve('');
    await letGo();
    assert.equal(place.mirror, false);
    assert.ok(known.state === 'found');
    assert.equal((await place.resolve('', known)).state, 'unchanged', 'the first has named it');
    // And the other way round.
    letGo = await heldBack(200, answer(503));
    known = await place.resolve('');
    await letGo();
    assert.equal(place.mirror, true);
    first.hook = undefined;
    assert.ok(known.state === 'found');
    assert.equal((await place.resolve('', known)).state, 'found', 'only the mirror has named it');
  });

  it('are asked again after a while, though the clock was set back meanwhile', async (t) => {
    const { registries, place, clock } = await world(t, 1);
    const [first] = registries;
    assert.ok(first);
    clock.now = 100_000_000;
    first.hook = answer(429, { 'retry-after': '60' });
    await assert.rejects(place.resolve(''), { code: 'rate_limited' });
    first.hook = undefined;
    clock.now -= 86_400_000;
    assert.equal((await place.resolve('')).state, 'found');
  });

  it('give content from any of them when the first has lost or altered it', async (t) => {
    const { registries, place } = await world(t);
    const [first] = registries;
    assert.ok(first);
    await place.resolve('');
    for (const digest of NEW.blobs.keys()) first.blobs.set(digest, new TextEncoder().encode('x'));
    first.referrers.clear();
    first.manifests.delete(NEW.digest);
    await verified(place, NEW);
  });

  it('cannot be led back by a mirror that lags behind, nor below the rules by any', async (t) => {
    const { registries, place } = await world(t);
    const [first, second] = registries;
    assert.ok(first && second);
    const sequence = { ...EMPTY_SEQUENCE, epoch: 1, highestSeq: 2, highestDigest: NEW.digest, active: NEW.digest };
    first.tags.set('prod', OLD.digest);
    second.tags.set('prod', OLD.digest);
    await place.resolve('');
    const options = () => ({ sequence, namedBy: place.mirror ? ('mirror' as const) : ('tag' as const) });
    assert.equal((await verified(place, OLD, options())).direction, 'rollback');
    await first.stop();
    await place.resolve('');
    await assert.rejects(verified(place, OLD, options()), {
      code: 'rollback_not_endorsed',
      message: /a mirror may lag behind/,
    });
  });
});
