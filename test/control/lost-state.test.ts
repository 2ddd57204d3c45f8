/** A state file that is lost, torn, or an older one put back: what a gateway had come to stands in its audit log too, so that nothing leads it back. */
import assert from 'node:assert/strict';
import {
  copyFileSync,
  cpSync,
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { readMarks } from '../../src/control/audit/marks.ts';
import { EMPTY_STATE, stateBytes, type StoreState } from '../../src/control/store/state.ts';
import { channelIndex, PROMOTER, publishIndex, stable } from './harness/channel.ts';
import { bundle, KEY_A, NOW_MS, trusted } from './harness/sample.ts';
import { suppliedBy, type SupplyOptions } from './harness/supply.ts';

const KEYS = [trusted('a', KEY_A), trusted('p', PROMOTER, { roles: ['promoter'] })];
const LATEST = 20;

/** Has activated 10 to 20, one after the other; six of them are kept, none of which says a floor. The floor is 12. */
async function advanced(t: TestContext, options: SupplyOptions = {}) {
  const world = await suppliedBy(t, { ...options, audit: true, policy: { keys: KEYS, ...options.policy } });
  const { registry, start, serves, directory } = world;
  const releases = new Map<number, ReturnType<typeof bundle>>();
  for (let seq = 9; seq <= LATEST; seq += 1) {
    const built = bundle(seq, seq === 12 ? { release: { floor: 12 } } : {});
    releases.set(seq, built);
    registry.publish(built, [KEY_A]);
  }
  const of = (seq: number): ReturnType<typeof bundle> => releases.get(seq) ?? assert.fail();
  const name = (seq: number): void => void registry.tags.set('prod', of(seq).digest);
  name(10);
  const supply = await start();
  await supply.follow();
  for (let seq = 11; seq <= LATEST; seq += 1) {
    name(seq);
    await supply.pollNow();
  }
  serves(supply, LATEST);
  const state = join(directory, 'state');
  return { ...world, supply, of, name, state, stateFile: join(state, 'state.json') };
}

const DAMAGES: readonly (readonly [string, (file: string, older: string) => void])[] = [
  ['lost', (file) => rmSync(file)],
  ['torn', (file) => truncateSync(file, 30)],
  ['an older one that was put back', (file, older) => copyFileSync(older, file)],
  [
    'rewritten to know nothing',
    (file) => {
      const state = JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>;
      const { active: _active, highestDigest: _highest, ...rest } = state;
      writeFileSync(file, JSON.stringify({ ...rest, highestSeq: 0, floor: 0, epoch: 0, previous: [] }));
    },
  ],
];

describe('a state file', () => {
  for (const [what, damage] of DAMAGES) {
    it(`that is ${what} lowers neither floor nor highest sequence, also where no kept bundle says them`, async (t) => {
      const world = await advanced(t);
      const { supply, name, start, serves, refusal, stateFile, directory } = world;
      // What lay there when 10 was active.
      const older = join(directory, 'older.json');
      const { digest } = world.of(10);
      const past: StoreState = {
        ...EMPTY_STATE,
        epoch: 1,
        highestSeq: 10,
        highestDigest: digest,
        active: { digest, seq: 10, floor: 0, activatedAtMs: NOW_MS },
      };
      writeFileSync(older, stateBytes(past));
      await supply.close();
      damage(stateFile, older);
      name(11);
      const again = await start();
      serves(again, LATEST);
      assert.deepEqual([again.trust().highestSeq, again.trust().floor], [LATEST, 12]);
      await again.follow();
      serves(again, LATEST);
      assert.match(refusal(again), /^below_floor/);
      await again.close();
      const third = await start();
      assert.deepEqual([third.trust().highestSeq, third.trust().floor], [LATEST, 12], 'and it is written down again');
    });
  }

  it('that is lost does not make an endorsed rollback of one that was not', async (t) => {
    const { supply, name, of, start, serves, refusal, stateFile, state } = await advanced(t, {
      policy: { rollback: 'endorsed' },
    });
    await supply.close();
    rmSync(stateFile);
    // Nor do the kept bundles help: the two highest are gone too.
    for (const seq of [LATEST, LATEST - 1])
      rmSync(join(state, 'oci', 'blobs', 'sha256', of(seq).digest.slice('sha256:'.length)));
    name(17);
    const again = await start();
    serves(again, 18);
    await again.follow();
    serves(again, 18);
    assert.match(refusal(again), /^rollback_not_endorsed/);
  });

  it('that is lost does not lower the epoch: an older trust policy is refused', async (t) => {
    const { supply, start, retrust, setTrust, served, stateFile } = await advanced(t);
    await retrust(supply, { keys: KEYS, epoch: 3 });
    assert.equal(supply.trust().epoch, 3);
    await supply.close();
    rmSync(stateFile);
    setTrust({ keys: KEYS, epoch: 1 });
    const before = served.length;
    const again = await start();
    assert.equal(again.active(), null);
    await again.follow();
    assert.match(again.source().lastError ?? '', /epoch 1, but this gateway has already trusted by epoch 3/);
    assert.equal(served.length, before);
  });

  it('that is lost does not let an older channel index in, nor another with its number', async (t) => {
    const world = await advanced(t);
    const { supply, registry, of, start, serves, refusal, stateFile } = world;
    const older = publishIndex(registry, channelIndex(6, [stable(of(14))]));
    const index = publishIndex(registry, channelIndex(7, [stable(of(19))]));
    await supply.pollNow();
    serves(supply, 19);
    await supply.close();
    rmSync(stateFile);
    registry.tags.set('prod', older);
    const again = await start();
    serves(again, 19);
    await again.follow();
    serves(again, 19);
    assert.match(refusal(again), /^rollback_not_endorsed: the channel index has sequence 6/);
    publishIndex(registry, channelIndex(7, [stable(of(14))]));
    await again.pollNow();
    assert.match(refusal(again), /^equivocation/);
    registry.tags.set('prod', index);
    await again.pollNow();
    assert.deepEqual([again.channel()?.digest, again.channel()?.role], [index, 'stable'], 'the newest counts on');
  });

  it('that is lost with the audit log does not either: the index that counted is kept as it was signed', async (t) => {
    const world = await advanced(t);
    const { supply, registry, of, start, serves, refusal, stateFile, state } = world;
    const older = publishIndex(registry, channelIndex(6, [stable(of(14))]));
    const indexes = [7, 8].map((seq) => publishIndex(registry, channelIndex(seq, [stable(of(19))])));
    for (const digest of indexes) {
      registry.tags.set('prod', digest);
      await supply.pollNow();
    }
    serves(supply, 19);
    await supply.close();
    const kept = (digest: string) => existsSync(join(state, 'oci', 'blobs', 'sha256', digest.slice('sha256:'.length)));
    assert.deepEqual(indexes.map(kept), [false, true], 'and only that one');
    rmSync(stateFile);
    rmSync(join(state, 'audit'), { recursive: true });
    registry.tags.set('prod', older);
    const again = await start();
    const before = again.active()?.seq;
    await again.follow();
    assert.match(refusal(again), /^rollback_not_endorsed: the channel index has sequence 6/);
    assert.equal(again.active()?.seq, before);
    registry.tags.set('prod', indexes.at(-1) ?? assert.fail());
    await again.pollNow();
    serves(again, 19);
  });

  it('that is lost brings back neither what an operator took back nor what he pinned away from', async (t) => {
    const { supply, of, start, serves, stateFile, refusal, clock } = await advanced(t);
    await supply.overrides.rollBack('it was slow');
    serves(supply, 19);
    await supply.close();
    rmSync(stateFile);
    const again = await start();
    serves(again, 19);
    await again.follow();
    serves(again, 19);
    assert.match(refusal(again), /^quarantined/);
    await again.overrides.pinTo(of(18).digest, 3_600_000, 'until it is understood');
    await again.close();
    rmSync(stateFile);
    const third = await start();
    serves(third, 18);
    await third.follow();
    serves(third, 18);
    assert.match(refusal(third), /^pinned/);
    clock.nowMs += 3_600_001;
    assert.equal(third.overrides.pin, undefined, 'and it ends when it was to end');
  });

  it('that is lost leaves out what the source has let in again since', async (t) => {
    const { supply, name, start, serves, stateFile } = await advanced(t);
    await supply.overrides.rollBack('it was slow');
    name(18);
    await supply.pollNow();
    name(LATEST);
    await supply.pollNow();
    serves(supply, LATEST);
    await supply.close();
    rmSync(stateFile);
    const again = await start();
    serves(again, LATEST);
  });
});

describe('an older state file that is put back', () => {
  /** What lies there now, to be put back later. */
  const older = (stateFile: string): (() => void) => {
    const bytes = readFileSync(stateFile);
    return () => writeFileSync(stateFile, bytes);
  };

  it('does not let in what was taken back since', async (t) => {
    const { supply, start, serves, stateFile, refusal } = await advanced(t);
    const putBack = older(stateFile);
    await supply.overrides.rollBack('it was slow');
    serves(supply, 19);
    await supply.close();
    putBack();
    const again = await start();
    serves(again, 19);
    await again.follow();
    serves(again, 19);
    assert.match(refusal(again), /^quarantined/);
  });

  it('does not forget a pin that was made since, nor revive one that was ended', async (t) => {
    const { supply, of, start, serves, stateFile, refusal } = await advanced(t);
    const unpinned = older(stateFile);
    await supply.overrides.pinTo(of(18).digest, 3_600_000, 'until it is understood');
    await supply.close();
    const pinned = older(stateFile);
    unpinned();
    const again = await start();
    serves(again, 18);
    await again.follow();
    serves(again, 18);
    assert.match(refusal(again), /^pinned/);
    await again.overrides.unpin('it is understood');
    await again.pollNow();
    serves(again, LATEST);
    await again.close();
    pinned();
    const third = await start();
    assert.equal(third.overrides.pin, undefined);
    await third.follow();
    serves(third, LATEST);
  });

  it('does not bring back what served before: the start is with what served last', async (t) => {
    const { supply, registry, start, serves, stateFile } = await advanced(t);
    const putBack = older(stateFile);
    const next = bundle(LATEST + 1);
    registry.publish(next, [KEY_A]);
    registry.tags.set('prod', next.digest);
    await supply.pollNow();
    serves(supply, LATEST + 1);
    await supply.close();
    putBack();
    serves(await start(), LATEST + 1);
  });

  it('or one that is newer than the audit log: the stricter of the two holds', async (t) => {
    const { supply, of, start, serves, stateFile, state, refusal } = await advanced(t);
    await supply.freeze();
    cpSync(join(state, 'audit'), join(state, 'audit-before'), { recursive: true });
    await supply.follow();
    await supply.overrides.rollBack('it was slow');
    await supply.overrides.pinTo(of(18).digest, 3_600_000, 'until it is understood');
    await supply.close();
    rmSync(join(state, 'audit'), { recursive: true });
    cpSync(join(state, 'audit-before'), join(state, 'audit'), { recursive: true });
    assert.ok(existsSync(stateFile));
    const again = await start();
    serves(again, 18);
    await again.follow();
    assert.match(refusal(again), /^pinned/);
    await again.overrides.unpin('it is understood');
    await again.pollNow();
    assert.match(refusal(again), /^quarantined/);
  });
});

describe('the audit log', () => {
  it('counts for nothing where its own key has not signed it', async (t) => {
    const { supply, start, serves, state, stateFile } = await advanced(t);
    await supply.close();
    const audit = join(state, 'audit');
    const marks = await readMarks(audit);
    assert.deepEqual([marks?.epoch, marks?.highestSeq, marks?.floor], [1, LATEST, 12]);
    for (const name of readdirSync(audit).filter((file) => file.endsWith('.jsonl'))) {
      const text = readFileSync(join(audit, name), 'utf8');
      writeFileSync(join(audit, name), text.replaceAll(`"seq":${LATEST},"floor":0`, '"seq":999,"floor":999'));
    }
    assert.deepEqual((await readMarks(audit))?.highestSeq, LATEST - 1);
    rmSync(stateFile);
    // The last entry that counts is that of 19; how far it had come is in the kept bundles too.
    const again = await start();
    serves(again, LATEST - 1);
    assert.deepEqual([again.trust().highestSeq, again.trust().floor], [LATEST, 12]);
  });

  it('that is not there, or cannot be read, stops no start', async (t) => {
    const { supply, start, serves, state, events } = await advanced(t);
    await supply.close();
    rmSync(join(state, 'audit'), { recursive: true });
    const again = await start();
    serves(again, LATEST);
    await again.close();
    writeFileSync(join(state, 'audit', 'key.pem'), 'no key');
    const third = start();
    await assert.rejects(third, 'the log itself is not opened with such a key');
    assert.ok(events.some(({ message }) => message === 'the audit log cannot be read for what has counted'));
  });
});
