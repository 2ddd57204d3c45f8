/** The WAF stage with the real engine, in the lane and through the real worker pool. */
import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { MessageChannel } from 'node:worker_threads';
import { WafPool } from '../../src/control/waf/pool.ts';
import { type Exchange, WafVerdict } from '../../src/data/exchange.ts';
import type { Revision } from '../../src/data/lane/revision.ts';
import { WafStage } from '../../src/data/stages/waf.ts';
import { BodyState } from '../../src/data/transport/transport.ts';
import { Verdict } from '../../src/data/verdict.ts';
import { POOL_BYTES_MAX, POOL_WAIT_MS, POOL_WAITING_MAX, WafPoolClient } from '../../src/data/waf/pool-client.ts';
import { addonPath, native } from '../../src/native.ts';
import type { WafRoutePlan } from '../../src/snapshot/route-plans.ts';
import type { WafBatch, WafReply } from '../../src/snapshot/waf-batch.ts';
import { TestWire, testExchange, testRoute, testWafPlan, type WireOptions } from '../harness/wire.ts';

const RULES = `SecRule ARGS "@contains attack" "id:100,phase:2,deny,t:none,t:lowercase,msg:'an attack'"
SecRule REQUEST_HEADERS:User-Agent "@contains scanner" "id:101,phase:1,deny,msg:'a scanner'"
`;
const waf = native();
const program = waf.wafCompile([{ name: 'rules.conf', bytes: Buffer.from(RULES) }]);
const block = waf.wafProfile(program, { mode: 'block' });
const detect = waf.wafProfile(program, { mode: 'detect' });
const FORM = ['content-type', 'application/x-www-form-urlencoded'];
/** Head and body up to this size stay in the lane. */
const LANE_BYTES = 2_000;

const pool = new WafPool(1, addonPath(), (message) => assert.fail(message));
after(() => pool.close());

/** A stage whose pool is `serve`; requests that wait are entered again when they are woken. */
function given(serve: (port: MessageChannel['port1']) => void = (port) => pool.serve(port)) {
  const { port1, port2 } = new MessageChannel();
  serve(port1);
  let woken: (x: Exchange) => void = () => {};
  const client = new WafPoolClient(port2, (x) => woken(x));
  const stage = new WafStage(waf, client);
  const exchange = (options: WireOptions, plan: Partial<WafRoutePlan> = {}, handle = program): Exchange => {
    const wire = new TestWire(options);
    const revision = {
      snapshot: { waf: handle, wafLimits: { laneBytesMax: LANE_BYTES, readsTls: false } },
    } as unknown as Revision;
    const waf = testWafPlan({ mode: 'block', profile: block, bodyBytes: 100_000, ...plan });
    return testExchange(wire, revision, testRoute({ waf }));
  };
  return {
    client,
    stage,
    exchange,
    /** Enters; what waits is waited for. Says the verdict and whether the pool was asked. */
    async enter(x: Exchange): Promise<{ verdict: Verdict; pooled: boolean }> {
      const first = stage.enter(x);
      if (first !== Verdict.Wait) return { verdict: first, pooled: false };
      await new Promise<void>((resolve) => {
        woken = () => resolve();
      });
      return { verdict: stage.enter(x), pooled: true };
    },
    close(): void {
      client.close();
      port1.close();
    },
  };
}

const long = (text: string): string => `filler=${'x'.repeat(LANE_BYTES)}&q=${text}`;

describe('the WAF stage', () => {
  const lane = given();
  after(() => lane.close());

  for (const [where, body] of [
    ['in the lane', (text: string) => `q=${text}`],
    ['in the pool', long],
  ] as const) {
    const pooled = where === 'in the pool';
    it(`lets pass what no rule matches, ${where}`, async () => {
      const x = lane.exchange({ method: 'POST', headers: FORM, body: body('hello') });
      assert.deepEqual(await lane.enter(x), { verdict: Verdict.Next, pooled });
      assert.equal(x.waf, WafVerdict.Pass);
      assert.equal(x.wafMatches, '');
    });
    it(`refuses what a rule denies, and says which, ${where}`, async () => {
      const x = lane.exchange({ method: 'POST', headers: FORM, body: body('an%20ATTACK') });
      assert.deepEqual(await lane.enter(x), { verdict: Verdict.Refuse, pooled });
      assert.equal(x.refusal?.code, 'waf_blocked');
      assert.equal(x.waf, WafVerdict.Blocked);
      assert.match(x.detail, /^rule 100, /);
      assert.deepEqual(
        (JSON.parse(x.wafMatches) as { rule: number; variable: string; message: string }[]).map((m) => [
          m.rule,
          m.variable,
          m.message,
        ]),
        [[100, 'ARGS:q', 'an attack']],
      );
    });
    it(`only notes it in detect mode, ${where}`, async () => {
      const x = lane.exchange(
        { method: 'POST', headers: FORM, body: body('attack') },
        { mode: 'detect', profile: detect },
      );
      assert.deepEqual(await lane.enter(x), { verdict: Verdict.Next, pooled });
      assert.equal(x.waf, WafVerdict.Detected);
      assert.notEqual(x.wafMatches, '');
    });
    it(`refuses a profile that is not there: a stale snapshot passes nothing, ${where}`, async () => {
      const old = waf.wafCompile([{ name: 'rules.conf', bytes: Buffer.from(RULES) }]);
      const profile = waf.wafProfile(old, { mode: 'block' });
      waf.wafRelease(old);
      const x = lane.exchange({ method: 'POST', headers: FORM, body: body('hello') }, { profile }, old);
      assert.deepEqual(await lane.enter(x), { verdict: Verdict.Refuse, pooled });
      assert.equal(x.refusal?.code, 'waf_failed');
      assert.equal(x.waf, WafVerdict.Failed);
    });
    it(`refuses what cannot be inspected within its budget, ${where}`, async () => {
      const profile = waf.wafProfile(program, { mode: 'block', workMax: 1 });
      const x = lane.exchange({ method: 'POST', headers: FORM, body: body('hello') }, { profile });
      assert.deepEqual(await lane.enter(x), { verdict: Verdict.Refuse, pooled });
      assert.equal(x.refusal?.code, 'waf_exhausted');
      assert.equal(x.waf, WafVerdict.Exhausted);
    });
  }

  it('asks nobody on a route where it is off', () => {
    const x = lane.exchange({ headers: ['user-agent', 'scanner'] }, { mode: 'off', profile: -1 });
    assert.equal(lane.stage.enter(x), Verdict.Next);
    assert.equal(x.waf, WafVerdict.None);
  });

  it('looks at the head alone where no body is to be inspected', () => {
    const body = 'q=attack';
    assert.equal(
      lane.stage.enter(lane.exchange({ method: 'POST', headers: FORM, body }, { bodyBytes: 0 })),
      Verdict.Next,
    );
    const headers = [...FORM, 'user-agent', 'scanner/1'];
    assert.equal(lane.stage.enter(lane.exchange({ method: 'POST', headers, body }, { bodyBytes: 0 })), Verdict.Refuse);
  });

  it('refuses a body longer than what is inspected, or inspects its beginning, as the route says', async () => {
    const options = { method: 'POST', headers: FORM, body: 'q=hello&r=attack' };
    const refused = lane.exchange(options, { bodyBytes: 10 });
    assert.equal(lane.stage.enter(refused), Verdict.Refuse);
    assert.equal(refused.refusal?.code, 'body_too_large');
    const passed = lane.exchange({ ...options, body: 'q=hello' }, { bodyBytes: 7, beyond: 'partial' });
    assert.equal(lane.stage.enter(passed), Verdict.Next);
    const cut = lane.exchange({ ...options, body: 'q=attack&r=1' }, { bodyBytes: 10, beyond: 'partial' });
    assert.equal(lane.stage.enter(cut), Verdict.Refuse, 'an attack in the beginning is seen');
    assert.equal(cut.refusal?.code, 'waf_blocked');
  });

  it('waits for a body that is still arriving, without asking anybody', () => {
    class Arriving extends TestWire {
      override inspectBody(): BodyState {
        return BodyState.Pending;
      }
    }
    const x = lane.exchange({});
    x.wire = new Arriving({ method: 'POST', headers: FORM, body: 'q=1' });
    assert.equal(lane.stage.enter(x), Verdict.Wait);
    assert.equal(x.phase, 0);
    assert.equal(lane.client.waiting, 0);
  });

  it('refuses a head that cannot be packed', () => {
    const headers = Array.from({ length: 5_000 }, () => 'a');
    const x = lane.exchange({ headers });
    assert.equal(lane.stage.enter(x), Verdict.Refuse);
    assert.equal(x.refusal?.code, 'waf_exhausted');
  });
});

describe('the lane’s side of the pool', () => {
  it('sends all requests of one turn in one message', async () => {
    const batches: WafBatch[] = [];
    const arrived = Promise.withResolvers<void>();
    const lane = given((port) =>
      port.on('message', (batch: WafBatch) => {
        batches.push(batch);
        arrived.resolve();
      }),
    );
    for (let i = 0; i < 3; i++) lane.stage.enter(lane.exchange({ method: 'POST', headers: FORM, body: long(`${i}`) }));
    await arrived.promise;
    assert.deepEqual(
      batches.map((b) => [b.ids, b.handles, b.profiles, b.requests.length]),
      [[[0, 1, 2], [program, program, program], [block, block, block], 3]],
    );
    assert.equal(lane.client.waiting, 3);
    lane.close();
  });

  it('refuses beyond its bounds of requests and bytes, and takes requests again afterwards', async () => {
    let port: MessageChannel['port1'] | undefined;
    const lane = given((p) => (port = p));
    const buffer = (bytes: number): ArrayBuffer => new ArrayBuffer(bytes);
    const x = lane.exchange({});
    for (let i = 0; i < POOL_WAITING_MAX; i++) assert.ok(lane.client.submit(x, program, block, buffer(1)));
    assert.ok(!lane.client.submit(x, program, block, buffer(1)));
    const refused = lane.exchange({ method: 'POST', headers: FORM, body: long('1') });
    assert.equal(lane.stage.enter(refused), Verdict.Refuse);
    assert.equal(refused.refusal?.code, 'waf_failed');
    lane.client.sweep(x.now + POOL_WAIT_MS);
    assert.equal(lane.client.waiting, 0);
    assert.ok(lane.client.submit(x, program, block, buffer(POOL_BYTES_MAX)));
    assert.ok(!lane.client.submit(x, program, block, buffer(1)), 'bytes are counted together');
    lane.client.sweep(x.now + POOL_WAIT_MS);
    assert.ok(lane.client.submit(x, program, block, buffer(1)));
    assert.ok(port !== undefined);
    lane.close();
  });

  it('refuses what gets no answer in time; the late answer is dropped', async () => {
    let late: (() => void) | undefined;
    const sent = Promise.withResolvers<void>();
    const lane = given((port) =>
      port.on('message', (batch: WafBatch) => {
        const none = batch.ids.map(() => null);
        late = () => port.postMessage({ ids: batch.ids, verdicts: none, kept: none } satisfies WafReply);
        sent.resolve();
      }),
    );
    const x = lane.exchange({ method: 'POST', headers: FORM, body: long('hello') });
    const entered = lane.enter(x);
    await sent.promise;
    lane.client.sweep(x.now + POOL_WAIT_MS - 1);
    assert.equal(lane.client.waiting, 1, 'not before its time');
    lane.client.sweep(x.now + POOL_WAIT_MS);
    assert.deepEqual(await entered, { verdict: Verdict.Refuse, pooled: true });
    assert.equal(x.refusal?.code, 'waf_failed');
    late?.();
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
    assert.equal(x.delivered, null);
    lane.close();
  });

  it('drops the verdict of a request whose client has left', async () => {
    const lane = given();
    const woken: Exchange[] = [];
    const gone = lane.exchange({ method: 'POST', headers: FORM, body: long('attack') });
    assert.equal(lane.stage.enter(gone), Verdict.Wait);
    gone.end();
    const next = lane.exchange({ method: 'POST', headers: FORM, body: long('hello') });
    assert.deepEqual(await lane.enter(next), { verdict: Verdict.Next, pooled: true });
    assert.equal(lane.client.waiting, 0);
    assert.equal(gone.delivered, null);
    assert.deepEqual(woken, []);
    lane.close();
  });

  it('treats an answer without verdicts as a refusal', async () => {
    const lane = given((port) =>
      port.on('message', (batch: WafBatch) => port.postMessage({ ids: [...batch.ids, 4711], verdicts: [] })),
    );
    const x = lane.exchange({ method: 'POST', headers: FORM, body: long('hello') });
    assert.deepEqual(await lane.enter(x), { verdict: Verdict.Refuse, pooled: true });
    assert.equal(x.refusal?.code, 'waf_failed');
    lane.close();
  });

  it('treats an empty verdict as none', async () => {
    const lane = given((port) =>
      port.on('message', (batch: WafBatch) =>
        port.postMessage({ ids: batch.ids, verdicts: [new ArrayBuffer(0)], kept: [null] }),
      ),
    );
    const x = lane.exchange({ method: 'POST', headers: FORM, body: long('hello') });
    assert.equal((await lane.enter(x)).verdict, Verdict.Refuse);
    lane.close();
  });
});
