/** The pool when its workers die: every request gets an answer, and no answer means refused. The workers here are ones that can be made to die. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { MessageChannel } from 'node:worker_threads';
import { useAssets } from '../../src/base/worker-entry.ts';
import { WafPool } from '../../src/control/waf/pool.ts';
import type { WafBatch, WafReply } from '../../src/snapshot/waf-batch.ts';

const PASSES = 0;
const DIES = 1;
const DIES_ONCE = 2;
const THROWS = 3;
/** Its body lies elsewhere: the verdict is the body's number. */
const LENT = 4;

const directory = mkdtempSync(join(tmpdir(), 'cnx-pool-'));
writeFileSync(
  join(directory, 'waf-worker.cjs'),
  `const { existsSync, writeFileSync } = require('node:fs');
const { workerData } = require('node:worker_threads');
module.exports = (batch) => {
  const verdicts = batch.requests.map((r, i) =>
    new Uint8Array(r)[0] === ${LENT} ? Uint8Array.of(batch.lent[i].number).buffer : r.slice(0));
  for (const request of batch.requests) {
    const [what, mark] = new Uint8Array(request);
    const once = workerData.addonPath + '/died-' + mark;
    if (what === ${THROWS}) throw new Error('no verdict');
    if (what === ${DIES} || (what === ${DIES_ONCE} && !existsSync(once))) {
      writeFileSync(once, '');
      process.exit(1);
    }
  }
  return { ids: batch.ids, verdicts, kept: batch.ids.map(() => null) };
};
`,
);
useAssets(() => directory);
after(() => rmSync(directory, { recursive: true, force: true }));

async function answers(kinds: readonly number[]): Promise<{ reply: WafReply; said: string[]; waiting: number }> {
  const said: string[] = [];
  const pool = new WafPool(1, directory, (message) => said.push(message));
  const { port1, port2 } = new MessageChannel();
  pool.serve(port1);
  const batch: WafBatch = {
    ids: kinds.map((_, i) => 100 + i),
    handles: kinds.map(() => 0),
    profiles: kinds.map(() => 0),
    requests: kinds.map((kind, i) => Uint8Array.of(kind, i).buffer),
    codings: kinds.map(() => null),
    kept: kinds.map(() => null),
    lent: kinds.map((kind, i) => (kind === LENT ? { number: 40 + i, bytes: i } : null)),
  };
  const replied = new Promise<WafReply>((resolve) => port2.once('message', resolve));
  port2.postMessage(batch);
  const reply = await replied;
  const { waiting } = pool;
  port1.close();
  port2.close();
  await pool.close();
  return { reply, said, waiting };
}

const number = (verdict: ArrayBuffer | null | undefined): number | undefined =>
  verdict === null || verdict === undefined ? undefined : new Uint8Array(verdict)[0];
const passed = (reply: WafReply): boolean[] => reply.verdicts.map((v) => v !== null);

describe('a batch', () => {
  it('comes back in its order', async () => {
    const { reply, said, waiting } = await answers([PASSES, PASSES]);
    assert.deepEqual(reply.ids, [100, 101]);
    assert.deepEqual(passed(reply), [true, true]);
    assert.deepEqual(said, []);
    assert.equal(waiting, 0);
  });
  it('whose worker died is tried once more', async () => {
    const { reply, said, waiting } = await answers([PASSES, DIES_ONCE]);
    assert.deepEqual(passed(reply), [true, true]);
    assert.equal(said.length, 1);
    assert.match(said[0] ?? '', /^a WAF worker failed \(.+\); its batch of 2 is tried again$/);
    assert.equal(waiting, 0);
  });
  it('is tried again with the bodies that were lent to it, each its own', async () => {
    const { reply } = await answers([LENT, DIES, LENT, PASSES, LENT]);
    assert.deepEqual(passed(reply), [true, false, true, true, true]);
    assert.deepEqual(
      [0, 2, 4].map((i) => number(reply.verdicts[i])),
      [40, 42, 44],
    );
  });
  for (const [what, kind] of [
    ['kills every worker that takes it', DIES],
    ['makes every worker throw', THROWS],
  ] as const) {
    it(`with a request that ${what} gives its neighbours their verdicts, and that one none`, async () => {
      const { reply, said, waiting } = await answers([PASSES, kind, PASSES, kind]);
      assert.deepEqual(reply.ids, [100, 101, 102, 103]);
      assert.deepEqual(passed(reply), [true, false, true, false]);
      assert.equal(said.length, 4);
      assert.match(said[1] ?? '', /^a WAF batch of 4 failed twice \(.+\); its requests are tried one by one$/);
      assert.match(said[3] ?? '', /^a request cannot be inspected, whichever WAF worker tries \(.+\); it is refused$/);
      assert.equal(waiting, 0);
    });
    it(`of one request that ${what} is answered without a verdict after two tries`, async () => {
      const { reply, said } = await answers([kind]);
      assert.deepEqual(passed(reply), [false]);
      assert.equal(said.length, 2);
    });
  }
});
