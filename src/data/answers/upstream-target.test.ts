import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { TestWire, testExchange, testRoute } from '../../../test/harness/wire.ts';
import { native } from '../../native.ts';
import type { RespondPlan } from '../../snapshot/route-plans.ts';
import type { Exchange } from '../exchange.ts';
import { type CanonicalPath, readPath, TargetFault } from '../normalize/target.ts';
import { madeHost, UpstreamPaths } from './upstream-target.ts';

const RULES = [
  { regex: '^/a/(.*)$', replacement: '/b/$1' },
  { regex: '/', replacement: '' },
  { regex: '(.*)/(.*)', replacement: '/$2/./$1' },
  { regex: '.', replacement: '.' },
  { regex: 'x', replacement: '..' },
  { regex: '[;%/]', replacement: '/é//' },
  { regex: '^(.)(.*)$', replacement: '$2$1' },
  { regex: '', replacement: '/' },
];
const { handle, problems } = native().rewritesCompile(RULES);
assert.deepEqual(problems, []);
const paths = new UpstreamPaths(native());

function exchange(over: Partial<RespondPlan>, encodedPath: string): Exchange {
  const plan = { ...testRoute().respond, ...over };
  const x = testExchange(new TestWire({ headers: ['x-brand', encodedPath] }), {}, testRoute({ respond: plan }));
  Object.assign(x, { revision: { snapshot: { rewrites: handle, cells: [], issuers: [] } }, encodedPath });
  return x;
}

/** The canonical form of whatever a client may ask for; `''` when it has none. */
function canonical(raw: string): string {
  const into: CanonicalPath = { path: '', encoded: '' };
  return readPath(raw, into) === TargetFault.None ? into.encoded : '';
}

const raw = fc
  .array(fc.constantFrom('/', '/', '.', '..', 'a', 'x', 'b', ';', '%20', '%C3%A9', '%3B', '%2e', 'x.', '.x'), {
    maxLength: 24,
  })
  .map((parts) => `/${parts.join('')}`);
const prefix = fc.constantFrom('', '/a', '/a/b', '/x.', '/%C3%A9');

test('whatever a route rewrites stays in canonical form, or is refused', () => {
  fc.assert(
    fc.property(raw, prefix, prefix, fc.nat(RULES.length), (asked, stripPrefix, addPrefix, rule) => {
      const encoded = canonical(asked);
      fc.pre(encoded !== '');
      const replace = rule === RULES.length ? null : { rule };
      const path = paths.of(exchange({ stripPrefix, addPrefix, replace }, encoded));
      if (path === null) return;
      assert.equal(canonical(path), path, `${encoded} became ${path}`);
      assert.doesNotMatch(path, /\/(\.|%2e){1,2}([/;]|$)|\/\/|[?#\\]/i);
    }),
    { numRuns: 3_000 },
  );
});

test('an unknown table is an error, not another rewriting', () => {
  assert.throws(() => native().rewritePath(handle + 1_000, 0, '/'), /no table/);
  assert.throws(() => native().rewritePath(handle, RULES.length, '/'), /no rewriting/);
  assert.equal(native().rewritesDrop(handle + 1_000), false);
});

test('a Host that is made is a host, or none', () => {
  const host = [{ from: 'header' as const, name: 'x-brand' }, '.internal:80'];
  for (const [value, expected] of [
    ['acme', 'acme.internal:80'],
    ['a/b', null],
    ['a@b', null],
    ['a b', null],
    ['a:1', null],
    ['', null],
    ['a,b', null],
  ] as const)
    assert.equal(madeHost(exchange({ host }, value)), expected);
});
