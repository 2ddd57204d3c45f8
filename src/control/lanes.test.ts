import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { setImmediate } from 'node:timers/promises';
import { test } from 'node:test';
import { stillUsed } from '../data/lane/revision.ts';
import { EndpointColumns } from '../snapshot/endpoint-columns.ts';
import type { ListenerPlan, ListenerTls } from '../snapshot/listener-plans.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import { type LaneBase, Lanes, type LanesParts, recent, RESTART_WINDOW_MS, sharesOf, usedNowhere } from './lanes.ts';

test('a request that lasts holds back its own revision, not those that came and went after it', () => {
  const revisions = [{ open: 1 }, { open: 0 }, { open: 0 }, { open: 2 }, { open: 0 }];
  const [, second = null, , , last = null] = revisions;
  assert.deepEqual(stillUsed(revisions, [last, null]), [revisions[0], revisions[3], last]);
  assert.deepEqual(stillUsed(revisions, [last, second]), [revisions[0], second, revisions[3], last], 'both live stay');

  const lanes = [
    { revision: 5, rival: 0, inUse: [1, 4, 5] },
    { revision: 5, rival: 0, inUse: [5] },
  ];
  assert.deepEqual(
    [1, 2, 3, 4, 5].filter((revision) => usedNowhere(lanes, { active: 5, rival: 0 }, revision)),
    [2, 3],
  );
});

test('what a lane may still be given is not given back: it starts anew, or has not answered yet', () => {
  const given = { active: 5, rival: 0 };
  const idle = { revision: 5, rival: 0, inUse: [5] };
  assert.equal(usedNowhere([idle, { revision: 0, rival: 0, inUse: [] }], given, 4), false);
  assert.equal(usedNowhere([idle, { revision: 4, rival: 0, inUse: [4] }], given, 4), false);
});

test('a candidate is used while it is live, and is given back when all lanes have let go of it', () => {
  const dividing = { revision: 5, rival: 6, inUse: [5, 6] };
  assert.equal(usedNowhere([dividing], { active: 5, rival: 6 }, 6), false);
  assert.equal(usedNowhere([dividing], { active: 5, rival: 0 }, 6), false, 'the lane has not answered yet');
  assert.equal(usedNowhere([{ revision: 5, rival: 0, inUse: [5, 6] }], { active: 5, rival: 0 }, 6), false, 'it drains');
  assert.equal(usedNowhere([{ revision: 5, rival: 0, inUse: [5] }], { active: 5, rival: 0 }, 6), true);
});

test('a restart counts for a minute, and is then forgotten though the lane does not die again', () => {
  const at = 1_800_000_000_000;
  assert.deepEqual(recent([at, at + 10_000], at + RESTART_WINDOW_MS - 1), [at, at + 10_000]);
  assert.deepEqual(recent([at, at + 10_000], at + RESTART_WINDOW_MS), [at + 10_000]);
  assert.deepEqual(recent([at, at + 10_000], at + 10 * RESTART_WINDOW_MS), []);
});

test('inherited sockets are all taken, as evenly as can be', () => {
  const shares = (laneCount: number): number[][] =>
    Array.from({ length: laneCount }, (_, lane) => sharesOf([5, 0, 2], lane, laneCount));
  assert.deepEqual(shares(1), [[5, 0, 2]]);
  assert.deepEqual(shares(2), [
    [3, 0, 1],
    [2, 0, 1],
  ]);
  assert.deepEqual(shares(3), [
    [2, 0, 1],
    [2, 0, 1],
    [1, 0, 0],
  ]);
});

/** Two lanes that are no more than a script. */
function scripted(script: string, base: object, more: Partial<LanesParts> = {}): Lanes {
  const none = new SharedArrayBuffer(8);
  const never = (): never => assert.fail('this happens to no lane here');
  return new Lanes({
    base: { laneCount: 2, ...base } as LaneBase,
    memory: [0, 1].map(() => ({ laneColumns: none, records: none })),
    entry: new URL(`data:text/javascript,${encodeURIComponent(script)}`),
    columns: new EndpointColumns(EndpointColumns.create()),
    onWafPort: (port) => port.close(),
    onUnknownKid: never,
    onRetired: () => undefined,
    onBug: never,
    onLaneFailed: never,
    onMirrorDiffers: never,
    onInvalidated: never,
    onFatal: never,
    ...more,
  });
}

/** The second lane does not answer to revision 2; all note what they were given, in the order in which it came. */
const DEAF = `
  import { parentPort, workerData } from 'node:worker_threads';
  const { laneIndex, given } = workerData;
  parentPort.on('message', (m) => {
    if (m.kind === 'close') process.exit(0);
    const { revision } = m.snapshot;
    if (m.kind === 'activate') given[laneIndex] = revision;
    if (revision === 2 && laneIndex === 1) return;
    parentPort.postMessage({ kind: m.kind === 'activate' ? 'activated' : 'divided', revision, share: m.share });
  });
`;

test('what one lane does not take, none keeps', { timeout: 60_000 }, async (t) => {
  const given = new Int32Array(new SharedArrayBuffer(8));
  const lanes = scripted(DEAF, { given });
  t.after(() => lanes.close());
  const snapshot = (revision: number): Snapshot => ({ revision }) as Partial<Snapshot> as Snapshot;
  await lanes.activate(snapshot(1));
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const second = assert.rejects(lanes.activate(snapshot(2)), /lane 1 did not answer "activate"/);
  while (lanes.status()[0]?.revision !== 2) await setImmediate();
  t.mock.timers.tick(30_000);
  await second;
  t.mock.timers.reset();
  while (lanes.status().some(({ revision }) => revision !== 1) || given.some((revision) => revision !== 1))
    await setImmediate();
  await lanes.activate(snapshot(3));
  assert.deepEqual(
    lanes.status().map(({ revision }) => revision),
    [3, 3],
  );
});

/** A lane that says what it is told, and keeps its answer about certificates until it is given keys if it is the first. */
const SCRIPTED_LANE = `
  import { parentPort, workerData } from 'node:worker_threads';
  const say = (m) => parentPort.postMessage(m);
  const told = (what) => say({ kind: 'bug', stage: what, id: '', message: '', stack: '' });
  let held = null;
  parentPort.on('message', (m) => {
    told(m.kind);
    if (m.kind === 'activate') say({ kind: 'activated', revision: m.snapshot.revision });
    if (m.kind === 'listen') say({ kind: 'listening', ports: m.listeners.map(() => 1) });
    if (m.kind === 'tls' && workerData.laneIndex === 0) held = { kind: 'tlsTaken', listener: m.listener };
    else if (m.kind === 'tls') say({ kind: 'tlsTaken', listener: m.listener });
    if (m.kind === 'keys' && held !== null) say(held);
    if (m.kind === 'fault') process.exit(1);
    if (m.kind === 'close') parentPort.close();
  });
`;

test('a lane that is started anew while the first one tries other certificates gets them as well', async () => {
  const told: string[] = [];
  const heard = new EventEmitter();
  const until = async (what: string, times = 1): Promise<void> => {
    while (told.filter((one) => one === what).length < times) await once(heard, 'told');
  };
  const lanes = scripted(
    SCRIPTED_LANE,
    {},
    {
      onBug: (lane, { stage }) => {
        told.push(`${lane} ${stage}`);
        heard.emit('told');
      },
      onLaneFailed: () => undefined,
    },
  );
  await lanes.activate({ revision: 1 } as Snapshot);
  await lanes.listen([{ id: 'edge', port: 0 } as ListenerPlan]);
  const taken = lanes.setTls('edge', {} as ListenerTls);
  await until('0 tls');
  lanes.fault(1);
  await until('1 listen', 2);
  lanes.publishKeys('nobody', '');
  await taken;
  assert.deepEqual(
    told.filter((one) => one.endsWith(' tls')),
    ['0 tls', '1 tls'],
  );
  await lanes.close();
});
