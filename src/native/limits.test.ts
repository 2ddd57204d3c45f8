import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Worker } from 'node:worker_threads';
import { addonPathOfSources, native } from '../native.ts';
import {
  LIMIT_ALLOWED,
  LIMIT_BURST,
  LIMIT_COLUMNS,
  LIMIT_EMISSION_NS,
  LIMIT_ENFORCE,
  LIMIT_IDENTITY,
  LIMIT_KEY_HIGH,
  LIMIT_KEY_LOW,
  LIMIT_REMAINING,
  LIMIT_RESET_MS,
  LIMIT_RETRY_MS,
  LIMIT_ROWS,
} from './limits.ts';

const NOW = 1_800_000_000_000;
const block = native().limitsBlock();

function lay(row: number, identity: number, emissionMs: number, burst: number, enforce = true): void {
  const at = row * LIMIT_COLUMNS;
  block[at + LIMIT_IDENTITY] = identity;
  block[at + LIMIT_EMISSION_NS] = emissionMs * 1e6;
  block[at + LIMIT_BURST] = burst;
  block[at + LIMIT_ENFORCE] = enforce ? 1 : 0;
  block[at + LIMIT_KEY_LOW] = block[at + LIMIT_KEY_HIGH] = 0;
}

function one(identity: number, address: string, now = NOW): boolean {
  lay(0, identity, 1000, 2);
  native().limitsAddress(0, address);
  return native().limitsTake(1, now);
}

describe('the limits of the addon', () => {
  it('admit a burst, then one each interval, and say when to come again', () => {
    assert.equal(one(1, '192.0.2.1'), true);
    assert.equal(block[LIMIT_REMAINING], 1);
    assert.equal(one(1, '192.0.2.1'), true);
    assert.equal(one(1, '192.0.2.1', NOW + 400), false);
    assert.deepEqual([...block.subarray(LIMIT_ALLOWED, LIMIT_RESET_MS + 1)], [0, 0, 600, 1600]);
    assert.equal(block[LIMIT_RETRY_MS], 600);
    assert.equal(block[LIMIT_RESET_MS], 1600);
    assert.equal(one(1, '192.0.2.1', NOW + 1000), true);
    assert.equal(one(2, '192.0.2.1'), true);
  });

  it('tell the key of parts, and take it instead of them', () => {
    assert.equal(one(11, '192.0.2.1'), true);
    const low = block[LIMIT_KEY_LOW] ?? 0;
    const high = block[LIMIT_KEY_HIGH] ?? 0;
    assert.ok(low + high > 0);
    const again = (): boolean => {
      lay(0, 11, 1000, 2);
      block[LIMIT_KEY_LOW] = low;
      block[LIMIT_KEY_HIGH] = high;
      return native().limitsTake(1, NOW);
    };
    assert.deepEqual([again(), again(), one(11, '192.0.2.1')], [true, false, false]);
    assert.equal(one(11, '192.0.2.2'), true, 'another address');
  });

  it('count IPv6 by /64, IPv4 whole, and mapped IPv4 as IPv4', () => {
    assert.equal(one(3, '2001:db8:0:1::1'), true);
    assert.equal(one(3, '2001:db8:0:1:ffff::2'), true);
    assert.equal(one(3, '2001:db8:0:1::3'), false);
    assert.equal(one(3, '2001:db8:0:2::1'), true);
    assert.equal(one(3, '192.0.2.1'), true);
    assert.equal(one(3, '::ffff:192.0.2.1'), true);
    assert.equal(one(3, '192.0.2.1'), false);
    assert.equal(one(3, '192.0.2.2'), true);
    assert.equal(one(3, 'no address'), true);
  });

  it('take all or nothing, and count what is not enforced', () => {
    const both = (): boolean => {
      lay(0, 4, 1000, 5);
      native().limitsText(0, 'a');
      lay(1, 5, 1000, 2);
      native().limitsText(1, 'a');
      native().limitsText(1, 'b');
      lay(2, 6, 1000, 1, false);
      return native().limitsTake(3, NOW);
    };
    assert.deepEqual([both(), both(), both(), both()], [true, true, false, false]);
    assert.equal(block[LIMIT_REMAINING], 2);
    assert.equal(block[LIMIT_COLUMNS + LIMIT_ALLOWED], 0);
    assert.equal(block[2 * LIMIT_COLUMNS + LIMIT_ALLOWED], 0);
  });

  it('rows are bounded', () => {
    assert.throws(() => native().limitsText(LIMIT_ROWS, 'x'), /at most 16 limits/);
    assert.equal(native().limitsTake(0, NOW), true);
  });

  it('are one table for all threads of the process', async () => {
    const shared = (): boolean => {
      lay(0, 7, 3_600_000, 100);
      native().limitsText(0, 'shared');
      return native().limitsTake(1, NOW);
    };
    const code = `
      const { parentPort, workerData } = require('node:worker_threads');
      const m = { exports: {} };
      process.dlopen(m, workerData.path);
      const block = m.exports.limitsBlock();
      let admitted = 0;
      for (let i = 0; i < 200; i++) {
        block[0] = 7; block[1] = 3_600_000e6; block[2] = 100; block[3] = 1;
        m.exports.limitsText(0, 'shared');
        if (m.exports.limitsTake(1, ${NOW})) admitted++;
      }
      parentPort.postMessage(admitted);`;
    const workers = [1, 2, 3].map(() => {
      const worker = new Worker(code, { eval: true, workerData: { path: addonPathOfSources() } });
      return new Promise<number>((resolve, reject) => worker.once('message', resolve).once('error', reject));
    });
    let admitted = 0;
    for (let i = 0; i < 200; i++) if (shared()) admitted++;
    for (const count of await Promise.all(workers)) admitted += count;
    assert.equal(admitted, 100);
    const stats = native().limitsStats(NOW);
    assert.ok(stats.buckets >= 16 && stats.live >= 1 && stats.used >= stats.live && stats.overflows === 0);
    assert.equal(native().limitsInit(16), stats.buckets);
  });
});
