import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CellPlan } from '../../snapshot/cell-plans.ts';
import { EndpointColumns } from '../../snapshot/endpoint-columns.ts';
import type { Snapshot } from '../../snapshot/snapshot.ts';
import type { CellSource, EndpointTemplate } from '../compile/endpoint-template.ts';
import { EndpointSlots, SLOT_REST_MS } from '../health/slots.ts';
import type { FileEndpoint } from './endpoints-file.ts';
import { Membership } from './membership.ts';

const template: EndpointTemplate = {
  tls: null,
  capacity: 1,
  connectionsMax: 1,
  pendingMax: null,
  http2: false,
  weight: 1,
  zone: '',
  priority: 0,
  passHost: false,
  stickySecret: '',
};
const sources: readonly CellSource[] = [{ cell: 0, cellId: 'c', from: { kind: 'file', name: 'f' }, template }];

test('a cell that is short of rows says so, and gets them when they have rested, though its source says nothing new', () => {
  let passed = 0;
  const slots = new EndpointSlots({
    columns: new EndpointColumns(EndpointColumns.create()),
    laneCount: 1,
    now: Date.now,
    tick: () => passed,
    capacity: 1,
  });
  const former = slots.lease(['another cell/127.0.0.1:1']);
  const endpoints: readonly FileEndpoint[] = [{ address: '127.0.0.1:8080' }];
  const told: string[] = [];
  const membership = new Membership(
    {
      cells: [{ id: 'c', endpoints: [] } as Partial<CellPlan> as CellPlan],
      endpoints: [],
    } as Partial<Snapshot> as Snapshot,
    sources,
    {
      slots,
      sources: { found: () => [], endpoints: () => endpoints },
      event: (_, message) => told.push(message),
    },
  );
  assert.deepEqual(membership.refresh(), []);
  assert.ok(membership.short);
  assert.deepEqual(told, ['the endpoints of a cell stay as they were']);
  former.release();
  passed += SLOT_REST_MS;
  assert.deepEqual(
    membership.refresh().map(({ came }) => came.map(({ identity }) => identity)),
    [['c/f/127.0.0.1:8080']],
  );
  assert.ok(!membership.short);
});
