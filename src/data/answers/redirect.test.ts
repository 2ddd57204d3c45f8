import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { TestWire, testExchange, testPaths, testRoute } from '../../../test/harness/wire.ts';
import { native } from '../../native.ts';
import type { RedirectParts } from '../../snapshot/respond-plans.ts';
import { redirectOf } from './redirect.ts';

const { handle } = native().rewritesCompile([
  { regex: '^/blog/([0-9]+)-(.*)$', replacement: '/posts/$1' },
  { regex: 'x', replacement: '.' },
]);

interface From {
  readonly host?: string;
  readonly path?: string;
  readonly query?: string;
  readonly secure?: boolean;
}

function location(to: Partial<RedirectParts>, from: From = {}): string {
  const parts: RedirectParts = {
    scheme: null,
    host: null,
    port: 0,
    stripQuery: false,
    stripPrefix: '',
    replace: null,
    addPrefix: '',
    ...to,
  };
  const redirect = { status: 301, to: parts, httpsPort: 443 };
  const wire = new TestWire({ host: from.host ?? 'a.test:8080' });
  const x = testExchange(wire, {}, testRoute({ respond: { ...testRoute().respond, redirect } }));
  Object.assign(x, { revision: { snapshot: { rewrites: handle } } });
  x.host = wire.host.replace(/:[0-9]*$/, '');
  x.secure = from.secure ?? false;
  x.encodedPath = from.path ?? '/p';
  x.query = from.query ?? 'q=1';
  return redirectOf(x, testPaths);
}

const rows: readonly [name: string, to: Partial<RedirectParts>, from: From, result: string][] = [
  ['the scheme takes its usual port', { scheme: 'https' }, {}, 'https://a.test/p?q=1'],
  ['a port beside the scheme', { scheme: 'https', port: 8443 }, {}, 'https://a.test:8443/p?q=1'],
  ['the usual port is not said', { scheme: 'https', port: 443 }, {}, 'https://a.test/p?q=1'],
  ['a host', { host: 'b.test' }, {}, 'http://b.test/p?q=1'],
  ['a host keeps the scheme', { host: 'b.test' }, { secure: true, host: 'a.test' }, 'https://b.test/p?q=1'],
  ['a port alone', { port: 9000 }, {}, 'http://a.test:9000/p?q=1'],
  ['a path is relative', { replace: { path: '/new' } }, {}, '/new?q=1'],
  ['a prefix for another', { stripPrefix: '/p', addPrefix: '/q' }, { path: '/p/a' }, '/q/a?q=1'],
  ['without the query', { replace: { path: '/new' }, stripQuery: true }, {}, '/new'],
  ['an expression', { replace: { rule: 0 } }, { path: '/blog/7-title' }, '/posts/7?q=1'],
  ['an expression that does not match', { replace: { rule: 0 } }, { path: '/other' }, ''],
  ['dots that would meet', { replace: { rule: 1 } }, { path: '/a/x./b' }, ''],
  ['IPv6', { scheme: 'https' }, { host: '[::1]:8080' }, 'https://[::1]/p?q=1'],
  ['where it is already: scheme', { scheme: 'http' }, { host: 'a.test' }, ''],
  ['where it is already: host', { host: 'a.test' }, { host: 'a.test' }, ''],
  ['where it is already: port', { port: 8080 }, {}, ''],
  ['where it is already: path', { replace: { path: '/p' } }, {}, ''],
  ['where it is already: no query', { stripQuery: true }, { query: '' }, ''],
]; // biome-ignore format: a table
for (const [name, to, from, result] of rows) {
  test(`redirects: ${name}`, () => assert.equal(location(to, from), result));
}

test('a redirect never leads to where it came from, and ends after one step when it is followed', () => {
  const to = fc.record({
    scheme: fc.constantFrom(null, 'http' as const, 'https' as const),
    host: fc.constantFrom(null, 'a.test', 'b.test'),
    port: fc.constantFrom(0, 80, 443, 8080),
    stripQuery: fc.boolean(),
    replace: fc.constantFrom(null, { path: '/new' }),
  });
  const from = fc.record({
    host: fc.constantFrom('a.test', 'b.test', 'a.test:8080', 'a.test:443'),
    path: fc.constantFrom('/', '/new', '/p'),
    query: fc.constantFrom('', 'q=1'),
    secure: fc.boolean(),
  });
  fc.assert(
    fc.property(to, from, (parts, at) => {
      const base = `${at.secure ? 'https' : 'http'}://${at.host}${at.path}${at.query === '' ? '' : `?${at.query}`}`;
      const led = location(parts, at);
      if (led === '') return;
      const url = new URL(led, base);
      assert.notEqual(url.href, new URL(base).href);
      const next = {
        host: url.host,
        path: url.pathname,
        query: url.search.slice(1),
        secure: url.protocol === 'https:',
      };
      assert.equal(location(parts, next), '', `${base} → ${url.href} → again`);
    }),
  );
});
