import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readBundle, type Part } from './bundle.ts';
import { Document, renderProblem } from './document.ts';

const cell = (id: string, region: string, more: object = {}): object => ({
  id,
  region,
  endpoints: [{ address: '10.0.0.1:80' }],
  ...more,
});
const route = { id: 'r', match: { path: { prefix: '/' } }, access: 'public', reason: 'for a test', cell: 'eu-1' };

function problems(cells: object, routes: readonly object[] = [route]): string[] {
  const documents = new Map<Part, Document>([
    ['cells', new Document('cells.yaml', JSON.stringify(cells))],
    ['routes', new Document('routes.yaml', JSON.stringify({ routes }))],
  ]);
  const result = readBundle(documents);
  return result.ok ? [] : result.problems.map(renderProblem);
}

const three = [cell('eu-1', 'eu', { standby: 'eu-2' }), cell('eu-2', 'eu'), cell('us-1', 'us')];

test('regions and standbys that fit together pass', () => {
  assert.deepEqual(problems({ cells: three, tenantRegions: { acme: ['eu'] }, pins: { acme: 'eu-2' } }), []);
  assert.deepEqual(problems({ cells: three, defaultRegions: ['eu', 'us'] }), []);
});

test('a standby is another cell that exists', () => {
  assert.match(problems({ cells: [cell('eu-1', 'eu', { standby: 'eu-1' })] }).join(), /stand in for itself/);
  assert.match(
    problems({ cells: [cell('eu-1', 'eu', { standby: 'eu-11' })] }).join(),
    /no cell "eu-11"; did you mean "eu-1"/,
  );
});

test('a tenant can be put nowhere outside of its regions', () => {
  const pinned = problems({ cells: three, tenantRegions: { acme: ['eu'] }, pins: { acme: 'us-1' } });
  assert.match(pinned.join(), /\/pins\/acme.*tenant "acme" may not be served in region us/);
  const byDefault = problems({ cells: three, defaultRegions: ['eu'], pins: { acme: 'us-1' } });
  assert.match(byDefault.join(), /\/pins\/acme/);
  const fixed = problems({ cells: three, tenantRegions: { acme: ['us'] } }, [{ ...route, tenant: { fixed: 'acme' } }]);
  assert.match(fixed.join(), /\/routes\/0\/cell.*region eu/);
});

test('regions are those of cells, and some cell in them takes tenants', () => {
  assert.match(problems({ cells: three, tenantRegions: { acme: ['ue'] } }).join(), /no cell is in region "ue"/);
  const none = problems({
    cells: [cell('eu-1', 'eu', { tenants: false }), cell('us-1', 'us')],
    tenantRegions: { acme: ['eu'] },
  });
  assert.match(none.join(), /no cell that takes tenants is in eu/);
});

test('more regions than there are bits are refused where tenants are kept to some', () => {
  const many = Array.from({ length: 32 }, (_, i) => cell(i === 0 ? 'eu-1' : `c${i}`, `r${i}`));
  assert.deepEqual(problems({ cells: many }), []);
  assert.match(problems({ cells: many, tenantRegions: { acme: ['r0'] } }).join(), /32 regions; at most 31/);
});

test('no bound of a guard lies beyond the one that it stands under', () => {
  const guarded = (more: object): string => problems({ cells: [cell('eu-1', 'eu', more)] }).join();
  const adaptive = (bounds: object): object => ({ bulkhead: { adaptive: bounds } });
  assert.match(
    guarded(adaptive({ minRequests: 50, maxRequests: 10 })),
    /\/cells\/0\/bulkhead\/adaptive\/minRequests: must not be greater than maxRequests \(10\)/,
  );
  assert.match(guarded(adaptive({ maxRequests: 4 })), /greater than maxRequests \(4\)/, 'also that of a default');
  assert.equal(guarded(adaptive({ minRequests: 10, maxRequests: 10 })), '');
  const ejected = (times: object): string => guarded({ outlierDetection: times });
  assert.match(
    ejected({ baseEjectionTimeMs: 400_000 }),
    /\/cells\/0\/outlierDetection\/baseEjectionTimeMs: must not be greater than maxEjectionTimeMs \(300000\)/,
  );
  assert.equal(ejected({ baseEjectionTimeMs: 300_000 }), '');
});
