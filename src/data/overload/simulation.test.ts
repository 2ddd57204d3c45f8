/** The real controller in a lane whose time is counted: what it serves, how long that takes, and what it turns away, for loads from half to three times of what can be served. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Prng } from '../../base/prng.ts';
import {
  type SimulatedAnswer,
  type SimulatedClient,
  type SimulatedLane,
  simulate,
} from '../../../test/harness/overload-lane.ts';

/** 2,000 requests a second; one that is turned away costs a tenth of one that is served. */
const LANE = { serveMs: 0.5, shedMs: 0.05 };
const PEAK = 1 / LANE.serveMs;
const UNTIL_MS = 12_000;

/** Requests that know nothing of each other, at so many times the peak. */
function independent(
  times: number,
  fromMs = 0,
  toMs = UNTIL_MS,
  more: Partial<SimulatedClient> = {},
): SimulatedClient[] {
  const prng = new Prng(5);
  const clients: SimulatedClient[] = [];
  for (let at = fromMs; ; ) {
    at -= Math.log(1 - prng.uint32() / 0x1_0000_0000) / (times * PEAK);
    if (at >= toMs) return clients;
    clients.push({ at, ...more });
  }
}

/** So many at once, again and again. */
function bursts(size: number, times: number): SimulatedClient[] {
  const clients: SimulatedClient[] = [];
  const everyMs = size / (times * PEAK);
  for (let at = 0; at < UNTIL_MS; at += everyMs) for (let i = 0; i < size; i++) clients.push({ at: at + i / 1_000 });
  return clients;
}

/** Clients that ask again after their answer, after up to so many ms. */
function loops(clients: number, thinkMs: number): SimulatedClient[] {
  return Array.from({ length: clients }, (_, i) => ({ at: i / 100, again: (random) => thinkMs * random }));
}

interface Outcome {
  /** Of what the lane could serve at best. */
  readonly served: number;
  readonly shed: number;
  readonly p99Ms: number;
  /** Of those that were turned away. */
  readonly refusedP99Ms: number;
}

function outcomeOf(answers: readonly SimulatedAnswer[], fromMs = 0): Outcome {
  const seen = answers.filter(({ at }) => at >= fromMs);
  const served = seen.filter((a) => a.served);
  const shed = seen.filter((a) => !a.served);
  const p99 = (of: readonly SimulatedAnswer[]): number =>
    of.map(({ ms }) => ms).sort((a, b) => a - b)[Math.floor((of.length - 1) * 0.99)] ?? 0;
  return {
    served: served.length / (UNTIL_MS - fromMs) / PEAK,
    shed: seen.length === 0 ? 0 : shed.length / seen.length,
    p99Ms: p99(served),
    refusedP99Ms: p99(shed),
  };
}

function run(clients: readonly SimulatedClient[], lane: Partial<SimulatedLane> = {}): Outcome {
  return outcomeOf(simulate({ ...LANE, ...lane }, clients, UNTIL_MS), 2_000);
}

test('what can be served is served: below the peak nothing is turned away, be it in bursts, from loops of clients or from slow upstreams', () => {
  for (const [name, clients, lane] of [
    ['half', independent(0.5), {}],
    ['0.95', independent(0.95), {}],
    ['bursts at 0.5', bursts(200, 0.5), {}],
    ['bursts at 0.85', bursts(200, 0.85), {}],
    ['250 clients that do not wait', loops(250, 0), {}],
    ['200 that do', loops(200, 100), {}],
    ['an upstream that takes two seconds', independent(0.9), { upstreamMs: 2_000 }],
    [
      'a thread that is without its core now and then',
      independent(0.4),
      {
        stolen: [
          [4_000, 4_150],
          [6_000, 6_120],
        ],
      },
    ],
  ] as const) {
    assert.equal(run(clients, lane).shed, 0, name);
  }
});

test('a thread that does not get its core has no longer line for that: few clients are never turned away, whoever else the machine works for', () => {
  for (const core of [0.5, 0.2, 0.1, 0.05]) {
    assert.equal(run(loops(30, 0), { core }).shed, 0, `30 clients, ${core} of a core`);
    assert.equal(run(loops(120, 0), { core }).shed, 0, `120 clients, ${core} of a core`);
    assert.equal(run(independent(0.9 * core), { core }).shed, 0, `what can be served with ${core} of a core`);
  }
  // Nine tenths of the time it stands still.
  const stolen = Array.from({ length: 24 }, (_, i) => [i * 500, i * 500 + 450] as const);
  assert.equal(run(loops(120, 0), { stolen }).shed, 0);
});

test('a thread that gets a part of a core turns away what is too much for that part', () => {
  for (const core of [0.7, 0.5, 0.3]) {
    const best = core - 2 * core * 0.1;
    const { served, p99Ms } = run(independent(2 * core), { core });
    assert.ok(served > 0.85 * best, `${core}: ${served} of ${best}`);
    assert.ok(p99Ms < 1_000, `${core}: ${p99Ms}`);
  }
});

test('beyond the peak it serves nearly what can be served beside turning the rest away, and in time', () => {
  for (const [times, withinMs] of [
    [1.1, 350],
    [1.5, 400],
    [2, 500],
    [3, 600],
  ] as const) {
    // Of each second, (1 - served) goes into turning away the rest at a tenth of the cost.
    const best = (1 - times * 0.1) / 0.9;
    for (const [name, clients] of [
      ['independent', independent(times)],
      ['bursts', bursts(200, times)],
    ] as const) {
      const { served, p99Ms, refusedP99Ms } = run(clients);
      assert.ok(served > 0.9 * best, `${name}, ${times}: ${served} of ${best}`);
      assert.ok(p99Ms < withinMs, `${name}, ${times}: ${p99Ms}`);
      assert.ok(refusedP99Ms < withinMs, `${name}, ${times}: ${refusedP99Ms}`);
    }
  }
});

test('with refusals that cost little, twice the peak leaves more than nine tenths of it', () => {
  const { served, p99Ms } = run(independent(2), { shedMs: 0.02 });
  assert.ok(served > 0.9, `${served}`);
  assert.ok(p99Ms < 500, `${p99Ms}`);
});

test('where a refusal costs three tenths of a request, twice the peak leaves what refusing the other half does not take', () => {
  const { served } = run(independent(2), { shedMs: 0.15 });
  assert.ok(served > 0.9 * ((1 - 2 * 0.3) / 0.7), `${served}`);
});

test('what is turned away unread is turned away as well, and twice the peak leaves what its cost allows', () => {
  for (const clients of [independent(2), bursts(200, 2)]) {
    const { served, p99Ms } = run(clients, { shedMs: 0.15, unreadMs: 0.05 });
    assert.ok(served > 0.9 * ((1 - 2 * 0.11) / 0.89), `${served}`);
    assert.ok(p99Ms < 600, `${p99Ms}`);
  }
});

test('unread or not: when the surge is over nobody is turned away after two seconds', () => {
  const lane = { ...LANE, unreadMs: 0.02 };
  const answers = simulate(lane, [...independent(2, 0, 6_000), ...independent(0.5, 6_000)], UNTIL_MS);
  assert.ok(outcomeOf(answers.filter(({ at }) => at < 6_000)).shed > 0.4);
  assert.equal(outcomeOf(answers, 8_000).shed, 0);
});

test('where turning away helps little, a part of what was served before goes on being served', () => {
  const { served } = run(independent(2), { shedMs: 0.25 });
  assert.ok(served > 0.25, `${served}`);
  const loop = run(loops(2_000, 0));
  assert.ok(loop.served > 0.35, `${loop.served}`);
});

test('a slow upstream under twice the peak costs nothing of what is served', () => {
  const { served, p99Ms } = run(independent(2), { upstreamMs: 100 });
  assert.ok(served > 0.84, `${served}`);
  assert.ok(p99Ms < 500, `${p99Ms}`);
});

test('when the surge is over nobody is turned away after two seconds', () => {
  const answers = simulate(LANE, [...independent(2, 0, 6_000), ...independent(0.5, 6_000)], UNTIL_MS);
  assert.ok(outcomeOf(answers.filter(({ at }) => at < 6_000)).shed > 0.4);
  assert.equal(outcomeOf(answers, 8_000).shed, 0);
});

test('under twice the peak the critical third is served whole and the sheddable third not at all', () => {
  const clients = [0, 1, 2].flatMap((priority) => independent(2 / 3, 0, UNTIL_MS, { class: priority }));
  const answers = simulate(LANE, clients, UNTIL_MS).filter(({ at }) => at > 2_000);
  const shed = [0, 1, 2].map((priority) => {
    const its = answers.filter(({ client }) => client.class === priority);
    return its.filter(({ served }) => !served).length / its.length;
  });
  assert.ok((shed[0] ?? 1) < 0.02, shed.join());
  assert.ok((shed[2] ?? 0) > 0.9, shed.join());
  assert.ok((shed[1] ?? 0) > 0.3 && (shed[1] ?? 1) < 0.9, shed.join());
});
