import assert from 'node:assert/strict';
import { rename } from 'node:fs/promises';
import { describe, it, type TestContext } from 'node:test';
import { type Digest, digestOf } from '../../src/control/oci/digest.ts';
import { OciLayout } from '../../src/control/oci/layout.ts';
import { type ReasonCode, Rejection, SourceError } from '../../src/control/oci/rejection.ts';
import type { ArtifactSource, KnownTag, Resolution } from '../../src/control/oci/source.ts';
import type { PollClock } from '../../src/control/source/clock.ts';
import { POLL_DEFAULT, pollInterval, shortPollIntervalForDevelopment } from '../../src/control/source/interval.ts';
import {
  BACKOFF_MAX_MS,
  BundlePoller,
  type PollerOptions,
  type SourceStatus,
} from '../../src/control/source/poller.ts';
import { bundle, publishSigned, temporaryLayout } from './harness/sample.ts';

const digest = (name: string): Digest => digestOf(new TextEncoder().encode(name));

/** Time that only a test moves. */
class ManualClock implements PollClock {
  nowMs = 1_000_000;
  chance = 0.5;
  readonly #timers = new Set<{ atMs: number; callback: () => void }>();

  now(): number {
    return this.nowMs;
  }

  random(): number {
    return this.chance;
  }

  after(ms: number, callback: () => void): () => void {
    const timer = { atMs: this.nowMs + ms, callback };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  get pending(): readonly number[] {
    return [...this.#timers].map((timer) => timer.atMs - this.nowMs);
  }

  /** Goes on to the next timer. */
  next(): void {
    const [first] = [...this.#timers].sort((a, b) => a.atMs - b.atMs);
    assert.ok(first, 'no timer is set');
    this.#timers.delete(first);
    this.nowMs = first.atMs;
    first.callback();
  }
}

/** A source of which a test decides what its tag says. */
function world(t: TestContext, more: Partial<PollerOptions> = {}) {
  const clock = new ManualClock();
  const asked: (KnownTag | undefined)[] = [];
  const evaluated: Digest[] = [];
  const seen: SourceStatus[] = [];
  const script = {
    tag: (known?: KnownTag): Resolution | Error => ({
      state: 'found',
      digest: digest(`one${known === undefined ? '' : ''}`),
      etag: '"1"',
    }),
    verdict: (_: Digest): Error | undefined => undefined,
  };
  const never = () => Promise.reject(new Error('not asked for'));
  const source: ArtifactSource = {
    name: 'test',
    resolve: async (_reference, known) => {
      asked.push(known);
      const answer = script.tag(known);
      if (answer instanceof Error) throw answer;
      return answer.state === 'found' && answer.digest === known?.digest
        ? { state: 'unchanged', etag: answer.etag }
        : answer;
    },
    manifest: never,
    blob: never,
    signatures: never,
    close: async () => {},
  };
  const poller = new BundlePoller({
    source,
    reference: 'prod',
    clock,
    evaluate: async (item) => {
      evaluated.push(item);
      const error = script.verdict(item);
      if (error !== undefined) throw error;
    },
    onStatus: (status) => seen.push(status),
    ...more,
  });
  t.after(() => poller.stop());
  const step = async () => {
    clock.next();
    await settled(poller);
  };
  return { clock, asked, evaluated, seen, script, poller, step };
}

/** Lets the poll that a timer has begun come to its end. */
async function settled(_: BundlePoller): Promise<void> {
  for (let i = 0; i < 20; i += 1) await Promise.resolve();
}

const found = (name: string): Resolution => ({ state: 'found', digest: digest(name), etag: `"${name}"` });
const rejection = (code: ReasonCode) => new Rejection(code, 'because');

describe('polling', () => {
  it('evaluates a digest once, and again only when the tag moves', async (t) => {
    const w = world(t);
    await w.poller.start();
    assert.equal(w.poller.status.state, 'current');
    await w.step();
    await w.step();
    w.script.tag = () => found('two');
    await w.step();
    await w.step();
    assert.deepEqual(w.evaluated, [digest('one'), digest('two')]);
    assert.deepEqual(
      w.asked.map((known) => known?.etag),
      [undefined, '"1"', '"1"', '"1"', '"two"'],
    );
    w.script.tag = () => found('one');
    await w.step();
    assert.deepEqual(w.evaluated.at(-1), digest('one'), 'a tag that moves back is a rollback');
  });

  it('waits 30 seconds, a fifth more or less', async (t) => {
    const w = world(t);
    const pauses: number[] = [];
    for (const chance of [0, 0.5, 0.999_999]) {
      w.clock.chance = chance;
      await (pauses.length === 0 ? w.poller.start() : w.step());
      pauses.push(Math.round((w.clock.pending[0] ?? 0) / 10) * 10);
    }
    assert.deepEqual(pauses, [24_000, 30_000, 36_000]);
    assert.equal(POLL_DEFAULT, 30_000);
  });

  it('cannot be asked for more often than every 5 seconds by a configuration', () => {
    for (const ms of [0, 30, 4999, Number.NaN, Number.POSITIVE_INFINITY, -1, 3_600_001])
      assert.throws(() => pollInterval(ms), RangeError);
    assert.equal(pollInterval(5000), 5000);
    assert.equal(shortPollIntervalForDevelopment(20), 20);
  });

  for (const code of [
    'below_floor',
    'equivocation',
    'too_large',
    'unknown_layer',
    'invalid_content',
    'quarantined',
    'audience_mismatch',
  ] as const) {
    it(`does not fetch again what was rejected as ${code}`, async (t) => {
      const w = world(t);
      w.script.verdict = () => rejection(code);
      await w.poller.start();
      await w.step();
      await w.step();
      assert.equal(w.evaluated.length, 1);
      assert.deepEqual([w.poller.status.state, w.poller.status.reason?.code], ['rejected', code]);
      w.script.tag = () => new SourceError('unreachable', 'down');
      await w.step();
      assert.equal(w.poller.status.state, 'unreachable');
      w.script.tag = () => found('one');
      await w.step();
      assert.deepEqual(
        [w.poller.status.state, w.poller.status.reason?.code],
        ['rejected', code],
        'also after the place was away',
      );
      w.poller.reconsider();
      w.script.verdict = () => undefined;
      await w.step();
      assert.deepEqual([w.evaluated.length, w.poller.status.state], [2, 'current'], 'a new trust policy judges anew');
    });
  }

  for (const [name, verdict] of [
    ['refused', (): Error => rejection('audience_mismatch')],
    ['taken', (): undefined => undefined],
  ] as const) {
    it(`judges anew what a former trust policy has ${name} while another began to count`, async (t) => {
      const w = world(t);
      w.script.verdict = () => {
        w.script.verdict = () => undefined;
        w.poller.reconsider();
        void w.poller.pollNow();
        return verdict();
      };
      await w.poller.start();
      assert.deepEqual([w.evaluated.length, w.poller.status.state], [2, 'current']);
    });
  }

  for (const code of ['unsigned', 'wrong_key', 'below_threshold'] as const) {
    it(`asks again with growing pauses while it is ${code}, and raises an alarm after 5 minutes`, async (t) => {
      const w = world(t);
      w.clock.chance = 0.999_999;
      w.script.verdict = () => rejection(code);
      await w.poller.start();
      const pauses: number[] = [];
      const began = w.clock.nowMs;
      for (let i = 0; i < 9; i += 1) {
        pauses.push(Math.round((w.clock.pending[0] ?? 0) / 1000));
        assert.equal(w.poller.status.overdue, w.clock.nowMs - began > 300_000);
        await w.step();
      }
      assert.deepEqual(pauses, [1, 3, 9, 27, 81, 243, 300, 300, 300]);
      assert.equal(w.evaluated.length, 10);
      assert.deepEqual([w.poller.status.state, w.poller.status.overdue], ['pending_signature', true]);
      w.script.tag = () => found('two');
      await w.step();
      assert.deepEqual(
        [Math.round((w.clock.pending[0] ?? 0) / 1000), w.poller.status.overdue],
        [1, false],
        'another digest starts over',
      );
      w.script.verdict = () => undefined;
      await w.step();
      assert.deepEqual([w.poller.status.state, w.poller.status.seen], ['current', digest('two')]);
    });
  }

  for (const [what, error] of [
    ['the place is away', new SourceError('unreachable', 'down')],
    ['bytes were wrong on the way', rejection('digest_mismatch')],
  ] as const) {
    it(`backs off up to 5 minutes when ${what}, and comes back`, async (t) => {
      const w = world(t);
      w.clock.chance = 0.999_999;
      w.script.verdict = () => error;
      await w.poller.start();
      const pauses: number[] = [];
      for (let i = 0; i < 5; i += 1) {
        pauses.push(Math.round((w.clock.pending[0] ?? 0) / 1000));
        await w.step();
      }
      assert.deepEqual(pauses, [30, 90, 270, 300, 300]);
      assert.equal(w.poller.status.state, 'unreachable');
      w.script.verdict = () => undefined;
      await w.step();
      assert.equal(w.poller.status.state, 'current');
      assert.ok((w.clock.pending[0] ?? 0) <= 36_000);
    });
  }

  it('waits as long as the registry asks, up to 5 minutes', async (t) => {
    const w = world(t);
    w.script.tag = () => new SourceError('rate_limited', 'slow down', { retryAfterMs: 200_000 });
    await w.poller.start();
    assert.deepEqual(w.clock.pending, [200_000]);
    w.script.tag = () => new SourceError('rate_limited', 'slow down', { retryAfterMs: 86_400_000 });
    await w.step();
    assert.deepEqual(w.clock.pending, [BACKOFF_MAX_MS]);
  });

  it('says that the tag is missing, and takes it when it comes', async (t) => {
    const w = world(t);
    w.script.tag = () => ({ state: 'missing' });
    await w.poller.start();
    assert.deepEqual([w.poller.status.state, w.poller.status.lastContactMs], ['missing', w.clock.nowMs]);
    w.script.tag = () => found('one');
    await w.step();
    assert.equal(w.poller.status.state, 'current');
  });

  it('does not evaluate at the start what already serves', async (t) => {
    const w = world(t);
    w.poller.assumeEvaluated(digest('one'));
    await w.poller.start();
    assert.deepEqual([w.evaluated, w.poller.status.state, w.poller.status.seen], [[], 'current', digest('one')]);
    await w.step();
    assert.equal(w.asked.at(-1)?.etag, '"1"', 'the validator is learned from an unchanged answer');
  });

  it('polls once more when it is asked during a poll, and never twice at once', async (t) => {
    let release = (): void => {};
    let atOnce = 0;
    let most = 0;
    let count = 0;
    const w = world(t, {
      evaluate: async () => {
        count += 1;
        atOnce += 1;
        most = Math.max(most, atOnce);
        await new Promise<void>((resolve) => (release = resolve));
        atOnce -= 1;
      },
    });
    w.script.tag = () => found(`n${count}`);
    const first = w.poller.start();
    await settled(w.poller);
    const others = [w.poller.pollNow(), w.poller.pollNow(), w.poller.pollNow()];
    release();
    await settled(w.poller);
    release();
    await Promise.all([first, ...others]);
    assert.deepEqual([count, most], [2, 1]);
    assert.equal(w.clock.pending.length, 1);
  });

  it('tells the world after every poll when the next one is due', async (t) => {
    const w = world(t);
    await w.poller.start();
    await w.step();
    assert.equal(w.seen.length, 2);
    assert.equal(w.seen[1]?.nextPollMs, w.clock.nowMs + (w.clock.pending[0] ?? 0));
  });

  it('survives a full disk or a bug in what it calls, reports it and tries again', async (t) => {
    const w = world(t);
    w.script.verdict = () => new TypeError('undefined is not a function');
    await w.poller.start();
    assert.deepEqual(
      [w.poller.status.state, w.poller.status.reason],
      ['failing', { code: 'internal', sentence: 'undefined is not a function' }],
    );
    w.script.verdict = () => undefined;
    await w.step();
    assert.deepEqual([w.poller.status.state, w.evaluated.length], ['current', 2]);
  });

  it('leaves nothing running when it is stopped, also in the middle of a poll', async (t) => {
    const w = world(t);
    const running = w.poller.start();
    await w.poller.stop();
    await running;
    assert.deepEqual(w.clock.pending, []);
    await w.poller.pollNow();
    assert.equal(w.evaluated.length, 1);
  });
});

describe('watching a directory', () => {
  it('finds a new bundle without waiting for the next poll', async (t) => {
    const layout = await temporaryLayout(t);
    await publishSigned(layout, bundle(1));
    const evaluated: Digest[] = [];
    let arrived = (): void => {};
    const second = new Promise<void>((resolve) => (arrived = resolve));
    const poller = new BundlePoller({
      source: layout,
      reference: 'latest',
      watch: layout.directory,
      evaluate: async (item) => {
        evaluated.push(item);
        if (evaluated.length === 2) arrived();
      },
    });
    t.after(() => poller.stop());
    await poller.start();
    await publishSigned(layout, bundle(2));
    // Far less than the 24 s of the next poll; fails by the test's own limit otherwise.
    await second;
    assert.deepEqual(evaluated, [bundle(1).digest, bundle(2).digest]);
  });

  it('looks for a directory that is not there yet as often as for a new bundle', async (t) => {
    const layout = await temporaryLayout(t);
    const clock = new ManualClock();
    const poller = new BundlePoller({
      source: OciLayout.at(`${layout.directory}-later`),
      reference: 'latest',
      watch: `${layout.directory}-later`,
      evaluate: async () => {},
      clock,
    });
    await poller.start();
    for (let i = 0; i < 5; i += 1) {
      assert.equal(poller.status.state, 'unreachable');
      assert.ok((clock.pending[0] ?? Number.POSITIVE_INFINITY) <= 30_000);
      clock.next();
      await poller.pollNow();
    }
    await rename(layout.directory, `${layout.directory}-later`);
    await poller.pollNow();
    assert.equal(poller.status.state, 'missing');
    await poller.stop();
  });

  it('begins when the directory appears, and ends with the poller', async (t) => {
    const layout = await temporaryLayout(t);
    const clock = new ManualClock();
    const poller = new BundlePoller({
      source: layout,
      reference: 'latest',
      watch: `${layout.directory}/absent`,
      evaluate: async () => {},
      clock,
    });
    await poller.start();
    assert.equal(poller.status.state, 'missing');
    await poller.stop();
    assert.deepEqual(clock.pending, []);
  });
});
