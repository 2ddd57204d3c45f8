/** What routes do to requests on their way up and to answers on their way down, through running gateways of both transports with real endpoints. */
import assert from 'node:assert/strict';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { after, before, describe, it } from 'node:test';
import type { Explanation } from '../../src/admin/explain.ts';
import type { TestGateway } from '../harness/gateway.ts';
import { AUDIENCE, ISSUER, TestIssuer } from '../harness/issuer.ts';
import { listening } from '../harness/ports.ts';
import { type Ask, ask, codeOf, type Heard, idOf } from './client.ts';
import { Given } from './given.ts';

/** An endpoint that says what it was asked, and answers with the fields that the request names in `x-answer` (JSON). */
class Mirror {
  asked = 0;
  readonly #server: Server = createServer((request, response) => {
    this.asked++;
    request.resume();
    const fields = JSON.parse(String(request.headers['x-answer'] ?? '{}')) as Record<string, string | string[]>;
    response.writeHead(200, { 'content-type': 'application/json', ...fields });
    response.end(JSON.stringify({ url: request.url, headers: request.headers }));
  });

  listen(): Promise<number> {
    return listening(this.#server);
  }

  stop(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

interface Seen {
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
}

const route = (id: string, respond: object, more: object = {}): object => ({
  id,
  match: { path: { prefix: `/${id}` } },
  access: 'public',
  reason: 'shows a rewriting',
  cell: 'one',
  ...more,
  respond,
});

const ROUTES = [
  route('strip', { stripPrefix: '/strip', addPrefix: '/v2' }),
  route('whole', { replacePath: '/hook/é' }),
  route('regex', { replacePathRegex: { regex: '^/regex/([^/]+)/(.*)$', replacement: '/$2/of/$1' } }),
  route('join', { replacePathRegex: { regex: '/x', replacement: '' } }),
  route('dots', { replacePathRegex: { regex: 'x', replacement: '' } }),
  route('host', { host: 'orders.internal:9000' }),
  route('made-host', { host: '${header:x-brand}.internal' }),
  route('own-host', { host: '${endpoint}' }),
  route('up', {
    requestHeaders: {
      set: {
        'X-All':
          '${method} ${scheme} ${host} ${path} ${query} ${route} ${cell} ${address} ${listener} [${header:x-a}] [${claim:sub}] $${x}',
        'X-Empty': '${header:x-none}',
        'X-Id': '${requestId}',
        'X-Endpoint': '${endpoint}',
      },
      setIfAbsent: { 'X-Default': 'ours', 'X-Other': 'ours' },
      append: { 'X-List': '${host}', 'X-New': 'only' },
      remove: ['X-Gone'],
    },
  }),
  route('down', {
    answerHeaders: {
      set: { 'X-Set': '${tenant}${route}', 'X-Nothing': '${header:x-none}' },
      setIfAbsent: { 'X-Default': 'ours', 'X-Other': 'ours ${host}' },
      append: { Vary: 'x-a', 'X-List': '${host}' },
      add: { 'Set-Cookie': 'by=gateway' },
      remove: ['X-Gone'],
    },
  }),
  {
    ...route('claims', {
      requestHeaders: { set: { 'X-Who': '${subject} of ${claim:org.id} at ${issuer}', 'X-Bad': '${claim:odd}' } },
    }),
    issuers: ['main'],
  },
];

const SITES = { allowOrigins: ['https://app.test', 'https://*.app.test'], allowCredentials: true };

const REDIRECTS = [
  route('moved', { redirect: { stripPrefix: '/moved', addPrefix: '/strip', status: 301 } }),
  route('numbered', {
    redirect: { replacePathRegex: { regex: '^/numbered/([0-9]+)$', replacement: '/strip/$1' }, status: 303 },
  }),
  route('elsewhere', { redirect: { scheme: 'https', host: 'www.test', stripQuery: true, status: 307 } }),
];

const CORS = [
  route('open', {}, { cors: { allowOrigins: ['*'], exposeHeaders: ['X-Total'] } }),
  {
    ...route('sites', {
      answerHeaders: { set: { 'Content-Security-Policy': "frame-ancestors 'none'" }, append: { Vary: 'Accept' } },
    }),
    match: { path: { prefix: '/sites' }, methods: ['GET', 'PUT'] },
    issuers: ['main'],
    limits: ['few'],
    cors: {
      ...SITES,
      allowHeaders: ['authorization', 'content-type'],
      exposeHeaders: ['X-Total'],
      allowPrivateNetwork: true,
      maxAgeSeconds: 60,
    },
  },
  route('reflects', {}, { cors: { ...SITES, allowHeaders: ['*'] } }),
];

const CACHED = [
  route('cached-sites', {}, { cache: {}, cors: SITES }),
  route(
    'cached',
    {
      stripPrefix: '/cached',
      host: '${header:x-brand}.internal',
      requestHeaders: { set: { 'X-Lang': '${header:x-wants}' } },
      answerHeaders: {
        set: { 'X-Set': '${header:x-a}' },
        setIfAbsent: { 'X-Default': 'ours', 'X-Other': 'ours' },
        append: { 'X-List': '${header:x-a}' },
        add: { 'X-Added': 'ours' },
      },
    },
    { cache: {} },
  ),
];

for (const transport of ['native', 'uws']) {
  describe(`answers by ${transport}`, () => {
    const given = new Given();
    const mirror = new Mirror();
    let gateway: TestGateway;
    let issuer: TestIssuer;
    let port = 0;

    before(async () => {
      port = await mirror.listen();
      given.ends(() => mirror.stop());
      issuer = await TestIssuer.make();
      gateway = await given.gateway({
        bundle: {
          cells: { cells: [{ id: 'one', endpoints: [{ address: `127.0.0.1:${port}` }] }] },
          issuers: {
            issuers: [{ id: 'main', issuer: ISSUER, audiences: [AUDIENCE], algorithms: ['ES256'], jwks: issuer.jwks }],
          },
          waf: { mode: 'off' },
          limits: { limits: [{ id: 'few', key: ['header:x-key'], requests: 1, windowMs: 3_600_000, burst: 1 }] },
          routes: { routes: [...ROUTES, ...REDIRECTS, ...CORS, ...(transport === 'native' ? CACHED : [])] },
        },
        bootstrap: { transport },
      });
    });
    after(() => given.end());

    const heard = (path: string, headers: Record<string, string> = {}, more: Ask = {}): Promise<Heard> =>
      ask(gateway.ports.http, path, { headers: { host: 'shop.test', ...headers }, ...more });
    const seen = async (path: string, headers: Record<string, string> = {}): Promise<Seen> => {
      const answer = await heard(path, headers);
      assert.equal(answer.status, 200, answer.body);
      return JSON.parse(answer.body) as Seen;
    };

    for (const [asked, expected] of [
      ['/strip/a%20b?q=1', '/v2/a%20b?q=1'],
      ['/strip', '/v2'],
      ['/whole/x?y=1', '/hook/%C3%A9?y=1'],
      ['/regex/a/b/c?q', '/b/c/of/a?q'],
      ['/regex/a%3Bb/c%20d', '/c%20d/of/a%3Bb'],
      ['/regex/only', '/regex/only'],
      ['/join/x/x/a', '/join/a'],
    ] as const) {
      it(`${asked} is asked for upstream as ${expected}`, async () => {
        assert.equal((await seen(asked)).url, expected);
      });
    }

    it('a prefix that is taken off is told, and a client’s word for it is not', async () => {
      const claimed = { 'x-forwarded-prefix': '/admin' };
      assert.equal((await seen('/strip/a', claimed)).headers['x-forwarded-prefix'], '/strip');
      assert.equal((await seen('/host/a', claimed)).headers['x-forwarded-prefix'], undefined);
    });

    it('what has no canonical form when it is rewritten is refused, and nothing reaches the endpoint', async () => {
      const before = mirror.asked;
      for (const path of ['/dots/.x./secret', '/dots/a/.x', '/dots/x..', '/dots/.%78./a', '/dots/..x;a/b'])
        assert.equal(codeOf(await heard(path)), 'not_rewritable', path);
      assert.equal(codeOf(await heard('/made-host/a', { 'x-brand': 'a/b' })), 'not_rewritable');
      assert.equal(codeOf(await heard('/made-host/a', { 'x-brand': 'a@b' })), 'not_rewritable');
      assert.equal(mirror.asked, before);
      assert.equal((await seen('/dots/x/a..b')).url, '/dots/a..b');
    });

    it('Host is the client’s, the route’s, made of the request, or the endpoint’s own', async () => {
      assert.equal((await seen('/strip')).headers.host, 'shop.test');
      assert.equal((await seen('/host')).headers.host, 'orders.internal:9000');
      assert.equal((await seen('/made-host', { 'x-brand': 'acme' })).headers.host, 'acme.internal');
      assert.equal((await seen('/own-host')).headers.host, `127.0.0.1:${port}`);
    });

    it('variables of the request reach the endpoint in the fields of the route', async () => {
      const { headers } = await seen('/up/x%20y?q=1', {
        'x-a': 'one',
        'x-gone': 'here',
        'x-empty': 'forged',
        'x-endpoint': 'forged',
        'x-default': 'theirs',
        'x-list': 'a',
      });
      assert.equal(headers['x-all'], 'GET http shop.test /up/x%20y q=1 up one 127.0.0.1 plain [one] [] ${x}');
      assert.match(String(headers['x-id']), /^[0-9a-f]{6}-[0-9a-f]{2}-[0-9a-f]{8}$/);
      assert.equal(headers['x-empty'], undefined);
      assert.equal(headers['x-gone'], undefined);
      assert.equal(headers['x-endpoint'], `127.0.0.1:${port}`);
      assert.deepEqual(
        [headers['x-default'], headers['x-other'], headers['x-list'], headers['x-new']],
        ['theirs', 'ours', 'a, shop.test', 'only'],
      );
    });

    it('claims of the token do, and one that no field can hold leaves the field out', async () => {
      // Readers take white space off the ends of a field, and a double takes another number for the last.
      for (const odd of ['a\r\nX-Admin: yes', ' root', 'root\t', 2 ** 53]) {
        const token = await issuer.token({ sub: 'alice', org: { id: 7 }, odd });
        const { headers } = await seen('/claims', { authorization: `Bearer ${token}`, 'x-bad': 'forged' });
        assert.equal(headers['x-who'], 'alice of 7 at main');
        assert.equal(headers['x-bad'], undefined, String(odd));
        assert.equal(headers['x-admin'], undefined);
      }
    });

    it('answers are edited: set, unless there, appended, added, removed', async () => {
      const fields = {
        'x-set': 'theirs',
        'x-nothing': 'theirs',
        'x-default': 'theirs',
        vary: ['accept', 'cookie'],
        'x-gone': 'theirs',
        'set-cookie': ['a=b'],
      };
      const { headers } = await heard('/down', { 'x-answer': JSON.stringify(fields) });
      assert.deepEqual(
        ['x-set', 'x-nothing', 'x-default', 'x-other', 'vary', 'x-list', 'x-gone', 'set-cookie'].map((n) => headers[n]),
        [
          'down',
          undefined,
          'theirs',
          'ours shop.test',
          'accept, cookie, x-a',
          'shop.test',
          undefined,
          ['a=b', 'by=gateway'],
        ],
      );
    });

    it('explain says where a request went', async () => {
      const answer = await heard('/strip/a?secret=1');
      const told = (await gateway.admin(`/v1/explain/${idOf(answer)}`)) as Explanation;
      assert.equal(told.rewritten, 'shop.test/v2/a');
      assert.equal(told.path, '/strip/a');
      assert.match(told.stages.find((s) => s.stage === 'respond')?.why ?? '', /rewritten to shop\.test\/v2\/a/);
    });

    for (const [asked, status, location] of [
      ['/moved/a?q=1', 301, '/strip/a?q=1'],
      ['/numbered/7', 303, '/strip/7'],
      ['/elsewhere/a%20b?q', 307, 'https://www.test/elsewhere/a%20b'],
    ] as const) {
      it(`${asked} is redirected to ${location}`, async () => {
        const answer = await heard(asked);
        assert.deepEqual([answer.status, answer.headers.location], [status, location]);
        const told = (await gateway.admin(`/v1/explain/${idOf(answer)}`)) as Explanation;
        assert.equal(told.rewritten, location);
      });
    }

    it('a redirect that does not match lets the request go on', async () => {
      assert.equal((await seen('/numbered/x')).url, '/numbered/x');
    });

    const cors = (answer: Heard): Record<string, unknown> =>
      Object.fromEntries(Object.entries(answer.headers).filter(([name]) => /^(access-control-|vary$)/.test(name)));
    const preflight = (path: string, headers: Record<string, string>): Promise<Heard> =>
      heard(path, { 'access-control-request-method': 'PUT', ...headers }, { method: 'OPTIONS' });

    it('preflights are answered by the gateway: no token, no endpoint', async () => {
      const before = mirror.asked;
      const asks = {
        'access-control-request-headers': 'authorization',
        'access-control-request-private-network': 'true',
      };
      const answer = await preflight('/sites/1', { origin: 'https://my.app.test', ...asks });
      assert.deepEqual([answer.status, answer.body], [204, '']);
      assert.deepEqual(cors(answer), {
        'access-control-allow-origin': 'https://my.app.test',
        'access-control-allow-credentials': 'true',
        'access-control-expose-headers': 'X-Total',
        'access-control-allow-methods': 'GET, PUT',
        'access-control-allow-headers': 'authorization, content-type',
        'access-control-max-age': '60',
        'access-control-allow-private-network': 'true',
        vary: 'Origin',
      });
      const other = await preflight('/sites/1', { origin: 'https://evil.test', 'x-key': 'other', ...asks });
      assert.deepEqual([other.status, cors(other)], [204, { vary: 'Origin' }]);
      const reflected = await preflight('/reflects', {
        origin: 'https://app.test',
        'access-control-request-headers': 'x-one, x-two',
      });
      assert.equal(reflected.headers['access-control-allow-headers'], 'x-one, x-two');
      assert.equal(reflected.headers.vary, 'Origin, Access-Control-Request-Headers');
      const odd = await preflight('/reflects', { origin: 'https://app.test', 'access-control-request-headers': 'a b' });
      assert.equal(odd.headers['access-control-allow-headers'], undefined);
      assert.equal(mirror.asked, before);
      // A method that no route takes is no preflight of a route.
      const none = await heard(
        '/sites/1',
        { origin: 'https://app.test', 'access-control-request-method': 'DELETE' },
        { method: 'OPTIONS' },
      );
      assert.equal(none.status, 405);
    });

    it('an upstream’s own word on other origins gives way, and Vary says what an answer follows from', async () => {
      const fields = { 'access-control-allow-origin': '*', 'access-control-max-age': '9', vary: 'accept-encoding' };
      const say = { 'x-answer': JSON.stringify(fields) };
      const token = await issuer.token();
      const known = { authorization: `Bearer ${token}`, ...say };
      assert.deepEqual(cors(await heard('/sites', { origin: 'https://app.test', 'x-key': 'a', ...known })), {
        'access-control-allow-origin': 'https://app.test',
        'access-control-allow-credentials': 'true',
        'access-control-expose-headers': 'X-Total',
        vary: 'accept-encoding, Accept, Origin',
      });
      const vary = { vary: 'accept-encoding, Accept, Origin' };
      assert.deepEqual(cors(await heard('/sites', { origin: 'https://evil.test', 'x-key': 'b', ...known })), vary);
      assert.deepEqual(cors(await heard('/sites', { 'x-key': 'c', ...known })), vary);
      assert.deepEqual(cors(await heard('/open', say)), {
        'access-control-allow-origin': '*',
        'access-control-expose-headers': 'X-Total',
        vary: 'accept-encoding',
      });
    });

    it('refusals can be read by pages of allowed origins, and by those alone', async () => {
      const origin = 'https://app.test';
      const expected = {
        'access-control-allow-origin': origin,
        'access-control-allow-credentials': 'true',
        'access-control-expose-headers': 'X-Total',
        vary: 'Origin',
      };
      const missing = await heard('/sites', { origin, 'x-key': 'd' });
      assert.deepEqual([codeOf(missing), cors(missing)], ['token_missing', expected]);
      // What tells browsers to be strict stands in refusals too, however early they are.
      assert.equal(missing.headers['x-frame-options'], 'DENY');
      assert.equal(missing.headers['content-security-policy'], "frame-ancestors 'none'");
      const limited = await heard('/sites', { origin, 'x-key': 'd' });
      assert.deepEqual([codeOf(limited), cors(limited)], ['rate_limited', expected]);
      const evil = await heard('/sites', { origin: 'https://evil.test', 'x-key': 'd' });
      assert.deepEqual([codeOf(evil), cors(evil)], ['rate_limited', { vary: 'Origin' }]);
    });

    if (transport === 'native') {
      it('a stored answer tells each origin its own', async () => {
        const say = {
          'x-answer': JSON.stringify({
            'cache-control': 'max-age=600',
            vary: 'accept',
            'access-control-allow-origin': '*',
          }),
        };
        const of = async (origin: string): Promise<unknown[]> => {
          const { headers } = await heard('/cached-sites', { origin, ...say });
          return [
            /hit|stored/.exec(String(headers['cache-status']))?.[0],
            headers['access-control-allow-origin'],
            headers.vary,
          ];
        };
        assert.deepEqual(await of('https://app.test'), ['stored', 'https://app.test', 'accept, Origin']);
        assert.deepEqual(await of('https://b.app.test'), ['hit', 'https://b.app.test', 'accept, Origin']);
        assert.deepEqual(await of('https://evil.test'), ['hit', undefined, 'accept, Origin']);
      });

      it('what is stored is known by the client’s address and by all that the route makes of a request', async () => {
        const fresh = JSON.stringify({
          'cache-control': 'max-age=600',
          vary: 'x-lang',
          'x-default': 'theirs',
          'x-list': 'a',
          'x-added': 'theirs',
        });
        const get = (path: string, more: Record<string, string> = {}): Promise<Heard> =>
          heard(path, { 'x-answer': fresh, 'x-brand': 'a', 'x-wants': 'de', 'x-a': '1', ...more });
        const outcome = async (path: string, more: Record<string, string> = {}): Promise<string> => {
          const status = String((await get(path, more)).headers['cache-status']);
          return status.includes('hit') ? 'hit' : status.includes('stored') ? 'stored' : status;
        };
        assert.equal(await outcome('/cached/1'), 'stored');
        assert.equal(await outcome('/cached/1'), 'hit');
        // Another Host upstream, another value of a field that the answer varies by.
        assert.equal(await outcome('/cached/1', { 'x-brand': 'b' }), 'stored');
        assert.equal(await outcome('/cached/1', { 'x-wants': 'fr' }), 'stored');
        assert.equal(await outcome('/cached/1', { 'x-wants': 'fr' }), 'hit');
        // A client's own copy of what the route sets is not what the upstream saw.
        assert.equal(await outcome('/cached/1', { 'x-lang': 'it' }), 'hit');
        const { headers } = await get('/cached/1', { 'x-a': '2' });
        assert.deepEqual(
          ['x-set', 'x-default', 'x-other', 'x-list', 'x-added'].map((name) => headers[name]),
          ['2', 'theirs', 'ours', 'a, 2', 'theirs, ours'],
        );
        const purged = await ask(gateway.ports.admin, '/v1/cache/purge?url=http://shop.test/cached/1', {
          method: 'POST',
        });
        assert.equal((JSON.parse(purged.body) as { purged: number }).purged, 3);
      });
    }
  });
}
