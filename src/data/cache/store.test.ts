/** What is stored, for how long, for whom; and who waits for a fetch. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { CachePlan } from '../../snapshot/route-plans.ts';
import type { Exchange } from '../exchange.ts';
import { REFUSALS } from '../refusal.ts';
import type { KeptBody, UpstreamAnswer, Wire } from '../transport/transport.ts';
import { BodyKind } from '../transport/transport.ts';
import { StoredBody } from './body.ts';
import type { Place } from './caching.ts';
import { requestDirectives } from './directives.ts';
import { PASSED_MS, Flights, WAITERS_MAX } from './flights.ts';
import { covers } from './serve.ts';
import { AnswerStore, used, VARIANTS_MAX } from './store.ts';
import {
  ageOf,
  type Asked,
  contradicts,
  type StoredAnswer,
  storedHead,
  TAGS_MAX,
  validated,
  withBody,
} from './stored.ts';
import { inWindow, isFailure, usable, usableOnError } from './usable.ts';

const NOW = Date.UTC(2026, 10, 21, 12);
const PLAN: CachePlan = {
  bodyBytesMax: 1000,
  staleWhileRevalidateMs: 0,
  staleIfErrorMs: 0,
  setCookie: 'skip',
  requestDirectives: true,
  collapseTimeoutMs: 1000,
};
const NO_EDITS = { set: [], add: [], remove: [] };
const asked = (over: Partial<Asked> = {}): Asked => ({
  plan: PLAN,
  credentials: false,
  range: '',
  askedAt: NOW,
  edits: NO_EDITS,
  requestField: () => undefined,
  ...over,
});

/** The bytes that a wire is given. */
function textOf(body: StoredBody): string {
  let text = 'gone';
  const wire: Pick<Wire, 'answer'> = { answer: (_status, _type, bytes) => void (text = Buffer.from(bytes).toString()) };
  body.answer(wire as Wire, 200, '', 0, body.length);
  return text;
}

/** An answer as it is stored; fails when it is not. */
function stored(fields: readonly string[], over: Partial<Asked> = {}, body = 'body', status = 200): StoredAnswer {
  const head = storedHead(asked(over), { status, fields, at: NOW });
  assert.ok(!('why' in head), JSON.stringify(head));
  return withBody(head, StoredBody.of(Buffer.from(body)));
}

function why(fields: readonly string[], over: Partial<Asked> = {}, status = 200): string | null {
  const head = storedHead(asked(over), { status, fields, at: NOW });
  return 'why' in head ? head.why : null;
}

const MAX_AGE = ['cache-control', 'max-age=10'];
const ASKS_NOTHING = requestDirectives(undefined);

describe('what is stored', () => {
  it('is neither the answer to a condition, nor one to a range but the range', () => {
    assert.equal(why(MAX_AGE, {}, 304), 'status');
    assert.equal(why(MAX_AGE, { range: 'bytes=0-' }, 416), 'partial');
    assert.equal(why(MAX_AGE, {}, 206), 'partial');
    assert.equal(why([...MAX_AGE, 'content-range', 'bytes 0-1/*'], { range: 'bytes=0-' }, 206), 'partial');
    assert.equal(why([...MAX_AGE, 'content-range', 'bytes 0-1/4'], { range: 'bytes=0-1' }, 206), null);
  });

  it('can be used at some time, fresh, validated or stale', () => {
    assert.equal(why(['cache-control', 'max-age=0']), 'stale');
    assert.equal(why(['cache-control', 'no-cache']), 'stale');
    assert.equal(why(['cache-control', 'no-cache', 'etag', '"a"']), null);
    assert.equal(why(['cache-control', 'max-age=0, stale-if-error=5']), null);
    assert.equal(why(['cache-control', 'max-age=0'], { plan: { ...PLAN, staleIfErrorMs: 5 } }), null);
    assert.equal(why([...MAX_AGE, 'age', '20']), 'stale');
    assert.equal(why([...MAX_AGE, 'vary', '*']), 'vary');
  });

  it('can be written again beside what the route writes', () => {
    const many = (count: number): string[] => [
      ...MAX_AGE,
      ...Array.from({ length: count }, (_, i) => [`x-${i}`, 'v']).flat(),
    ];
    assert.equal(why(many(43)), null);
    assert.equal(why(many(44)), 'fields');
    assert.equal(why(many(43), { edits: { ...NO_EDITS, remove: ['a'] } }), 'fields');
    assert.equal(why([...MAX_AGE, 'x', 'v'.repeat(11_000)]), 'fields');
  });

  it('has tags of both kinds, up to a bound', () => {
    assert.deepEqual(stored([...MAX_AGE, 'cache-tag', 'A, b', 'surrogate-key', 'c b']).tags, ['a', 'b', 'c']);
    const many = Array.from({ length: 100 }, (_, i) => `t${i}`).join();
    assert.equal(stored([...MAX_AGE, 'cache-tag', many]).tags.length, TAGS_MAX);
  });

  it('loses the cookie when the route strips it, and fields that no-cache names', () => {
    const fields = ['cache-control', 'max-age=9, no-cache="x-a"', 'set-cookie', 'a', 'x-a', '1', 'x-b', '2'];
    const kept = stored(fields, { plan: { ...PLAN, setCookie: 'strip' } }).fields;
    assert.deepEqual(kept, ['cache-control', 'max-age=9, no-cache="x-a"', 'x-b', '2']);
  });
});

describe('when it is used', () => {
  const at = (seconds: number): number => NOW + seconds * 1000;
  it('fresh ones are, stale ones when the request or the answer allows it', () => {
    const answer = stored(['cache-control', 'max-age=10, stale-while-revalidate=5, stale-if-error=7', 'age', '2']);
    assert.equal(ageOf(answer, at(3)), 5);
    assert.deepEqual(
      [7, 8].map((s) => usable(answer, at(s), ASKS_NOTHING)),
      [true, false],
    );
    assert.deepEqual(
      [7, 8, 13, 14].map((s) => inWindow(answer, at(s), ASKS_NOTHING)),
      [false, true, true, false],
    );
    assert.deepEqual(
      [15, 16].map((s) => usableOnError(answer, at(s))),
      [true, false],
    );
    const asks = (text: string, s: number): boolean => usable(answer, at(s), requestDirectives(text));
    assert.deepEqual([asks('max-stale=3', 11), asks('max-stale=3', 12), asks('max-stale', 999)], [true, false, true]);
    assert.deepEqual([asks('min-fresh=8', 0), asks('min-fresh=9', 0)], [true, false]);
    assert.deepEqual(
      [asks('max-age=2', 0), asks('max-age=2', 1), asks('max-age=0', 0), asks('no-cache', 0)],
      [true, false, false, false],
    );
  });

  it('must-revalidate and s-maxage never serve stale, no-cache never without asking', () => {
    for (const strict of ['max-age=1, must-revalidate', 's-maxage=1', 'max-age=1, proxy-revalidate']) {
      const answer = stored(['cache-control', `${strict}, stale-if-error=60, stale-while-revalidate=60`]);
      assert.deepEqual([usableOnError(answer, at(2)), inWindow(answer, at(2), ASKS_NOTHING)], [false, false], strict);
      assert.equal(usable(answer, at(2), requestDirectives('max-stale')), false, strict);
    }
    const asking = stored(['cache-control', 'no-cache, max-age=60', 'etag', '"a"']);
    assert.deepEqual([usable(asking, NOW, ASKS_NOTHING), usableOnError(asking, NOW)], [false, false]);
  });

  it('takes the place of failures of the upstream only', () => {
    assert.equal(isFailure(REFUSALS.upstream_reset), true);
    assert.equal(isFailure(REFUSALS.no_endpoint), true);
    for (const row of [REFUSALS.waf_blocked, REFUSALS.overloaded, REFUSALS.body_too_large])
      assert.equal(isFailure(row), false);
  });

  it('a part serves its own range and those within', () => {
    const part = stored([...MAX_AGE, 'content-range', 'bytes 4-7/20'], { range: 'bytes=4-7' }, 'abcd', 206);
    assert.deepEqual(
      ['', 'bytes=4-7', 'bytes=5-6', 'bytes=3-6', 'bytes=4-8'].map((range) => covers(part, range)),
      [false, true, true, false, false],
    );
  });
});

describe('what the upstream says of it later', () => {
  it('a 304 freshens fields and age, and keeps the body', () => {
    const before = stored([...MAX_AGE, 'etag', '"a"', 'x-a', '1', 'x-b', '1']);
    const after = validated(before, asked({ askedAt: NOW + 60_000 }), {
      status: 304,
      fields: ['x-a', '2', 'age', '3'],
      at: NOW + 60_000,
    });
    assert.ok(!('why' in after));
    assert.deepEqual(after.fields, ['cache-control', 'max-age=10', 'etag', '"a"', 'x-b', '1', 'x-a', '2']);
    assert.equal(after.body, before.body);
    assert.equal(usable(after, NOW + 61_000, ASKS_NOTHING), true);
    assert.deepEqual(validated(before, asked(), { status: 304, fields: ['cache-control', 'private'], at: NOW }), {
      why: 'private',
    });
  });

  it('an answer to HEAD that is another shows that it is not what it was', () => {
    const answer = stored([...MAX_AGE, 'etag', '"a"']);
    const head = (fields: string[], status = 200, length?: string): boolean =>
      contradicts(answer, { status, fields, at: NOW }, length);
    assert.equal(head(['etag', '"a"'], 200, '4'), false);
    assert.equal(head([]), false);
    assert.equal(head(['etag', '"b"']), true);
    assert.equal(head([], 410), true);
    assert.equal(head([], 200, '5'), true);
  });
});

describe('the store', () => {
  const at = (target: string, scope = 's', host = 'h'): Place => ({ host, target, scope });
  const byLanguage = (value: string): StoredAnswer =>
    stored([...MAX_AGE, 'vary', 'accept-language'], { requestField: () => value }, value);
  const bodies = (store: AnswerStore, scope = 's'): string[] =>
    store
      .held(at('/a', scope))
      .map(({ answer }) => textOf(answer.body))
      .reverse();

  it('keeps variants beside each other and replaces the same one; scopes share nothing', () => {
    const store = new AnswerStore(100_000, 10);
    store.put(at('/a'), byLanguage('en'));
    store.put(at('/a'), byLanguage('de'));
    store.put(at('/a'), byLanguage('en'));
    assert.deepEqual(bodies(store), ['en', 'de']);
    assert.deepEqual(bodies(store, 'other'), []);
    store.put(at('/a'), stored(MAX_AGE, {}, 'all'));
    assert.deepEqual(bodies(store), ['all', 'en', 'de']);
    store.put(at('/a'), byLanguage('fr'));
    assert.deepEqual(bodies(store), ['fr', 'en', 'de']);
  });

  it('is bounded by bytes, addresses and variants', () => {
    const store = new AnswerStore(3_000, 3);
    for (let i = 0; i < 9; i++) store.put(at(`/${i}`), stored(MAX_AGE));
    assert.deepEqual([store.size, store.evicted], [3, 6]);
    assert.equal(store.put(at('/big'), stored(MAX_AGE, {}, 'x'.repeat(4_000))), false);
    for (let i = 0; i < 9; i++) store.put(at(`/${i}`), stored(MAX_AGE, {}, 'x'.repeat(2_000)));
    assert.equal(store.size, 1);
    assert.ok(store.bytes <= 3_000);
    const wide = new AnswerStore(10_000_000, 3);
    for (let i = 0; i < VARIANTS_MAX + 9; i++) wide.put(at('/a'), byLanguage(`l${i}`));
    assert.equal(bodies(wide).length, VARIANTS_MAX);
  });

  it('of one address, variants that nobody asked for again go before others do, and only those of the same scope', () => {
    const store = new AnswerStore(10_000_000, 10);
    store.put(at('/a', 'other'), byLanguage('theirs'));
    store.put(at('/a'), byLanguage('wanted'));
    for (const one of store.held(at('/a'))) used(one);
    for (let i = 0; i < 5 * VARIANTS_MAX; i++) store.put(at('/a'), byLanguage(`made-${i}`));
    assert.deepEqual(bodies(store, 'other'), ['theirs']);
    // What was wanted once, long ago, has no more weight than the rest.
    assert.equal(bodies(store).includes('wanted'), false);
    store.put(at('/a'), byLanguage('wanted'));
    const wanted = (): void => {
      for (const one of store.held(at('/a'))) if (textOf(one.answer.body) === 'wanted') used(one);
    };
    for (let i = 0; i < 5 * VARIANTS_MAX; i++) {
      if (i % 8 === 0) wanted();
      store.put(at('/a'), byLanguage(`again-${i}`));
    }
    assert.deepEqual(bodies(store).at(-1), 'wanted');
    assert.equal(store.size, 1);
    assert.equal(store.purge({ by: 'address', host: 'h', target: '/a' }), VARIANTS_MAX + 1);
    assert.deepEqual([store.size, store.bytes], [0, 0]);
  });

  it('what replaces a variant is as wanted as that was', () => {
    const store = new AnswerStore(10_000_000, 10);
    store.put(at('/a'), byLanguage('en'));
    for (const one of store.held(at('/a'))) used(one);
    store.put(at('/a'), byLanguage('en'));
    for (let i = 0; i < VARIANTS_MAX; i++) store.put(at('/a'), byLanguage(`made-${i}`));
    assert.equal(bodies(store).at(-1), 'en');
  });

  it('variants of one address that are too much together go one by one', () => {
    const store = new AnswerStore(5_000, 10);
    for (let i = 0; i < 9; i++) store.put(at('/a'), byLanguage(`l${i}`.padEnd(500, 'x')));
    const left = bodies(store);
    assert.ok(left.length > 1 && left.length < 9, `${left.length}`);
    assert.ok(left[0]?.startsWith('l8') === true && store.bytes <= 5_000);
  });

  it('forgets what a purge names and nothing else', () => {
    const store = new AnswerStore(100_000, 10);
    const fill = (): void => {
      for (const target of ['/a', '/a/b', '/ab'])
        store.put(at(target), stored([...MAX_AGE, 'cache-tag', target.slice(1)]));
      store.put(at('/a', 's', 'other'), stored(MAX_AGE));
    };
    fill();
    assert.equal(store.purge({ by: 'address', host: 'h', target: '/a' }), 1);
    assert.deepEqual([store.size, bodies(store)], [3, []]);
    fill();
    assert.equal(store.purge({ by: 'prefix', host: 'h', target: '/a/' }), 1);
    assert.equal(store.purge({ by: 'tag', tag: 'ab' }), 1);
    assert.equal(store.purge({ by: 'tag', tag: 'unknown' }), 0);
    assert.equal(store.purge({ by: 'all' }), 2);
    assert.deepEqual([store.size, store.bytes], [0, 0]);
  });
});

describe('bodies that the transport keeps', () => {
  /** A transport of which only this is used. */
  class Keeper {
    readonly kept = new Map<number, string>();
    #last = 0;
    keep(bytes: Uint8Array): KeptBody {
      const number = ++this.#last;
      this.kept.set(number, Buffer.from(bytes).toString());
      return {
        number,
        length: bytes.length,
        letGo: () => assert.ok(this.kept.delete(number), 'let go of twice'),
      };
    }
    /** The answer that a body makes; null: it is gone. */
    answer(body: StoredBody, from = 0, to = body.length): string | null {
      let text = '';
      const wire: Pick<Wire, 'answer' | 'keepBody' | 'answerKept'> = {
        keepBody: (bytes) => this.keep(bytes),
        answerKept: (_status, _type, { number }, a, b) => {
          text = this.kept.get(number)?.slice(a, b) ?? '';
          return this.kept.has(number);
        },
        answer: (_status, _type, bytes) => void (text = Buffer.from(bytes).toString()),
      };
      return body.answer(wire as Wire, 200, '', from, to) ? text : null;
    }
    stored(body: StoredBody, fields = MAX_AGE): StoredAnswer {
      const head = storedHead(asked(), { status: 200, fields, at: NOW });
      assert.ok(!('why' in head));
      return withBody(head, body);
    }
    came(text: string): StoredBody {
      const answer: Pick<UpstreamAnswer, 'bodyKind' | 'keepBody'> = {
        bodyKind: BodyKind.Length,
        keepBody: () => this.keep(Buffer.from(text)),
      };
      return StoredBody.ofAnswer(answer as UpstreamAnswer);
    }
  }
  const place: Place = { host: 'h', target: '/a', scope: 's' };

  it('are let go of once, however the answer goes', () => {
    const ways: ((store: AnswerStore, answer: StoredAnswer) => void)[] = [
      (store, answer) => store.drop(place, answer),
      (store) => void store.purge({ by: 'all' }),
      (store) => void store.purge({ by: 'address', host: 'h', target: '/a' }),
      (store) => void store.put(place, stored(MAX_AGE)),
      (store) => void store.put({ ...place, target: '/b' }, stored(MAX_AGE)),
      (store) => {
        for (let i = 0; i < VARIANTS_MAX; i++)
          store.put(place, stored([...MAX_AGE, 'vary', 'x'], { requestField: () => `${i}` }));
      },
    ];
    for (const [i, way] of ways.entries()) {
      const keeper = new Keeper();
      const store = new AnswerStore(10_000_000, 1);
      const body = keeper.came('text');
      const answer = keeper.stored(body);
      assert.equal(store.put(place, answer), true);
      body.letGo();
      assert.equal(keeper.kept.size, 1);
      assert.equal(keeper.answer(answer.body, 1, 3), 'ex');
      way(store, answer);
      assert.equal(keeper.kept.size, 0, `way ${i}`);
      assert.equal(keeper.answer(answer.body), null);
    }
  });

  it('are let go of when there is no room to store them', () => {
    const keeper = new Keeper();
    const body = keeper.came('x'.repeat(1000));
    assert.equal(new AnswerStore(600, 1).put(place, keeper.stored(body)), false);
    body.letGo();
    assert.equal(keeper.kept.size, 0);
  });

  it('serve whoever holds them after the store has let go, and the head that a 304 made', () => {
    const keeper = new Keeper();
    const store = new AnswerStore(10_000_000, 1);
    const body = keeper.came('text');
    const answer = keeper.stored(body, [...MAX_AGE, 'etag', '"a"']);
    store.put(place, answer);
    body.letGo();
    answer.body.hold();
    store.purge({ by: 'all' });
    assert.equal(keeper.answer(answer.body), 'text');
    const fresh = validated(answer, asked(), { status: 304, fields: [], at: NOW });
    assert.ok(!('why' in fresh));
    store.put(place, fresh);
    answer.body.letGo();
    assert.equal(keeper.answer(fresh.body), 'text');
    store.drop(place, fresh);
    assert.equal(keeper.kept.size, 0);
  });

  it('move there at the first use when they came without a wire', () => {
    const keeper = new Keeper();
    const body = StoredBody.of(Buffer.from('text'));
    assert.deepEqual([keeper.answer(body), keeper.answer(body, 1, 2), keeper.kept.size], ['text', 'e', 1]);
    body.letGo();
    assert.equal(keeper.kept.size, 0);
    const empty = StoredBody.of(new Uint8Array(0));
    assert.deepEqual([keeper.answer(empty), keeper.kept.size], ['', 0]);
  });
});

describe('fetches that others wait for', () => {
  const exchange = (ticket: number): Exchange => ({ ticket, now: NOW }) as Exchange;
  function flights() {
    const woken: number[] = [];
    const tasks: (() => void)[] = [];
    const made = new Flights(
      (_x, ticket) => void woken.push(ticket),
      (task) => void tasks.push(task),
    );
    const run = (): void => {
      for (const task of tasks.splice(0)) task();
    };
    return { made, woken, run };
  }

  it('wake all at the end, after the running call', () => {
    const { made, woken, run } = flights();
    const flight = made.begin('k', NOW);
    assert.ok(flight !== null);
    assert.equal(made.begin('k', NOW), null);
    assert.equal(made.wait('k', exchange(1), 1000), true);
    assert.equal(made.wait('k', exchange(2), 1000), true);
    assert.equal(made.wait('other', exchange(3), 1000), false);
    made.end(flight, true, NOW);
    assert.deepEqual([woken, made.waiting], [[], 0]);
    run();
    assert.deepEqual(woken, [1, 2]);
    made.end(flight, true, NOW);
    assert.ok(made.begin('k', NOW) !== null);
  });

  it('are not waited for where nothing could be stored, for a while', () => {
    const { made } = flights();
    const flight = made.begin('k', NOW);
    assert.ok(flight !== null);
    made.end(flight, false, NOW);
    assert.equal(made.begin('k', NOW + PASSED_MS - 1), null);
    assert.ok(made.begin('k', NOW + PASSED_MS) !== null);
  });

  it('let go who has waited long enough, and forget who has left', () => {
    const { made, woken } = flights();
    made.begin('k', NOW);
    const left = exchange(1);
    made.wait('k', left, 1000);
    made.wait('k', exchange(2), 500);
    made.wait('k', exchange(3), 1000);
    left.ticket = 9;
    made.sweep(NOW + 500);
    assert.deepEqual([woken, made.waiting], [[1, 2], 1]);
    made.sweep(NOW + 1000);
    assert.deepEqual([woken, made.waiting], [[1, 2, 3], 0]);
  });

  it('have a bound', () => {
    const { made } = flights();
    made.begin('k', NOW);
    for (let i = 0; i < WAITERS_MAX; i++) assert.equal(made.wait('k', exchange(i), 1000), true);
    assert.equal(made.wait('k', exchange(0), 1000), false);
  });
});
