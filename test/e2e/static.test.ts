/** Direct answers, files of the bundle and pages in the place of refusals, through running gateways of both transports. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { runInNewContext } from 'node:vm';
import { plainBundle } from '../harness/bundle.ts';
import type { TestGateway } from '../harness/gateway.ts';
import { freePorts } from '../harness/ports.ts';
import { type Ask, ask, askRaw, codeOf, type Heard } from './client.ts';
import { Given } from './given.ts';

const route = (id: string, respond: object, more: object = {}): object => ({
  id,
  match: { path: { prefix: `/${id}` } },
  access: 'public',
  reason: 'answers by itself',
  ...more,
  respond,
});

const HTML = 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8';
const SCRIPT = 'x'.repeat(100_000);
const FILES = {
  'site/index.html': '<h1>start</h1>',
  'site/app.js': SCRIPT,
  'site/docs/index.html': '<h1>docs</h1>',
  'site/a b.css': 'a {}',
  'site/é.txt': 'accent',
  'site/.env': 'SECRET=1',
  'site/.git/config': 'secret',
  'site/docs/.hidden.html': 'secret',
  'pages/error.html':
    '<p class="${code}">${title} (${status}) for ${path}?${query} of ${header:x-name}, ${requestId}, $${x}</p>',
  'pages/error.json': '{"error":"${code}","name":"${header:x-name}"}',
  'pages/all.html': '<p>all ${code}</p>',
  'pages/limit.txt': 'slow down: ${code}',
};

const ROUTES = [
  route('site', { stripPrefix: '/site', files: { root: 'site' } }),
  route('spa', {
    stripPrefix: '/spa',
    files: { root: 'site', fallback: 'index.html', cacheControl: 'public, max-age=60' },
    answerHeaders: { set: { 'X-Own': '${route}' } },
  }),
  route('direct', {
    direct: { status: 418, body: '${method} ${header:x-name}' },
    answerHeaders: { set: { 'X-Own': '1' } },
  }),
  route('page', { direct: { contentType: 'text/html; charset=utf-8', body: '<b>${header:x-name}</b>' } }),
  route('json', { direct: { contentType: 'application/json', body: '{"name":"${header:x-name}"}' } }),
  route('svg', { direct: { contentType: 'image/svg+xml', body: '<svg><text>${header:x-name}</text></svg>' } }),
  route('script', { direct: { contentType: 'text/javascript', body: "const name = '${header:x-name}';" } }),
  route('robots', { direct: { file: 'site/app.js', contentType: 'text/plain' } }),
  route('gone', { direct: { status: 204 } }),
  route('limited', { errorPages: [{ on: ['429'], text: 'pages/limit.txt' }] }, { limits: ['once'], cell: 'one' }),
  route('dead', {}, { cell: 'one' }),
];

for (const transport of ['native', 'uws']) {
  describe(`answers without an endpoint by ${transport}`, () => {
    const given = new Given();
    let gateway: TestGateway;

    before(async () => {
      const [dead = 0] = await freePorts(1);
      gateway = await given.gateway({
        bundle: plainBundle([`127.0.0.1:${dead}`], {
          routes: { routes: ROUTES },
          limits: { limits: [{ id: 'once', key: ['header:x-key'], requests: 1, windowMs: 3_600_000, burst: 1 }] },
          defaults: {
            errorPages: [
              { on: ['4xx', '5xx'], html: 'pages/all.html' },
              { on: ['no_route'], html: 'pages/error.html', json: 'pages/error.json' },
              { on: ['503', '502'], html: 'pages/error.html' },
            ],
          },
          files: FILES,
        }),
        bootstrap: { transport },
      });
    });
    after(() => given.end());

    const heard = (path: string, headers: Record<string, string> = {}, more: Ask = {}): Promise<Heard> =>
      ask(gateway.ports.http, path, { headers: { host: 'shop.test', ...headers }, ...more });

    for (const [path, status, type, body] of [
      ['/site/', 200, 'text/html; charset=utf-8', '<h1>start</h1>'],
      ['/site', 200, 'text/html; charset=utf-8', '<h1>start</h1>'],
      ['/site/index.html?v=1', 200, 'text/html; charset=utf-8', '<h1>start</h1>'],
      ['/site/docs/', 200, 'text/html; charset=utf-8', '<h1>docs</h1>'],
      ['/site/a%20b.css', 200, 'text/css; charset=utf-8', 'a {}'],
      ['/site/%C3%A9.txt', 200, 'text/plain; charset=utf-8', 'accent'],
      ['/site/app.js', 200, 'text/javascript; charset=utf-8', SCRIPT],
      ['/spa/orders/7', 200, 'text/html; charset=utf-8', '<h1>start</h1>'],
    ] as const) {
      it(`${path} is a file`, async () => {
        const answer = await heard(path);
        assert.deepEqual([answer.status, answer.headers['content-type'], answer.body], [status, type, body]);
      });
    }

    for (const path of [
      '/site/.env',
      '/site/.git/config',
      '/site/docs/.hidden.html',
      '/site/missing',
      '/site/%2e%65nv',
      '/spa/missing.js',
      '/site/docs/../.env',
      '/site/__proto__',
      '/site/constructor',
    ]) {
      it(`${path} is none`, async () => {
        const answer = await heard(path);
        assert.deepEqual([answer.status, codeOf(answer)], [404, 'no_file']);
        assert.ok(!answer.body.includes('secret'));
      });
    }

    it('what climbs out of the root is refused, and a directory without its slash leads to it', async () => {
      assert.equal((await heard('/site/../../etc/passwd')).status, 400);
      const moved = await heard('/site/docs?x=1');
      assert.deepEqual([moved.status, moved.headers.location], [301, '/site/docs/?x=1']);
    });

    it('files are validated, cut into ranges, and only read', async () => {
      const whole = await heard('/site/app.js');
      const etag = String(whole.headers.etag);
      assert.match(etag, /^"[A-Za-z0-9_-]{22}"$/);
      assert.equal(whole.headers['cache-control'], 'no-cache');
      const same = await heard('/site/app.js', { 'if-none-match': `"other", W/${etag}` });
      assert.deepEqual([same.status, same.body, same.headers.etag], [304, '', etag]);
      const part = await heard('/site/app.js', { range: 'bytes=10-19' });
      assert.deepEqual(
        [part.status, part.body, part.headers['content-range']],
        [206, 'x'.repeat(10), 'bytes 10-19/100000'],
      );
      assert.equal((await heard('/site/app.js', { range: 'bytes=10-19', 'if-range': '"other"' })).status, 200);
      const beyond = await heard('/site/app.js', { range: 'bytes=100000-' });
      assert.deepEqual([beyond.status, beyond.headers['content-range']], [416, 'bytes */100000']);
      const head = await heard('/site/app.js', {}, { method: 'HEAD' });
      assert.deepEqual([head.status, head.headers['content-length'], head.body], [200, '100000', '']);
      const post = await heard('/site/app.js', {}, { method: 'POST', body: 'x' });
      assert.deepEqual([post.status, post.headers.allow, codeOf(post)], [405, 'GET, HEAD', 'method_not_allowed']);
    });

    it('a fallback answers whoever takes HTML, with the route’s edits', async () => {
      const page = await heard('/spa/orders', { accept: HTML });
      assert.deepEqual(
        [page.status, page.headers['x-own'], page.headers['cache-control']],
        [200, 'spa', 'public, max-age=60'],
      );
      assert.equal((await heard('/spa/orders', { accept: 'application/json' })).status, 404);
    });

    it('direct answers have status, fields and body, with what the request says escaped', async () => {
      const direct = await heard('/direct', { 'x-name': 'a<b' });
      assert.deepEqual(
        [direct.status, direct.headers['content-type'], direct.headers['x-own'], direct.body],
        [418, 'text/plain; charset=utf-8', '1', 'GET a<b'],
      );
      assert.equal((await heard('/page', { 'x-name': `<script>"'&` })).body, '<b>&lt;script&gt;&quot;&#39;&amp;</b>');
      assert.deepEqual(JSON.parse((await heard('/json', { 'x-name': 'a"\\b' })).body), { name: 'a"\\b' });
      const gone = await heard('/gone');
      assert.deepEqual([gone.status, gone.body, gone.headers['content-type']], [204, '', undefined]);
      const file = await heard('/robots');
      assert.deepEqual([file.headers['content-type'], file.body.length], ['text/plain', SCRIPT.length]);
      const raw = await askRaw({ port: gateway.ports.http }, 'HEAD /direct HTTP/1.1\r\nHost: a.test\r\n\r\n', 'HEAD');
      raw.connection.destroy();
      assert.equal(raw.status, 418);
    });

    it('nothing that a request says becomes markup or code, whatever the content type', async () => {
      const name = `</text><script>'-alert(1)-'\\\`\${1}"&`;
      const said = async (path: string): Promise<string> => (await heard(path, { 'x-name': name })).body;
      const svg = await said('/svg');
      assert.doesNotMatch(svg.slice('<svg><text>'.length, -'</text></svg>'.length), /[<>"']/);
      assert.equal(await said('/page'), `<b>${svg.slice('<svg><text>'.length, -'</text></svg>'.length)}</b>`);
      const script = await said('/script');
      assert.doesNotMatch(script.slice("const name = '".length, -"';".length), /['`<>&$]/);
      assert.equal(runInNewContext(`${script} name`), name);
      assert.equal((JSON.parse(await said('/json')) as { name: string }).name, name);
    });

    it('a refusal has the operator’s words for who prefers them, the most exact first', async () => {
      const name = { 'x-name': '<i>"' };
      const page = await heard('/nowhere?<b>', { accept: HTML, ...name });
      assert.equal(page.status, 404);
      assert.equal(page.headers['content-type'], 'text/html; charset=utf-8');
      assert.equal(page.headers.vary, 'Accept');
      assert.equal(page.headers['x-content-type-options'], 'nosniff');
      const id = String(page.headers['x-request-id']);
      assert.equal(
        page.body,
        `<p class="no_route">No route for this host and path (404) for /nowhere?%3Cb%3E of &lt;i&gt;&quot;, ${id}, \${x}</p>`,
      );
      for (const accept of ['application/json', '*/*', 'application/*', 'text/html;q=0.5, application/json'])
        assert.deepEqual(JSON.parse((await heard('/nowhere', { accept, ...name })).body), {
          error: 'no_route',
          name: '<i>"',
        });
      assert.deepEqual(JSON.parse((await heard('/nowhere', name)).body), { error: 'no_route', name: '<i>"' });
      // A status outweighs a class; without a page for JSON the problem stays.
      assert.match((await heard('/dead', { accept: HTML })).body, /^<p class="(no_endpoint|upstream_unreachable)">/);
      const problem = await heard('/dead', { accept: '*/*' });
      assert.equal(problem.headers['content-type'], 'application/problem+json');
      assert.equal(problem.headers.vary, 'Accept');
      assert.equal((await heard('/site/missing', { accept: HTML })).body, '<p>all no_file</p>');
    });

    it('a route’s own pages come first, and one without the wanted kind leaves the problem', async () => {
      await heard('/limited', { 'x-key': transport });
      const limited = { 'x-key': transport };
      const text = await heard('/limited', { accept: 'text/plain', ...limited });
      assert.deepEqual([text.status, text.body], [429, 'slow down: rate_limited']);
      assert.ok(text.headers['retry-after'] !== undefined);
      assert.equal(codeOf(await heard('/limited', { accept: 'application/json', ...limited })), 'rate_limited');
    });

    it('a HEAD request gets the page’s head, and a request that is none is still answered and closed', async () => {
      const head = await askRaw(
        { port: gateway.ports.http },
        `HEAD /nowhere HTTP/1.1\r\nHost: a.test\r\nAccept: text/html\r\n\r\n`,
        'HEAD',
      );
      head.connection.destroy();
      assert.equal(head.status, 404);
      assert.match(head.bytes.toString('latin1'), /content-type: text\/html/i);
      const bad = await heard('/%zz', { accept: HTML });
      assert.deepEqual([bad.status, bad.body, bad.headers.connection], [400, '<p>all bad_target</p>', 'close']);
    });
  });
}
