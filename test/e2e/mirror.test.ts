/** Mirrors through a real gateway: copies arrive whole, answers are compared and thrown away, and nothing that happens to a copy happens to the request. */
import assert from 'node:assert/strict';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { TestGateway } from '../harness/gateway.ts';
import { ask, askRaw, idOf } from './client.ts';
import { metricOf } from './given.ts';

interface Seen {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

/** An upstream whose answers and patience a test sets. */
class Service {
  readonly #server: Server;
  readonly seen: Seen[] = [];
  status = 200;
  body = 'hello';
  kind = 'text/plain';
  /** Answers nothing. */
  silent = false;

  private constructor() {
    this.#server = createServer((request, response) => {
      let body = '';
      request.setEncoding('utf8');
      request.on('data', (chunk: string) => (body += chunk));
      request.on('end', () => {
        this.seen.push({ method: request.method ?? '', url: request.url ?? '', headers: request.headers, body });
        if (this.silent) return;
        response.writeHead(this.status, { 'content-type': this.kind, 'content-length': Buffer.byteLength(this.body) });
        response.end(this.body);
      });
    });
  }

  static async start(): Promise<Service> {
    const service = new Service();
    await new Promise<void>((resolve) => service.#server.listen(0, '127.0.0.1', resolve));
    return service;
  }

  get address(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

interface Difference {
  readonly id: string;
  readonly differs: string;
  readonly path: string;
  readonly real: {
    readonly cell: string;
    readonly status: number;
    readonly headers: readonly string[];
    readonly digest: string;
  };
  readonly mirror: {
    readonly cell: string;
    readonly status: number;
    readonly headers: readonly string[];
    readonly digest: string;
  };
}

const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';

describe('a mirror', () => {
  let real: Service;
  let copy: Service;
  let gateway: TestGateway;
  before(async () => {
    [real, copy] = await Promise.all([Service.start(), Service.start()]);
    const route = { access: 'public', reason: 'everything, for a test', cell: 'v1' };
    gateway = await TestGateway.start({
      bundle: {
        waf: { mode: 'off' },
        routes: {
          routes: [
            {
              ...route,
              id: 'shop',
              match: { path: { prefix: '/' } },
              respond: { requestHeaders: { set: { 'X-Stage': 'test' } }, stripPrefix: '/shop' },
              mirror: {
                cell: 'v2',
                methods: ['GET', 'POST'],
                bodyBytesMax: 1_000,
                compare: { headers: ['Content-Type'], bodyBytesMax: 1_000 },
              },
            },
            // The others have the time that a busy machine may take.
            { ...route, id: 'silent', match: { path: { prefix: '/silent' } }, mirror: { cell: 'v2', timeoutMs: 500 } },
            { ...route, id: 'never', match: { path: { prefix: '/never' } }, mirror: { cell: 'v2', share: 0 } },
            {
              ...route,
              id: 'kept',
              match: { path: { prefix: '/kept' } },
              tenant: { header: 'X-Tenant' },
              mirror: { cell: 'v2' },
            },
          ],
        },
        cells: {
          cells: [
            { id: 'v1', region: 'eu', endpoints: [{ address: real.address }] },
            { id: 'v2', region: 'us', endpoints: [{ address: copy.address }] },
          ],
          tenantRegions: { acme: ['eu'] },
        },
      },
    });
  });
  after(async () => {
    await gateway.stop();
    await Promise.all([real.stop(), copy.stop()]);
  });

  const outcome = (name: string, route = 'shop'): Promise<number> =>
    metricOf(gateway, 'cnx_mirrored_total', `route="${route}"`, `outcome="${name}"`);
  const until = (name: string, n: number): Promise<void> =>
    gateway.until(`${n} with outcome ${name}`, async () => (await outcome(name)) === n);
  const differences = async (): Promise<readonly Difference[]> =>
    ((await gateway.admin('/v1/mirrors')) as { differences: readonly Difference[] }).differences;

  it('gets the request as the upstream does, with its body, and the client only the real answer', async () => {
    const heard = await ask(gateway.ports.http, '/shop/cart?x=1', {
      method: 'POST',
      body: 'two apples',
      // What would make a copy of it for code that must not act twice, or take out of the copy what the route adds.
      headers: { 'x-mirrored-request': 'mine', X_Mirrored_Request: 'mine', connection: 'x-stage', traceparent },
    });
    assert.equal(heard.body, 'hello');
    await until('same', 1);
    const [its, theirs] = [copy.seen[0], real.seen[0]];
    assert.ok(its !== undefined && theirs !== undefined);
    assert.deepEqual([its.method, its.url, its.body], ['POST', '/cart?x=1', 'two apples']);
    assert.deepEqual([theirs.method, theirs.url, theirs.body], ['POST', '/cart?x=1', 'two apples']);
    assert.equal(its.headers['x-stage'], 'test');
    assert.equal(its.headers.host, theirs.headers.host);
    assert.equal(its.headers['x-forwarded-for'], '127.0.0.1');
    assert.equal(its.headers['x-request-id'], theirs.headers['x-request-id']);
    assert.equal(its.headers['x-mirrored-request'], idOf(heard));
    for (const name of ['x-mirrored-request', 'x_mirrored_request'])
      assert.equal(theirs.headers[name], undefined, name);
    for (const name of ['x-forwarded-prefix', 'traceparent'])
      assert.equal(its.headers[name], theirs.headers[name], name);
    assert.deepEqual([its.headers['x-forwarded-prefix'], its.headers['traceparent']], ['/shop', traceparent]);
  });

  it('gets lines of Cookie as one field that the upstream reads alike', async () => {
    const path = '/cookies';
    const lines = ['Host: a.test', 'Cookie: a=1; b=2', 'Cookie: c=3', 'Connection: close'].join('\r\n');
    await askRaw({ port: gateway.ports.http }, `GET ${path} HTTP/1.1\r\n${lines}\r\n\r\n`);
    const its = (): Seen | undefined => copy.seen.find((seen) => seen.url === path);
    await gateway.until('the copy is there', async () => its() !== undefined);
    assert.equal(its()?.headers.cookie, 'a=1; b=2; c=3');
    await until('same', 2);
  });

  it('differences of status, fields and body are counted, and the last ones shown', async () => {
    copy.body = 'hallo';
    const body = await ask(gateway.ports.http, '/a');
    await until('body', 1);
    copy.kind = 'text/html';
    await ask(gateway.ports.http, '/b');
    await until('headers', 1);
    copy.status = 500;
    await ask(gateway.ports.http, '/c');
    await until('status', 1);
    // They are counted a moment before they are told.
    await gateway.until('all are told', async () => (await differences()).length === 3);
    const [status, headers, bodies] = await differences();
    assert.equal(status?.differs, 'status');
    assert.deepEqual(
      [status.real.cell, status.real.status, status.mirror.cell, status.mirror.status],
      ['v1', 200, 'v2', 500],
    );
    assert.deepEqual([headers?.real.headers, headers?.mirror.headers], [['text/plain'], ['text/html']]);
    assert.equal(bodies?.id, idOf(body));
    assert.match(bodies.real.digest, /^[0-9a-f]{64}$/);
    assert.notEqual(bodies.real.digest, bodies.mirror.digest);
    Object.assign(copy, { body: 'hello', kind: 'text/plain', status: 200 });
  });

  it('what is too long is not compared, or not sent at all', async () => {
    real.body = copy.body = 'x'.repeat(2_000);
    assert.equal((await ask(gateway.ports.http, '/long')).body.length, 2_000);
    await until('partly', 1);
    real.body = copy.body = 'hello';
    const seen = copy.seen.length;
    assert.equal((await ask(gateway.ports.http, '/up', { method: 'POST', body: 'y'.repeat(2_000) })).status, 200);
    assert.equal(real.seen.at(-1)?.body.length, 2_000);
    assert.equal((await ask(gateway.ports.http, '/up', { method: 'DELETE' })).status, 200);
    assert.equal((await ask(gateway.ports.http, '/never')).status, 200);
    assert.equal((await ask(gateway.ports.http, '/kept', { headers: { 'x-tenant': 'acme' } })).status, 200);
    assert.equal((await ask(gateway.ports.http, '/kept', { headers: { 'x-tenant': 'globex' } })).status, 200);
    await gateway.until('one copy', () => copy.seen.length > seen);
    assert.deepEqual(
      copy.seen.slice(seen).map((s) => s.headers['x-tenant']),
      ['globex'],
      'not the long one, not another method, not of a share of 0, not out of a region',
    );
  });

  it('a silent or dead mirror delays nobody', async () => {
    copy.silent = true;
    const heard = await Promise.all(Array.from({ length: 100 }, () => ask(gateway.ports.http, '/silent')));
    assert.ok(heard.every((h) => h.status === 200));
    const lost = async (): Promise<number> =>
      (await outcome('failed', 'silent')) + (await outcome('dropped', 'silent'));
    await gateway.until('all are given up', async () => (await lost()) === 100);
    await copy.stop();
    assert.equal((await ask(gateway.ports.http, '/silent/dead')).status, 200);
    await gateway.until('it has failed', async () => (await lost()) === 101);
  });
});
