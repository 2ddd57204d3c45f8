/** A bundle that was taken back stays out, but for two things: an operator wants it all the same, or a gateway has nothing else to start with. */
import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { bundle, KEY_A, KEY_B, newKey, trusted } from './harness/sample.ts';
import { suppliedBy } from './harness/supply.ts';

const KEYS = [trusted('a', KEY_A), trusted('b', KEY_B)];
const [OLD, NEW, NEXT] = [bundle(10), bundle(11), bundle(12)];

/** Has run 10 (of key a) and 11 (of key b), which an operator took back. */
async function wentBack(t: TestContext) {
  const world = await suppliedBy(t, { audit: true, policy: { keys: KEYS } });
  const { registry, start, serves } = world;
  registry.publish(OLD, [KEY_A]);
  for (const built of [NEW, NEXT]) registry.publish(built, [KEY_B]);
  const name = ({ digest }: typeof OLD): void => void registry.tags.set('prod', digest);
  name(OLD);
  const supply = await start();
  await supply.follow();
  name(NEW);
  await supply.pollNow();
  serves(supply, 11);
  await supply.overrides.rollBack('it was slow');
  serves(supply, 10);
  return { ...world, supply, name };
}

describe('a bundle that was taken back', () => {
  it('serves with an alarm after a start that finds nothing else, until there is something better', async (t) => {
    const { supply, start, serves, setTrust, name, events, refusal } = await wentBack(t);
    await supply.close();
    // The key of the only other one is gone.
    setTrust({ keys: [trusted('b', KEY_B)] });
    const again = await start();
    serves(again, 11);
    assert.ok(
      events.some(({ level, message }) => level === 'error' && /starting with a bundle that was/.test(message)),
    );
    await again.follow();
    serves(again, 11);
    assert.match(again.source().staleReason ?? '', /taken back, and nothing else/);
    assert.match(refusal(again), /^quarantined/, 'it was not forgotten');
    name(NEXT);
    await again.pollNow();
    serves(again, 12);
    assert.equal(again.source().stale, false);
  });

  it('stays out after a start that finds another', async (t) => {
    const { supply, start, serves } = await wentBack(t);
    await supply.close();
    const again = await start();
    serves(again, 10);
    assert.equal(again.source().stale, false);
  });

  it('never serves when its own keys are gone', async (t) => {
    const { supply, start, setTrust, served } = await wentBack(t);
    await supply.close();
    const before = served.length;
    setTrust({ keys: [trusted('c', newKey())] });
    const again = await start();
    assert.equal(again.active(), null);
    assert.equal(served.length, before);
  });

  it('is pinned when an operator says so twice, and counts as taken back no longer', async (t) => {
    const { supply, serves, events } = await wentBack(t);
    await assert.rejects(supply.overrides.pinTo(NEW.digest, 60_000, 'it was not its fault'), /taken back.*--again/);
    serves(supply, 10);
    await supply.overrides.pinTo(NEW.digest, 60_000, 'it was not its fault', true);
    serves(supply, 11);
    assert.ok(events.some(({ message }) => message === 'what was taken back may be taken again'));
    await supply.overrides.unpin('done');
    await supply.pollNow();
    serves(supply, 11);
    assert.equal(supply.source().state, 'current');
  });
});
