import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readBundle } from '../../config/bundle.ts';
import { Document } from '../../config/document.ts';
import type { RehearsedRequest } from '../../snapshot/rehearsal.ts';
import { requestOf } from './requests.ts';

const ISSUER = { audiences: ['a'], algorithms: ['ES256'], jwksUrl: 'https://id.example' };

function requested(request: object): RehearsedRequest {
  const documents = {
    routes: { routes: [{ id: 'all', match: { path: { prefix: '/' } }, access: 'public', reason: 'for a test' }] },
    cells: { cells: [{ id: 'one', endpoints: [{ address: '10.0.0.1:80' }] }] },
    issuers: {
      issuers: [
        { ...ISSUER, id: 'staff', issuer: 's' },
        { ...ISSUER, id: 'guests', issuer: 'g' },
      ],
    },
    tests: { tests: [{ name: 'one', request, expect: { route: 'all' } }] },
  };
  const read = readBundle(
    new Map(
      Object.entries(documents).map(([part, value]) => [
        part as keyof typeof documents,
        new Document(`${part}.json`, JSON.stringify(value)),
      ]),
    ),
  );
  assert.ok(read.ok, JSON.stringify(read));
  const [test] = read.value.tests.tests;
  assert.ok(test !== undefined);
  return requestOf(test, read.value);
}

describe('the request of a test', () => {
  it('comes as it is written: nothing is decoded or made canonical', () => {
    const r = requested({ url: 'https://Shop.Example:8443/a/%2e%2e/b//c?x=%31&y', method: 'POST', body: 'é' });
    assert.equal(r.host, 'Shop.Example:8443');
    assert.equal(r.path, '/a/%2e%2e/b//c');
    assert.equal(r.query, 'x=%31&y');
    assert.equal(r.secure, true);
    assert.deepEqual(r.headers, ['host', 'Shop.Example:8443', 'content-length', '2']);
  });

  it('has a path, a host and no body when it says nothing of them', () => {
    const r = requested({ url: 'http://shop.example', headers: { Host: 'other.example', Accept: '*/*' } });
    assert.deepEqual([r.path, r.query, r.secure, r.body, r.token], ['/', '', false, null, null]);
    assert.deepEqual(r.headers, ['host', 'other.example', 'accept', '*/*']);
  });

  it('has the token of the issuer that it names', () => {
    const { token } = requested({ url: 'https://a.example', token: { issuer: 'guests', claims: { sub: 'x' } } });
    assert.deepEqual(token, { issuer: 1, claims: { sub: 'x' } });
  });

  const addresses: readonly (readonly [string, readonly number[]])[] = [
    ['198.51.100.7', [198, 51, 100, 7]],
    ['2001:db8::1', [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]],
    ['::', Array.from({ length: 16 }, () => 0)],
    ['::ffff:192.0.2.1', [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 192, 0, 2, 1]],
    ['1:2:3:4:5:6:7:8', [0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0, 7, 0, 8]],
  ];
  for (const [address, bytes] of addresses)
    it(`comes from ${address}`, () =>
      assert.deepEqual(requested({ url: 'https://a.example', address }).peerAddress, bytes));
});
