import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { HoltWinters, SEASON } from './holt-winters.ts';

const AHEAD = 3;
const day = (bucket: number): number => 100 + 80 * Math.sin((2 * Math.PI * bucket) / SEASON);

/** Feeds a series; gives the mean error of what was predicted three buckets ahead in the last day, and the mean value. */
function fed(
  series: (bucket: number) => number,
  buckets: number,
  from = 6_000_000,
): { error: number; mean: number; model: HoltWinters } {
  const model = new HoltWinters();
  let error = 0;
  let mean = 0;
  for (let b = from; b < from + buckets; b++) {
    model.observe(b, series(b));
    if (b < from + buckets - SEASON) continue;
    error += Math.abs((model.forecast(AHEAD) ?? 0) - series(b + AHEAD)) / SEASON;
    mean += series(b) / SEASON;
  }
  return { error, mean, model };
}

test('nothing is predicted of nothing, and what is constant stays', () => {
  const model = new HoltWinters();
  assert.equal(model.forecast(AHEAD), null);
  for (let b = 0; b < 2 * SEASON; b++) {
    model.observe(b, 42);
    assert.ok(Math.abs((model.forecast(AHEAD) ?? 0) - 42) < 1e-9);
  }
});

test('a day like the ones before it is predicted within 2 percent', () => {
  const { error, mean, model } = fed(day, 4 * SEASON);
  assert.equal(model.seasonal, true);
  assert.ok(error < 0.02 * mean, `${error} of ${mean}`);
});

test('a jump that comes every day at the same time is seen before it comes', () => {
  // Three times the load from the 100th bucket of the day on, for two hours.
  const shop = (b: number): number => (b % SEASON >= 100 && b % SEASON < 124 ? 300 : 100);
  const from = 6_000_000 - (6_000_000 % SEASON);
  const { model } = fed(shop, 4 * SEASON + 98, from);
  const predicted = model.forecast(AHEAD) ?? 0;
  assert.ok(predicted > 200, `15 minutes before: ${predicted}`);
  assert.ok((model.forecast(1) ?? 0) < 150, 'and not yet for five');
});

test('what grows from day to day is followed, and noise does not throw it off', () => {
  const noise = (b: number): number => ((b * 7_919) % 101) / 101 - 0.5;
  const { error, mean } = fed((b) => day(b) + (b - 6_000_000) * 0.02 + 20 * noise(b), 5 * SEASON);
  assert.ok(error < 0.1 * mean, `${error} of ${mean}`);
});

test('before a day has been seen, level and trend alone predict', () => {
  const { model } = fed((b) => 10 + (b - 6_000_000), 100);
  assert.equal(model.seasonal, false);
  const predicted = model.forecast(AHEAD) ?? 0;
  assert.ok(predicted > 95 && predicted < 125, `${predicted} after 109`);
});

test('a gap changes nothing of the time of day', () => {
  const { model } = fed(day, 3 * SEASON);
  const last = 6_000_000 + 3 * SEASON - 1;
  // Half a day and a bit later.
  const back = last + 150;
  model.observe(back, day(back));
  assert.ok(Math.abs((model.forecast(AHEAD) ?? 0) - day(back + AHEAD)) < 20);
});

test('a state that was kept goes on as if nothing had been, and what is no state is refused', () => {
  const { model } = fed(day, 2 * SEASON);
  const again = new HoltWinters();
  assert.equal(again.restore(JSON.parse(JSON.stringify(model.state()))), true);
  for (let b = 6_000_000 + 2 * SEASON; b < 6_000_000 + 3 * SEASON; b++) {
    model.observe(b, day(b));
    again.observe(b, day(b));
    assert.equal(again.forecast(AHEAD), model.forecast(AHEAD));
  }
  const good = model.state();
  for (const bad of [
    null,
    1,
    {},
    { ...good, level: 'x' },
    { ...good, season: [1] },
    { ...good, first: 5, last: 1 },
    { ...good, season: good.season.map(() => 'x') },
  ])
    assert.equal(new HoltWinters().restore(bad), false);
});

test('whatever comes, what is predicted is a number that is not negative', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.integer({ min: -5, max: 700 }), fc.double()), { maxLength: 400 }), (steps) => {
      const model = new HoltWinters();
      let bucket = 1_000;
      for (const [step, value] of steps) {
        bucket += step;
        model.observe(bucket, Math.min(value, 1e9));
        const predicted = model.forecast(AHEAD);
        assert.ok(predicted === null || (Number.isFinite(predicted) && predicted >= 0), `${predicted}`);
      }
      assert.equal(model.state().season.length, SEASON);
    }),
  );
});
