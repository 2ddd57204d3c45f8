/** What the stage does with what cannot be inspected as it should: each policy that a route can write, with the real engine. */
import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { MessageChannel } from 'node:worker_threads';
import { type Exchange, WafVerdict } from '../../src/data/exchange.ts';
import type { Revision } from '../../src/data/lane/revision.ts';
import { WafStage } from '../../src/data/stages/waf.ts';
import { Verdict } from '../../src/data/verdict.ts';
import { POOL_WAITING_MAX, WafPoolClient } from '../../src/data/waf/pool-client.ts';
import { native } from '../../src/native.ts';
import type { WafRoutePlan } from '../../src/snapshot/route-plans.ts';
import { testExchange, testRoute, TestWire, testWafPlan } from '../harness/wire.ts';

const waf = native();
const RULES = `SecRule ARGS "@contains attack" "id:100,phase:2,deny,t:none,msg:'an attack'"`;
const program = waf.wafCompile([{ name: 'rules.conf', bytes: Buffer.from(RULES) }]);
const block = waf.wafProfile(program, { mode: 'block' });
const detect = waf.wafProfile(program, { mode: 'detect' });
const LANE_BYTES = 2_000;
const FORM = ['content-type', 'application/x-www-form-urlencoded'];

const { port1, port2 } = new MessageChannel();
const pool = new WafPoolClient(port2, () => {});
const stage = new WafStage(waf, pool);
after(() => {
  pool.close();
  port1.close();
  waf.wafRelease(program);
});

function exchange(body: string, plan: Partial<WafRoutePlan>): Exchange {
  const revision = { snapshot: { waf: program, wafLimits: { laneBytesMax: LANE_BYTES } } } as unknown as Revision;
  const route = testRoute({ waf: testWafPlan({ mode: 'block', profile: block, bodyBytes: 100_000, ...plan }) });
  return testExchange(new TestWire({ method: 'POST', headers: FORM, body }), revision, route);
}

describe('a request beyond its budget', () => {
  const costly = waf.wafProfile(program, { mode: 'block', workMax: 1 });
  it('is refused where the route says block', () => {
    const x = exchange('q=hello', { profile: costly });
    assert.equal(stage.enter(x), Verdict.Refuse);
    assert.equal(x.refusal?.code, 'waf_exhausted');
  });
  it('passes where it says log, and the record tells of it', () => {
    const x = exchange('q=hello', { profile: costly, exhausted: 'log' });
    assert.equal(stage.enter(x), Verdict.Next);
    assert.equal(x.waf, WafVerdict.Exhausted);
    assert.match(x.detail, /bound passed: work/);
  });
});

describe('what detect mode finds', () => {
  it('is recorded by the share that the route says, and always counted', () => {
    let recorded = 0;
    for (let i = 0; i < 1_000; i++) {
      const x = exchange('q=attack', { mode: 'detect', profile: detect, detectSample: 0.3 });
      x.random = Math.imul(i, 0x9e3779b1);
      assert.equal(stage.enter(x), Verdict.Next);
      assert.equal(x.waf, WafVerdict.Detected);
      if (x.wafMatches !== '') recorded++;
    }
    assert.ok(recorded > 200 && recorded < 400, `${recorded} of 1000`);
  });
});

describe('a request that finds the pool full', () => {
  const long = (text: string): string => `filler=${'x'.repeat(LANE_BYTES)}&q=${text}`;
  it('is refused, or matched in the lane, as the route says: never passed unseen', () => {
    const waiting = exchange('', {});
    while (pool.submit(waiting, program, block, new ArrayBuffer(1)));
    assert.equal(pool.waiting, POOL_WAITING_MAX);
    const refused = exchange(long('hello'), {});
    assert.equal(stage.enter(refused), Verdict.Refuse);
    assert.equal(refused.refusal?.code, 'waf_failed');
    const fine = exchange(long('hello'), { queueFull: 'lane' });
    assert.equal(stage.enter(fine), Verdict.Next);
    assert.equal(fine.waf, WafVerdict.Pass);
    const attack = exchange(long('attack'), { queueFull: 'lane' });
    assert.equal(stage.enter(attack), Verdict.Refuse);
    assert.equal(attack.refusal?.code, 'waf_blocked');
  });
});
