import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { ModeWord } from '../../snapshot/mode.ts';
import type { DependencyPlan } from '../../snapshot/snapshot.ts';
import { AddressProbe } from './address-probe.ts';
import { CLOCK_SETTLE_MS, ClockWatch, JUMP_MS_MIN } from './clock-watch.ts';
import { Degradation } from './degradation.ts';

function given(downAfterMs = 0, upAfterMs = 0, critical: readonly string[] = []) {
  const down = new Map<string, string>();
  const events: string[] = [];
  const time = { ms: 1_000 };
  const memory = ModeWord.create();
  const word = new ModeWord(memory);
  const degradation = new Degradation({
    memory,
    seen: {
      issuer: (id) => down.get(id) ?? null,
      cell: (id) => down.get(id) ?? null,
      part: (id) => down.get(id) ?? null,
    },
    event: (level, message, fields) => events.push(`${level} ${message} ${JSON.stringify(fields)}`),
    now: () => time.ms,
    tick: () => time.ms,
  });
  const dependencies = ['a', 'b', 'c'].map(
    (name, i): DependencyPlan => ({
      name,
      for: 'a test',
      critical: critical.includes(name),
      watch: { kind: (['issuer', 'cell', 'part'] as const)[i] ?? 'part', of: name },
    }),
  );
  const plan = { dependencies, downAfterMs, upAfterMs, retryAfterSeconds: 1 };
  degradation.activate(plan);
  return { down, events, time, word, degradation, plan };
}

test('none, one, two, a critical one', () => {
  const { down, word, degradation } = given(0, 0, ['c']);
  const at = (...names: readonly string[]): number => {
    down.clear();
    for (const name of names) down.set(name, 'gone');
    degradation.look();
    return word.now;
  };
  assert.equal(at(), 0);
  assert.equal(at('a'), 1);
  assert.equal(at('a', 'b'), 2);
  assert.equal(at('c'), 3);
  assert.equal(at('a', 'b', 'c'), 3);
  assert.equal(at('b'), 1);
  assert.equal(at(), 0);
});

test('what is down for a moment counts only after its time, and up likewise', () => {
  const { down, word, degradation, time, events } = given(3_000, 5_000);
  const look = (afterMs: number): number => {
    time.ms += afterMs;
    degradation.look();
    return word.now;
  };
  down.set('a', 'gone');
  assert.equal(look(1_000), 0);
  assert.equal(look(2_000), 0);
  down.clear();
  assert.equal(look(500), 0, 'back in between: it begins anew');
  down.set('a', 'gone');
  assert.equal(look(1_000), 0);
  assert.equal(look(3_000), 1);
  down.clear();
  assert.equal(look(1_000), 1);
  assert.equal(look(4_999), 1);
  assert.equal(look(1), 0);
  assert.deepEqual(events, [
    'warn dependency down {"dependency":"a","critical":false,"reason":"gone"}',
    'error mode changed {"from":"normal","to":"degraded","down":["a"]}',
    'info dependency up {"dependency":"a","critical":false}',
    'info mode changed {"from":"degraded","to":"normal","down":[]}',
  ]);
});

test('a new bundle forgets nothing of what it still names, and what it drops counts no more', () => {
  const { down, word, degradation, plan } = given(0, 0);
  down.set('a', 'gone');
  down.set('b', 'gone');
  degradation.look();
  assert.equal(word.now, 2);
  degradation.activate({ ...plan, dependencies: plan.dependencies.slice(0, 1), downAfterMs: 60_000 });
  assert.equal(word.now, 1);
  degradation.activate(undefined);
  assert.equal(word.now, 0);
  assert.deepEqual(degradation.view().dependencies, []);
});

test('the clock is in doubt after a jump either way, and trusted again after a while', () => {
  for (const jump of [JUMP_MS_MIN, -3_600_000]) {
    let wall = 1_000_000;
    let tick = 0;
    const clock = new ClockWatch(
      () => wall,
      () => tick,
    );
    const pass = (ms: number): string | null => {
      wall += ms;
      tick += ms;
      return clock.reason();
    };
    assert.equal(pass(1_000), null);
    wall += 100;
    assert.equal(pass(60_000), null, 'a slewed clock is no jump, nor is a long pause');
    wall += jump;
    assert.match(pass(1_000) ?? '', /has jumped by/);
    assert.match(pass(CLOCK_SETTLE_MS - 1_001) ?? '', /has jumped by/);
    assert.equal(pass(1_001), null);
  }
});

test('an address is looked at again and again', async () => {
  const server = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const probe = new AddressProbe(`127.0.0.1:${(server.address() as AddressInfo).port}`);
  const until = async (condition: () => boolean): Promise<void> => {
    while (!condition()) await new Promise((resolve) => setTimeout(resolve, 20));
  };
  await until(() => probe.reason === null);
  await new Promise((resolve) => server.close(resolve));
  await until(() => probe.reason !== null);
  assert.match(probe.reason ?? '', /ECONNREFUSED/);
  probe.stop();
});
