/** What a client could do to the answers of others by way of the response cache: fields that the key does not hold, credentials in other clothes, another revision, what the background asks. */
import assert from 'node:assert/strict';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { request as secureRequest } from 'node:https';
import { after, before, describe, it } from 'node:test';
import { type BundleParts, plainBundle } from '../harness/bundle.ts';
import { testAuthority } from '../harness/certs.ts';
import type { TestGateway } from '../harness/gateway.ts';
import { listening } from '../harness/ports.ts';
import { type Ask, ask, type Heard } from './client.ts';
import { Given } from './given.ts';

const authority = testAuthority();
const alice = authority.leaf(['alice.example']);
const bob = authority.leaf(['bob.example']);

/** Tells every request what it has seen of it, and how its answer may be stored. */
class TellingOrigin {
  readonly name: string;
  readonly heads: IncomingMessage[] = [];
  /** Paths whose HEAD requests are held back until they are released. */
  readonly held: (() => void)[] = [];
  readonly #server: Server;

  constructor(name: string) {
    this.name = name;
    this.#server = createServer((request, response) => {
      this.heads.push(request);
      request.resume();
      if (request.method === 'HEAD') this.held.push(() => this.#tell(request, response));
      else this.#tell(request, response);
    });
  }

  /** Of `?vary=name&say=directives`, with `name` as the fields that are told. */
  #tell(request: IncomingMessage, response: ServerResponse): void {
    const url = new URL(request.url ?? '/', 'http://origin');
    const vary = url.searchParams.get('vary') ?? '';
    const told = (url.searchParams.get('tell') ?? vary).split(',').map((name) => request.headers[name] ?? 'none');
    const head = { 'cache-control': url.searchParams.get('say') ?? 'max-age=600', etag: '"e"' };
    response.writeHead(200, vary === '' ? head : { ...head, vary }).end(`${this.name} ${url.pathname} ${told.join()}`);
  }

  listen(): Promise<number> {
    return listening(this.#server, 0);
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

const route = (id: string, prefix: string, more: object = {}): object => ({
  id,
  match: { path: { prefix } },
  access: 'public',
  reason: 'everything, for a test',
  retries: 0,
  cache: {},
  ...more,
});

const ROUTES = [
  route('all', '/'),
  route('certificates', '/certificate', { forwardClientCertificate: true }),
  route('key', '/key', { respond: { requestHeaders: { set: { Authorization: 'Bearer ${header:x-key}' } } } }),
  route('subject', '/subject', { respond: { requestHeaders: { set: { 'X-Subject': '${certificateSubject}' } } } }),
  route('edited', '/edited', {
    forwardClientCertificate: true,
    respond: {
      stripPrefix: '/edited',
      requestHeaders: {
        remove: ['X-Both'],
        set: { 'X-Set': 'set', 'X-Real-IP': '${address}', 'X-Both': 'ours' },
        setIfAbsent: { 'X-Absent': 'absent' },
        append: { 'X-Append': 'append' },
        add: { 'X-Add': 'add' },
      },
    },
  }),
];

describe('the response cache and whoever wants to use it against others', { timeout: 240_000 }, () => {
  const given = new Given();
  const one = new TellingOrigin('one');
  const two = new TellingOrigin('two');
  let gateway: TestGateway;
  let bundles: { readonly first: BundleParts; readonly moved: BundleParts; readonly rewritten: BundleParts };

  before(async () => {
    const cells = [
      { id: 'one', endpoints: [{ address: `127.0.0.1:${await one.listen()}` }] },
      { id: 'two', endpoints: [{ address: `127.0.0.1:${await two.listen()}` }] },
    ];
    given.ends(() => one.stop());
    given.ends(() => two.stop());
    const bundle = (ids: readonly string[], routes: readonly object[]): BundleParts =>
      plainBundle([], { cells: { cells: cells.filter(({ id }) => ids.includes(id)) }, routes: { routes } });
    bundles = {
      first: bundle(['one'], ROUTES),
      moved: bundle(['two'], ROUTES),
      rewritten: bundle(['two'], [route('all', '/', { respond: { replacePath: '/elsewhere' } }), ...ROUTES.slice(1)]),
    };
    gateway = await given.gateway({
      bundle: bundles.first,
      tls: {
        certificateFile: authority.leaf().certificateFile,
        keyFile: authority.leaf().keyFile,
        clientCertificates: { mode: 'optional', caFile: authority.certificateFile },
      },
    });
  });
  after(() => given.end());

  const get = (path: string, options: Ask = {}): Promise<Heard> => ask(gateway.ports.http, path, options);

  function getAs(
    leaf: { readonly certificate: string; readonly key: string } | null,
    path: string,
    headers = {},
  ): Promise<string> {
    return new Promise((resolve, reject) => {
      const sent = secureRequest({
        host: '127.0.0.1',
        port: gateway.ports.https,
        path,
        headers,
        agent: false,
        ca: authority.certificate,
        servername: 'localhost',
        ...(leaf === null ? {} : { cert: leaf.certificate, key: leaf.key }),
      });
      sent.on('response', (response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => (text += chunk));
        response.on('end', () => resolve(text));
      });
      sent.on('error', reject);
      sent.end();
    });
  }

  it('answers that vary by the client certificate are told apart by it', async () => {
    const path = '/certificate?vary=x-forwarded-client-cert&say=public,max-age=600';
    assert.match(await getAs(alice, path), /alice/);
    assert.match(await getAs(bob, path), /bob/);
    assert.match(await getAs(null, path), / none$/);
    assert.match(await getAs(alice, path), /alice/);
  });

  it('a field that Connection names, which the upstream never saw, chooses no variant', async () => {
    const path = '/connection?vary=x-device';
    const headers = { 'x-device': 'phone' };
    for (const connection of [['x-device'], ['keep-alive', 'X-Device']])
      assert.match((await get(path, { headers: { ...headers, connection } })).body, / none$/);
    assert.match((await get(path, { headers })).body, / phone$/);
  });

  it('credentials that a route makes of a request count as such', async () => {
    const path = '/key?tell=authorization';
    const as = async (key: string): Promise<string> => (await get(path, { headers: { 'x-key': key } })).body;
    assert.match(await as('alice'), /Bearer alice$/);
    assert.match(await as('bob'), /Bearer bob$/);
    assert.match(await getAs(alice, '/subject?tell=x-subject'), /alice/);
    assert.match(await getAs(bob, '/subject?tell=x-subject'), /bob/);
    assert.match(await getAs(null, '/subject?tell=x-subject'), / none$/);
  });

  it('the background asks for what a client would have got, whatever the client that was served says', async () => {
    const names = 'x-set,x-real-ip,x-both,x-absent,x-append,x-add,x-forwarded-prefix,x-forwarded-client-cert,host';
    const path = `/edited/page?tell=${names}&say=public,max-age=0,stale-while-revalidate=600`;
    const first = await getAs(alice, path);
    assert.match(first, /^one \/page set,127\.0\.0\.1,ours,absent,append,add,\/edited,Hash=/);
    const before = one.heads.length;
    const sly = { connection: 'x-set, x-absent, x-add, x-real-ip, x-both', 'x-both': 'theirs' };
    assert.equal(await getAs(alice, path, sly), first);
    await gateway.until('the background has asked', () => one.heads.length > before);
    const head = one.heads.at(-1)?.headers ?? {};
    assert.deepEqual(
      names.split(',').map((name) => head[name]),
      first.slice('one /page '.length).split(','),
    );
  });

  it('a HEAD that was under way keeps nothing that a purge has named', async () => {
    const path = '/held?say=max-age=0';
    await get(path);
    const asked = get(path, { method: 'HEAD' });
    await gateway.until('the origin is asked', () => one.held.length === 1);
    const url = `/v1/cache/purge?url=${encodeURIComponent(`http://127.0.0.1${path}`)}`;
    assert.equal((await ask(gateway.ports.admin, url, { method: 'POST' })).status, 200);
    one.held.splice(0).forEach((release) => {
      release();
    });
    await asked;
    await get(path);
    assert.equal(one.heads.at(-1)?.headers['if-none-match'], undefined);
  });

  it('what one cell has said is not said for another, nor for another path, because a new bundle has both in one place', async () => {
    assert.match((await get('/moved')).body, /^one \/moved/);
    await gateway.publish(bundles.moved);
    await gateway.until('the new bundle serves', async () =>
      (await get(`/new?${Math.random()}`)).body.startsWith('two'),
    );
    assert.match((await get('/moved')).body, /^two \/moved/);
    await gateway.publish(bundles.rewritten);
    await gateway.until('the new bundle serves', async () =>
      (await get(`/new?${Math.random()}`)).body.startsWith('two /elsewhere'),
    );
    assert.match((await get('/moved')).body, /^two \/elsewhere/);
  });
});
