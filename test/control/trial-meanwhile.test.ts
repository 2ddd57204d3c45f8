/** What is decided while a bundle is tried, or just as it comes to serve all: nothing of it is lost, and nothing is done to another bundle than was meant. */
import assert from 'node:assert/strict';
import { setImmediate, setTimeout as sleep } from 'node:timers/promises';
import { describe, it, type TestContext } from 'node:test';
import { Document } from '../../src/config/document.ts';
import { RolloutConfig } from '../../src/config/rollout.ts';
import { validate } from '../../src/config/validate.ts';
import { ActivationError } from '../../src/control/activator.ts';
import { Rollout } from '../../src/control/rollout/rollout.ts';
import type { VerifiedBundle } from '../../src/control/trust/verify.ts';
import { LaneColumns } from '../../src/snapshot/lane-columns.ts';
import type { Snapshot } from '../../src/snapshot/snapshot.ts';
import { bundle } from './harness/sample.ts';
import { suppliedBy } from './harness/supply.ts';

const [OLD, NOW, NEXT] = [bundle(10), bundle(11), bundle(12)];
const SOAK_MS = 60_000;

/** What lanes would be given: their revision is the bundle's number. */
const snapshotOf = (seq: number): Snapshot => ({ revision: seq, cells: [] }) as Partial<Snapshot> as Snapshot;

/** Has run 10 and serves 11; 12 is tried. */
async function trying(t: TestContext) {
  const config = validate(
    RolloutConfig,
    new Document('rollout.yaml', `plan: staged\nsoakMs: ${SOAK_MS}\nsamplesMin: 0\nsteps: [1]`),
  );
  assert.ok(config.ok);
  const lanes = { active: 0, candidate: 0 };
  const meanwhile = { tick: 0, decide: async () => {}, serve: async (_: VerifiedBundle) => {} };
  let rollout: Rollout | undefined;
  const world = await suppliedBy(t, {
    serve: async (served) => {
      await meanwhile.serve(served);
      lanes.active = served.release.seq;
    },
    rollout: (ended) => {
      rollout = new Rollout({
        config: config.value,
        hashKey: '',
        laneColumns: [LaneColumns.create()],
        divide: async ({ release }) => {
          lanes.candidate = release.seq;
          return snapshotOf(release.seq);
        },
        share: async () => {},
        decide: async (forCandidate) => {
          await meanwhile.decide();
          if (forCandidate) lanes.active = lanes.candidate;
          return snapshotOf(lanes.active);
        },
        active: () => (lanes.active === 0 ? null : snapshotOf(lanes.active)),
        ended,
        event: (level, message, fields) => world.events.push({ level, message, fields }),
        now: Date.now,
        tick: () => meanwhile.tick,
      });
      return rollout;
    },
  });
  const { registry, start, serves } = world;
  const name = ({ digest }: typeof OLD): void => void registry.tags.set('prod', digest);
  for (const built of [OLD, NOW, NEXT]) registry.publish(built);
  name(OLD);
  const supply = await start();
  assert.ok(rollout !== undefined);
  t.after(() => rollout?.close());
  await supply.follow();
  serves(supply, 10);
  name(NOW);
  await supply.pollNow();
  meanwhile.tick += SOAK_MS;
  while (supply.active()?.seq !== 11) await sleep(20);
  name(NEXT);
  await supply.pollNow();
  assert.equal(rollout.digest, NEXT.digest);
  return { ...world, supply, rollout, lanes, meanwhile, name };
}

describe('a source that goes back', () => {
  it('just as what it named comes to serve all is followed', async (t) => {
    const { supply, lanes, meanwhile, name } = await trying(t);
    let go = (): void => {};
    const promoting = new Promise<void>((begun) => {
      meanwhile.decide = () => {
        begun();
        return new Promise((resolve) => (go = resolve));
      };
    });
    meanwhile.tick += SOAK_MS;
    await promoting;
    name(NOW);
    const polled = supply.pollNow();
    // It has been verified, and waits for the step that is under way.
    await sleep(500);
    go();
    await polled;
    assert.equal(supply.active()?.seq, 11);
    assert.equal(lanes.active, 11);
    assert.equal(supply.source().seen, NOW.digest);
  });
});

describe('a trial that ends by comparison', () => {
  it('is not begun again by whoever was verifying it anew', async (t) => {
    const { supply, rollout, registry, retrust, refusal, events } = await trying(t);
    const answers: (() => void)[] = [];
    registry.hook = (request, answer) => {
      const blob = registry.blobs.get(request.url?.split('/blobs/')[1] ?? '');
      if (blob === undefined) return false;
      answers.push(() => answer.end(blob));
      return true;
    };
    const judged = retrust(supply, { epoch: 2 });
    while (answers.length === 0) await setImmediate();
    const reverted = rollout.revert('it answers with errors');
    registry.hook = undefined;
    for (const end of answers) end();
    await reverted;
    await judged;
    const begun = events.filter(({ message, fields }) => message.startsWith('bundle is tried') && fields['seq'] === 12);
    assert.equal(begun.length, 1);
    assert.equal(rollout.digest, '');
    assert.match(refusal(supply), /^quarantined/);
  });
});

describe('an operator', () => {
  it('whose pin cannot be had leaves the trial alone', async (t) => {
    const { supply, rollout } = await trying(t);
    await assert.rejects(supply.overrides.pinTo(`sha256:${'0'.repeat(64)}`, 60_000, 'try it'), /cannot serve/);
    assert.equal(rollout.digest, NEXT.digest);
  });

  it('whose pin does not come to serve has what the source names tried on', async (t) => {
    const { supply, rollout, meanwhile } = await trying(t);
    meanwhile.serve = async () => {
      throw new ActivationError('activate', 'a lane did not answer');
    };
    await assert.rejects(supply.overrides.pinTo(OLD.digest, 60_000, 'until it is understood'), /cannot serve/);
    await supply.pollNow();
    assert.equal(rollout.digest, NEXT.digest);
  });

  it('who renews a pin as it ends has the new one', async (t) => {
    const { supply, meanwhile, clock } = await trying(t);
    await supply.overrides.pinTo(NOW.digest, 200, 'until it is understood');
    let go = (): void => {};
    meanwhile.serve = () => new Promise((resolve) => (go = resolve));
    const renewed = supply.overrides.pinTo(OLD.digest, 60_000, 'it is not understood');
    clock.nowMs += 300;
    // The timer of the former one goes off, and waits its turn.
    await sleep(400);
    go();
    await renewed;
    await supply.overrides.unpin('nobody asks').then(
      (was) => assert.ok(was, 'the pin was there'),
      (error: unknown) => assert.fail(String(error)),
    );
  });

  it('who asks for a roll-back takes nothing back that came after', async (t) => {
    const { supply, rollout, refusal } = await trying(t);
    // The comparison is quicker.
    const reverted = rollout.revert('it answers with errors');
    const asked = supply.overrides.rollBack('it is slow');
    await assert.rejects(asked, /meanwhile sha256:.* serves and nothing is tried: ask again/);
    await reverted;
    assert.equal(supply.active()?.seq, 11);
    assert.match(refusal(supply), /it answers with errors/);
  });
});
