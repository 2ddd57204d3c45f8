/** Lanes that die, and a gateway that is asked to end: what is open elsewhere goes on, and nothing is lost. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { request } from 'node:http';
import { after, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { plainBundle } from '../harness/bundle.ts';
import type { TestGateway } from '../harness/gateway.ts';
import { ask, keepAlive } from './client.ts';
import { Given, inflight, untilIdle } from './given.ts';

interface LaneNow {
  readonly lane: number;
  readonly state: string;
  readonly restarts: number;
}

/** Restarts of one lane within a minute before the process gives up (docs/operating.md). */
const RESTARTS_MAX = 5;
const EXIT_LANES = 70;
/** The first process of a PID namespace of its own. */
const CONTAINED = ['--map-root-user', '--pid', '--fork', '--kill-child'];
const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

async function lanesOf(gateway: TestGateway): Promise<readonly LaneNow[]> {
  return ((await gateway.admin('/v1/status')) as { lanes: readonly LaneNow[] }).lanes;
}

/** Makes a lane throw outside every stage. */
function fault(gateway: TestGateway, lane: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const asked = request(
      { host: '127.0.0.1', port: gateway.ports.admin, path: `/v1/fault?lane=${lane}`, method: 'POST', agent: false },
      (response) => {
        response.resume();
        resolve(response.statusCode ?? 0);
      },
    );
    asked.on('error', reject);
    asked.end();
  });
}

describe('lanes', () => {
  const given = new Given();
  after(() => given.end());

  it('one that throws is started anew and reported; the other serves on, and what was in flight is let go', async () => {
    const upstream = await given.upstream();
    const gateway = await given.gateway({
      bundle: plainBundle([upstream.address]),
      bootstrap: { lanes: 2, allowFaults: true },
    });
    const { http } = gateway.ports;
    // Enough connections that both lanes hold some; a lane's death cuts its own.
    const agent = keepAlive(16);
    given.ends(() => agent.destroy());
    const hanging = Array.from({ length: 16 }, () =>
      ask(http, '/hang', { agent }).then(
        () => 'answered',
        () => 'cut',
      ),
    );
    await gateway.until('all of them hang', async () => (await inflight(gateway)) === hanging.length);
    const load = { on: true };
    let served = 0;
    // New connections: the kernel gives them to lanes that listen; one may be cut with the lane that has just accepted it.
    let cut = 0;
    const client = (async (): Promise<void> => {
      while (load.on) {
        const heard = await ask(http, '/').catch(() => undefined);
        if (heard === undefined) cut += 1;
        else {
          assert.equal(heard.status, 200);
          served += 1;
        }
        await sleep(2);
      }
    })();
    try {
      assert.equal(await fault(gateway, 0), 200);
      await gateway.untilPrinted(/"a lane died and is started anew".*"lane":0.*a fault was asked for/);
      await gateway.until('it serves again', async () => {
        const [first] = await lanesOf(gateway);
        return first?.state === 'serving' && first.restarts === 1;
      });
      const before = served;
      await gateway.until('requests are served', () => served > before + 50);
    } finally {
      load.on = false;
      await client;
    }
    assert.ok(cut <= 5, `${cut} connections were cut`);
    assert.equal((await gateway.probe('/readyz')).status, 200);
    const left = await inflight(gateway);
    assert.ok(left > 0 && left < hanging.length, `${left} of ${hanging.length}: the other lane still holds its own`);
    agent.destroy();
    assert.deepEqual(new Set(await Promise.all(hanging)), new Set(['cut']));
    await untilIdle(gateway);
    await gateway.stop();
  });

  it('one that keeps dying ends the process with a code of its own', async () => {
    const upstream = await given.upstream();
    const gateway = await given.gateway({
      bundle: plainBundle([upstream.address]),
      bootstrap: { lanes: 1, allowFaults: true },
    });
    for (let n = 1; n <= RESTARTS_MAX; n++) {
      await fault(gateway, 0);
      await gateway.until(`restart ${n}`, async () => {
        const [lane] = await lanesOf(gateway);
        return lane?.state === 'serving' && lane.restarts === n;
      });
      assert.equal((await ask(gateway.ports.http, '/')).status, 200);
    }
    await fault(gateway, 0);
    await assert.rejects(
      gateway.until('it ends', () => false),
      new RegExp(`ended \\(code ${EXIT_LANES}\\)`),
    );
  });

  it('cannot be made to throw unless the bootstrap allows it', async () => {
    const upstream = await given.upstream();
    const gateway = await given.gateway({ bundle: plainBundle([upstream.address]) });
    assert.notEqual(await fault(gateway, 0), 200);
    assert.equal((await ask(gateway.ports.http, '/')).status, 200);
    await gateway.stop();
  });

  it('SIGTERM: not ready, still serving for a while, open requests complete, code 0', async () => {
    // What is under way ends when it is told to, so that no pause of the machine ends it before.
    const ends: (() => void)[] = [];
    const upstream = await given.upstream({
      behaviours: {
        held: (_, response) => void ends.push(() => response.end('slow')),
        begun: (_, response) => {
          response.writeHead(200, { 'content-length': '40' }).write('.'.repeat(10));
          ends.push(() => response.end('.'.repeat(30)));
        },
      },
    });
    const gateway = await given.gateway({
      bundle: plainBundle([upstream.address]),
      bootstrap: { lanes: 2, drainDelayMs: 6_000, drainDeadlineMs: 30_000 },
    });
    const { http } = gateway.ports;
    const agent = keepAlive(8);
    given.ends(() => agent.destroy());
    const slow = Array.from({ length: 8 }, () => ask(http, '/held', { agent }));
    const begun = ask(http, '/begun');
    await gateway.until('all of them are under way', async () => (await inflight(gateway)) === slow.length + 1);
    await gateway.until('the upstream has all of them', () => ends.length === slow.length + 1);
    const stopping = gateway.stop();
    await gateway.until('/readyz says no', async () => (await gateway.probe('/readyz')).status === 503);
    assert.equal((await gateway.probe('/healthz')).status, 200);
    // Load balancers have not noticed yet: new connections are served as before.
    assert.equal((await ask(http, '/')).body, 'upstream');
    // Then it listens no more, and what was open goes on.
    await gateway.until('new connections are refused', () =>
      ask(http, '/').then(
        () => false,
        (error: NodeJS.ErrnoException) => error.code === 'ECONNREFUSED',
      ),
    );
    for (const end of ends) end();
    for (const heard of await Promise.all(slow)) {
      assert.equal(heard.status, 200);
      assert.equal(heard.body, 'slow');
      assert.equal(heard.headers.connection, 'close');
    }
    assert.equal((await begun).body, '.'.repeat(40));
    await stopping;
  });

  /** Two lanes that hold requests; and a check that those of a lane which did not die are answered before the gateway ends. */
  async function heldByBoth(): Promise<{ gateway: TestGateway; endsInOrder: () => Promise<void> }> {
    const ends: (() => void)[] = [];
    const upstream = await given.upstream({
      behaviours: { held: (_, response) => void ends.push(() => response.end('held')) },
    });
    const gateway = await given.gateway({
      bundle: plainBundle([upstream.address]),
      bootstrap: { lanes: 2, allowFaults: true, drainDeadlineMs: 60_000 },
    });
    // Enough connections that both lanes hold some.
    const open = Array.from({ length: 16 }, () =>
      ask(gateway.ports.http, '/held').then(
        ({ body }) => body,
        () => 'cut',
      ),
    );
    await gateway.until('all of them are under way', () => ends.length === open.length);
    return {
      gateway,
      endsInOrder: async () => {
        for (const end of ends) end();
        assert.equal(await gateway.ended(), 0);
        assert.deepEqual(new Set(await Promise.all(open)), new Set(['held', 'cut']));
      },
    };
  }

  it('one that dies while the gateway drains is reported, what the others have open completes, and the end is in order', async () => {
    const { gateway, endsInOrder } = await heldByBoth();
    gateway.signal('SIGTERM');
    await gateway.untilPrinted(/"draining"/);
    await fault(gateway, 0);
    await gateway.untilPrinted(/"a lane died while it drained".*"lane":0.*a fault was asked for/);
    await endsInOrder();
    assert.match(gateway.stdout, /"gateway stopped"/);
  });

  it('one that is being started anew when the gateway begins to drain accepts nobody any more', async () => {
    const { gateway, endsInOrder } = await heldByBoth();
    await fault(gateway, 0);
    // Not before: a lane that dies while the others drain is not started anew.
    await gateway.untilPrinted(/"a lane died and is started anew"/);
    gateway.signal('SIGTERM');
    // It has the snapshot: what it would do next is to listen.
    await gateway.until('the lane is there again', async () => {
      const { body } = await gateway.probe('/metrics');
      return /^cnx_lane_restarts\{lane="0"\} 1$/m.test(body) && /^cnx_lane_revision\{lane="0"\} 1$/m.test(body);
    });
    for (let n = 0; n < 20; n += 1) {
      await assert.rejects(ask(gateway.ports.http, '/'), /ECONNREFUSED/);
      await sleep(5);
    }
    await endsInOrder();
  });

  it('SIGTERM at any moment of a start ends the process, with code 0', async () => {
    const upstream = await given.upstream();
    const gateway = await given.gateway({ bundle: plainBundle([upstream.address]) });
    // The last good bundle is on disk now, so that every start has one to boot from.
    const moments = [/"gateway started"/g, /"bundle activated"/g];
    for (const pattern of [...moments, ...moments]) {
      const before = gateway.stdout.match(pattern)?.length ?? 0;
      await gateway.restart();
      await gateway.until(`${pattern} is printed`, () => (gateway.stdout.match(pattern)?.length ?? 0) > before);
      gateway.signal('SIGTERM');
      await assert.rejects(
        gateway.until('it ends', () => false),
        /ended \(code 0\)/,
      );
    }
    await gateway.stop();
  });

  it('a second signal, of whichever kind, ends a process at once that drains', async () => {
    const upstream = await given.upstream();
    const bootstrap = { drainDelayMs: 60_000 };
    const gateway = await given.gateway({ bundle: plainBundle([upstream.address]), bootstrap });
    const drains = (): number => gateway.stdout.match(/"draining"/g)?.length ?? 0;
    for (const [first, second] of [
      ['SIGTERM', 'SIGTERM'],
      ['SIGINT', 'SIGTERM'],
      ['SIGTERM', 'SIGINT'],
    ] as const) {
      const before = drains();
      gateway.signal(first);
      await gateway.until('it drains', () => drains() > before);
      gateway.signal(second);
      await assert.rejects(
        gateway.until('it ends', () => false),
        new RegExp(`ended \\(${second}\\)`),
      );
      await gateway.restart();
      await gateway.untilReady();
    }
    await gateway.kill();
  });

  it('a second signal also ends the first process of a container, which no signal ends by itself', async (t) => {
    // Some sandboxes forbid namespaces; there it is ended as any other process, which the kernel does.
    const contained = spawnSync('unshare', [...CONTAINED, 'true']).status === 0;
    if (!contained) t.diagnostic('namespaces are forbidden here: it runs as a common process');
    const upstream = await given.upstream({ behaviours: { held: () => undefined } });
    const gateway = await given.gateway({
      bundle: plainBundle([upstream.address]),
      bootstrap: { lanes: 2, drainDelayMs: 60_000, drainDeadlineMs: 60_000 },
      command: [
        ...(contained ? ['unshare', ...CONTAINED] : []),
        process.execPath,
        '--disable-warning=ExperimentalWarning',
        MAIN,
      ],
    });
    const drains = (): number => gateway.stdout.match(/"draining"/g)?.length ?? 0;
    const first = (): number =>
      contained
        ? Number(readFileSync(`/proc/${gateway.pid}/task/${gateway.pid}/children`, 'utf8').trim())
        : gateway.pid;
    for (const [signal, code] of [
      ['SIGTERM', 143],
      ['SIGINT', 130],
    ] as const) {
      if (!gateway.running) {
        await gateway.restart();
        await gateway.untilReady();
      }
      const before = drains();
      const held = assert.rejects(ask(gateway.ports.http, '/held'));
      process.kill(first(), 'SIGTERM');
      await gateway.until('it drains', () => drains() > before);
      process.kill(first(), signal);
      assert.equal(await gateway.ended(), contained ? code : null);
      await held;
    }
    await gateway.kill();
  });
});
