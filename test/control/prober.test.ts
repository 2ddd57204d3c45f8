/** The prober against real servers on loopback. Waits for what must happen; the runner's time-out is the only clock. */
import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:http';
import { createSecureServer as createSecureHttp2, createServer as createHttp2 } from 'node:http2';
import { createServer as createTcp, type AddressInfo, type Server as TcpServer } from 'node:net';
import { createServer as createTls } from 'node:https';
import { after, test } from 'node:test';
import { Prober, PROBES_AT_ONCE } from '../../src/control/health/prober.ts';
import { Prng } from '../../src/base/prng.ts';
import { CellMembers } from '../../src/data/upstream/cell-members.ts';
import { Chooser } from '../../src/data/upstream/choose.ts';
import { NONE_FAILED } from '../../src/data/upstream/failed-slots.ts';
import { BALANCE_DEFAULT } from '../../src/snapshot/balance.ts';
import { EndpointColumns, SUSPECTED } from '../../src/snapshot/endpoint-columns.ts';
import type { CellPlan, EndpointPlan, ProbePlan } from '../../src/snapshot/cell-plans.ts';
import { testAuthority } from '../harness/certs.ts';

const health = { alpha: 0.3, latencyGoodMs: 50, latencyBadMs: 500, errorBad: 0.05 };
const probe: ProbePlan = { path: '/healthz', intervalMs: 20, timeoutMs: 20_000, failures: 3, successes: 2 };

function endpoint(slot: number, port: number, tls: EndpointPlan['tls'] = null): EndpointPlan {
  return {
    slot,
    identity: `c/127.0.0.1:${port}`,
    cell: 0,
    host: '127.0.0.1',
    port,
    tls,
    capacity: 8,
    connectionsMax: 8,
    http2: false,
  };
}
function snapshot(
  endpoints: EndpointPlan[],
  plan: ProbePlan | null = probe,
): { cells: CellPlan[]; endpoints: EndpointPlan[] } {
  return { cells: [{ id: 'c', region: '', endpoints: endpoints.map((_, i) => i), health, probe: plan }], endpoints };
}

const ends: (() => Promise<void>)[] = [];
after(async () => {
  for (const end of ends) await end();
});

async function listen(server: Server | TcpServer, port = 0): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
  return (server.address() as AddressInfo).port;
}
async function close(server: Server | TcpServer): Promise<void> {
  if ('closeAllConnections' in server) server.closeAllConnections();
  await new Promise<void>((resolve) => server.close(() => resolve()));
}

/** A prober whose every probe and change can be waited for. */
class Watched {
  readonly columns = new EndpointColumns(EndpointColumns.create());
  readonly probes: { slot: number; ok: boolean; latencyMs: number }[] = [];
  readonly changes: { slot: number; ejected: boolean; reason: string }[] = [];
  #wakes: (() => void)[] = [];
  readonly prober = new Prober({
    columns: this.columns,
    events: {
      probed: (e, ok, latencyMs) => {
        this.probes.push({ slot: e.slot, ok, latencyMs });
        this.#wake();
      },
      changed: (e, ejected, reason) => {
        this.changes.push({ slot: e.slot, ejected, reason });
        this.#wake();
      },
    },
  });

  constructor() {
    ends.push(() => this.prober.stop());
  }

  async until(holds: () => boolean): Promise<void> {
    // The prober's timers do not keep the process alive; this one does, as long as somebody waits.
    const alive = setInterval(() => undefined, 1_000);
    while (!holds()) await new Promise<void>((resolve) => this.#wakes.push(resolve));
    clearInterval(alive);
  }

  #wake(): void {
    for (const wake of this.#wakes.splice(0)) wake();
  }
}

test('a server that is killed is ejected after three failures and admitted after two successes', async () => {
  const answer = (): Server => createServer((_, response) => response.end('ok'));
  let server = answer();
  const port = await listen(server);
  const w = new Watched();
  w.prober.activate(snapshot([endpoint(3, port)]));
  await w.until(() => w.probes.length >= 2);
  assert.ok(w.probes.every((p) => p.ok && p.slot === 3));
  assert.equal(w.columns.ejected[3], 0);

  assert.equal(w.columns.returnedAt[3], 0, 'it was never out');
  const killedAt = Date.now();
  await close(server);
  await w.until(() => w.changes.length === 1);
  assert.equal(w.columns.ejected[3], 1);
  assert.match(w.changes[0]?.reason ?? '', /^3 probes failed in a row, the last one: .*ECONNREFUSED/);
  assert.equal(w.probes.filter((p) => !p.ok).length, 3);

  server = answer();
  await listen(server, port);
  ends.push(() => close(server));
  const failed = w.probes.length;
  await w.until(() => w.changes.length === 2);
  assert.equal(w.columns.ejected[3], 0);
  assert.equal(w.probes.slice(failed).filter((p) => p.ok).length, 2);
  // It begins slowly, from then on.
  const returnedAt = w.columns.returnedAt[3] ?? 0;
  assert.ok(returnedAt >= killedAt && returnedAt <= Date.now(), `${returnedAt}`);
  const both = [endpoint(2, port), endpoint(3, port)];
  const members = new CellMembers(both, { ...BALANCE_DEFAULT, slowStartMs: 10_000 });
  const chooser = new Chooser(w.columns, 1);
  const prng = new Prng(1);
  const shareAt = (now: number): number => {
    let its = 0;
    for (let i = 0; i < 2_000; i++)
      if (chooser.choose(members, now, prng.uint32(), NONE_FAILED, true)?.slot === 3) its++;
    return its / 2_000;
  };
  assert.ok(shareAt(returnedAt) < 0.1, `${shareAt(returnedAt)}`);
  assert.ok(shareAt(returnedAt + 10_000) > 0.4);
  await w.prober.stop();
});

test('fewer failures in a row than it takes eject nobody', async () => {
  let n = 0;
  const server = createServer((_, response) => {
    response.statusCode = n++ % 3 === 0 ? 204 : 503;
    response.end();
  });
  const port = await listen(server);
  ends.push(() => close(server));
  const w = new Watched();
  w.prober.activate(snapshot([endpoint(0, port)]));
  await w.until(() => w.probes.length >= 12);
  await w.prober.stop();
  assert.equal(w.probes.slice(0, 12).filter((p) => !p.ok).length, 8);
  assert.deepEqual(w.changes, []);
});

test('a server that accepts and says nothing fails by the time-out; one that talks without end lives', async () => {
  const silent = createTcp((socket) => socket.on('error', () => undefined));
  const endless = createServer((request, response) => {
    const more = (): void => {
      while (!response.destroyed && response.write('x'.repeat(65_536)));
    };
    response.on('drain', more);
    request.on('close', () => response.destroy());
    more();
  });
  const first = await listen(silent);
  const second = await listen(endless);
  ends.push(() => close(endless));
  // Whoever answers has more time than a busy machine takes.
  for (const [port, timeoutMs, ok] of [
    [first, 150, false],
    [second, 20_000, true],
  ] as const) {
    const w = new Watched();
    w.prober.activate(snapshot([endpoint(0, port)], { ...probe, timeoutMs }));
    await w.until(() => w.probes.length >= 2);
    await w.prober.stop();
    assert.ok(
      w.probes.every((p) => p.ok === ok),
      JSON.stringify(w.probes),
    );
  }
  silent.close();
});

test('an endpoint over TLS is probed with its name and its authority, and not believed without', async () => {
  const authority = testAuthority();
  const leaf = authority.leaf(['api.example']);
  const server = createTls({ cert: leaf.certificate, key: leaf.key }, (_, response) => response.end());
  const port = await listen(server);
  ends.push(() => close(server));
  const w = new Watched();
  const tls = { serverName: 'api.example', ca: authority.certificate };
  w.prober.activate({
    cells: snapshot([]).cells,
    endpoints: [
      endpoint(0, port, tls),
      { ...endpoint(1, port, { ...tls, ca: null }), identity: 'c/unknown authority' },
      { ...endpoint(2, port, { ...tls, serverName: 'other.example' }), identity: 'c/other name' },
    ],
  });
  await w.until(() => [0, 1, 2].every((slot) => w.probes.some((p) => p.slot === slot)));
  await w.prober.stop();
  assert.ok(
    w.probes.every((p) => p.ok === (p.slot === 0)),
    JSON.stringify(w.probes),
  );
});

test('an endpoint that asks for a certificate is shown ours', async () => {
  const authority = testAuthority();
  const leaf = authority.leaf(['api.example']);
  const ours = authority.leaf(['gateway.example']);
  const server = createTls(
    { cert: leaf.certificate, key: leaf.key, ca: authority.certificate, requestCert: true, rejectUnauthorized: true },
    (_, response) => response.end(),
  );
  const port = await listen(server);
  ends.push(() => close(server));
  const w = new Watched();
  const tls = { serverName: 'api.example', ca: authority.certificate };
  w.prober.activate({
    cells: snapshot([]).cells,
    endpoints: [
      endpoint(0, port, { ...tls, identity: { chain: ours.certificate, key: ours.key } }),
      { ...endpoint(1, port, tls), identity: 'c/nobody' },
    ],
  });
  await w.until(() => [0, 1].every((slot) => w.probes.some((p) => p.slot === slot)));
  await w.prober.stop();
  assert.ok(
    w.probes.every((p) => p.ok === (p.slot === 0)),
    JSON.stringify(w.probes),
  );
});

test('an endpoint that speaks HTTP/2 only is probed so, with TLS and without', async () => {
  const authority = testAuthority();
  const leaf = authority.leaf(['api.example']);
  const plain = createHttp2();
  const secure = createSecureHttp2({ cert: leaf.certificate, key: leaf.key, allowHTTP1: false });
  for (const server of [plain, secure]) server.on('stream', (stream) => stream.respond({}, { endStream: true }));
  const ports = [await listen(plain), await listen(secure)] as const;
  ends.push(() => close(plain));
  ends.push(() => close(secure));
  const w = new Watched();
  const tls = { serverName: 'api.example', ca: authority.certificate };
  w.prober.activate({
    cells: snapshot([]).cells,
    endpoints: [
      { ...endpoint(0, ports[0]), http2: true },
      { ...endpoint(1, ports[1], tls), http2: true },
      { ...endpoint(2, ports[0]), identity: 'c/HTTP/1.1' },
    ],
  });
  await w.until(() => [0, 1, 2].every((slot) => w.probes.some((p) => p.slot === slot)));
  await w.prober.stop();
  assert.ok(
    w.probes.every((p) => p.ok === p.slot < 2),
    JSON.stringify(w.probes),
  );
});

test('a new snapshot keeps what is known, and whoever is probed no longer is admitted', async () => {
  const w = new Watched();
  const closed = createTcp();
  const port = await listen(closed);
  await close(closed);
  w.prober.activate(snapshot([endpoint(0, port)]));
  await w.until(() => w.changes.length === 1);
  w.prober.activate(snapshot([endpoint(0, port)], { ...probe, intervalMs: 25 }));
  assert.equal(w.columns.ejected[0], 1);
  const before = w.probes.length;
  await w.until(() => w.probes.length > before);
  assert.equal(w.changes.length, 1, 'it is still ejected, so nothing changed');
  w.prober.activate(snapshot([endpoint(0, port)], null));
  assert.equal(w.columns.ejected[0], 0);
  const after = w.probes.length;
  await w.prober.stop();
  assert.equal(w.probes.length, after, 'nothing that was under way is told any more');
});

test('probes that succeed take away what a lane said of the endpoint', async () => {
  const server = createServer((_, response) => response.end());
  const port = await listen(server);
  ends.push(() => close(server));
  const w = new Watched();
  w.columns.downUntil[0] = SUSPECTED;
  w.prober.activate(snapshot([endpoint(0, port)]));
  await w.until(() => w.probes.length >= 2);
  assert.equal(w.columns.downUntil[0], 0);
  await w.prober.stop();
});

test('no more probes are under way than PROBES_AT_ONCE, and all get their turn', async () => {
  let open = 0;
  let most = 0;
  const server = createServer((_, response) => {
    most = Math.max(most, ++open);
    setTimeout(() => response.end(() => open--), 5);
  });
  const port = await listen(server);
  ends.push(() => close(server));
  const w = new Watched();
  const many = Array.from({ length: PROBES_AT_ONCE * 3 }, (_, slot) => ({
    ...endpoint(slot, port),
    identity: `c/${slot}`,
  }));
  w.prober.activate(snapshot(many, { ...probe, intervalMs: 1, timeoutMs: 20_000 }));
  await w.until(() => new Set(w.probes.map((p) => p.slot)).size === many.length);
  await w.prober.stop();
  assert.ok(most <= PROBES_AT_ONCE, `${most} at once`);
});
