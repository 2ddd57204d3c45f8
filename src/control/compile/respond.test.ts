import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { RespondConfig } from '../../config/respond.ts';
import { native } from '../../native.ts';
import type { RespondPlan } from '../../snapshot/route-plans.ts';
import { EDITS_MAX as TRANSPORT_EDITS_MAX } from '../../data/transport/bounds.ts';
import { NAMED_VARIABLES, VARIABLES } from '../../snapshot/variables.ts';
import { EDITS_MAX } from './header-edits.ts';
import { compileRespond, STRICT_TRANSPORT } from './respond.ts';
import { Rewrites } from './rewrites.ts';
import { StaticAnswers } from './static.ts';

const bare: RespondConfig = { stripPrefix: '', addPrefix: '' };
const edits = { set: {}, setIfAbsent: {}, append: {}, add: {}, remove: [], setSecret: {} };

const WEB = ['site/index.html', 'site/a b.css', 'site/.hidden', 'page.html'].map((name) => ({
  name,
  bytes: Buffer.from(`${name} \${code}`),
}));

function compiled(
  config: Partial<RespondConfig>,
  securityHeaders = false,
  claimHeaders = 0,
): { plan: RespondPlan; problems: string[] } {
  const problems: string[] = [];
  const rewrites = new Rewrites();
  const report = (part: string, path: string, message: string): void => {
    problems.push(`${part} ${path}: ${message}`);
  };
  const plan = compileRespond({
    config: { ...bare, ...config },
    securityHeaders,
    claimHeaders,
    path: '/routes/3',
    secret: (_, __, name) => (name === 'broken' ? 'a\r\nb' : `value of ${name}`),
    report,
    rewrites,
    statics: new StaticAnswers(WEB, report),
  });
  rewrites.compile(native(), report);
  return { plan, problems };
}
const planOf = (config: Partial<RespondConfig>, secure = false): RespondPlan => {
  const { plan, problems } = compiled(config, secure);
  assert.deepEqual(problems, []);
  return plan;
};

test("ranges of upstreams' errors are replaced, and only then an answer is looked at", () => {
  const errorPages = [{ on: ['503', '4xx'], html: 'page.html' }];
  const { intercept, showAnswer } = planOf({ interceptErrors: ['5xx', '404', '499-503'], errorPages });
  assert.deepEqual([intercept, showAnswer], [[500, 599, 404, 404, 499, 503], true]);
  assert.deepEqual([planOf({ errorPages }).intercept, planOf({ errorPages }).showAnswer], [undefined, false]);
});

test('security headers are a preset that the route can change and take away', () => {
  const plan = planOf(
    { answerHeaders: { ...edits, set: { 'X-Frame-Options': 'SAMEORIGIN' }, remove: ['Referrer-Policy'] } },
    true,
  );
  assert.deepEqual(plan.answer.set, ['x-content-type-options', 'nosniff', 'x-frame-options', 'SAMEORIGIN']);
  assert.deepEqual(plan.security?.set, plan.answer.set);
  const policy = { ...edits, set: { 'Content-Security-Policy': "default-src 'self'", 'Cache-Control': 'max-age=9' } };
  assert.deepEqual(planOf({ answerHeaders: policy }).security?.set, ['content-security-policy', "default-src 'self'"]);
  assert.equal(planOf({}).security, null);
  assert.equal(plan.strictTransport, STRICT_TRANSPORT);
  assert.equal(
    planOf({ answerHeaders: { ...edits, remove: ['Strict-Transport-Security'] } }, true).strictTransport,
    '',
  );
  assert.deepEqual(planOf({ securityHeaders: false }, true).answer.set, []);
});

test('prefixes are brought into the form that canonical paths have', () => {
  assert.equal(planOf({ stripPrefix: '/api/' }).stripPrefix, '/api');
  assert.equal(planOf({ stripPrefix: '/' }).stripPrefix, '');
  assert.equal(planOf({ stripPrefix: '/a b/é|' }).stripPrefix, '/a%20b/%C3%A9%7C');
  assert.deepEqual(planOf({ replacePath: '/a b/' }).replace, { path: '/a%20b/' });
});

const wrong: readonly [name: string, config: Partial<RespondConfig>, place: string, says: RegExp][] = [
  ['a prefix without slash', { stripPrefix: 'api' }, 'stripPrefix', /must begin/],
  ['a prefix with a query', { addPrefix: '/a?b' }, 'addPrefix', /without query/],
  ['a prefix that is encoded already', { addPrefix: '/%61' }, 'addPrefix', /decoded/],
  ['a prefix that climbs', { addPrefix: '/a/../b' }, 'addPrefix', /segment/],
  ['a location elsewhere by two slashes', { redirect: { to: '//evil.example', status: 302 } }, 'redirect/to', /no location/],
  ['a location with a script', { redirect: { to: 'javascript:x', status: 302 } }, 'redirect/to', /no location/],
  ['a location with a line break', { redirect: { to: '/a\nb', status: 302 } }, 'redirect/to', /no location/],
  ['a port that is none', { redirect: { to: 'https:70000', status: 302 } }, 'redirect/to', /not a port/],
  ['two answers of its own', { redirect: { to: '/x', status: 302 }, direct: { status: 200 } }, 'direct', /keep one/],
  ['a body beside a file', { direct: { status: 200, body: 'x', file: 'page.html' } }, 'direct/file', /keep one/],
  ['a body where none can be', { direct: { status: 204, body: 'x' } }, 'direct', /no content/],
  ['a file that is not there', { direct: { status: 200, file: 'none' } }, 'direct/file', /no file "none"/],
  ['a variable of pages in a body', { direct: { status: 200, body: '${code}' } }, 'direct/body', /no variable/],
  ['a root without files', { files: { root: 'none', index: 'index.html', cacheControl: '' } }, 'files/root', /no files/],
  ['a fallback that is hidden', { files: { root: 'site', index: 'index.html', cacheControl: '', fallback: '.hidden' } }, 'files/fallback', /no file/],
  ['a page for a refusal that is none', { errorPages: [{ on: ['waf_bloked'], html: 'page.html' }] }, 'errorPages/0/on/0', /did you mean "waf_blocked"/],
  ['a page that is not there', { errorPages: [{ on: ['4xx'], html: 'none.html' }] }, 'errorPages/0/html', /no file/],
  ['a page without a page', { errorPages: [{ on: ['4xx'] }] }, 'errorPages/0', /says no page/],
  ['errors that no page is for', { interceptErrors: ['404'], errorPages: [{ on: ['5xx', '400'], html: 'page.html' }] }, 'interceptErrors/0', /no page is for 404/],
  ['errors in a range that ends first', { interceptErrors: ['504-500'], errorPages: [{ on: ['5xx'], html: 'page.html' }] }, 'interceptErrors/0', /ends before/],
  ['a preload that no list takes', { strictTransport: { maxAgeSeconds: 60, includeSubDomains: true, preload: true } }, 'strictTransport/preload', /at least/],
  ['a redirect to nowhere', { redirect: { status: 302 } }, 'redirect', /leads nowhere/],
  ['a redirect to two places', { redirect: { to: '/x', host: 'a.test', status: 302 } }, 'redirect/host', /keep one/],
  ['a redirect to a host with a port', { redirect: { host: 'a.test:80', status: 302 } }, 'redirect/host', /`port` beside/],
  ['a redirect with a bad expression', { redirect: { replacePathRegex: { regex: '(', replacement: '/' }, status: 302 } }, 'redirect/replacePathRegex', /unclosed/],
  ['a host with a path', { host: 'a.example/x' }, 'host', /no host/],
  ['Host among the edits', { requestHeaders: { ...edits, set: { Host: 'x' } } }, 'requestHeaders/set/Host', /respond\.host/],
  ['a length among the edits', { answerHeaders: { ...edits, remove: ['Content-Length'] } }, 'answerHeaders/remove/0', /framing/],
  ['a name that is none', { answerHeaders: { ...edits, add: { 'a b': 'x' } } }, 'answerHeaders/add/a b', /not a header/],
  ['a variable that is none', { requestHeaders: { ...edits, set: { a: 'x ${tenent}' } } }, 'requestHeaders/set/a', /did you mean "tenant"/],
  ['a variable without an end', { answerHeaders: { ...edits, add: { a: '${tenant' } } }, 'answerHeaders/add/a', /without/],
  ['a claim without a name', { answerHeaders: { ...edits, add: { a: '${claim}' } } }, 'answerHeaders/add/a', /needs a name/],
  ['a header variable that is no name', { answerHeaders: { ...edits, add: { a: '${header:a b}' } } }, 'answerHeaders/add/a', /not a header/],
  ['a variable with a name too many', { answerHeaders: { ...edits, add: { a: '${path:x}' } } }, 'answerHeaders/add/a', /takes no name/],
  ['the endpoint in what is added', { requestHeaders: { ...edits, add: { a: '${endpoint}' } } }, 'requestHeaders/add/a', /another endpoint/],
  ['a cookie that is appended to', { answerHeaders: { ...edits, append: { 'Set-Cookie': 'a=b' } } }, 'answerHeaders/append/Set-Cookie', /no list/],
  ['two edits that differ', { answerHeaders: { ...edits, set: { a: '1' }, append: { A: '2' } } }, 'answerHeaders/append/A', /keep one/],
  ['removed and appended to', { answerHeaders: { ...edits, remove: ['A'], append: { a: '2' } } }, 'answerHeaders/append/a', /keep one/],
  ['two whole paths', { replacePath: '/a', replacePathRegex: { regex: 'a', replacement: 'b' } }, 'replacePathRegex', /keep one/],
  ['a prefix of a path that is replaced', { replacePath: '/a', stripPrefix: '/b' }, 'stripPrefix', /keep one/],
  ['an expression that looks around', { replacePathRegex: { regex: '(?=a)', replacement: 'b' } }, 'replacePathRegex', /look-around/],
  ['a group that is not there', { replacePathRegex: { regex: 'a', replacement: '/$1' } }, 'replacePathRegex', /no group/],
  ['a host with an unknown variable', { host: '${tenants}.x' }, 'host', /no variable/],
  ['a secret with a line break', { requestHeaders: { ...edits, setSecret: { k: 'broken' } } }, 'requestHeaders/setSecret/k', /line breaks/],
]; // biome-ignore format: a table
for (const [name, config, place, says] of wrong) {
  test(`${name} is an error that names its place`, () => {
    const { problems } = compiled(config);
    assert.equal(problems.length, 1, problems.join('\n'));
    assert.ok(problems[0]?.startsWith(`routes /routes/3/respond/${place}: `), problems[0]);
    assert.match(problems[0] ?? '', says);
  });
}

test('more edits than a transport takes are an error: it would leave some undone, and a copy that a client sent would pass', () => {
  assert.ok(EDITS_MAX + 16 <= TRANSPORT_EDITS_MAX);
  const remove = Array.from({ length: EDITS_MAX }, (_, i) => `X-${i}`);
  assert.deepEqual(compiled({ requestHeaders: { ...edits, remove } }).problems, []);
  const both = {
    requestHeaders: { ...edits, remove, set: { 'X-A': '1' } },
    answerHeaders: { ...edits, remove, add: { 'X-A': '1' } },
  };
  assert.equal(compiled(both).problems.length, 2);
  assert.match(
    compiled({ requestHeaders: { ...edits, remove } }, false, 1).problems.join(),
    /issuers make 1 headers from claims/,
  );
});

test('redirects: https with and without port, an address, a path', () => {
  const to = (text: string): RespondPlan['redirect'] => planOf({ redirect: { to: text, status: 308 } }).redirect;
  assert.deepEqual(to('https'), { status: 308, to: 'https', httpsPort: 443 });
  assert.deepEqual(to('https:8443'), { status: 308, to: 'https', httpsPort: 8443 });
  assert.deepEqual(to('https://a.example/x?y=1'), {
    status: 308,
    to: { location: 'https://a.example/x?y=1' },
    httpsPort: 443,
  });
  assert.deepEqual(to('/new'), { status: 308, to: { location: '/new' }, httpsPort: 443 });
});

test('secrets become values, names lower-case', () => {
  const plan = planOf({
    requestHeaders: {
      ...edits,
      set: { 'X-A': '1' },
      add: { 'X-B': '2' },
      remove: ['X-C'],
      setSecret: { 'X-Key': 'key' },
    },
  });
  assert.deepEqual(plan.request, { set: ['x-a', '1', 'x-key', 'value of key'], add: ['x-b', '2'], remove: ['x-c'] });
});

test('values with variables become parts, and what is added to a field comes after what sets it', () => {
  const { request, requestMade } = planOf({
    requestHeaders: {
      ...edits,
      set: { 'X-A': '1', 'X-B': 'a ${claim:org.id} $${x}', 'X-E': '${endpoint}' },
      append: { 'X-L': 'm' },
      add: { 'X-A': '2', 'x-b': '3' },
    },
  });
  assert.deepEqual(request, { remove: [], set: ['x-a', '1'], add: ['x-a', '2'] });
  assert.deepEqual(requestMade, {
    set: [
      { name: 'x-b', parts: ['a ', { from: 'claim', name: 'org.id' }, ' ${x}'] },
      { name: 'x-e', parts: [{ from: 'endpoint', name: '' }] },
    ],
    absent: [],
    append: [{ name: 'x-l', parts: ['m'] }],
    add: [{ name: 'x-b', parts: ['3'] }],
    byEndpoint: true,
  });
});

test('what depends on the upstream’s fields is left to the transport', () => {
  const { answer, answerMade } = planOf({
    answerHeaders: { ...edits, setIfAbsent: { 'X-A': '1' }, append: { Vary: 'x', 'X-T': '${tenant}' } },
  });
  assert.deepEqual(answer, { remove: [], set: [], add: [], absent: ['x-a', '1'], append: ['vary', 'x'] });
  assert.deepEqual(answerMade?.append, [{ name: 'x-t', parts: [{ from: 'tenant', name: '' }] }]);
});

test('the manual lists every variable', () => {
  const manual = readFileSync(new URL('../../../docs/answers.md', import.meta.url), 'utf8');
  for (const [name, what] of Object.entries(VARIABLES))
    assert.ok(manual.includes(`| \`\${${name}}\` | ${what} |`), name);
  for (const [name, what] of Object.entries(NAMED_VARIABLES))
    assert.ok(manual.includes(`| \`\${${name}:name}\` | ${what} |`), name);
});

test('files are known by their canonical paths, hidden ones not at all', () => {
  const { files } = planOf({
    files: { root: 'site', index: 'index.html', cacheControl: 'no-cache', fallback: 'index.html' },
  });
  assert.deepEqual(files, {
    paths: { '/index.html': 0, '/a%20b.css': 1 },
    index: 'index.html',
    fallback: 0,
    cacheControl: 'no-cache',
  });
});

test('Strict-Transport-Security is a year, what is written, or what the route sets itself', () => {
  const written = { maxAgeSeconds: 63_072_000, includeSubDomains: true, preload: true };
  const value = 'max-age=63072000; includeSubDomains; preload';
  assert.equal(planOf({}, true).strictTransport, STRICT_TRANSPORT);
  assert.equal(planOf({}).strictTransport, '');
  assert.equal(planOf({ strictTransport: written }).strictTransport, value);
  const own = { ...edits, set: { 'Strict-Transport-Security': 'max-age=0' } };
  assert.equal(planOf({ strictTransport: written, answerHeaders: own }, true).strictTransport, '');
});
