import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { TestWire, testExchange, testRoute, type WireOptions } from '../../../test/harness/wire.ts';
import { native } from '../../native.ts';
import { METHOD_BITS_ALL, type RouterRoute } from '../../native/router.ts';
import type { RoutePlan } from '../../snapshot/route-plans.ts';
import type { Snapshot } from '../../snapshot/snapshot.ts';
import { type Exchange, METHOD_OTHER, METHODS } from '../exchange.ts';
import type { Revision } from '../lane/revision.ts';
import { REFUSALS } from '../refusal.ts';
import { Verdict } from '../verdict.ts';
import { CANDIDATES_MAX, MatchStage } from './match.ts';

type Given = readonly [Partial<RouterRoute>, Partial<RoutePlan>];
const handles: number[] = [];
after(() => {
  for (const handle of handles) native().routerDrop(handle);
});

/** What a revision of these routes would answer match. */
function revisionOf(given: readonly Given[]): Partial<Revision> {
  const plans = given.map(([, plan], index) => testRoute({ id: `r${index}`, index, ...plan }));
  const { handle, problems } = native().routerCompile(
    given.map(([route], i) => ({
      id: `r${i}`,
      hosts: ['*'],
      kind: 'prefix',
      path: '/',
      methods: METHOD_BITS_ALL,
      headerPredicates: (plans[i]?.headers.length ?? 0) > 0,
      priority: plans[i]?.headers.length ?? 0,
      ...route,
    })),
  );
  assert.deepEqual(problems, []);
  handles.push(handle);
  return {
    snapshot: { router: handle } as Snapshot,
    entries: native().routerRoutes(handle),
    route: (index: number) => plans[index] as RoutePlan,
  };
}

function ask(revision: Partial<Revision>, options: WireOptions): { x: Exchange; wire: TestWire; verdict: Verdict } {
  const wire = new TestWire(options);
  const x = testExchange(wire, revision);
  x.host = wire.host;
  x.path = wire.path;
  const code = METHODS.findIndex((m) => m === wire.method);
  x.methodCode = code < 0 ? METHOD_OTHER : code;
  return { x, wire, verdict: new MatchStage(native()).enter(x) };
}

function chosen(revision: Partial<Revision>, options: WireOptions): string {
  const { x, verdict } = ask(revision, options);
  return verdict === Verdict.Next ? (x.route?.id ?? 'none') : (x.refusal?.code ?? 'no refusal');
}

describe('match', () => {
  it('takes the most specific route whose header predicates hold', () => {
    const revision = revisionOf([
      [{}, {}],
      [{ path: '/api' }, { headers: [{ name: 'x-canary', value: 'yes', not: false }] }],
      [{ path: '/api' }, {}],
      [
        { path: '/api' },
        {
          headers: [
            { name: 'x-canary', value: 'yes', not: false },
            { name: 'x-old', value: null, not: true },
          ],
        },
      ],
      [{ path: '/only' }, { headers: [{ name: 'x-key', value: null, not: false }] }],
    ]);
    assert.equal(chosen(revision, { path: '/api/a' }), 'r2');
    assert.equal(chosen(revision, { path: '/api/a', headers: ['x-canary', 'yes'] }), 'r3');
    assert.equal(chosen(revision, { path: '/api/a', headers: ['x-canary', 'yes', 'x-old', ''] }), 'r1');
    assert.equal(chosen(revision, { path: '/api/a', headers: ['x-canary', 'no'] }), 'r2');
    assert.equal(chosen(revision, { path: '/only', headers: ['x-key', ''] }), 'r4');
    assert.equal(chosen(revision, { path: '/only' }), 'r0');
  });

  it('sees every field of a repeated name', () => {
    const revision = revisionOf([[{}, { headers: [{ name: 'x-env', value: 'test', not: true }] }]]);
    assert.equal(chosen(revision, { headers: ['x-env', 'prod'] }), 'r0');
    assert.equal(chosen(revision, { headers: ['x-env', 'prod', 'x-env', 'test'] }), 'no_route');
  });

  it('is not led by what a client says in the place of a claim: the token is read later', () => {
    const revision = revisionOf([
      [{}, {}],
      [{}, { headers: [{ name: 'x-plan', value: 'gold', not: false }] }],
      [{ path: '/open' }, { headers: [{ name: 'x-user', value: null, not: true }] }],
    ]);
    const { snapshot } = revision as { snapshot: { issuers: unknown } };
    const headers = ['x-plan', 'gold', 'x-user', 'root'];
    assert.deepEqual([chosen(revision, { headers }), chosen(revision, { headers, path: '/open' })], ['r1', 'r1']);
    snapshot.issuers = [{ claimHeaders: ['plan', 'x-plan', 'sub', 'x-user'] }];
    assert.deepEqual([chosen(revision, { headers }), chosen(revision, { headers, path: '/open' })], ['r0', 'r2']);
  });

  it('says which methods are allowed when only the method does not fit', () => {
    const revision = revisionOf([
      [{ path: '/a', methods: 0b11 }, {}],
      [{ path: '/a/b', methods: 0b1110000100 }, {}],
    ]);
    const { wire, x } = ask(revision, { method: 'DELETE', path: '/a/b' });
    assert.equal(x.refusal, REFUSALS.method_not_allowed);
    assert.deepEqual(wire.answerEdits, ['set allow: GET, HEAD, POST']);
    assert.equal(chosen(revision, { method: 'DELETE', path: '/b' }), 'no_route');
  });

  it('tells methods without a code apart by name', () => {
    const revision = revisionOf([
      [{ path: '/dav', methods: 0b1000000001 }, { otherMethods: ['PROPFIND', 'REPORT'] }],
      [{ path: '/any' }, {}],
    ]);
    assert.equal(chosen(revision, { method: 'PROPFIND', path: '/dav' }), 'r0');
    assert.equal(chosen(revision, { method: 'PURGE', path: '/dav' }), 'method_not_allowed');
    assert.equal(chosen(revision, { method: 'PURGE', path: '/any' }), 'r1');
  });

  it('refuses a WebSocket handshake where the route does not relay them', () => {
    const revision = revisionOf([
      [{ path: '/ws' }, { websocket: true }],
      [{ path: '/http' }, {}],
    ]);
    assert.equal(chosen(revision, { path: '/ws', websocket: true }), 'r0');
    assert.equal(chosen(revision, { path: '/http', websocket: true }), 'upgrade_not_allowed');
  });

  it('gives up after a bounded number of candidates', () => {
    const never = { headers: [{ name: 'x-never', value: null, not: false }] };
    const many = Array.from({ length: CANDIDATES_MAX }, (): Given => [{ path: '/a' }, never]);
    assert.equal(chosen(revisionOf([...many.slice(1), [{}, {}]]), { path: '/a' }), `r${CANDIDATES_MAX - 1}`);
    assert.equal(chosen(revisionOf([...many, [{}, {}]]), { path: '/a' }), 'no_route');
  });
});
