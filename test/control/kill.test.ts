/** Kill -9 at random points of pull, verify, store and activate. `CNX_KILLS` says how often; 20 unless told. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { bundle } from './harness/sample.ts';
import { suppliedBy } from './harness/supply.ts';

const KILLS = Number(process.env['CNX_KILLS'] ?? 20);
/** From its first bundle on a process lives at most so long. */
const LIFE_MS_MAX = 60;
/** A new bundle stands under the tag so often. */
const RELEASE_EVERY_MS = 4;

describe('a gateway that is killed', () => {
  it(`at ${KILLS} random points of following a source boots into a verified bundle each time, without its source`, async (t) => {
    const { registry, start, directory, events } = await suppliedBy(t);
    const published = new Set<string>();
    let seq = 1;
    const release = (): void => {
      const next = bundle(seq);
      seq += 1;
      published.add(next.digest);
      registry.publish(next);
    };
    release();
    const script = fileURLToPath(new URL('harness/supply-churn.ts', import.meta.url));
    const booted = new Set<string>();
    let highest = 0;
    for (let round = 0; round < KILLS; round += 1) {
      const child = spawn(
        process.execPath,
        [
          '--disable-warning=ExperimentalWarning',
          script,
          registry.host,
          join(directory, 'state'),
          join(directory, 'trust.yaml'),
        ],
        { stdio: ['ignore', 'pipe', 'inherit'] },
      );
      const ended = once(child, 'exit');
      await Promise.race([once(child.stdout, 'data'), ended]);
      assert.equal(child.exitCode, null, 'it ended by itself');
      const until = performance.now() + Math.random() * LIFE_MS_MAX;
      while (performance.now() < until) {
        release();
        await sleep(RELEASE_EVERY_MS);
      }
      child.kill('SIGKILL');
      await ended;

      registry.hook = (_, answer) => {
        answer.writeHead(503).end();
        return true;
      };
      events.length = 0;
      const supply = await start();
      const active = supply.active();
      assert.ok(active !== null && published.has(active.digest));
      assert.ok(active.seq >= highest, 'what was active before is not lost');
      highest = active.seq;
      booted.add(active.digest);
      // Not by falling back: nothing on disk was torn.
      assert.deepEqual(
        events.filter(({ level }) => level !== 'info'),
        [],
      );
      await supply.close();
      registry.hook = undefined;
    }
    assert.ok(booted.size > KILLS / 4, `only ${booted.size} different bundles were met`);
  });
});
