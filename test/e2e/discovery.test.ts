/** Endpoints that move: names that lead elsewhere, files that are replaced, while requests go on. A real DNS server, real processes. */
import assert from 'node:assert/strict';
import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { plainBundle } from '../harness/bundle.ts';
import { TestDns, type TestName } from '../harness/dns-server.ts';
import type { TestGateway } from '../harness/gateway.ts';
import { freePorts } from '../harness/ports.ts';
import { ask, keepAlive } from './client.ts';
import { EndpointProcess } from './endpoint-process.ts';
import { endpointsOf, Given } from './given.ts';

/** Between two requests of a client: the load must not starve the processes that it is to meet. */
const PAUSE_MS = 2;
/** A server that stands still for a moment is not silent. */
const QUICK = { timeoutMs: 4_000, tries: 1, ttlMinMs: 100, ttlMaxMs: 1_000, negativeHoldMs: 0 };

/** Clients that ask all the time; every answer must be 200. */
class Load {
  readonly answers = new Map<string, number>();
  #on = true;
  readonly #clients: readonly Promise<void>[];

  constructor(gateway: TestGateway, method = 'GET') {
    this.#clients = Array.from({ length: 8 }, () => this.#client(gateway, method));
  }

  count(name: string): number {
    return this.answers.get(name) ?? 0;
  }

  /** Resolves when none is under way; rejects with the first answer that was not 200. */
  async end(): Promise<void> {
    this.#on = false;
    await Promise.all(this.#clients);
  }

  get failed(): boolean {
    return !this.#on;
  }

  async #client(gateway: TestGateway, method: string): Promise<void> {
    const agent = keepAlive(1);
    try {
      while (this.#on) {
        const heard = await ask(gateway.ports.http, '/', { agent, method });
        assert.equal(heard.status, 200, heard.body);
        this.answers.set(heard.body, this.count(heard.body) + 1);
        await sleep(PAUSE_MS);
      }
    } finally {
      this.#on = false;
      agent.destroy();
    }
  }
}

describe('endpoints that move', () => {
  const given = new Given();
  after(() => given.end());

  /** Processes named for the last byte of their address, all on one port. */
  const processes = async (...bytes: number[]): Promise<EndpointProcess[]> => {
    const [port = 0] = await freePorts(1);
    const started = await Promise.all(bytes.map((b) => EndpointProcess.start(`on-${b}`, `127.0.0.${b}`, port)));
    for (const one of started) given.ends(() => one.kill());
    return started;
  };

  const dnsOf = async (zone: Readonly<Record<string, TestName>>): Promise<TestDns> => {
    const dns = await TestDns.start(zone);
    given.ends(() => dns.stop());
    return dns;
  };

  const identities = async (gateway: TestGateway): Promise<string[]> =>
    (await endpointsOf(gateway)).map((e) => e.identity).sort();

  it('a name leads elsewhere under load: no request fails, and what has left gets none', async () => {
    const [two, three, four] = (await processes(2, 3, 4)) as [EndpointProcess, EndpointProcess, EndpointProcess];
    const dns = await dnsOf({ 'orders.test': { addresses: [two.host, three.host] } });
    const gateway = await given.gateway({
      bundle: plainBundle([`orders.test:${two.port}`]),
      bootstrap: { lanes: 2, dns: { ...QUICK, servers: [dns.address] } },
    });
    assert.deepEqual(await identities(gateway), [
      `one/orders.test/127.0.0.2:${two.port}`,
      `one/orders.test/127.0.0.3:${two.port}`,
    ]);
    const load = new Load(gateway, 'POST');
    await gateway.until('both answer', () => load.failed || (load.count('on-2') > 20 && load.count('on-3') > 20));
    dns.set('orders.test', { addresses: [three.host, four.host] });
    await gateway.until('the new one answers', () => load.failed || load.count('on-4') > 20);
    await gateway.until('the old one is gone', async () =>
      (await identities(gateway)).every((i) => !i.includes('127.0.0.2')),
    );
    // Lanes are told a moment after it is shown; when they are, only what is under way comes from there.
    const all = (): number => ['on-2', 'on-3', 'on-4'].reduce((sum, name) => sum + load.count(name), 0);
    await gateway.until('it gets no more', async () => {
      const [its, their] = [load.count('on-2'), all()];
      await gateway.until('the others go on', () => load.failed || all() > their + 100);
      return load.failed || load.count('on-2') === its;
    });
    const before = load.count('on-2');
    const others = load.count('on-4');
    await gateway.until('the others go on', () => load.failed || load.count('on-4') > others + 100);
    assert.ok(load.count('on-2') <= before + 8, 'only what was under way');
    // What it was is known of requests that it answered.
    dns.mood = 'servfail';
    await gateway.untilPrinted(/name not resolved; its last good addresses serve on/);
    const kept = load.count('on-3');
    await gateway.until('last good addresses serve', () => load.failed || load.count('on-3') > kept + 50);
    await load.end();
    await gateway.stop();
  });

  it('SRV records lead to ports and addresses; a name that is denied has none', async () => {
    const [two] = (await processes(2)) as [EndpointProcess];
    const dns = await dnsOf({
      '_http._tcp.orders.test': { srv: [{ target: 'a.orders.test', port: two.port }] },
      'a.orders.test': { addresses: [two.host] },
    });
    const gateway = await given.gateway({
      bundle: plainBundle([{ srv: '_http._tcp.orders.test', passHost: false }]),
      bootstrap: { dns: { ...QUICK, servers: [dns.address] } },
    });
    assert.deepEqual(await identities(gateway), [`one/a.orders.test/127.0.0.2:${two.port}`]);
    assert.equal((await ask(gateway.ports.http, '/')).body, 'on-2');
    dns.remove('_http._tcp.orders.test');
    await gateway.until('it has no endpoint', async () => (await identities(gateway)).length === 0);
    // The lane is told a moment after they are shown.
    await gateway.until('none is asked', async () => (await ask(gateway.ports.http, '/')).status === 503);
    dns.set('_http._tcp.orders.test', { srv: [{ target: 'a.orders.test', port: two.port }] });
    await gateway.until('it is back', async () => (await ask(gateway.ports.http, '/')).status === 200);
    await gateway.stop();
  });

  for (const mood of ['silent', 'servfail'] as const)
    it(`a gateway that starts while its DNS server is ${mood} goes where names led last`, async () => {
      const [two, three] = (await processes(2, 3)) as [EndpointProcess, EndpointProcess];
      const dns = await dnsOf({
        'orders.test': { addresses: [two.host] },
        'a.orders.test': { addresses: [three.host] },
        '_http._tcp.orders.test': { srv: [{ target: 'a.orders.test', port: three.port }] },
      });
      const gateway = await given.gateway({
        bundle: plainBundle([`orders.test:${two.port}`, { srv: '_http._tcp.orders.test' }]),
        // It is waited for until it has been silent for so long.
        bootstrap: { dns: { ...QUICK, ...(mood === 'silent' ? { timeoutMs: 1_000 } : {}), servers: [dns.address] } },
      });
      await gateway.until('both are known', async () => (await identities(gateway)).length === 2);
      const known = await identities(gateway);
      dns.mood = mood;
      await gateway.restart();
      await gateway.untilReady();
      assert.deepEqual(await identities(gateway), known);
      assert.equal((await ask(gateway.ports.http, '/')).status, 200);
      await gateway.untilPrinted(/name not resolved; its last good addresses serve on/);
      dns.mood = 'well';
      await gateway.untilPrinted(/name resolved again/);
      await gateway.stop();
    });

  it('an upstream is called by its name in TLS and, with passHost: false, in Host', async () => {
    const upstream = await given.upstream({ name: 'named' });
    const dns = await dnsOf({ 'named.test': { addresses: ['127.0.0.1'] } });
    const gateway = await given.gateway({
      bundle: plainBundle([{ address: `named.test:${upstream.port}`, passHost: false }]),
      bootstrap: { dns: { ...QUICK, servers: [dns.address] } },
    });
    const heard = JSON.parse((await ask(gateway.ports.http, '/echo')).body) as { headers: Record<string, string> };
    assert.equal(heard.headers['host'], `named.test:${upstream.port}`);
    await gateway.stop();
  });

  it('an endpoints file is replaced under load: no request fails; a bad one changes nothing', async () => {
    const [two, three] = (await processes(2, 3)) as [EndpointProcess, EndpointProcess];
    const gateway = await given.gateway({
      bundle: plainBundle([{ file: 'orders' }]),
      bootstrap: { lanes: 2, endpointFiles: { orders: 'orders.yaml' } },
    });
    const path = join(gateway.directory, 'orders.yaml');
    const replace = (text: string): void => {
      writeFileSync(`${path}.new`, text);
      renameSync(`${path}.new`, path);
    };
    const said = (...of: EndpointProcess[]): string =>
      `endpoints:\n${of.map((e) => `  - address: "${e.address}"\n`).join('')}`;
    assert.equal((await ask(gateway.ports.http, '/')).status, 503);
    replace(said(two));
    await gateway.until('it is served', async () => (await ask(gateway.ports.http, '/')).status === 200);
    const load = new Load(gateway, 'POST');
    for (let round = 0; round < 6; round++) {
      const [next, other] = round % 2 === 0 ? [three, 'on-3'] : [two, 'on-2'];
      const before = load.count(other);
      replace(said(next));
      await gateway.until(`${other} serves`, () => load.failed || load.count(other) > before + 20);
    }
    replace('endpoints: [{address: "no-address:80"}]');
    await gateway.untilPrinted(/endpoints file refused; its last good content serves on.*no-address is a name/);
    replace('endpoints: [');
    const before = load.count('on-2');
    await gateway.until('it serves on', () => load.failed || load.count('on-2') > before + 50);
    replace(JSON.stringify({ endpoints: [{ address: three.address }] }));
    await gateway.until('JSON does as well', () => load.failed || load.count('on-3') > 20);
    await load.end();
    await gateway.stop();
  });

  it('a bundle that names a file nobody mapped is refused', async () => {
    const upstream = await given.upstream();
    const gateway = await given.gateway({ bundle: plainBundle([upstream.address]) });
    await gateway.publish(plainBundle([{ file: 'orders' }]));
    await gateway.untilPrinted(/the bootstrap maps no endpoints file \\?"orders/);
    assert.equal((await ask(gateway.ports.http, '/')).status, 200);
    await gateway.stop();
  });
});
