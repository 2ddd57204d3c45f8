import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testExchange, testRoute, testWafPlan, TestWire } from '../../../test/harness/wire.ts';
import { WAF_PASS, type WafAddon } from '../../native/waf.ts';
import type { Snapshot } from '../../snapshot/snapshot.ts';
import type { WafRoutePlan } from '../../snapshot/route-plans.ts';
import { WafVerdict } from '../exchange.ts';
import type { WafPoolClient } from '../waf/pool-client.ts';
import { Verdict } from '../verdict.ts';
import { WafStage } from './waf.ts';

/** Code of the refusal or `passes`, when every request that reaches the rules passes them. */
function said(coding: string | null, over: Partial<WafRoutePlan>, body: string | undefined): string {
  const memory = (bytes: number): Uint8Array => new Uint8Array(bytes);
  const waf = {
    wafInspectMemory: () => WAF_PASS,
    wafRequestMemory: memory,
    wafVerdictMemory: memory,
    wafKeptMemory: memory,
  };
  const stage = new WafStage(waf as unknown as WafAddon, { submit: () => true } as unknown as WafPoolClient);
  const headers = coding === null ? [] : ['content-encoding', 'identity', 'content-encoding', coding];
  const snapshot = { waf: 1, wafLimits: { laneBytesMax: 8192, readsTls: false } } as unknown as Snapshot;
  const plan = testWafPlan({ mode: 'block', profile: 1, bodyBytes: 100, ...over });
  const wire = new TestWire({ method: 'POST', headers, ...(body === undefined ? {} : { body }) });
  const x = testExchange(wire, { snapshot }, testRoute({ waf: plan }));
  if (stage.enter(x) === Verdict.Wait) return 'asked the pool';
  return x.refusal?.code ?? (x.waf === WafVerdict.Pass ? 'passes' : 'not asked');
}

test('a body that rules cannot see into is refused where bodies are inspected to block', () => {
  for (const coding of ['gzip', 'br', 'identity, gzip', 'x-unknown']) {
    assert.equal(said(coding, {}, 'a=b'), 'waf_blocked', coding);
    assert.equal(said(coding, { coded: 'pass' }, 'a=b'), 'passes', coding);
    assert.equal(said(coding, { bodyBytes: 0 }, 'a=b'), 'passes', coding);
    assert.equal(said(coding, {}, undefined), 'passes', coding);
  }
  assert.equal(said('gzip', { coded: 'decode' }, 'a=b'), 'asked the pool');
  assert.equal(said('Identity', {}, 'a=b'), 'passes');
  assert.equal(said(null, {}, 'a=b'), 'passes');
});
