/** A bundle that was taken back stays out, but for two things: an operator wants it all the same, or a gateway has nothing else to start with. */
import assert from 'node:assert/strict';
import { cpSync, mkdirSync, readdirSync, renameSync, rmdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { ActivationError } from '../../src/control/activator.ts';
import { bundle, KEY_A, KEY_B, newKey, trusted } from './harness/sample.ts';
import { ScriptedRegistry } from './harness/scripted-registry.ts';
import { suppliedBy } from './harness/supply.ts';

const KEYS = [trusted('a', KEY_A), trusted('b', KEY_B)];
const [OLD, NEW, NEXT] = [bundle(10), bundle(11), bundle(12)];

/** Has run 10 (of key a) and 11 (of key b), which an operator took back. */
async function wentBack(t: TestContext, mirrors: readonly ScriptedRegistry[] = []) {
  const world = await suppliedBy(t, { audit: true, policy: { keys: KEYS }, mirrors });
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

  it('stays out whatever a mirror names while the source does not answer', async (t) => {
    const mirror = await ScriptedRegistry.start(t);
    for (const built of [OLD, NEW]) mirror.publish(built, [built === OLD ? KEY_A : KEY_B]);
    mirror.tags.set('prod', OLD.digest);
    const { supply, registry, refusal, serves } = await wentBack(t, [mirror]);
    await supply.pollNow();
    assert.match(refusal(supply), /^quarantined/);
    registry.hook = (_request, answer) => {
      answer.writeHead(500).end();
      return true;
    };
    await supply.pollNow();
    assert.match(supply.source().answering, new RegExp(mirror.host));
    serves(supply, 10);
    registry.hook = undefined;
    await supply.pollNow();
    assert.match(refusal(supply), /^quarantined/);
    serves(supply, 10);
  });

  it('stays out when the tag names for a while what nobody trusted has signed', async (t) => {
    const { supply, registry, name, refusal, serves } = await wentBack(t);
    const unsigned = bundle(13);
    registry.publish(unsigned, [newKey()]);
    name(unsigned);
    await supply.pollNow();
    name(NEW);
    await supply.pollNow();
    assert.match(refusal(supply), /^quarantined/);
    serves(supply, 10);
  });

  it('may be taken again when the source named what serves meanwhile', async (t) => {
    const { supply, name, serves } = await wentBack(t);
    name(OLD);
    await supply.pollNow();
    name(NEW);
    await supply.pollNow();
    serves(supply, 11);
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

/** The state file cannot be written from now on: nothing can be renamed over a directory. Gives the end of it. */
function unwritable(directory: string): () => void {
  const file = join(directory, 'state', 'state.json');
  renameSync(file, `${file}.kept`);
  mkdirSync(file);
  return () => {
    rmdirSync(file);
    renameSync(`${file}.kept`, file);
  };
}

/** Runs 11, and has run 10. */
async function running(t: TestContext, serve?: (seq: number) => Promise<void>) {
  const world = await suppliedBy(t, {
    policy: { keys: KEYS },
    ...(serve === undefined ? {} : { serve: ({ release }) => serve(release.seq) }),
  });
  const { registry, start, serves } = world;
  for (const built of [OLD, NEW]) registry.publish(built, [KEY_A]);
  registry.tags.set('prod', OLD.digest);
  const supply = await start();
  await supply.follow();
  registry.tags.set('prod', NEW.digest);
  await supply.pollNow();
  serves(supply, 11);
  return { ...world, supply };
}

describe('what an operator decides while the disk cannot be written, or is not to be', () => {
  it('a bundle that is taken back stays out, and is written down as soon as that can be', async (t) => {
    const { supply, directory, serves, start, refusal, clock, events } = await running(t);
    const mend = unwritable(directory);
    assert.equal(await supply.overrides.rollBack('it was slow'), OLD.digest);
    await supply.pollNow();
    serves(supply, 10);
    assert.match(refusal(supply), /^quarantined/);
    assert.ok(events.some(({ level, message }) => level === 'error' && /cannot be written/.test(message)));
    assert.match(supply.source().fault ?? '', /state\.json/);
    mend();
    clock.nowMs += 60_001;
    await supply.pollNow();
    await supply.close();
    const left = readdirSync(join(directory, 'state')).filter((name) => name.startsWith('.tmp-'));
    assert.deepEqual(left, [], 'a disk that is full is not filled by what cannot be written');
    const again = await start();
    serves(again, 10);
    await again.follow();
    serves(again, 10);
    assert.match(refusal(again), /^quarantined/);
  });

  it('a start with what is kept goes on, and what serves is written down as soon as that can be', async (t) => {
    let full = false;
    let mend = (): void => assert.fail('the disk is not full yet');
    const { supply, directory, serves, start, clock, events } = await running(t, async () => {
      // After what is kept was read, and before it is written that it serves.
      if (full) mend = unwritable(directory);
      full = false;
      await Promise.resolve();
    });
    await supply.close();
    full = true;
    const again = await start();
    serves(again, 11);
    assert.ok(events.some(({ level, message }) => level === 'error' && /cannot be written down/.test(message)));
    await again.follow();
    serves(again, 11);
    assert.match(again.source().fault ?? '', /state\.json/);
    mend();
    clock.nowMs += 60_001;
    await again.pollNow();
    await again.freeze();
    assert.equal(again.source().fault, null);
    serves(again, 11);
  });

  it('a pin holds, and is written down as soon as that can be', async (t) => {
    const { supply, directory, serves, start, clock, registry, refusal } = await running(t);
    const mend = unwritable(directory);
    await supply.overrides.pinTo(OLD.digest, 3_600_000, 'until it is understood');
    const next = bundle(12);
    registry.publish(next, [KEY_A]);
    registry.tags.set('prod', next.digest);
    await supply.pollNow();
    serves(supply, 10);
    assert.match(refusal(supply), /^pinned/);
    mend();
    clock.nowMs += 60_001;
    await supply.pollNow();
    await supply.close();
    const again = await start();
    serves(again, 10);
    assert.equal(again.overrides.pin?.digest, OLD.digest);
  });

  it('nothing is decided while another process reads what counts', async (t) => {
    const { supply, serves } = await running(t);
    await supply.freeze();
    const { overrides } = supply;
    await assert.rejects(overrides.rollBack('it was slow'), /another process takes its place/);
    await assert.rejects(overrides.pinTo(OLD.digest, 60_000, 'until it is understood'), /another process/);
    await assert.rejects(overrides.unpin('it is understood'), /another process/);
    await supply.follow();
    await overrides.rollBack('that one did not come');
    serves(supply, 10);
  });

  it('a bundle is not taken back where the one before it cannot serve', async (t) => {
    let refuses = false;
    const { supply, serves, start } = await running(t, async (seq) => {
      if (refuses && seq === 10) throw new ActivationError('compile', 'it does not fit any more');
    });
    refuses = true;
    await assert.rejects(supply.overrides.rollBack('it was slow'), /cannot serve: it does not fit/);
    await supply.pollNow();
    assert.equal(supply.source().state, 'current');
    await supply.close();
    serves(await start(), 11);
  });
});

describe('a gateway that is killed while a bundle is taken back', () => {
  it('does not take it again, wherever that was', async (t) => {
    const world = await running(t);
    const { supply, start, serves, directory, served } = world;
    // What a process that ends there would leave behind, from the moment on when the former one serves anybody.
    const left: string[] = [];
    const before = served.length;
    const push = served.push.bind(served);
    served.push = (...items) => {
      const copy = join(directory, `left-${left.length}`);
      cpSync(join(directory, 'state'), copy, { recursive: true });
      left.push(copy);
      return push(...items);
    };
    await supply.overrides.rollBack('it was slow');
    assert.equal(served.length, before + 1);
    served.push = push;
    await supply.close();
    for (const copy of left) {
      rmSync(join(directory, 'state'), { recursive: true });
      renameSync(copy, join(directory, 'state'));
      const again = await start();
      serves(again, 10);
      await again.follow();
      serves(again, 10);
      await again.close();
    }
  });
});
