/** Endpoints that die, come back, are ejected or all down; and tenants that stay in their cells. Real processes, real kills. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { after, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createServer as createSecureServer } from 'node:tls';
import { OUT } from '../../src/snapshot/rotation.ts';
import { plainBundle } from '../harness/bundle.ts';
import { freePorts } from '../harness/ports.ts';
import { testAuthority } from '../harness/certs.ts';
import { ask, codeOf, idOf, keepAlive } from './client.ts';
import { EndpointProcess } from './endpoint-process.ts';
import { endpointsOf, Given, metricOf, untilIdle } from './given.ts';

/** Between two requests of a client: the load must not starve the processes that it is to meet. */
const PAUSE_MS = 2;

describe('endpoints', () => {
  const given = new Given();
  after(() => given.end());

  const processes = async (...names: string[]): Promise<EndpointProcess[]> => {
    const started = await Promise.all(names.map((name) => EndpointProcess.start(name)));
    for (const endpoint of started) given.ends(() => endpoint.kill());
    return started;
  };

  it('why no connection could be made stands in the record, also where there was nobody else to ask', async () => {
    const authority = testAuthority();
    const other = await given.upstream({ tls: authority.leaf(['other.test']) });
    const plain = await given.upstream();
    const silent = createServer(() => undefined).listen(0, '127.0.0.1');
    given.ends(() => silent.close());
    await once(silent, 'listening');
    // Asks for a certificate of ours, which it has none of: in TLS 1.3 it says so when our part is over.
    const strict = createSecureServer(
      {
        cert: authority.leaf(['api.test']).certificate,
        key: authority.leaf(['api.test']).key,
        requestCert: true,
        ca: authority.certificate,
      },
      (socket) => socket.on('error', () => undefined),
    );
    strict.on('tlsClientError', () => undefined).listen(0, '127.0.0.1');
    given.ends(() => strict.close());
    await once(strict, 'listening');
    const [closed = 0] = await freePorts(1);
    const portOf = (server: { address(): unknown }): number => (server.address() as { port: number }).port;
    const cases: Readonly<Record<string, readonly [string, RegExp]>> = {
      closed: [`127.0.0.1:${closed}`, /tried again after .*: no connection: connection refused$/],
      other: [other.address, /no connection: TLS: certificate not valid for name "api\.test"/],
      plain: [plain.address, /no connection: TLS: received corrupt message/],
      silent: [`127.0.0.1:${portOf(silent)}`, /no connection: no TLS handshake in time$/],
      strict: [
        `127.0.0.1:${portOf(strict)}`,
        /connection closed before the response head: TLS: .*CertificateRequired$/,
      ],
    };
    const tls = { serverName: 'api.test', ca: authority.certificate };
    const gateway = await given.gateway({
      bundle: plainBundle([], {
        cells: {
          cells: Object.entries(cases).map(([id, [address]]) => ({
            id,
            endpoints: [{ address, ...(id === 'closed' ? {} : { tls }) }],
          })),
        },
        routes: {
          routes: Object.keys(cases).map((id) => ({
            id,
            match: { path: { prefix: `/${id}` } },
            access: 'public',
            reason: 'for a test',
            cell: id,
            timeouts: { connectMs: 1_000 },
          })),
        },
      }),
    });
    for (const [id, [, why]] of Object.entries(cases)) {
      const heard = await ask(gateway.ports.http, `/${id}`);
      assert.equal(codeOf(heard), id === 'strict' ? 'upstream_reset' : 'no_endpoint', id);
      const { detail } = (await gateway.admin(`/v1/explain/${idOf(heard)}`)) as { detail: string };
      assert.match(detail, why, id);
      if (id !== 'strict') assert.match(detail, /^every endpoint of the cell is down; tried again after /, id);
    }
    await gateway.stop();
  });

  it('one of three is killed under load: no safe request fails, it gets no more, and comes back', async () => {
    const endpoints = await processes('a', 'b', 'c');
    const [victim] = endpoints as [EndpointProcess];
    const clientCount = 12;
    const gateway = await given.gateway({
      bundle: plainBundle([], {
        cells: {
          cells: [
            {
              id: 'one',
              endpoints: endpoints.map(({ address }) => ({ address })),
              // All of them may wait for the victim, on a machine that has just held it up.
              retryBudget: { minRetryConcurrency: clientCount },
            },
          ],
        },
      }),
      bootstrap: { lanes: 2 },
    });
    const load = { on: true };
    const answers = new Map<string, number>();
    const client = async (): Promise<void> => {
      const agent = keepAlive(1);
      try {
        while (load.on) {
          const heard = await ask(gateway.ports.http, '/', { agent });
          assert.equal(heard.status, 200, heard.body);
          answers.set(heard.body, (answers.get(heard.body) ?? 0) + 1);
          await sleep(PAUSE_MS);
        }
      } finally {
        load.on = false;
        agent.destroy();
      }
    };
    const clients = Array.from({ length: clientCount }, client);
    const count = (name: string): number => answers.get(name) ?? 0;
    const answered = (): number => [...answers.values()].reduce((sum, n) => sum + n, 0);
    const until = (what: string, condition: () => boolean): Promise<void> =>
      gateway.until(what, () => !load.on || condition());
    try {
      await until('all three answer', () => endpoints.every((e) => count(e.name) > 20));
      await victim.kill();
      const before = answered();
      const its = count(victim.name);
      await until('the others carry on', () => answered() > before + 300);
      assert.ok(count(victim.name) <= its + clientCount, 'answers that were under way, and none after');
      await gateway.until('it is known to be down', async () => {
        const dead = (await endpointsOf(gateway)).find((e) => e.identity.endsWith(`:${victim.port}`));
        return dead !== undefined && (dead.out !== null || dead.downUntil > 0 || dead.health < 1);
      });
      await victim.run();
      const back = count(victim.name);
      await until('it is used again', () => count(victim.name) > back + 20);
    } finally {
      load.on = false;
    }
    await Promise.all(clients);
    await untilIdle(gateway);
    await gateway.stop();
  });

  it('all of them are down: refused as such, and served again when one is back', async () => {
    const [dead = 0, other = 0] = await freePorts(2);
    const [late] = await processes('late');
    assert.ok(late !== undefined);
    await late.kill();
    const bundle = plainBundle([`127.0.0.1:${dead}`, `127.0.0.1:${other}`, late.address]);
    const gateway = await given.gateway({ bundle });
    const seen = new Set<string>();
    for (let n = 0; n < 6; n++) {
      const heard = await ask(gateway.ports.http, '/');
      seen.add(`${heard.status} ${codeOf(heard)}`);
    }
    for (const said of seen) assert.match(said, /^(503 no_endpoint|502 upstream_unreachable)$/);
    assert.ok(seen.has('503 no_endpoint'));
    // Without probes nobody but requests finds out more; and it is out until one is answered, however long nobody asks.
    await gateway.untilPrinted(/^{"kind":"event".*"connections to an endpoint changed".*"state":"refused"/m);
    await gateway.until('the time is over in which nobody tries them', async () =>
      (await endpointsOf(gateway)).every((e) => e.downUntil === 0),
    );
    assert.equal(await metricOf(gateway, 'cnx_endpoint_out'), 3);
    const { endpoints } = (await gateway.admin('/v1/status')) as { endpoints: { out: { why: string }[] } };
    assert.deepEqual([...new Set(endpoints.out.map((e) => e.why))], [OUT.refused]);
    // What was sent cannot be sent again, but nothing was sent: a POST is refused the same way, and never hangs.
    const posted = await ask(gateway.ports.http, '/', { method: 'POST', body: 'x' });
    assert.equal(codeOf(posted), 'no_endpoint');
    await late.run();
    await gateway.until('the one that is back serves', async () => {
      const heard = await ask(gateway.ports.http, '/');
      return heard.status === 200 && heard.body === 'late';
    });
    await gateway.untilPrinted(/"connections to an endpoint changed".*"state":"accepted"/);
    assert.equal(await metricOf(gateway, 'cnx_endpoint_out'), 2);
    await untilIdle(gateway);
    await gateway.stop();
  });

  it('three failed probes eject, and good ones admit again', async () => {
    let healthy = true;
    let probes = 0;
    const health = (_: unknown, response: { writeHead: (status: number) => { end: () => void } }): void => {
      probes += 1;
      response.writeHead(healthy ? 200 : 503).end();
    };
    const sick = await given.upstream({ name: 'sick', behaviours: { health } });
    const well = await given.upstream({ name: 'well', behaviours: { health: (_, response) => response.end() } });
    const gateway = await given.gateway({
      bundle: plainBundle([], {
        cells: {
          cells: [
            {
              id: 'one',
              endpoints: [{ address: sick.address }, { address: well.address }],
              // Three probes in a row that are not answered in time are longer than a busy machine stands still.
              probe: { path: '/health', intervalMs: 1_500, timeoutMs: 1_500, failures: 3, successes: 2 },
            },
          ],
        },
      }),
    });
    const isEjected = async (): Promise<boolean> =>
      (await endpointsOf(gateway)).some((e) => e.identity === `one/${sick.address}` && e.ejected);
    await gateway.until('it is probed', () => probes >= 3);
    assert.equal(await isEjected(), false);
    healthy = false;
    const before = probes;
    await gateway.until('it is ejected', isEjected);
    assert.ok(probes - before >= 3, `ejected after ${probes - before} failed probes`);
    for (let n = 0; n < 20; n++) assert.equal((await ask(gateway.ports.http, '/')).body, 'well');
    await gateway.untilPrinted(/"endpoint ejected"/);
    healthy = true;
    await gateway.until('it is admitted', async () => !(await isEjected()));
    await gateway.until('it is used', async () => (await ask(gateway.ports.http, '/')).body === 'sick');
    await gateway.stop();
  });

  it('tenants go where their pin says, else where the ring says, in every lane', async () => {
    const ids = ['eu-1', 'us-1', 'ap-1'];
    const upstreams = await Promise.all(ids.map((name) => given.upstream({ name })));
    const gateway = await given.gateway({
      bootstrap: { lanes: 2 },
      bundle: plainBundle([], {
        cells: {
          cells: ids.map((id, i) => ({ id, endpoints: [{ address: upstreams[i]?.address }] })),
          pins: { acme: 'ap-1', 'acme.sub': 'us-1' },
        },
        routes: {
          routes: [
            {
              id: 'all',
              match: { path: { prefix: '/' } },
              access: 'public',
              reason: 'everything, for a test',
              tenant: { header: 'x-tenant' },
            },
          ],
        },
      }),
    });
    const used = new Set<string>();
    const cellOf = async (tenant: string): Promise<string> =>
      (await ask(gateway.ports.http, '/', { headers: { 'x-tenant': tenant } })).body;
    for (let n = 0; n < 40; n++) {
      const tenant = `tenant-${n}`;
      const expected = cellByRing(ids, tenant);
      // Twice, over two connections: whichever lane gets it.
      assert.deepEqual(await Promise.all([cellOf(tenant), cellOf(tenant)]), [expected, expected]);
      used.add(expected);
    }
    assert.deepEqual([...used].sort(), [...ids].sort());
    assert.equal(await cellOf('acme'), 'ap-1');
    assert.equal(await cellOf('acme.sub'), 'us-1');

    // A bulkhead: one cell's death is nobody else's.
    await upstreams[0]?.kill();
    const inEu = Array.from({ length: 40 }, (_, n) => `tenant-${n}`).filter((t) => cellByRing(ids, t) === 'eu-1');
    for (let n = 0; n < 40; n++) {
      const tenant = `tenant-${n}`;
      const heard = await ask(gateway.ports.http, '/', { headers: { 'x-tenant': tenant } });
      assert.equal(heard.status === 200, !inEu.includes(tenant), `${tenant}: ${heard.status}`);
    }
    await gateway.stop();
  });
});

/** The ring as its contract says it, worked out anew: anyone with SHA-256 can. */
function cellByRing(cells: readonly string[], tenant: string): string {
  const position = (text: string): bigint => createHash('sha256').update(text).digest().readBigUInt64BE(0);
  const nodes = cells
    .flatMap((cell) => Array.from({ length: 150 }, (_, i) => ({ cell, at: position(`${cell}:vnode:${i}`) })))
    .sort((a, b) => (a.at < b.at ? -1 : 1));
  const own = position(tenant);
  return (nodes.find((node) => node.at >= own) ?? nodes[0])?.cell ?? '';
}
