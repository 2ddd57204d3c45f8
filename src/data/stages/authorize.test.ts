import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { specOf } from '../../../test/policy/fixtures.ts';
import { makeModule, OP } from '../../../test/policy/wasm-builder.ts';
import { TestWire, testExchange, testRoute, type WireOptions } from '../../../test/harness/wire.ts';
import type { PolicyPlan, Snapshot } from '../../snapshot/snapshot.ts';
import type { TenantSource } from '../../snapshot/route-plans.ts';
import { type Exchange, type Identity, PolicyOutcome } from '../exchange.ts';
import { ExchangeInput } from '../policies.ts';
import { Verdict } from '../verdict.ts';
import { AuthorizeStage } from './authorize.ts';

const data = readFileSync(new URL('../../../config/demo/policies/authz-data.json', import.meta.url), 'utf8');
const FIELDS = ['method', 'path', 'tenant', 'user.roles', 'user.claims.tenant'];

function plan(over: Partial<PolicyPlan> = {}): PolicyPlan {
  return { ...specOf('authz', { data }), input: FIELDS, pure: true, cacheEntries: 100, digest: '', ...over };
}

function madePlan(wasm: Uint8Array<ArrayBuffer>): PolicyPlan {
  return plan({ name: 'made', module: new WebAssembly.Module(wasm), data: '', entrypoints: ['made/allow'] });
}

function identity(roles: readonly string[], tenant = 'acme'): Identity {
  const claims = { sub: 'u', tenant };
  return { issuer: 0, issuerId: 'main', subject: 'u', claims, roles, headers: [], expiresAt: 0 };
}

interface Case extends WireOptions {
  readonly user?: Identity;
  readonly entrypoint?: number;
  readonly tenant?: TenantSource;
}

/** Asks about a request on a route with policy 0. */
function asker(...policies: readonly PolicyPlan[]) {
  const stage = new AuthorizeStage();
  const snapshot = { policies } as unknown as Snapshot;
  return (c: Case, policy = 0): { verdict: number; x: Exchange } => {
    const route = testRoute({
      id: 'orders',
      public: false,
      policy,
      entrypoint: c.entrypoint ?? 0,
      tenant: c.tenant ?? null,
    });
    const x = testExchange(new TestWire(c), { snapshot }, route);
    x.path = c.path ?? '/';
    x.identity = c.user ?? null;
    return { verdict: stage.enter(x), x };
  };
}

describe('authorize', () => {
  it('asks nothing on a route without policy', () => {
    const { verdict, x } = asker(plan())({}, -1);
    assert.deepEqual([verdict, x.policy], [Verdict.Next, PolicyOutcome.None]);
  });

  it('lets the demo do what its rules say, and keeps the reason for the record', () => {
    const ask = asker(plan());
    const cases: readonly (readonly [Case, string])[] = [
      [{ path: '/api/orders', user: identity(['reader']) }, ''],
      [{ path: '/api/orders/7', user: identity(['admin']) }, ''],
      [{ method: 'POST', path: '/api/orders', user: identity(['admin']) }, ''],
      [{ method: 'DELETE', path: '/api/orders/7', user: identity(['reader', 'admin']) }, ''],
      [{ path: '/api/admin', user: identity(['admin']) }, ''],
      [{ path: '/api/me', user: identity(['reader']) }, ''],
      [{ path: '/api/admin', user: identity(['reader']) }, 'policy authz: /api/admin needs the role admin'],
      [{ path: '/api/admin/users', user: identity([]) }, 'policy authz: /api/admin needs the role admin'],
      [{ method: 'POST', path: '/api/orders', user: identity(['reader']) }, 'policy authz: no rule allows this'],
      [{ method: 'DELETE', path: '/api/orders/7', user: identity(['Admin']) }, 'policy authz: no rule allows this'],
      [{ path: '/api/orders', user: identity([]) }, 'policy authz: no rule allows this'],
      [{ path: '/api/orders' }, 'policy authz: no rule allows this'],
      [{ path: '/api/unknown', user: identity(['admin']) }, 'policy authz: no rule allows this'],
      [
        { path: '/api/orders', user: identity(['admin'], 'acme'), tenant: { from: 'fixed', name: 'other' } },
        'policy authz: a token names its own tenant and no other',
      ],
    ];
    for (const [c, detail] of cases) {
      const { verdict, x } = ask(c);
      const what = `${c.method ?? 'GET'} ${c.path} ${c.user?.roles.join()}`;
      assert.equal(verdict, detail === '' ? Verdict.Next : Verdict.Refuse, what);
      assert.equal(x.detail, detail, what);
      assert.equal(x.refusal?.code ?? '', detail === '' ? '' : 'policy_denied', what);
    }
  });

  it('says whether a decision came from the cache', () => {
    const ask = asker(plan());
    const allowed = { path: '/api/orders', user: identity(['reader']) };
    const denied = { path: '/api/orders' };
    assert.deepEqual(
      [allowed, allowed, denied, denied].map((c) => ask(c).x.policy),
      [PolicyOutcome.Allowed, PolicyOutcome.AllowedCached, PolicyOutcome.Denied, PolicyOutcome.DeniedCached],
    );
  });

  it('asks the entrypoint of the route', () => {
    const ask = asker(plan());
    assert.equal(ask({ path: '/api/orders', user: identity(['reader']), entrypoint: 1 }).verdict, Verdict.Next);
    assert.equal(ask({ path: '/api/orders', entrypoint: 1 }).x.detail, 'policy authz');
    assert.equal(
      ask({ path: '/api/orders', user: identity(['admin']), entrypoint: 2 }).x.refusal?.code,
      'policy_failed',
    );
  });

  it('refuses what fails as a failure of ours, never lets it on', () => {
    for (const [wasm, detail] of [
      [makeModule({ evaluate: OP.abort }), /^policy made: aborted: made to abort$/],
      [makeModule({ evaluate: OP.unreachable }), /^policy made: trapped: /],
      [makeModule({ result: '[]' }), /^policy made: undefined: /],
      [makeModule({ result: '[{"result":"yes"}]' }), /^policy made: wrong_shape: /],
      [makeModule({ entrypoints: '{}' }), /no entrypoint/],
      [makeModule({ start: OP.unreachable }), /failed while loading/],
    ] as const) {
      const { verdict, x } = asker(madePlan(wasm))({});
      assert.deepEqual([verdict, x.policy, x.refusal?.code], [Verdict.Refuse, PolicyOutcome.Failed, 'policy_failed']);
      assert.match(x.detail, detail);
    }
    const { verdict, x } = asker()({});
    assert.deepEqual([verdict, x.policy, x.refusal?.code], [Verdict.Refuse, PolicyOutcome.Failed, 'policy_failed']);
  });

  it('refuses a request whose input is too long, and no other', () => {
    const ask = asker(plan({ input: ['path'], pure: false }));
    assert.match(ask({ path: `/${'x'.repeat(70_000)}` }).x.detail, /input_too_long/);
    assert.equal(ask({ path: '/api/orders' }).x.refusal?.code, 'policy_denied');
  });

  it('a failing policy harms no other', () => {
    const ask = asker(madePlan(makeModule({ evaluate: OP.abort })), plan());
    const good = { path: '/api/orders', user: identity(['reader']) };
    for (let i = 0; i < 10; i++) {
      assert.equal(ask(good, 0).x.policy, PolicyOutcome.Failed);
      assert.equal(ask(good, 1).verdict, Verdict.Next);
    }
  });

  it('shows a policy all values of a header, so that it is told what the upstream is told', () => {
    const input = new ExchangeInput();
    const snapshot = { issuers: [] } as unknown as Snapshot;
    const wire = new TestWire({ headers: ['x-a', '1', 'x-b', '2', 'x-a', '3'] });
    input.x = testExchange(wire, { snapshot }, testRoute());
    assert.deepEqual([input.header('x-a'), input.header('x-b'), input.header('x-c')], ['1, 3', '2', undefined]);
  });

  it('keeps exchanges of an older snapshot at its own policies', () => {
    const stage = new AuthorizeStage();
    const older = { policies: [plan()] } as unknown as Snapshot;
    const newer = { policies: [madePlan(makeModule())] } as unknown as Snapshot;
    assert.equal(stage.open(older), stage.open(older), 'opened once');
    const enter = (snapshot: Snapshot): number => {
      const x = testExchange(new TestWire({ path: '/nowhere' }), { snapshot }, testRoute({ policy: 0 }));
      return stage.enter(x);
    };
    assert.deepEqual([older, newer, older, newer].map(enter), [
      Verdict.Refuse,
      Verdict.Next,
      Verdict.Refuse,
      Verdict.Next,
    ]);
  });
});
