import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { FirstEntries, KEPT_PATH_MAX } from './first-entry.ts';

/** Another answer for every question; counts them. */
function router(): { asked: number; routerFind(table: number, host: string, path: string, bit: number): number } {
  const answers = new Map<string, number>();
  return {
    asked: 0,
    routerFind(table, host, path, bit) {
      this.asked++;
      const question = JSON.stringify([table, host, path, bit]);
      answers.set(question, answers.get(question) ?? answers.size);
      return answers.get(question) ?? -1;
    },
  };
}

test('whatever was asked before, the answer is the router’s', () => {
  const path = fc.oneof(
    // Some of these share a place.
    fc.constantFrom('/', '/a', '/b', '/aa', '/abca', '/bbca'),
    fc.nat({ max: 99 }).map((n) => `/${n}`),
    fc.constantFrom('/x'.repeat(KEPT_PATH_MAX / 2), '/x'.repeat(KEPT_PATH_MAX)),
  );
  const question = fc.tuple(fc.nat({ max: 2 }), fc.constantFrom('', 'a', 'b'), path, fc.constantFrom(1, 2, 512));
  fc.assert(
    fc.property(fc.array(question, { maxLength: 60 }), (questions) => {
      const truth = router();
      const lately = new FirstEntries(truth);
      for (const [table, host, text, bit] of questions)
        assert.equal(lately.of(table, host, text, bit), truth.routerFind(table, host, text, bit));
    }),
  );
});

test('what is asked again is known', () => {
  const truth = router();
  const lately = new FirstEntries(truth);
  for (let i = 0; i < 10; i++) for (const path of ['/orders', '/orders/7', '/']) lately.of(1, 'shop', path, 1);
  assert.equal(truth.asked, 3);
});
