/** A next process takes the place of the one that serves: nobody is turned away, no request is lost, and when it cannot, nothing has happened. */
import assert from 'node:assert/strict';
import { createPublicKey } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync, statSync } from 'node:fs';
import { Agent, type IncomingHttpHeaders } from 'node:http';
import { Agent as SecureAgent } from 'node:https';
import { connect } from 'node:net';
import { connect as secureConnect } from 'node:tls';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { verifyAudit } from '../../src/control/audit/verify.ts';
import { plainBundle } from '../harness/bundle.ts';
import type { TestGateway } from '../harness/gateway.ts';
import { testAuthority } from '../harness/certs.ts';
import { type Ask, ask } from './client.ts';
import { Given, inflight } from './given.ts';

/** The process that answered: each has its own beginning of request ids. */
function processOf(headers: IncomingHttpHeaders): string {
  return String(headers['x-request-id']).slice(0, 6);
}

/** Clients that never pause: each asks, reads, asks again. What goes wrong is kept. */
class Load {
  readonly wrong: string[] = [];
  /** Answers by the process that gave them. */
  readonly served = new Map<string, number>();
  #on = true;
  readonly #clients: Promise<void>[] = [];
  readonly #agents: Agent[] = [];

  constructor(gateway: TestGateway, { secure = true } = {}) {
    const { http, https } = gateway.ports;
    for (let i = 0; i < 4; i++) {
      this.#start(http, 'a new connection', {});
      this.#start(http, 'keep-alive', { agent: this.#keep(new Agent({ keepAlive: true, maxSockets: 1 })) });
    }
    const kept = this.#keep(new Agent({ keepAlive: true, maxSockets: 1 }));
    this.#start(http, 'keep-alive, POST', { agent: kept, method: 'POST', body: 'x'.repeat(2_000) });
    if (!secure) return;
    this.#start(https, 'a new TLS connection', { tls: true });
    const secureAgent = new SecureAgent({ keepAlive: true, maxSockets: 1, ca: testAuthority().certificate });
    this.#start(https, 'TLS, keep-alive', { tls: true, agent: this.#keep(secureAgent) });
  }

  by(instance: string): number {
    return this.served.get(instance) ?? 0;
  }

  get latest(): readonly string[] {
    return [...this.served.keys()];
  }

  async stop(): Promise<void> {
    this.#on = false;
    await Promise.all(this.#clients);
    for (const agent of this.#agents) agent.destroy();
  }

  #keep<T extends Agent>(agent: T): T {
    this.#agents.push(agent);
    return agent;
  }

  #start(port: number, name: string, how: Ask): void {
    this.#clients.push(
      (async (): Promise<void> => {
        while (this.#on) {
          try {
            const heard = await ask(port, '/', how);
            if (heard.status !== 200) this.wrong.push(`${name}: ${heard.status} ${heard.body}`);
            const instance = processOf(heard.headers);
            this.served.set(instance, this.by(instance) + 1);
          } catch (error) {
            this.wrong.push(`${name}: ${error instanceof Error ? error.message : String(error)}`);
          }
          await sleep(1);
        }
      })(),
    );
  }
}

function offered(gateway: TestGateway): boolean {
  try {
    return statSync(join(gateway.directory, 'state/hand-over.sock')).isSocket();
  } catch {
    return false;
  }
}

/** Says lines to the gateway as a next process would; the answers as they come. */
async function talk(gateway: TestGateway, ...lines: string[]): Promise<{ heard: string; close: () => void }> {
  const socket = connect(join(gateway.directory, 'state/hand-over.sock'));
  for (const line of lines) socket.write(`${line}\n`);
  const heard = await new Promise<string>((resolve, reject) => {
    socket.once('data', (bytes) => resolve(String(bytes)));
    socket.once('error', reject);
    socket.once('close', () => resolve(''));
  });
  socket.on('error', () => undefined);
  return { heard, close: () => socket.destroy() };
}

/** Connects by TLS, with a session if one is given; whether it was resumed, and the session that the server gives for the next time. */
async function tlsConnection(port: number, session?: Buffer): Promise<{ resumed: boolean; session: Buffer }> {
  const socket = secureConnect({
    port,
    host: '127.0.0.1',
    servername: 'localhost',
    ca: testAuthority().certificate,
    ...(session === undefined ? {} : { session }),
  });
  try {
    // TLS 1.3: the ticket comes after the handshake.
    const [given] = (await once(socket, 'session')) as [Buffer];
    return { resumed: socket.isSessionReused(), session: given };
  } finally {
    socket.destroy();
  }
}

describe('a process that takes over', () => {
  const given = new Given();
  after(() => given.end());

  async function serving(bootstrap: Readonly<Record<string, unknown>> = {}): Promise<TestGateway> {
    const upstream = await given.upstream();
    const gateway = await given.gateway({ bundle: plainBundle([upstream.address]), bootstrap });
    await gateway.until('it waits for a next process', () => offered(gateway));
    return gateway;
  }

  function nextOf(gateway: TestGateway, bootstrap?: Readonly<Record<string, unknown>>): TestGateway {
    const next = gateway.successor(bootstrap);
    given.ends(() => next.kill());
    return next;
  }

  it('under load: no connection is refused or reset, no request is lost, the former ends with 0', async () => {
    const former = await serving({ lanes: 2, drainDeadlineMs: 20_000 });
    const load = new Load(former);
    try {
      await former.until('the load is served', () => load.by(load.latest[0] ?? '') > 200);
      const slow = ask(former.ports.http, '/slow/3000');
      await former.until('a slow request is under way', async () => (await inflight(former)) > 0);
      const next = nextOf(former);
      await next.untilReady();
      await next.untilPrinted(/"gateway started"/);
      assert.equal(await former.ended(), 0);
      assert.equal((await slow).status, 200);
      await next.until('the next process serves', () => load.latest.length > 1);
      const [first = '', second = ''] = load.latest;
      const before = load.by(second);
      await next.until('it serves all', () => load.by(second) > before + 200);
      await load.stop();
      assert.deepEqual(load.wrong, []);
      assert.equal(processOf((await slow).headers), first);
      // It takes bundles, and can be followed itself.
      await next.until('it waits for a next process', () => offered(next));
      assert.equal(statSync(join(next.directory, 'state/hand-over.sock')).mode & 0o777, 0o600);
      await next.stop();
    } finally {
      await load.stop();
    }
  });

  it('resumes the TLS sessions that the former one began, and those of a process before it', async () => {
    const first = await serving({ drainDeadlineMs: 20_000 });
    const begun = await tlsConnection(first.ports.https);
    assert.equal(begun.resumed, false);
    const second = nextOf(first);
    await second.untilPrinted(/"gateway started"/);
    assert.equal(await first.ended(), 0);
    const again = await tlsConnection(second.ports.https, begun.session);
    assert.equal(again.resumed, true);
    await second.until('it waits for a next process', () => offered(second));
    const third = nextOf(second);
    await third.untilPrinted(/"gateway started"/);
    assert.equal(await second.ended(), 0);
    assert.equal((await tlsConnection(third.ports.https, begun.session)).resumed, true);
    await third.stop();
    // A process that took nothing over has keys of its own.
    const stranger = await serving();
    assert.equal((await tlsConnection(stranger.ports.https, begun.session)).resumed, false);
  });

  it('with fewer lanes, then with more: every inherited socket is served; a listener that is gone is drained', async () => {
    const first = await serving({ lanes: 3, drainDeadlineMs: 20_000 });
    const load = new Load(first, { secure: false });
    try {
      const plain = { listeners: [{ id: 'plain', address: '127.0.0.1', port: first.ports.http }] };
      const second = nextOf(first, { ...plain, lanes: 1 });
      await second.untilPrinted(/"gateway started"/);
      assert.equal(await first.ended(), 0);
      await assert.rejects(ask(first.ports.https, '/', { tls: true }), /ECONNREFUSED/);
      await second.until('it waits for a next process', () => offered(second));
      const third = nextOf(second, { ...plain, lanes: 3 });
      await third.untilPrinted(/"gateway started"/);
      assert.equal(await second.ended(), 0);
      await third.until('the third process serves', () => load.latest.length === 3);
      const last = load.latest.at(-1) ?? '';
      await third.until('the load is served', () => load.by(last) > 200);
      await load.stop();
      assert.deepEqual(load.wrong, []);
      await third.stop();
    } finally {
      await load.stop();
    }
  });

  it('that cannot listen ends with 1; the former goes on, takes new bundles, and can be followed', async () => {
    const former = await serving({ lanes: 2 });
    const blocker = await given.upstream();
    const taken = Number(blocker.address.split(':').at(-1));
    const load = new Load(former, { secure: false });
    try {
      const next = nextOf(former, {
        listeners: [
          { id: 'plain', address: '127.0.0.1', port: former.ports.http },
          { id: 'taken', address: '127.0.0.1', port: taken },
        ],
      });
      assert.equal(await next.ended(), 1);
      assert.match(next.stderr, /cannot listen/);
      await former.untilPrinted(/"not handed over; this gateway goes on"/);
      const digest = await former.publish(plainBundle([blocker.address], { release: { seq: 9 } }));
      await former.until('it takes a new bundle', () => former.stdout.includes(digest));
      await load.stop();
      assert.deepEqual(load.wrong, []);
      const other = nextOf(former);
      await other.untilPrinted(/"gateway started"/);
      assert.equal(await former.ended(), 0);
      // Three processes wrote it, one at a time.
      const audit = join(former.directory, 'state', 'audit');
      const key = createPublicKey(readFileSync(join(audit, 'key.pem'), 'utf8'));
      await other.until('the audit log is whole', async () => {
        const { entries, faults } = await verifyAudit(audit, key);
        return entries > 4 && faults.length === 0;
      });
      await other.stop();
    } finally {
      await load.stop();
    }
  });

  it('that could not open its listeners for probes and operators ends with 1; the former goes on, and can be followed', async () => {
    const former = await serving();
    const blocker = await given.upstream();
    const taken = Number(blocker.address.split(':').at(-1));
    const { admin } = former.ports;
    const load = new Load(former, { secure: false });
    try {
      const wrong: readonly (readonly [object, RegExp])[] = [
        [{ probes: { address: '127.0.0.1', port: taken } }, /EADDRINUSE/],
        [{ admin: { address: '127.0.0.1', port: taken } }, /EADDRINUSE/],
        [{ admin: { address: '127.0.0.1', port: admin, tokenFile: 'absent' } }, /absent: there is no such file/],
        [{ admin: { address: '192.0.2.1', port: admin, tokenFile: 'trust.yaml' } }, /EADDRNOTAVAIL/],
      ];
      for (const [bootstrap, reason] of wrong) {
        const next = nextOf(former, bootstrap as Record<string, unknown>);
        assert.equal(await next.ended(), 1);
        assert.match(next.stderr, reason);
        await former.until('it waits for a next process again', async () => {
          const again = await talk(former, '{"kind":"ask","version":1}');
          again.close();
          return again.heard.includes('granted');
        });
      }
      await load.stop();
      assert.deepEqual(load.wrong, []);
      assert.equal((await former.probe('/readyz')).status, 200);
      const other = nextOf(former);
      await other.untilPrinted(/"gateway started"/);
      assert.equal(await former.ended(), 0);
      await other.stop();
    } finally {
      await load.stop();
    }
  });

  it('is refused where versions differ, where another is at it, and for what is no question', async () => {
    const gateway = await serving();
    assert.match((await talk(gateway, '{"kind":"ask","version":2}')).heard, /"refused".*version 1/);
    assert.match((await talk(gateway, '{"kind":"serving"}')).heard, /"refused"/);
    assert.equal((await talk(gateway, 'GET / HTTP/1.1')).heard, '');
    const one = await talk(gateway, '{"kind":"ask","version":1}');
    assert.match(one.heard, /"granted"/);
    assert.match((await talk(gateway, '{"kind":"ask","version":1}')).heard, /"refused".*another/);
    one.close();
    await gateway.until('who left is forgotten', async () => {
      const again = await talk(gateway, '{"kind":"ask","version":1}');
      again.close();
      return again.heard.includes('granted');
    });
    await gateway.until('one without an inbox is granted, and then refused', async () => {
      await talk(gateway, '{"kind":"ask","version":1}', '{"kind":"take"}');
      return /"not handed over; this gateway goes on".*No such file/.test(gateway.stdout);
    });
    assert.equal((await ask(gateway.ports.http, '/')).status, 200);
    await gateway.stop();
  });

  it('finds nobody: a gateway that drains, and one that is gone', async () => {
    const gateway = await serving({ drainDelayMs: 120_000 });
    gateway.signal('SIGTERM');
    await gateway.until('it drains', async () => (await gateway.probe('/readyz')).status === 503);
    const next = nextOf(gateway);
    assert.equal(await next.ended(), 1);
    assert.match(next.stderr, /nothing to take over/);
    assert.equal((await ask(gateway.ports.http, '/')).status, 200);
    await gateway.restart();
    await gateway.untilReady();
    await gateway.until('it waits for a next process', () => offered(gateway));
    gateway.signal('SIGKILL');
    await gateway.ended();
    const late = nextOf(gateway);
    assert.equal(await late.ended(), 1);
    assert.match(late.stderr, /nothing to take over/);
  });

  it('needs the native transport', async () => {
    const gateway = await serving();
    const next = nextOf(gateway, { transport: 'uws' });
    assert.equal(await next.ended(), 1);
    assert.match(next.stderr, /--take-over needs transport: native/);
    assert.equal((await ask(gateway.ports.http, '/')).status, 200);
    await gateway.stop();
  });
});
