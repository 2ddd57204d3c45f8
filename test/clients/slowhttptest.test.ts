/** slowhttptest against a running gateway with short deadlines: heads, bodies and readers that take forever are let go, and everybody else is served meanwhile. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { stripVTControlCharacters } from 'node:util';
import { ask } from '../e2e/client.ts';
import { Given, inflight, untilIdle } from '../e2e/given.ts';
import { plainBundle } from '../harness/bundle.ts';
import type { TestGateway } from '../harness/gateway.ts';
import type { TestUpstream } from '../harness/upstream.ts';
import { runTool, words } from './tool.ts';

const CONNECTIONS = 20;
/** A body's rate is judged every ten seconds, and once more after those in which it began. */
const SECONDS = 30;
/** A reader that is let go does not hear of it: its own kernel holds more than it reads. So many seconds it goes on. */
const READER_SECONDS = 8;

describe('slowhttptest', () => {
  const given = new Given();
  let upstream: TestUpstream;
  let gateway: TestGateway;

  before(async () => {
    upstream = await given.upstream();
    const route = (id: string): object => ({
      id,
      match: { path: { prefix: id === 'read' ? '/stream' : '/' } },
      access: 'public',
      reason: 'everything, for a test',
      cell: id,
    });
    gateway = await given.gateway({
      bundle: plainBundle([], {
        routes: { routes: [route('read'), route('all')] },
        cells: { cells: ['read', 'all'].map((id) => ({ id, endpoints: [{ address: upstream.address }] })) },
      }),
      bootstrap: {
        transport: 'native',
        // Those who are served may be held up between connecting and asking.
        downstream: { headTimeoutMs: 1_000, idleTimeoutMs: 4_000, writeTimeoutMs: 1_000 },
      },
    });
  });
  after(() => given.end());

  /** Runs it; resolves with how it says that it ended. */
  async function attack(how: string, path: string): Promise<string> {
    const { stdout, said } = await runTool('slowhttptest', [
      ...words(`${how} -c ${CONNECTIONS} -r ${CONNECTIONS} -p 5 -v 1`),
      ...words(`-u http://127.0.0.1:${gateway.ports.http}${path}`),
    ]);
    const exit = /Exit status: *(.*)/.exec(stripVTControlCharacters(stdout))?.[1];
    return exit ?? said;
  }

  /** Others are served as long as `attacks` last. */
  async function others(attacks: Promise<unknown>): Promise<void> {
    const now = { over: false };
    const ended = attacks.finally(() => (now.over = true));
    // What went wrong is told where it is awaited.
    ended.catch(() => undefined);
    while (!now.over) {
      assert.equal((await ask(gateway.ports.http, '/status/200')).status, 200);
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    await ended;
  }

  it('has no connection left that is slow with its head or its body', async () => {
    // At once: each waits most of the time.
    const attacks = Promise.all([
      attack(`-H -l ${SECONDS} -i 2 -x 24`, '/status/200'),
      attack(`-B -l ${SECONDS} -i 1 -x 10 -s 8192`, '/sink'),
    ]);
    await others(attacks);
    assert.deepEqual(await attacks, ['No open connections left', 'No open connections left']);
  });

  it('that reads slowly is let go, and so is the upstream', async () => {
    const reading = { over: false };
    const attacked = attack(`-X -l ${READER_SECONDS} -n 3 -z 16 -w 1 -y 512`, '/stream/20000000').finally(
      () => (reading.over = true),
    );
    const asked = (): number => upstream.requests.filter(({ url }) => url.startsWith('/stream')).length;
    const letGo = async (): Promise<void> => {
      await gateway.until(
        'the readers are let go',
        async () => asked() >= CONNECTIONS && (await inflight(gateway, 'read')) === 0,
      );
      assert.equal(reading.over, false, 'let go before the readers leave');
    };
    await Promise.all([others(attacked), letGo()]);
    assert.equal(await attacked, 'Hit test time limit');
  });

  it('leaves nothing behind', async () => {
    await untilIdle(gateway);
    await gateway.until('no connection is open', async () => {
      const { body } = await gateway.probe('/metrics');
      return /^cnx_connections_open\{.*\} 0$/m.test(body);
    });
    assert.equal((await ask(gateway.ports.http, '/status/200')).status, 200);
    await gateway.stop();
  });
});
