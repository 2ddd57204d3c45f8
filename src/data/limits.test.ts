import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { TestWire, testExchange, testRoute, type WireOptions } from '../../test/harness/wire.ts';
import { native } from '../native.ts';
import type { LimitPlan, Snapshot } from '../snapshot/snapshot.ts';
import type { RoutePlan } from '../snapshot/route-plans.ts';
import type { Exchange, Identity } from './exchange.ts';
import { KEY_PART_LENGTH_MAX, Limits } from './limits.ts';
import { REFUSALS } from './refusal.ts';
import { AdmitStage } from './stages/admit.ts';
import { LimitStage } from './stages/limit.ts';
import { Verdict } from './verdict.ts';
import { mmdbOf } from '../../test/harness/mmdb.ts';
import { setCountries } from './country.ts';

const NOW = 1_800_000_000_000;
let identities = 1_000_000;

/** A limit that no other test shares buckets with. */
function plan(over: Partial<LimitPlan> = {}): LimitPlan {
  const identity = identities++;
  const id = `limit-${identity}`;
  return {
    id,
    identity,
    key: [{ from: 'address' }],
    requests: 2,
    windowMs: 10_000,
    burst: 2,
    mode: 'enforce',
    ...over,
  };
}

interface Asked extends WireOptions {
  readonly address?: string;
  readonly claims?: Record<string, unknown>;
  readonly route?: Partial<RoutePlan>;
  readonly now?: number;
}

/** A lane's limits over some plans, all of them taken by `admit` unless said otherwise. */
class Bench {
  readonly limits = new Limits(native());
  readonly snapshot: Snapshot;
  wire = new TestWire();

  constructor(...plans: LimitPlan[]) {
    this.snapshot = { limits: plans } as unknown as Snapshot;
  }

  exchange(asked: Asked = {}): Exchange {
    this.wire = new TestWire(asked);
    const admit = this.snapshot.limits.map((_, i) => i);
    const x = testExchange(this.wire, { snapshot: this.snapshot }, testRoute({ admit, ...asked.route }));
    x.now = asked.now ?? NOW;
    x.host = this.wire.host;
    x.path = this.wire.path;
    x.clientAddress = asked.address ?? '192.0.2.1';
    if (asked.claims !== undefined) x.identity = { claims: asked.claims } as unknown as Identity;
    return x;
  }

  admits(asked: Asked = {}): boolean {
    return new AdmitStage(this.limits).enter(this.exchange(asked)) === Verdict.Next;
  }
}

function admitted(bench: Bench, times: number, asked: Asked): number {
  let count = 0;
  for (let i = 0; i < times; i++) if (bench.admits(asked)) count++;
  return count;
}

describe('limits', () => {
  it('admit a burst and then what the rate gives, and tell it in the fields of the draft', () => {
    const limit = plan();
    const bench = new Bench(limit);
    assert.equal(bench.admits(), true);
    assert.deepEqual(bench.wire.answerEdits, [
      `set ratelimit-policy: "${limit.id}";q=2;w=10`,
      `set ratelimit: "${limit.id}";r=1;t=5`,
    ]);
    assert.equal(bench.admits(), true);
    const x = bench.exchange({ now: NOW + 1500 });
    assert.equal(new AdmitStage(bench.limits).enter(x), Verdict.Refuse);
    assert.equal(x.refusal, REFUSALS.rate_limited);
    assert.equal(x.detail, `limit ${limit.id} by address`);
    assert.deepEqual([x.limit, x.limitRemaining], [0, 0]);
    assert.deepEqual(bench.wire.answerEdits, [
      `set ratelimit-policy: "${limit.id}";q=2;w=10`,
      `set ratelimit: "${limit.id}";r=0;t=9`,
      'set retry-after: 4',
    ]);
    assert.equal(bench.admits({ now: NOW + 5000 }), true);
  });

  it('count apart what their key says', () => {
    const apart = (key: LimitPlan['key'], a: Asked, b: Asked): boolean => {
      const bench = new Bench(plan({ key }));
      assert.equal(admitted(bench, 3, a), 2);
      return admitted(bench, 3, b) === 2;
    };
    assert.equal(apart([{ from: 'address' }], { address: '192.0.2.1' }, { address: '192.0.2.2' }), true);
    assert.equal(apart([{ from: 'address' }], { address: '2001:db8::1' }, { address: '2001:db8::2' }), false);
    setCountries(shared(mmdbOf({ '192.0.2.0/25': 'DE', '192.0.2.128/25': 'AT' })));
    assert.equal(apart([{ from: 'country' }], { address: '192.0.2.1' }, { address: '192.0.2.200' }), true);
    assert.equal(apart([{ from: 'country' }], { address: '192.0.2.1' }, { address: '192.0.2.2' }), false);
    assert.equal(apart([{ from: 'host' }], { host: 'a' }, { host: 'b' }), true);
    assert.equal(apart([{ from: 'host' }], { address: '192.0.2.1' }, { address: '192.0.2.2' }), false);
    assert.equal(apart([{ from: 'route' }], { route: { id: 'a' } }, { route: { id: 'b' } }), true);
    const header = [{ from: 'header', name: 'x-key' }] as const;
    assert.equal(apart(header, { headers: ['x-key', 'a'] }, { headers: ['x-key', 'b'] }), true);
    const client = (ja4: string, fingerprint: string): Asked => ({
      tls: {
        version: 'TLSv1.3',
        cipher: 'TLS_AES_128_GCM_SHA256',
        serverName: '',
        alpn: 'h2',
        ja4,
        client: { subject: '', sans: [], fingerprint },
      },
    });
    assert.equal(apart([{ from: 'ja4' }], client('a', 'x'), client('b', 'x')), true);
    assert.equal(apart([{ from: 'ja4' }], client('a', 'x'), client('a', 'y')), false);
    assert.equal(apart([{ from: 'certificate' }], client('a', 'x'), client('a', 'y')), true);
    // Without TLS, by address.
    assert.equal(apart([{ from: 'ja4' }], { address: '192.0.2.1' }, { address: '192.0.2.2' }), true);
    assert.equal(apart([{ from: 'certificate' }], {}, {}), false);
    const claim = [{ from: 'claim', name: 'org.id' }] as const;
    assert.equal(apart(claim, { claims: { org: { id: 'a' } } }, { claims: { org: { id: 'b' } } }), true);
    assert.equal(apart(claim, { claims: { org: { id: 7 } } }, { claims: { org: { id: '7' } } }), false);
    const tenant = { route: { tenant: { from: 'host', label: 0 } } } as const;
    assert.equal(apart([{ from: 'tenant' }], { ...tenant, host: 'a.x' }, { ...tenant, host: 'b.x' }), true);
    const tuple = [{ from: 'host' }, { from: 'address' }] as const;
    assert.equal(apart(tuple, { host: 'a', address: '192.0.2.1' }, { host: 'a', address: '192.0.2.2' }), true);
    assert.equal(apart(tuple, { host: 'a', address: '192.0.2.1' }, { host: 'b', address: '192.0.2.1' }), true);
  });

  it('count by address what has no such part, and not together with a value of the same text', () => {
    const bench = new Bench(plan({ key: [{ from: 'header', name: 'x-key' }] }));
    const key = (...values: string[]): Asked => ({ headers: values.flatMap((v) => ['x-key', v]) });
    assert.equal(admitted(bench, 3, {}), 2);
    assert.equal(admitted(bench, 3, { address: '192.0.2.9' }), 2);
    assert.equal(admitted(bench, 3, key('192.0.2.1')), 2);
    // An empty, a repeated and an overlong field are as good as none.
    assert.equal(admitted(bench, 1, key('')), 0);
    assert.equal(admitted(bench, 1, key('a', 'b')), 0);
    assert.equal(admitted(bench, 1, key('x'.repeat(KEY_PART_LENGTH_MAX + 1))), 0);
    const claims = new Bench(plan({ key: [{ from: 'claim', name: 'sub' }] }));
    assert.equal(admitted(claims, 3, {}), 2);
    assert.equal(admitted(claims, 1, { claims: { sub: { deep: 1 } } }), 0);
  });

  it('consume nothing when one of several refuses, and show the most restrictive', () => {
    const wide = plan({ requests: 100, burst: 100, windowMs: 60_000 });
    const narrow = plan({ requests: 1, burst: 1, windowMs: 60_000, key: [{ from: 'host' }] });
    const bench = new Bench(wide, narrow);
    assert.equal(bench.admits(), true);
    assert.match(bench.wire.answerEdits[1] ?? '', new RegExp(`"${narrow.id}";r=0`));
    for (let i = 0; i < 50; i++) assert.equal(bench.admits(), false);
    assert.match(bench.wire.answerEdits[0] ?? '', new RegExp(narrow.id));
    assert.equal(new Bench(wide).admits(), true);
    const x = bench.exchange({ host: 'another.example' });
    new AdmitStage(bench.limits).enter(x);
    assert.equal(x.limit, 1);
    const alone = new Bench(wide);
    const y = alone.exchange();
    new AdmitStage(alone.limits).enter(y);
    assert.equal(y.limitRemaining, 96);
  });

  it('in detect mode count, note it, and neither refuse nor show anything', () => {
    const limit = plan({ mode: 'detect', requests: 1, burst: 1 });
    const bench = new Bench(limit);
    assert.equal(bench.admits(), true);
    const x = bench.exchange();
    assert.equal(new AdmitStage(bench.limits).enter(x), Verdict.Next);
    assert.equal(x.detail, `limit ${limit.id} by address is exceeded (detect only)`);
    assert.deepEqual(bench.wire.answerEdits, []);
    assert.equal(x.limit, -1);
  });

  it('of the later stage are shown only when less is left than in the earlier one', () => {
    const early = plan({ requests: 5, burst: 5 });
    const later = plan({ requests: 3, burst: 3, key: [{ from: 'claim', name: 'sub' }] });
    const roomy = plan({ requests: 50, burst: 50, key: [{ from: 'claim', name: 'sub' }] });
    const bench = new Bench(early, later, roomy);
    const shown = (limit: number[]): number => {
      const x = bench.exchange({ claims: { sub: 'anna' }, route: { admit: [0], limit } });
      assert.equal(new AdmitStage(bench.limits).enter(x), Verdict.Next);
      assert.equal(new LimitStage(bench.limits).enter(x), Verdict.Next);
      return x.limit;
    };
    assert.equal(shown([1]), 1);
    assert.equal(shown([2]), 0);
  });

  it('with a window below a second are told as what a second grants', () => {
    const bench = new Bench(plan({ requests: 5, burst: 5, windowMs: 100 }));
    bench.admits();
    assert.match(bench.wire.answerEdits[0] ?? '', /;q=50;w=1$/);
  });
});

function shared(bytes: Uint8Array): SharedArrayBuffer {
  const memory = new SharedArrayBuffer(bytes.length);
  new Uint8Array(memory).set(bytes);
  return memory;
}
