/** Pages in the place of upstreams' own errors, through running gateways of both transports. */
import assert from 'node:assert/strict';
import { createServer, type RequestListener } from 'node:http';
import { after, before, describe, it } from 'node:test';
import type { Explanation } from '../../src/admin/explain.ts';
import { plainBundle } from '../harness/bundle.ts';
import type { TestGateway } from '../harness/gateway.ts';
import { listening } from '../harness/ports.ts';
import { type Ask, ask, type Heard, idOf } from './client.ts';
import { Given } from './given.ts';

const FILES = {
  'pages/error.html': '<p>${status} ${title} ${code} ${header:x-name}</p>',
  'pages/error.json': '{"status":${status},"name":"${header:x-name}"}',
  'pages/only.html': '<p>only</p>',
};
const SECRET = 'Traceback: password=hunter2';

const route = (
  id: string,
  respond: object,
  more: object = {},
): { readonly id: string; readonly [key: string]: unknown } => ({
  id,
  match: { path: { prefix: `/${id}` } },
  access: 'public',
  reason: 'errors, for a test',
  cell: 'one',
  respond,
  ...more,
});
const PAGES = [{ on: ['4xx', '500', '503'], html: 'pages/error.html', json: 'pages/error.json' }];
const some = { interceptErrors: ['500-503', '404', '416'], errorPages: PAGES };
const ROUTES = [
  route('some', {
    ...some,
    answerHeaders: { set: { 'Cache-Control': 'max-age=60', 'X-Own': 'yes' }, add: { ETag: '"r"' } },
  }),
  route('html', { interceptErrors: ['5xx'], errorPages: [{ on: ['5xx'], html: 'pages/only.html' }] }),
  route('login', { interceptErrors: ['401'], errorPages: PAGES }),
  route('off', { errorPages: PAGES }),
  route('cached', { ...some }, { cache: { staleIfErrorMs: 600_000 } }),
  route('again', some, { retries: 1, retryOn: ['5xx'] }),
  route('waf', some, { waf: { mode: 'block', responses: { inspect: true } } }),
];
const RULES = `SecRuleEngine On
SecResponseBodyAccess On
SecResponseBodyMimeType text/plain
SecRule RESPONSE_BODY "@contains hunter3" "id:7,phase:4,deny,status:403"
`;

for (const transport of ['native', 'uws']) {
  describe(`errors of upstreams by ${transport}`, { timeout: 120_000 }, () => {
    const given = new Given();
    const native = transport === 'native';
    let gateway: TestGateway;
    const asked = new Map<string, number>();

    before(async () => {
      const serve: RequestListener = (request, response) => {
        const url = request.url ?? '';
        const count = (asked.get(url) ?? 0) + 1;
        asked.set(url, count);
        const [, , last = ''] = url.split('/');
        const [status = '200', kind] = last.split('-');
        const fields: Record<string, string> = {
          'content-type': kind === 'events' ? 'text/event-stream' : 'text/plain',
        };
        if (kind === 'once' && count === 1) {
          response.writeHead(200, { ...fields, 'cache-control': 'max-age=0', etag: '"a"' }).end('good');
          return;
        }
        if (kind === 'kept') fields['cache-control'] = 'max-age=600';
        const body = kind === 'worse' ? 'hunter3' : SECRET;
        if (status === '401') response.setHeader('WWW-Authenticate', ['Negotiate', 'Basic realm="shop"']);
        response
          .writeHead(Number(status), { ...fields, 'set-cookie': 'debug=1', 'retry-after': '7', 'x-debug': 'on' })
          .end(request.method === 'HEAD' ? undefined : body);
      };
      const origins = [createServer(serve), createServer(serve)];
      const ports = await Promise.all(origins.map((origin) => listening(origin)));
      given.ends(() => {
        for (const origin of origins) {
          origin.closeAllConnections();
          origin.close();
        }
      });
      gateway = await given.gateway({
        bundle: plainBundle([], {
          // Errors are what these endpoints are for: none is an outlier by them, and a further attempt has somewhere to go.
          cells: {
            cells: [
              {
                id: 'one',
                endpoints: ports.map((port) => ({ address: `127.0.0.1:${port}`, capacity: 1_000 })),
                outlierDetection: { enabled: false },
              },
            ],
          },
          // The other transport neither stores nor tries again because of an answer.
          routes: { routes: native ? ROUTES : ROUTES.filter(({ id }) => id !== 'cached' && id !== 'again') },
          waf: { mode: 'block', rules: ['waf/test.conf'] },
          files: { ...FILES, 'waf/test.conf': RULES },
        }),
        bootstrap: { transport },
      });
    });
    after(() => given.end());

    const heard = (path: string, headers: Record<string, string> = {}, more: Ask = {}): Promise<Heard> =>
      ask(gateway.ports.http, path, { headers: { host: 'shop.test', ...headers }, ...more });

    it('give way to a page with their status, escaped, and nothing else of them passes', async () => {
      const html = await heard('/some/500', { accept: 'text/html', 'x-name': '<b>"' });
      assert.deepEqual(
        [html.status, html.body],
        [500, '<p>500 Internal Server Error upstream_error &lt;b&gt;&quot;</p>'],
      );
      assert.equal(html.headers['content-type'], 'text/html; charset=utf-8');
      for (const name of ['set-cookie', 'x-debug', 'etag']) assert.equal(html.headers[name], undefined, name);
      assert.equal(html.headers['retry-after'], '7');
      assert.equal(html.headers['x-own'], 'yes');
      assert.equal(html.headers['cache-control'], 'no-store');
      assert.equal(html.headers['x-request-id'], idOf(html));
      const json = await heard('/some/404', { accept: 'application/json', 'x-name': 'a"' });
      assert.deepEqual([json.status, json.body], [404, '{"status":404,"name":"a\\""}']);
      assert.match(String(json.headers.vary), /accept/i);
    });

    it('keep every way to log in that they name', async () => {
      const { status, headers, body } = await heard('/login/401', { accept: 'text/html' });
      assert.deepEqual([status, body.startsWith('<p>401')], [401, true]);
      assert.equal(headers['www-authenticate'], 'Negotiate, Basic realm="shop"');
    });

    it('stay visible to the operator', async () => {
      const ended = await heard('/some/503', { accept: 'text/html' });
      const told = (await gateway.admin(`/v1/explain/${idOf(ended)}`)) as Explanation;
      assert.match(JSON.stringify(told), /: 503, a page took its place/);
      assert.equal(told.status, 503);
    });

    it('say no more than a status to whom no page is for', async () => {
      const other = await heard('/html/502', { accept: 'application/json' });
      assert.equal(other.status, 502);
      assert.equal(other.headers['content-type'], 'application/problem+json');
      assert.equal((JSON.parse(other.body) as { title: string }).title, 'Bad Gateway');
      assert.equal((await heard('/html/599', { accept: 'text/html' })).body, '<p>only</p>');
    });

    it('pass where the route says nothing, has no page for the status, or no page could be read', async () => {
      for (const path of ['/off/500', '/some/400', '/some/502', '/some/500-events']) {
        const { status, body } = await heard(path, { accept: 'text/html' });
        assert.equal(status, Number(path.slice(-3)) || 500, path);
        assert.equal(body, SECRET, path);
      }
      const head = await heard('/some/500', { accept: 'text/html' }, { method: 'HEAD' });
      assert.deepEqual([head.status, head.headers['x-debug']], [500, 'on']);
      const call = await heard('/some/500', { 'content-type': 'application/grpc' }, { method: 'POST', body: 'x' });
      assert.equal(call.body, SECRET);
      assert.equal((await heard('/some/200', { accept: 'text/html' })).body, SECRET);
    });

    if (native)
      it('are neither stored nor better than what is', async () => {
        for (const count of [1, 2]) {
          const { status, body } = await heard('/cached/404-kept', { accept: 'text/html' });
          assert.deepEqual([status, body.startsWith('<p>404 ')], [404, true]);
          assert.equal(asked.get('/cached/404-kept'), count);
        }
        assert.equal((await heard('/cached/500-once')).body, 'good');
        const stale = await heard('/cached/500-once', { accept: 'text/html' });
        assert.deepEqual([stale.status, stale.body], [200, 'good']);
      });

    if (native)
      it('are tried again first', async () => {
        assert.match((await heard('/again/503', { accept: 'text/html' })).body, /^<p>503/);
        assert.equal(asked.get('/again/503'), 2);
        assert.equal((await heard('/again/500-once', { accept: 'text/html' })).body, 'good');
      });

    it('are seen by the WAF first', async () => {
      assert.match((await heard('/waf/500', { accept: 'text/html' })).body, /^<p>500/);
      assert.equal((await heard('/waf/500-worse', { accept: 'text/html' })).status, 403);
    });
  });
}
