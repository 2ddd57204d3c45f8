/** A running admin side over real rings and columns, with a control that says what the test wants. */
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Admin, type AdminSetup } from '../../src/admin/admin.ts';
import type { ActiveBundle, ControlView } from '../../src/admin/control-view.ts';
import { endpointViews } from '../../src/admin/control-view.ts';
import { Observe } from '../../src/data/observe.ts';
import { EndpointColumns } from '../../src/snapshot/endpoint-columns.ts';
import { LaneColumns } from '../../src/snapshot/lane-columns.ts';
import { createRecords } from '../../src/snapshot/records.ts';
import { givenSnapshot } from './given.ts';

export const INSTANCE = '3f2a1b';
const RECORD_SLOTS = 1024;

export interface GivenControl {
  state: 'starting' | 'serving' | 'draining';
  active: ActiveBundle | null;
  laneRevision: number;
  seen: string | null;
  polls: number;
}

export function givenAdmin(
  t: { after(f: () => void | Promise<void>): void },
  lanes = 2,
  clocks: Pick<AdminSetup, 'now' | 'tick'> = { now: Date.now },
) {
  const snapshot = givenSnapshot();
  const columns = new EndpointColumns(EndpointColumns.create());
  const records = Array.from({ length: lanes }, () => createRecords(RECORD_SLOTS));
  const laneColumns = records.map(() => LaneColumns.create());
  const control: GivenControl = {
    state: 'serving',
    active: {
      digest: snapshot.digest,
      seq: snapshot.seq,
      revision: snapshot.revision,
      activatedAt: Date.UTC(2026, 10, 21),
      tookMs: 125,
      floor: 40,
      createdAt: '2026-11-20T00:00:00Z',
      direction: 'new',
      signers: ['ci-2026a'],
      expiresAt: Date.UTC(2027, 0, 1),
    },
    laneRevision: snapshot.revision,
    seen: snapshot.digest,
    polls: 0,
  };
  const view: ControlView = {
    state: () => control.state,
    active: () => control.active,
    source: () => ({
      text: 'oci:/srv/bundles',
      answering: 'oci:/srv/bundles',
      state: 'current',
      seen: control.seen,
      lastContactAt: Date.UTC(2026, 10, 21),
      nextPollAt: Date.UTC(2026, 10, 21, 0, 0, 30),
      lastError: null,
      overdue: false,
      stale: false,
      staleReason: null,
      fault: null,
    }),
    poll: async () => {
      control.polls += 1;
    },
    trust: () => ({
      product: 'edge',
      channel: 'prod',
      epoch: 2,
      rollback: 'tag',
      highestSeq: 42,
      floor: 40,
      keys: [{ id: 'ci-2026a', roles: ['builder'], status: 'active' }],
      refused: null,
    }),
    certificates: () => [
      { listener: 'edge', until: Date.UTC(2026, 11, 1), refused: null },
      { listener: 'mesh', until: Date.UTC(2026, 11, 2), refused: 'the key is not that of the certificate' },
    ],
    rollout: () => null,
    pin: () => null,
    audit: () => null,
    history: () => [],
    rolloutEnds: () => ({ promoted: 1, reverted: 0, superseded: 0 }),
    kept: () => [{ digest: snapshot.digest, seq: snapshot.seq, activatedAt: Date.UTC(2026, 10, 21) }],
    rejections: () => [
      {
        at: Date.UTC(2026, 10, 20),
        digest: 'sha256:00',
        seq: 40,
        step: 'verify',
        reason: 'no signature by a trusted key',
      },
    ],
    rejectionCounts: () => ({ pull: 0, verify: 1, compile: 0, activate: 0 }),
    policyLoadFailures: () => 2,
    lanes: () => records.map((_, lane) => ({ lane, state: 'serving', revision: control.laneRevision, restarts: 0 })),
    endpoints: () => endpointViews(snapshot, columns, lanes, Date.now()),
    discovery: () => ({
      sources: [
        {
          cell: 'eu-1',
          source: 'dns orders.internal:8080',
          state: 'stale',
          endpoints: 2,
          reason: 'no server has answered in time',
          at: Date.UTC(2026, 10, 21),
        },
      ],
      lookups: { answered: 5, denied: 1, failed: 2 },
    }),
    faults: () => ({ ejections: 2, overflows: 1, cells: [{ cell: 'eu', circuit: 'open', circuitChanges: 3 }] }),
    wafPool: () => ({ waiting: 3, threads: 1, utilization: 0.25, lentBodies: 2, lentBytes: 4096 }),
  };
  const dir = mkdtempSync(join(tmpdir(), 'cnx-admin-'));
  const file = join(dir, 'log');
  const fd = openSync(file, 'a');
  const admin = new Admin({
    instance: INSTANCE,
    version: '0.1.0',
    startedAt: Date.UTC(2026, 10, 21),
    ...clocks,
    records,
    laneColumns,
    control: view,
    logFd: fd,
    accessLog: true,
  });
  admin.learn(snapshot);
  const observers = records.map(
    (memory, i) =>
      new Observe({
        laneColumns: laneColumns[i] as SharedArrayBuffer,
        records: memory,
        tick: () => 5,
        onBug: () => undefined,
      }),
  );
  let closed = false;
  const close = async (): Promise<void> => {
    if (closed) return;
    closed = true;
    for (const observe of observers) observe.close();
    await admin.close(20_000);
    closeSync(fd);
  };
  t.after(async () => {
    await close();
    rmSync(dir, { recursive: true });
  });
  return {
    admin,
    snapshot,
    control,
    columns,
    laneColumns,
    observers,
    file,
    /** Closes everything and gives the lines of the log. */
    closedLog: async () => {
      await close();
      return readFileSync(file, 'utf8').trimEnd().split('\n');
    },
  };
}

export async function get(url: string, headers: Record<string, string> = {}, method = 'GET') {
  const answer = await fetch(url, { headers, method, redirect: 'manual' });
  return { status: answer.status, headers: answer.headers, body: await answer.text() };
}
