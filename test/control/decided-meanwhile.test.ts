/** What is decided on a gateway while a bundle is on its way counts at once: no registry, however slow, comes before an operator, the trust policy or the end. */
import assert from 'node:assert/strict';
import { setImmediate, setTimeout as sleep } from 'node:timers/promises';
import { describe, it, type TestContext } from 'node:test';
import { Interrupted, until } from '../../src/control/source/until.ts';
import { bundle, KEY_A, KEY_B, trusted } from './harness/sample.ts';
import { suppliedBy } from './harness/supply.ts';

const [OLD, NOW, NEXT] = [bundle(10), bundle(11), bundle(12)];
/** Far less than the patience with a silent registry, and far more than anything takes here. */
const SOON_MS = 8_000;

async function soon<T>(task: Promise<T>): Promise<T> {
  const late = sleep(SOON_MS, undefined, { ref: false }).then(() => assert.fail('it waits for the registry'));
  return Promise.race([task, late]);
}

interface Options {
  readonly serve?: () => Promise<void>;
}

/** Has run 10 and serves 11; the tag names 12. */
async function beforeNext(t: TestContext, { serve }: Options = {}) {
  const meanwhile = { serve: async () => {} };
  const world = await suppliedBy(t, { serve: () => meanwhile.serve() });
  const { registry, start, serves } = world;
  const name = ({ digest }: typeof OLD): void => void registry.tags.set('prod', digest);
  for (const built of [OLD, NOW, NEXT]) registry.publish(built);
  name(OLD);
  const supply = await start();
  await supply.follow();
  name(NOW);
  await supply.pollNow();
  serves(supply, 11);
  name(NEXT);
  if (serve !== undefined) meanwhile.serve = serve;
  return { ...world, supply };
}

/** As before, and a layer of 12 is asked for and does not come until `go`. */
async function held(t: TestContext) {
  const world = await beforeNext(t);
  const { registry, supply } = world;
  const answers: (() => void)[] = [];
  registry.hook = (request, answer) => {
    if (request.url?.includes('/blobs/') !== true) return false;
    answers.push(() => answer.destroy());
    return true;
  };
  const go = (): void => {
    registry.hook = undefined;
    for (const end of answers.splice(0)) end();
  };
  t.after(go);
  const polled = supply.pollNow();
  while (answers.length === 0) await setImmediate();
  return { ...world, polled, go };
}

describe('while a bundle is being fetched', () => {
  it('a pin to what serves keeps it out', async (t) => {
    const { supply, polled, go, refusal, serves } = await held(t);
    await soon(supply.overrides.pinTo(NOW.digest, 60_000, 'no changes today'));
    go();
    await polled;
    await supply.pollNow();
    serves(supply, 11);
    assert.match(refusal(supply), /^pinned/);
  });

  it('a roll-back does not wait for it, and it is taken afterwards', async (t) => {
    const { supply, polled, go, events, serves } = await held(t);
    await soon(supply.overrides.rollBack('it was slow'));
    serves(supply, 10);
    go();
    await polled;
    await supply.pollNow();
    serves(supply, 12);
    assert.ok(!events.some(({ message }) => /no bundle can be had/.test(message)), 'the source was not to blame');
  });

  it('a trust policy counts at once, and the next one too', async (t) => {
    const { supply, setTrust, go, polled, events } = await held(t);
    for (const epoch of [2, 3]) {
      setTrust({ epoch });
      for (let i = 0; i < 2; i += 1) await soon(supply.lookAtTrust());
    }
    assert.equal(events.filter(({ message }) => message === 'trust policy taken').length, 2);
    assert.equal(supply.trust().epoch, 3);
    go();
    await polled;
  });

  it('what a trust policy revokes is not taken any more', async (t) => {
    const { supply, retrust, go, polled, refusal, serves, events } = await held(t);
    const revoking = retrust(supply, { keys: [trusted('a', KEY_A, { status: 'revoked' }), trusted('b', KEY_B)] });
    while (!events.some(({ message }) => message === 'trust policy taken')) await setImmediate();
    go();
    await soon(revoking);
    await polled;
    serves(supply, 11);
    assert.match(refusal(supply), /^(revoked_key|wrong_key)/);
  });

  it('the end of the process, or a hand-over, waits for neither it nor an operator’s own fetch', async (t) => {
    const { supply, polled } = await held(t);
    const pinned = assert.rejects(supply.overrides.pinTo(NEXT.digest, 60_000, 'try it'), /ends, or another process/);
    await setImmediate();
    await soon(supply.close());
    await pinned;
    await polled;
  });
});

it('while a bundle is being made to serve, what an operator decides comes after it, and stays', async (t) => {
  let pinned: Promise<unknown> = Promise.resolve();
  const { supply, refusal, serves, served } = await beforeNext(t, {
    serve: async () => {
      const act = () => supply.overrides.pinTo(NOW.digest, 60_000, 'no changes today');
      if (served.length === 2) pinned = act();
      await setImmediate();
    },
  });
  await supply.pollNow();
  await pinned;
  serves(supply, 11);
  await supply.pollNow();
  serves(supply, 11);
  assert.match(refusal(supply), /^pinned/);
});

describe('a source until an end', () => {
  const never = {
    name: 'a registry',
    resolve: () => new Promise<never>(() => {}),
    manifest: () => new Promise<never>(() => {}),
    blob: () => new Promise<never>(() => {}),
    signatures: () => Promise.reject(new Error('it is broken')),
    close: async () => {},
  };

  it('is waited for so long in all, however many questions there are', async () => {
    const place = until(never, new AbortController().signal, 50);
    const late = { name: 'SourceError', code: 'timeout', message: 'a registry was not done within 0.05 s' };
    await assert.rejects(place.resolve('prod'), late);
    await assert.rejects(place.manifest(OLD.digest), late);
  });

  it('ends when it is interrupted, and answers nothing afterwards', async () => {
    const interruption = new AbortController();
    const place = until(never, interruption.signal);
    const waiting = assert.rejects(place.resolve('prod'), Interrupted);
    interruption.abort(new Interrupted('enough'));
    await waiting;
    await assert.rejects(place.signatures(OLD.digest), Interrupted);
  });

  it('says what the source says until then', async () => {
    await assert.rejects(until(never, new AbortController().signal).signatures(OLD.digest), /it is broken/);
  });
});
