import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Part, readBundle } from './bundle.ts';
import { Document } from './document.ts';

const ISSUER = { audiences: ['a'], algorithms: ['ES256'], jwksUrl: 'https://id.example' };
const URL = 'https://shop.example/';

/** What is said of one test, without its place. */
function said(request: object, expect: object, issuers: readonly string[] = ['staff']): string[] {
  const documents = {
    routes: { routes: [{ id: 'all', match: { path: { prefix: '/' } }, access: 'public', reason: 'for a test' }] },
    cells: { cells: [{ id: 'one', endpoints: [{ address: '10.0.0.1:80' }] }] },
    issuers: { issuers: issuers.map((id) => ({ ...ISSUER, id, issuer: id })) },
    tests: { tests: [{ name: 'one', request: { url: URL, ...request }, expect }] },
  };
  const given = new Map<Part, Document>();
  for (const [part, value] of Object.entries(documents))
    given.set(part as Part, new Document(`${part}.yaml`, JSON.stringify(value)));
  const read = readBundle(given);
  return read.ok ? [] : read.problems.map(({ path, message }) => `${path}: ${message}`);
}

describe("a bundle's own test", () => {
  it('may name what the bundle holds', () => {
    assert.deepEqual(said({ token: {}, address: '2001:db8::1' }, { route: 'all', cell: 'one', policy: 'none' }), []);
    assert.deepEqual(said({}, { refusal: 'no_route', status: 404, outcome: 'refused' }), []);
  });

  const wrong: readonly (readonly [string, object, object, RegExp])[] = [
    ['names a route that is not there', {}, { route: 'al' }, /^\/tests\/0\/expect\/route: there is no route "al".*all/],
    ['names a cell that is not there', {}, { cell: 'tow' }, /there is no cell "tow"/],
    [
      'names a refusal that is none',
      {},
      { refusal: 'no_rout' },
      /there is no refusal "no_rout"; did you mean "no_route"/,
    ],
    [
      'has a token of an issuer that is not there',
      { token: { issuer: 'stuff' } },
      { route: 'all' },
      /there is no issuer "stuff".*staff/,
    ],
    ['is refused and forwarded', {}, { refusal: 'no_route', outcome: 'forwarded' }, /what is forwarded is not refused/],
    ['is answered and goes upstream', {}, { outcome: 'answered', upstream: {} }, /only what is forwarded/],
    ['comes from nowhere', { address: '1.2.3' }, { route: 'all' }, /"1\.2\.3" is no IP address/],
    ['has a field of no name', { headers: { 'a b': 'c' } }, { route: 'all' }, /"a b" is no name of a header field/],
    ['has a field twice', { headers: { Accept: 'a', accept: 'b' } }, { route: 'all' }, /stands there twice/],
    [
      'has a coded body',
      { headers: { 'Content-Encoding': 'gzip' } },
      { route: 'all' },
      /inspected as they are written/,
    ],
    ['says who asks twice', { headers: { Authorization: 'x' }, token: {} }, { route: 'all' }, /keep one of them/],
    ['expects nothing', {}, {}, /^\/tests\/0\/expect: /],
    ['asks for no URL', { url: '/orders' }, { route: 'all' }, /^\/tests\/0\/request\/url: /],
  ];
  for (const [what, request, expect, line] of wrong)
    it(`that ${what} is told with place and mend`, () => {
      const lines = said(request, expect);
      assert.equal(lines.length, 1, lines.join('\n'));
      assert.match(lines[0] ?? '', line);
    });

  it('must say whose token it is where there are several issuers, or none', () => {
    assert.match(said({ token: {} }, { route: 'all' }, ['staff', 'guests']).join(), /say `issuer`: the bundle has 2/);
    assert.match(said({ token: {} }, { route: 'all' }, []).join(), /say `issuer`: the bundle has 0/);
  });
});
