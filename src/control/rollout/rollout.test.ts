import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Document } from '../../config/document.ts';
import { RolloutConfig } from '../../config/rollout.ts';
import { validate } from '../../config/validate.ts';
import { LaneColumns } from '../../snapshot/lane-columns.ts';
import type { Snapshot } from '../../snapshot/snapshot.ts';
import type { VerifiedBundle } from '../trust/verify.ts';
import { Rollout } from './rollout.ts';

const HOUR_MS = 3_600_000;

test('a soak ends by time that has passed, whatever is done to the clock', async (t) => {
  const text = 'plan: staged\nsoakMs: 60000\nsamplesMin: 0';
  const config = validate(RolloutConfig, new Document('rollout.yaml', text));
  assert.ok(config.ok);
  let now = Date.UTC(2026, 10, 23);
  let tick = 1_000;
  const snapshot = (revision: number): Snapshot => ({ revision, cells: [] }) as unknown as Snapshot;
  const rollout = new Rollout({
    config: config.value,
    hashKey: '',
    laneColumns: [LaneColumns.create()],
    divide: () => Promise.resolve(snapshot(2)),
    share: () => Promise.resolve(),
    decide: () => Promise.resolve(null),
    active: () => snapshot(1),
    ended: () => Promise.resolve(),
    event: () => undefined,
    now: () => now,
    tick: () => tick,
  });
  t.after(() => rollout.close());
  const bundle = { digest: 'sha256:aa', direction: 'new', release: { seq: 2 } } as unknown as VerifiedBundle;
  await rollout.begin(bundle, new AbortController().signal, () => undefined);
  for (const jump of [HOUR_MS, -2 * HOUR_MS]) {
    now += jump;
    assert.equal(rollout.view()?.waitsFor, 'the soak');
  }
  tick += 60_000;
  assert.equal(rollout.view()?.waitsFor, null);
});
