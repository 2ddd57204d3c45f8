import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildRing } from '../../snapshot/ring.ts';
import type { RoutePlan } from '../../snapshot/route-plans.ts';
import type { Snapshot } from '../../snapshot/snapshot.ts';
import { testPaths, TestWire, testExchange, testRoute } from '../../../test/harness/wire.ts';
import type { Exchange } from '../exchange.ts';
import type { Revision } from '../lane/revision.ts';
import { Verdict } from '../verdict.ts';
import { Route } from './route.ts';

function revision(ids: readonly string[], pins: readonly (readonly [string, number])[] = []): Revision {
  const ring = buildRing(ids.map((id, index) => ({ id, index })));
  return { snapshot: { ring, pins: new Map(pins) } as Partial<Snapshot> } as Revision;
}

function enter(
  stage: Route,
  at: Revision,
  over: Partial<RoutePlan>,
  tenant = 'acme',
  secure = true,
): Exchange & { verdict: Verdict } {
  const wire = new TestWire({ secure, ...(tenant === '' ? {} : { headers: ['t', tenant] }) });
  const x = testExchange(wire, at, testRoute({ cell: -1, tenant: { from: 'header', name: 't' }, ...over }));
  return Object.assign(x, { verdict: stage.enter(x) });
}

const ring = revision(['cell-a', 'cell-b']);
/** Worked out apart from the code with sha256sum: acme is at 822b33ad87c148a0, and the next position clockwise, 8239566f1527479c, is cell-b:vnode:77. */
const PLACE = 1;

test('the ring places a tenant', () => {
  const x = enter(new Route(testPaths), ring, {});
  assert.equal(x.verdict, Verdict.Next);
  assert.equal(x.cell, PLACE);
  assert.equal(x.tenant, 'acme');
});

test('a pin goes before the ring, the route’s own cell before a pin', () => {
  const other = 1 - PLACE;
  const pinned = revision(['cell-a', 'cell-b'], [['acme', other]]);
  assert.equal(enter(new Route(testPaths), pinned, {}).cell, other);
  const x = enter(new Route(testPaths), pinned, { cell: 7 });
  assert.equal(x.cell, 7);
  assert.equal(x.tenant, 'acme', 'limits and records still know the tenant');
});

test('a route that asks for a tenant refuses who has none, also with a cell of its own', () => {
  for (const cell of [-1, 0]) {
    const x = enter(new Route(testPaths), ring, { cell }, '');
    assert.equal(x.verdict, Verdict.Refuse);
    assert.equal(x.refusal?.code, 'tenant_unknown');
    assert.equal(x.detail, 'no tenant in header');
  }
});

test('a tenant of the server name is that of requests for this name only', () => {
  for (const [serverName, host, code] of [
    ['ACME.shop.example', 'acme.shop.example', undefined],
    ['acme.shop.example', 'globex.shop.example', 'misdirected'],
    ['acme.shop.example', 'acme.shop.example.test', 'misdirected'],
    ['', 'acme.shop.example', 'tenant_unknown'],
  ] as const) {
    const wire = new TestWire({ secure: true, serverName });
    const x = testExchange(wire, ring, testRoute({ cell: -1, tenant: { from: 'sni', label: 0 } }));
    x.host = host;
    new Route(testPaths).enter(x);
    assert.equal(x.refusal?.code, code, host);
  }
});

test('without tenants a fixed cell is enough, and nothing is a refusal', () => {
  assert.equal(enter(new Route(testPaths), ring, { tenant: null, cell: 1 }).cell, 1);
  assert.equal(enter(new Route(testPaths), ring, { tenant: null }).refusal?.code, 'tenant_unknown');
});

test('no cell on the ring is a refusal', () => {
  assert.equal(enter(new Route(testPaths), revision([]), {}).refusal?.code, 'cell_unavailable');
});

test('what a lane remembers belongs to one revision, while two run side by side', () => {
  const stage = new Route(testPaths);
  const pinned = revision(['cell-a', 'cell-b'], [['acme', 1 - PLACE]]);
  for (let i = 0; i < 3; i++) {
    assert.equal(enter(stage, ring, {}).cell, PLACE);
    assert.equal(enter(stage, pinned, {}).cell, 1 - PLACE);
  }
});

test('a redirect needs neither tenant nor cell; over TLS a redirect to https goes on instead', () => {
  const respond = { ...testRoute().respond, redirect: { status: 308, to: 'https' as const, httpsPort: 443 } };
  const plain = enter(new Route(testPaths), ring, { respond }, '', false);
  assert.equal(plain.verdict, Verdict.Next);
  assert.equal(plain.cell, -1);
  assert.equal(enter(new Route(testPaths), ring, { respond }, '', true).refusal?.code, 'tenant_unknown');
  assert.equal(enter(new Route(testPaths), ring, { respond }, 'acme', true).cell, PLACE);
});

test('a tenant that is kept to regions lives in the first cell of them clockwise; a pin goes before', () => {
  const at = (regions: number, pins: readonly (readonly [string, number])[] = []): Revision => {
    const { snapshot } = revision(['cell-a', 'cell-b'], pins);
    const cells = [{ regionBit: 1 }, { regionBit: 2 }] as Partial<Snapshot['cells'][number]>[] as Snapshot['cells'];
    return {
      snapshot: { ...snapshot, cells, regions: { tenants: new Map([['acme', regions]]), others: -1 } } as Snapshot,
    } as Revision;
  };
  const stage = new Route(testPaths);
  for (const cell of [0, 1]) {
    const x = enter(stage, at(1 << cell), {});
    assert.equal(x.cell, cell);
    assert.equal(x.regions, 1 << cell);
  }
  assert.equal(enter(stage, at(3), {}).cell, PLACE, 'as without restrictions when both are allowed');
  assert.equal(enter(stage, at(1), {}, 'globex').regions, -1);
  assert.equal(enter(stage, at(1, [['acme', 0]]), {}).cell, 0);
  const nowhere = enter(stage, at(4), {});
  assert.equal(nowhere.refusal?.code, 'cell_unavailable');
  assert.match(nowhere.detail, /regions of acme/);
});
