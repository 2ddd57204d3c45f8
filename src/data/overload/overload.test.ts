import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Prng } from '../../base/prng.ts';
import { Count, LaneColumns, REQUEST_CLASSES } from '../../snapshot/lane-columns.ts';
import type { PagePlan } from '../../snapshot/respond-plans.ts';
import { TestWire, testExchange, testRoute } from '../../../test/harness/wire.ts';
import type { Exchange } from '../exchange.ts';
import { Verdict } from '../verdict.ts';
import { Overload } from './overload.ts';
import { classOf, highestClass } from './request-class.ts';
import { Shares } from './shares.ts';

const NOW = 1_800_000_000_000;
const plan = { enabled: true, delayTargetMs: 50, heapPercent: 90 };
const prng = new Prng(3);

/** A lane that gets requests and looks at itself every 100 ms. */
class Lane {
  readonly columns = new LaneColumns(LaneColumns.create());
  readonly overload: Overload;
  now = NOW;

  constructor(more: Partial<typeof plan> = {}) {
    this.overload = new Overload({ ...plan, ...more }, this.columns, 99);
  }

  look(waitMs: number, more: { readonly heap?: number; readonly open?: number; readonly unread?: number } = {}): void {
    this.now += 100;
    this.overload.look({
      now: this.now,
      waitMs,
      heap: more.heap ?? 0.1,
      open: more.open ?? 500,
      unread: more.unread ?? 0,
    });
  }

  request(
    o: { readonly class?: number; readonly tenant?: string; readonly header?: string; readonly address?: string } = {},
  ): Exchange {
    const wire = new TestWire({ headers: o.header === undefined ? [] : ['x-class', o.header] });
    const priority = o.class === undefined ? {} : { priority: { class: o.class, header: 'x-class' } };
    const x = testExchange(wire, {}, { ...testRoute(), ...priority });
    x.now = this.now;
    x.random = prng.uint32();
    x.clientAddress = o.address ?? '192.0.2.1';
    x.tenant = o.tenant ?? '';
    return x;
  }

  /** Share of so many requests that is turned away. */
  shed(count: number, o: Parameters<Lane['request']>[0] = {}): number {
    let n = 0;
    for (let i = 0; i < count; i++) if (this.overload.admit(this.request(o)) === Verdict.Refuse) n++;
    return n / count;
  }
}

test('without a queue nothing is turned away, with one that grows a growing share, and afterwards nothing again', () => {
  const lane = new Lane();
  lane.look(10);
  assert.equal(lane.shed(100), 0);
  lane.look(120);
  assert.equal(lane.overload.shed, 0, 'one look beyond the target is a pause');
  const seen: number[] = [];
  for (let i = 0; i < 4; i++) {
    lane.shed(100);
    lane.look(130 + 10 * i);
    seen.push(lane.overload.shed);
  }
  assert.ok(
    seen.every((share, i) => share > (seen[i - 1] ?? 0)),
    seen.join(),
  );
  assert.ok(Math.abs(lane.shed(2_000) - lane.overload.shed) < 0.06);
  for (let i = 0; i < 10; i++) {
    lane.shed(20);
    lane.look(0);
  }
  assert.equal(lane.overload.shed, 0, 'within a second');
});

test('never all of it, however long it lasts', () => {
  const lane = new Lane();
  for (let i = 0; i < 100; i++) {
    lane.shed(50);
    lane.look(5_000);
  }
  assert.ok(lane.overload.shed < 1);
  assert.ok(lane.shed(2_000) < 1);
});

test('the lowest class goes first, the highest last', () => {
  const lane = new Lane();
  const shares = [0, 0, 0];
  const until = (share: number): void => {
    for (let i = 0; i < 200 && lane.overload.shed < share; i++) {
      for (let c = 0; c < 3; c++) lane.shed(200, { class: c });
      lane.look(lane.overload.shed < share ? 60 : 50);
    }
  };
  until(0.2);
  assert.ok(lane.overload.shed < 0.32);
  for (let c = 0; c < 3; c++) shares[c] = lane.shed(200, { class: c });
  assert.deepEqual([shares[0], shares[1]], [0, 0]);
  assert.ok((shares[2] ?? 0) > 0.5, shares.join());
  until(0.45);
  assert.ok(lane.overload.shed < 0.62);
  for (let c = 0; c < 3; c++) shares[c] = lane.shed(200, { class: c });
  assert.deepEqual([shares[0], shares[2]], [0, 1]);
  assert.ok((shares[1] ?? 0) > 0.3, shares.join());
  assert.ok((lane.columns.counts[Count.ShedSheddable] ?? 0) > (lane.columns.counts[Count.ShedDefault] ?? 0));
  assert.equal(lane.columns.counts[Count.ShedCritical], 0);
});

test('most of what no class is spared from is turned away unread, and in all as much of each class as if all were read', () => {
  for (const [highest, asking] of [
    [-1, [1, 2]],
    [0, [0, 1, 2]],
    [1, [1]],
    [1, [1, 2]],
    [2, [2]],
  ] as const) {
    for (const target of [0.3, 0.6, 0.9]) {
      const [some, read] = [new Lane(), new Lane()];
      some.overload.setHighest(highest);
      const rounds = 400;
      const shares = [some, read].map((lane) => {
        const shed = [0, 0, 0];
        let unread = 0;
        for (let round = -100; round < rounds; round++) {
          const away = { before: unread, ofClass: [0, 0, 0] };
          for (const its of asking)
            for (let i = 0; i < 60; i++) {
              const goesUnread = prng.uint32() / 2 ** 32 < lane.overload.unread;
              if (goesUnread) unread++;
              const refused = goesUnread || lane.overload.admit(lane.request({ class: its })) === Verdict.Refuse;
              if (refused) away.ofClass[its] = (away.ofClass[its] ?? 0) + 1;
            }
          if (round >= 0)
            for (const its of asking) shed[its] = (shed[its] ?? 0) + (away.ofClass[its] ?? 0) / 60 / rounds;
          lane.look(lane.overload.shed < target ? 60 : 45, { unread: unread - away.before });
        }
        assert.equal(lane.columns.counts[Count.ShedUnread], unread);
        assert.equal(unread > 0, lane === some && (shed[highest] ?? 0) > 0.05, `${highest} ${asking.join()} ${target}`);
        return shed;
      });
      for (const its of asking) {
        const [a = 0, b = 0] = shares.map((shed) => shed[its]);
        assert.ok(Math.abs(a - b) < 0.06, `class ${its} of ${asking.join()}, ${target}: ${a} and ${b}`);
      }
    }
  }
});

test('where a page stands in the place of the refusal, all are read', () => {
  const page = (on: string): PagePlan => ({ on: [on], bodies: { text: [] } });
  assert.equal(highestClass({ highestClass: 1 }), 1);
  assert.equal(highestClass({ highestClass: 0, pages: [page('404'), page('upstream_reset')] }), 0);
  for (const on of ['shed', '503', '5xx'])
    assert.equal(highestClass({ highestClass: 1, pages: [page('404'), page(on)] }), -1);
});

test('a header may lower the class of a request, never raise it', () => {
  const lane = new Lane();
  const of = (route: number, header?: string): string =>
    REQUEST_CLASSES[classOf(lane.request({ class: route, ...(header === undefined ? {} : { header }) }))] as string;
  assert.equal(of(1), 'default');
  assert.equal(of(1, 'sheddable'), 'sheddable');
  assert.equal(of(1, 'critical'), 'default');
  assert.equal(of(2, 'critical'), 'sheddable');
  assert.equal(of(0, 'nonsense'), 'critical');
});

test('who is turned away is told when to come again, and why is in the record', () => {
  const lane = new Lane();
  for (let i = 0; i < 30; i++) lane.look(500);
  for (let i = 0; i < 100; i++) {
    const x = lane.request();
    if (lane.overload.admit(x) !== Verdict.Refuse) continue;
    assert.equal(x.refusal?.code, 'shed');
    assert.match(x.detail, /^shed: the lane is overloaded, and the request has class default$/);
    assert.deepEqual((x.wire as TestWire).answerEdits, ['set retry-after: 1']);
    return;
  }
  assert.fail('nobody was turned away');
});

test('under pressure a tenant above its fair share goes first', () => {
  const lane = new Lane();
  const shed = { loud: 0, quiet: 0 };
  for (let window = 0; window < 40; window++) {
    const loud = lane.shed(100, { tenant: 'loud' });
    let quiet = 0;
    for (let t = 0; t < 10; t++) quiet += lane.shed(10, { tenant: `quiet-${t}` });
    if (window >= 25) {
      shed.loud += loud / 15;
      shed.quiet += quiet / 150;
    }
    lane.look(window < 10 ? 110 : 50);
  }
  assert.ok(shed.loud > 0.5, `${shed.loud}`);
  assert.ok(shed.quiet < 0.1, `${shed.quiet}`);
});

test('whoever has a network of IPv6 has one share, however many of its addresses ask', () => {
  const lane = new Lane();
  const shed = { loud: 0, quiet: 0 };
  for (let window = 0; window < 40; window++) {
    let loud = 0;
    for (let i = 0; i < 100; i++) loud += lane.shed(1, { address: `2001:db8:0:1::${i.toString(16)}` });
    let quiet = 0;
    for (let t = 0; t < 10; t++) quiet += lane.shed(10, { address: `2001:db8:0:${t + 2}::1` });
    if (window >= 25) {
      shed.loud += loud / 1_500;
      shed.quiet += quiet / 150;
    }
    lane.look(window < 10 ? 110 : 50);
  }
  assert.ok(shed.loud > 0.5, `${shed.loud}`);
  assert.ok(shed.quiet < 0.1, `${shed.quiet}`);
});

test('a thread that comes late with few requests is not overloaded by them', () => {
  const lane = new Lane();
  for (let i = 0; i < 20; i++) lane.look(1_000, { open: 31 });
  assert.equal(lane.overload.shed, 0);
});

test('a heap that stays nearly full is pressure, unless hardly anybody asks', () => {
  const lane = new Lane();
  for (const heap of [0.89, 0.91, 0.89, 0.91]) {
    lane.look(0, { heap });
    assert.equal(lane.overload.shed, 0, 'garbage was collected');
  }
  lane.look(0, { heap: 0.91 });
  assert.ok(lane.overload.shed > 0);
  const quiet = new Lane();
  for (let i = 0; i < 20; i++) quiet.look(0, { heap: 1, open: 31 });
  assert.equal(quiet.overload.shed, 0);
});

test('the highest class is not turned away before it is known that the others do not suffice', () => {
  const lane = new Lane();
  for (let i = 0; i < 30; i++) lane.look(500);
  assert.ok(lane.overload.shed > 0.5, 'nobody has come yet');
  assert.equal(lane.shed(100, { class: 0 }), 0);
});

test('switched off it admits everything', () => {
  const lane = new Lane({ enabled: false });
  for (let i = 0; i < 20; i++) lane.look(1_000, { heap: 1 });
  assert.equal(lane.shed(200), 0);
});

test('shares are told apart by the second before, in fixed room', () => {
  const shares = new Shares(7);
  const round = (now: number): { loud: boolean; quiet: boolean } => {
    let loud = false;
    let quiet = false;
    for (let i = 0; i < 200; i++) loud = shares.take('loud', now + i) || loud;
    for (let i = 0; i < 50; i++) quiet = shares.take(`quiet-${i % 10}`, now + 200 + i) || quiet;
    return { loud, quiet };
  };
  assert.deepEqual(round(NOW), { loud: false, quiet: false });
  assert.deepEqual(round(NOW + 1_000), { loud: true, quiet: false });
  assert.deepEqual(round(NOW + 9_000), { loud: false, quiet: false }, 'what was long ago does not count');
  for (let i = 0; i < 50_000; i++) shares.take(`key-${i}`, NOW + 20_000);
});
