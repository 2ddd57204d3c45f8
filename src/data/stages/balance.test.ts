import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EndpointColumns } from '../../snapshot/endpoint-columns.ts';
import type { CellPlan, EndpointPlan } from '../../snapshot/cell-plans.ts';
import type { Snapshot } from '../../snapshot/snapshot.ts';
import { TestWire, testExchange, testRoute } from '../../../test/harness/wire.ts';
import type { Exchange } from '../exchange.ts';
import { FailReason } from '../transport/transport.ts';
import { CellMembers } from '../upstream/cell-members.ts';
import { Chooser } from '../upstream/choose.ts';
import { EndpointUse } from '../upstream/endpoint-use.ts';
import { Verdict } from '../verdict.ts';
import { Balance } from './balance.ts';

const health = { alpha: 0.3, latencyGoodMs: 50, latencyBadMs: 500, errorBad: 0.05 };

function given(): { columns: EndpointColumns; use: EndpointUse; stage: Balance; exchange: () => Exchange } {
  const columns = new EndpointColumns(EndpointColumns.create());
  const use = new EndpointUse(columns, 0);
  const endpoints = [0, 1].map(
    (slot): EndpointPlan => ({
      slot,
      identity: `c/${slot}`,
      cell: 0,
      host: 'h',
      port: 1,
      tls: null,
      capacity: 4,
      connectionsMax: 4,
      http2: false,
    }),
  );
  const cells: CellPlan[] = [{ id: 'c', region: '', endpoints: [0, 1], health, probe: null }];
  const exchange = (): Exchange => {
    const x = testExchange(
      new TestWire(),
      { snapshot: { cells, endpoints } as Partial<Snapshot> as Snapshot, members: [new CellMembers(endpoints)] },
      testRoute(),
    );
    x.cell = 0;
    return x;
  };
  return { columns, use, stage: new Balance(new Chooser(columns, 1), use), exchange };
}

test('the chosen endpoint is taken: known to the exchange and counted as in flight', () => {
  const { columns, stage, exchange } = given();
  const x = exchange();
  assert.equal(stage.enter(x), Verdict.Next);
  assert.equal(x.attempts, 1);
  assert.equal(columns.inflightOf(x.endpoint?.slot ?? -1, 1), 1);
});

test('eight requests share two endpoints of four, the ninth is refused', () => {
  const { stage, exchange } = given();
  const slots = Array.from({ length: 8 }, () => {
    const x = exchange();
    assert.equal(stage.enter(x), Verdict.Next);
    return x.endpoint?.slot;
  });
  assert.equal(slots.filter((s) => s === 0).length, 4);
  const x = exchange();
  assert.equal(stage.enter(x), Verdict.Refuse);
  assert.equal(x.refusal?.code, 'no_endpoint');
  assert.match(x.detail, /capacity/);
});

test('after a refused connection the same exchange goes to the other endpoint, and so does everybody', () => {
  const { use, stage, exchange } = given();
  const x = exchange();
  stage.enter(x);
  const first = x.endpoint?.slot ?? -1;
  use.failed(x, FailReason.Connect);
  x.failed.add(first);
  assert.equal(stage.enter(x), Verdict.Next);
  assert.equal(x.endpoint?.slot, 1 - first);
  for (let i = 0; i < 3; i++) {
    const next = exchange();
    assert.equal(stage.enter(next), Verdict.Next);
    assert.equal(next.endpoint?.slot, 1 - first);
  }
});

test('both refused: the exchange is refused, and so is the next one', () => {
  const { use, stage, exchange } = given();
  const x = exchange();
  stage.enter(x);
  use.failed(x, FailReason.Connect);
  stage.enter(x);
  use.failed(x, FailReason.Connect);
  const next = exchange();
  assert.equal(stage.enter(next), Verdict.Refuse);
  assert.equal(next.refusal?.code, 'no_endpoint');
  assert.match(next.detail, /down/);
});

test('an exchange without a cell (a redirect) passes', () => {
  const { stage, exchange } = given();
  const x = exchange();
  x.cell = -1;
  assert.equal(stage.enter(x), Verdict.Next);
  assert.equal(x.endpoint, null);
});
