/** The response cache of a running gateway, with real origins that count what they are asked, fail and die. */
import assert from 'node:assert/strict';
import {
  createServer,
  type IncomingMessage,
  request as httpRequest,
  type Server,
  type ServerResponse,
} from 'node:http';
import { after, before, describe, it } from 'node:test';
import { plainBundle } from '../harness/bundle.ts';
import type { TestGateway } from '../harness/gateway.ts';
import { freePorts, listening } from '../harness/ports.ts';
import { type Ask, ask, askRaw, type Heard, PATIENCE_MS } from './client.ts';
import { Given, metricOf } from './given.ts';

type Script = (request: IncomingMessage, response: ServerResponse, count: number) => void;

/** An origin whose answers are scripted by path, and that counts the requests for each. */
class CountingOrigin {
  readonly asked = new Map<string, number>();
  readonly heads: IncomingMessage[] = [];
  readonly #server: Server;
  readonly #scripts: Readonly<Record<string, Script>>;

  constructor(scripts: Readonly<Record<string, Script>>) {
    this.#scripts = scripts;
    this.#server = createServer((request, response) => {
      const path = (request.url ?? '').split('?')[0] ?? '';
      const count = (this.asked.get(path) ?? 0) + 1;
      this.asked.set(path, count);
      this.heads.push(request);
      request.resume();
      const script = this.#scripts[path];
      if (script === undefined) response.writeHead(404).end();
      else script(request, response, count);
    });
  }

  listen(port = 0): Promise<number> {
    return listening(this.#server, port);
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

const says =
  (fields: Readonly<Record<string, string>>, body = (count: number): string => `answer ${count}`): Script =>
  (_, response, count) => {
    response.writeHead(200, { 'content-type': 'text/plain', ...fields }).end(body(count));
  };

/** Answers only when it is told to. */
const held: { release: (() => void)[] } = { release: [] };

const SCRIPTS: Readonly<Record<string, Script>> = {
  '/fresh': says({ 'cache-control': 'max-age=600', etag: '"a"', 'x-own': 'yes', 'x-secret': 'no' }),
  '/tagged': says({ 'cache-control': 'max-age=600', 'cache-tag': 'shop,news' }),
  '/prefix/a': says({ 'cache-control': 'max-age=600' }),
  '/prefix/b': says({ 'cache-control': 'max-age=600' }),
  '/private': says({ 'cache-control': 'private, max-age=600' }),
  '/cookie': says({ 'cache-control': 'max-age=600', 'set-cookie': 'a=b' }),
  '/public': says({ 'cache-control': 'public, max-age=600' }),
  '/vary': (request, response, count) => {
    response
      .writeHead(200, { 'cache-control': 'max-age=600', vary: 'accept-language' })
      .end(`${request.headers['accept-language']} ${count}`);
  },
  '/proto': (request, response) => {
    response
      .writeHead(200, { 'cache-control': 'max-age=600', vary: 'x-forwarded-proto' })
      .end(String(request.headers['x-forwarded-proto']));
  },
  '/held': (_, response, count) => {
    held.release.push(() => response.writeHead(200, { 'cache-control': 'max-age=600' }).end(`answer ${count}`));
  },
  '/held-private': (_, response, count) => {
    held.release.push(() => response.writeHead(200, { 'cache-control': 'no-store' }).end(`answer ${count}`));
  },
  '/failing': (_, response, count) => {
    if (count === 1)
      response.writeHead(200, { 'cache-control': 'max-age=0, stale-if-error=600', etag: '"1"' }).end('good');
    else response.writeHead(503).end('bad');
  },
  '/strict': (_, response, count) => {
    if (count === 1)
      response
        .writeHead(200, { 'cache-control': 'max-age=0, must-revalidate, stale-if-error=600', etag: '"1"' })
        .end('good');
    else response.writeHead(503).end('bad');
  },
  '/revalidated': (request, response, count) => {
    const fields = { 'cache-control': 'max-age=0', etag: '"v"', 'x-count': String(count) };
    if (request.headers['if-none-match'] === '"v"') response.writeHead(304, fields).end();
    else response.writeHead(200, fields).end('body');
  },
  '/behind': (_, response, count) => {
    response.writeHead(200, { 'cache-control': 'max-age=0, stale-while-revalidate=600' }).end(`answer ${count}`);
  },
  '/changed': says({ 'cache-control': 'max-age=600' }),
  '/big': says({ 'cache-control': 'max-age=600' }, () => 'x'.repeat(200_000)),
  '/chunked': (_, response, count) => {
    response.writeHead(200, { 'cache-control': 'max-age=600' });
    response.write('two ');
    setImmediate(() => response.end(`parts ${count}`));
  },
  '/events': (_, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'max-age=600' });
    response.write('data: one\n\n');
  },
  '/parted': (request, response) => {
    const fields = { 'cache-control': 'max-age=600', etag: '"new"' };
    // Whoever holds parts of another version gets the whole (RFC 9110 §13.1.5).
    const whole =
      request.headers.range !== 'bytes=0-2' || ![undefined, '"new"'].includes(request.headers['if-range'] as string);
    if (whole) response.writeHead(200, fields).end('new text');
    else response.writeHead(206, { ...fields, 'content-range': 'bytes 0-2/8' }).end('new');
  },
  '/fields': (_, response) => {
    const many = Object.fromEntries(Array.from({ length: 60 }, (_unused, i) => [`x-field-${i}`, 'v']));
    response.writeHead(200, { 'cache-control': 'max-age=600', ...many }).end('many');
  },
};

const ROUTE = {
  id: 'all',
  match: { path: { prefix: '/' } },
  access: 'public',
  reason: 'everything, for a test',
  retries: 0,
  respond: { answerHeaders: { remove: ['x-secret'], add: { 'x-added': 'by the route' } } },
};

const bundleFor = (port: number, cache: object = {}): ReturnType<typeof plainBundle> =>
  plainBundle([{ address: `127.0.0.1:${port}`, capacity: 1_000 }], { routes: { routes: [{ ...ROUTE, cache }] } });

function post(port: number, path: string): Promise<{ status: number; body: unknown }> {
  return new Promise((resolve, reject) => {
    const sent = httpRequest({ host: '127.0.0.1', port, path, method: 'POST', agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => (text += chunk));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body: JSON.parse(text) as unknown }));
    });
    sent.on('error', reject);
    sent.end();
  });
}

async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS;
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`not in time: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

describe('the response cache', { timeout: 240_000 }, () => {
  const given = new Given();
  let origin: CountingOrigin;
  let gateway: TestGateway;
  before(async () => {
    origin = new CountingOrigin(SCRIPTS);
    const port = await origin.listen();
    given.ends(() => origin.stop());
    gateway = await given.gateway({ bundle: bundleFor(port) });
  });
  after(() => given.end());

  const get = (path: string, options: Ask = {}): Promise<Heard> => ask(gateway.ports.http, path, options);
  const status = (heard: Heard): string => String(heard.headers['cache-status']);

  it('answers from what is stored, with its age, the route’s edits, and a request id of its own', async () => {
    const first = await get('/fresh');
    const second = await get('/fresh');
    assert.deepEqual([first.body, second.body, origin.asked.get('/fresh')], ['answer 1', 'answer 1', 1]);
    assert.match(status(first), /^cloudnexus; fwd=uri-miss; fwd-status=200; stored$/);
    assert.match(status(second), /^cloudnexus; hit; ttl=\d+$/);
    for (const heard of [first, second]) {
      const { headers } = heard;
      assert.deepEqual([headers['x-own'], headers['x-secret'], headers['x-added']], ['yes', undefined, 'by the route']);
    }
    assert.equal(second.headers['content-type'], 'text/plain');
    assert.match(String(second.headers.age), /^\d+$/);
    assert.equal(second.headers.date, first.headers.date);
    assert.notEqual(second.headers['x-request-id'], first.headers['x-request-id']);
  });

  it('answers HEAD, conditions and ranges from a stored GET', async () => {
    await get('/fresh');
    const head = await get('/fresh', { method: 'HEAD' });
    assert.deepEqual([head.status, head.headers['content-length'], head.body], [200, '8', '']);
    const known = await get('/fresh', { headers: { 'if-none-match': '"a"' } });
    assert.deepEqual([known.status, known.body, known.headers.etag], [304, '', '"a"']);
    const part = await get('/fresh', { headers: { range: 'bytes=0-5' } });
    assert.deepEqual([part.status, part.body, part.headers['content-range']], [206, 'answer', 'bytes 0-5/8']);
    const beyond = await get('/fresh', { headers: { range: 'bytes=99-' } });
    assert.deepEqual([beyond.status, beyond.headers['content-range']], [416, 'bytes */8']);
    assert.equal(origin.asked.get('/fresh'), 1);
  });

  it('a stored part is nothing for whoever holds parts of another version', async () => {
    const range = 'bytes=0-2';
    const first = await get('/parted', { headers: { range } });
    assert.deepEqual([first.status, first.body], [206, 'new']);
    const same = await get('/parted', { headers: { range, 'if-range': '"new"' } });
    assert.deepEqual([same.status, same.body, origin.asked.get('/parted')], [206, 'new', 1]);
    const other = await get('/parted', { headers: { range, 'if-range': '"old"' } });
    assert.deepEqual([other.status, other.body], [200, 'new text']);
  });

  it('a client cannot make it fetch by saying no-cache, unless the route honours that', async () => {
    await get('/fresh');
    await get('/fresh', { headers: { 'cache-control': 'no-cache' } });
    assert.equal(origin.asked.get('/fresh'), 1);
  });

  it('stores nothing that is private, sets a cookie, or answers credentials; unless the answer is public', async () => {
    for (const path of ['/private', '/cookie']) {
      assert.equal((await get(path)).body, 'answer 1', path);
      assert.equal((await get(path)).body, 'answer 2', path);
    }
    const headers = { authorization: 'Bearer x' };
    await get('/changed', { headers });
    assert.equal((await get('/changed')).body, 'answer 2');
    await get('/public', { headers });
    assert.equal((await get('/public')).body, 'answer 1');
  });

  it('keeps what varies apart, also by the scheme that only the gateway tells', async () => {
    const english = { headers: { 'accept-language': 'en, de' } };
    assert.equal((await get('/vary', english)).body, 'en, de 1');
    assert.equal((await get('/vary', { headers: { 'accept-language': 'fr' } })).body, 'fr 2');
    assert.equal((await get('/vary', { headers: { 'accept-language': 'de,en' } })).body, 'en, de 1');
    const spoofed = { headers: { 'x-forwarded-proto': 'https' } };
    assert.equal((await get('/proto', spoofed)).body, 'http');
    assert.equal((await ask(gateway.ports.https, '/proto', { tls: true })).body, 'https');
  });

  it('asks once for what many want at once', async () => {
    const all = Promise.all(Array.from({ length: 20 }, () => get('/held')));
    await until('the origin is asked and the rest waits', async () => {
      const metrics = await gateway.probe('/metrics');
      return held.release.length === 1 && /cnx_cache_collapsed_total 19/.test(metrics.body);
    });
    held.release.splice(0).forEach((release) => {
      release();
    });
    const bodies = new Set((await all).map((heard) => heard.body));
    assert.deepEqual([[...bodies], origin.asked.get('/held')], [['answer 1'], 1]);
  });

  it('lets those who waited go when it cannot be stored', async () => {
    const collapsed = (): Promise<number> => metricOf(gateway, 'cnx_cache_collapsed_total');
    const before = await collapsed();
    const all = Promise.all(Array.from({ length: 5 }, () => get('/held-private')));
    await until(
      'the origin is asked and the rest waits',
      async () => held.release.length === 1 && (await collapsed()) === before + 4,
    );
    held.release.splice(0).forEach((release) => {
      release();
    });
    await until('the others ask, all at once', () => held.release.length === 4);
    held.release.splice(0).forEach((release) => {
      release();
    });
    assert.equal(new Set((await all).map((heard) => heard.body)).size, 5);
  });

  it('who waited for a client that has left fetches', async () => {
    const leaving = httpRequest({ host: '127.0.0.1', port: gateway.ports.http, path: '/held?left', agent: false });
    leaving.on('error', () => undefined);
    leaving.end();
    await until('the origin is asked', () => held.release.length === 1);
    const waiting = get('/held?left');
    leaving.destroy();
    await until('it is asked again', () => held.release.length === 2);
    held.release.splice(0).forEach((release) => {
      release();
    });
    assert.equal((await waiting).status, 200);
  });

  it('serves what is stale when the origin fails, if the answer allows it', async () => {
    assert.equal((await get('/failing')).body, 'good');
    const stale = await get('/failing');
    assert.deepEqual([stale.status, stale.body], [200, 'good']);
    assert.match(status(stale), /hit; ttl=-?\d+; detail=error/);
    const head = await get('/failing', { method: 'HEAD' });
    assert.equal(head.status, 200, 'HEAD is answered as GET would be');
    assert.match(status(head), /hit; ttl=-?\d+; detail=error/);
    await get('/strict');
    assert.equal((await get('/strict')).status, 503);
  });

  it('uses a stored body again when the origin says that it is still right, with the new fields', async () => {
    assert.equal((await get('/revalidated')).headers['x-count'], '1');
    const again = await get('/revalidated');
    assert.deepEqual([again.status, again.body, again.headers['x-count']], [200, 'body', '2']);
    assert.match(status(again), /fwd=stale; fwd-status=304; stored/);
  });

  it('serves what is stale while it is fetched anew', async () => {
    assert.equal((await get('/behind')).body, 'answer 1');
    assert.equal((await get('/behind')).body, 'answer 1');
    await until('the background has fetched', () => origin.asked.get('/behind') === 2);
    await until('it serves', async () => (await get('/behind')).body !== 'answer 1');
  });

  it('fetches anew with all lines of Cookie as one that upstreams read alike', async () => {
    await get('/behind?cookies');
    const lines = ['Host: a.test', 'Cookie: a=1; b=2', 'Cookie: c=3', 'Connection: close'].join('\r\n');
    await askRaw({ port: gateway.ports.http }, `GET /behind?cookies HTTP/1.1\r\n${lines}\r\n\r\n`);
    const cookies = (): (string | undefined)[] =>
      origin.heads.filter((head) => head.url === '/behind?cookies').map((head) => head.headers.cookie);
    await until('the background has fetched', () => cookies().length === 2);
    assert.deepEqual(cookies(), [undefined, 'a=1; b=2; c=3']);
  });

  it('forgets an address that a request has changed', async () => {
    await get('/changed?x');
    const before = (await get('/changed?x')).body;
    await get('/changed?x', { method: 'POST', body: 'b' });
    assert.notEqual((await get('/changed?x')).body, before);
  });

  it('stores bodies of every framing, and passes those that must not wait', async () => {
    assert.equal((await get('/chunked')).body, 'two parts 1');
    assert.equal((await get('/chunked')).body, 'two parts 1');
    assert.equal((await get('/big')).body.length, 200_000);
    assert.equal((await get('/big')).body.length, 200_000);
    assert.equal(origin.asked.get('/big'), 1);
    const text = await new Promise<string>((resolve, reject) => {
      const sent = httpRequest(
        { host: '127.0.0.1', port: gateway.ports.http, path: '/events', agent: false },
        (response) => {
          response.once('data', (chunk: Buffer) => {
            resolve(chunk.toString());
            sent.destroy();
          });
        },
      );
      sent.on('error', reject);
      sent.end();
    });
    assert.equal(text, 'data: one\n\n');
  });

  it('passes an answer with more fields than it can write again', async () => {
    for (const _ of [1, 2]) assert.equal((await get('/fields')).headers['x-field-59'], 'v');
    assert.equal(origin.asked.get('/fields'), 2);
  });

  it('is purged by address, tag, prefix and as a whole', async () => {
    const purge = async (query: string): Promise<unknown> => {
      const { status: code, body } = await post(gateway.ports.admin, `/v1/cache/purge?${query}`);
      assert.equal(code, 200, JSON.stringify(body));
      return (body as { purged: number }).purged;
    };
    const host = 'http://127.0.0.1';
    await Promise.all(['/tagged', '/prefix/a', '/prefix/b', '/fresh'].map((path) => get(path)));
    assert.equal(await purge(`tag=News`), 1);
    assert.equal((await get('/tagged')).body, 'answer 2');
    assert.equal(await purge(`prefix=${host}/prefix/`), 2);
    assert.equal((await get('/prefix/a')).body, 'answer 2');
    assert.equal(await purge(`url=${encodeURIComponent(`${host}/fresh`)}`), 1);
    assert.equal((await get('/fresh')).body, 'answer 2');
    assert.ok(Number(await purge('all=true')) >= 3);
    assert.equal(await purge('all=true'), 0);
    for (const wrong of ['', 'tag=a&tag=b', 'url=x', 'what=1', 'tag=a%20b']) {
      assert.equal((await post(gateway.ports.admin, `/v1/cache/purge?${wrong}`)).status, 400, wrong);
    }
  });

  it('is seen in records and metrics', async () => {
    await get('/fresh');
    const { headers } = await get('/fresh');
    const account = (await gateway.admin(`/v1/explain/${String(headers['x-request-id'])}`)) as Record<string, unknown>;
    assert.deepEqual([account['cache'], account['endpoint'], account['status']], ['hit', null, 200]);
    await until('the columns are published', async () =>
      /cnx_cache_addresses\{lane="0"\} [1-9]/.test((await gateway.probe('/metrics')).body),
    );
    const metrics = (await gateway.probe('/metrics')).body;
    assert.match(metrics, /cnx_cache_requests_total\{outcome="hit"\} [1-9]/);
    assert.match(metrics, /cnx_cache_stored_total [1-9]/);
  });
});

/** A name that leaks is found in answers; every answer is looked into. */
const RULES = `SecRuleEngine On
SecResponseBodyAccess On
SecResponseBodyMimeType text/plain
SecRule RESPONSE_BODY "@contains leaked" "id:1,phase:4,deny,t:none,msg:'leak'"
`;

describe('the response cache behind a WAF that inspects answers', { timeout: 120_000 }, () => {
  const given = new Given();
  after(() => given.end());

  it('stores what the WAF lets pass, never what it blocks, and serves nothing older instead', async () => {
    const long = 'x'.repeat(100_000);
    const origin = new CountingOrigin({
      '/good': says({ 'cache-control': 'max-age=600' }),
      '/long': says({ 'cache-control': 'max-age=600' }, () => long),
      '/leak': says({ 'cache-control': 'max-age=600' }, () => 'leaked'),
      '/later': says({ 'cache-control': 'max-age=0, stale-if-error=600, stale-while-revalidate=600' }, (count) =>
        count === 1 ? 'good' : 'leaked',
      ),
    });
    const port = await origin.listen();
    given.ends(() => origin.stop());
    const waf = { mode: 'block', responses: { inspect: true } };
    const gateway = await given.gateway({
      bundle: plainBundle([`127.0.0.1:${port}`], {
        routes: { routes: [{ ...ROUTE, cache: {}, waf }] },
        waf: { mode: 'block', rules: ['waf/test.conf'] },
        files: { 'waf/test.conf': RULES },
      }),
    });
    const get = (path: string): Promise<Heard> => ask(gateway.ports.http, path);
    for (const _ of [1, 2]) {
      assert.equal((await get('/good')).body, 'answer 1');
      assert.equal((await get('/long')).body, long);
      assert.equal((await get('/leak')).status, 403);
    }
    assert.equal((await get('/later')).body, 'good');
    assert.equal((await get('/later')).status, 403);
    assert.deepEqual(
      ['/good', '/long', '/leak', '/later'].map((path) => origin.asked.get(path)),
      [1, 1, 2, 2],
    );
    await gateway.stop();
  });
});

describe('the response cache without its origin', { timeout: 120_000 }, () => {
  const given = new Given();
  after(() => given.end());

  it('serves what is fresh, and what is stale as long as the route says; the rest is refused', async () => {
    const [port = 0] = await freePorts(1);
    const origin = new CountingOrigin({
      '/fresh': says({ 'cache-control': 'max-age=600' }),
      '/stale': says({ 'cache-control': 'max-age=0', etag: '"s"' }),
      '/never': says({ 'cache-control': 'no-cache', etag: '"n"' }),
    });
    await origin.listen(port);
    const gateway = await given.gateway({
      bundle: bundleFor(port, { staleIfErrorMs: 600_000, requestDirectives: 'honour' }),
    });
    const get = (path: string, options: Ask = {}): Promise<Heard> => ask(gateway.ports.http, path, options);
    for (const path of ['/fresh', '/stale', '/never']) assert.equal((await get(path)).body, 'answer 1');
    await origin.stop();
    for (const _ of [1, 2, 3]) {
      assert.equal((await get('/fresh')).body, 'answer 1');
      assert.equal((await get('/stale')).body, 'answer 1');
      assert.ok((await get('/never')).status >= 502);
    }
    const refused = await get('/unknown', { headers: { 'cache-control': 'only-if-cached' } });
    assert.deepEqual([refused.status, JSON.parse(refused.body).code], [504, 'not_cached']);
    await gateway.stop();
  });

  it('a write seen by one lane is forgotten by all', async () => {
    const origin = new CountingOrigin({ '/a': says({ 'cache-control': 'max-age=600' }) });
    const port = await origin.listen();
    given.ends(() => origin.stop());
    const gateway = await given.gateway({ bundle: bundleFor(port), bootstrap: { lanes: 2 } });
    const asked = (): number => origin.asked.get('/a') ?? 0;
    const get = (): Promise<Heard> => ask(gateway.ports.http, '/a');
    // New connections are spread over the lanes: when several in a row cost nothing, both have it.
    let quiet = 0;
    await until('both lanes have it', async () => {
      const before = asked();
      await get();
      quiet = asked() === before ? quiet + 1 : 0;
      return quiet >= 40;
    });
    await ask(gateway.ports.http, '/a', { method: 'DELETE' });
    const last = `answer ${asked()}`;
    await until('no lane has an answer from before', async () => {
      const bodies = await Promise.all(Array.from({ length: 20 }, get));
      return bodies.every((heard) => Number(heard.body.split(' ')[1]) > Number(last.split(' ')[1]));
    });
    await gateway.stop();
  });

  it('the transport uws takes no bundle with a cache, and says what to do', async () => {
    const [port = 0] = await freePorts(1);
    const gateway = await given.gateway({
      bundle: bundleFor(port),
      bootstrap: { transport: 'uws' },
      awaitReady: false,
    });
    await gateway.untilPrinted(
      /"bundle rejected".*\/routes\/0\/cache: the transport uws stores no answers; take `transport: native`/,
    );
  });
});
