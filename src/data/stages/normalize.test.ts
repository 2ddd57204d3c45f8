import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { testExchange, TestWire, type WireOptions } from '../../../test/harness/wire.ts';
import type { Snapshot } from '../../snapshot/snapshot.ts';
import { type Exchange, METHOD_OTHER } from '../exchange.ts';
import { REFUSALS } from '../refusal.ts';
import { Verdict } from '../verdict.ts';
import { FIELD_BYTES_MAX, FIELDS_MAX, Normalize } from './normalize.ts';

const stage = new Normalize();

function run(options: WireOptions, forwardedFrom: readonly string[] = []): { x: Exchange; verdict: Verdict } {
  const snapshot = { trust: { forwardedFrom } } as unknown as Snapshot;
  const x = testExchange(new TestWire(options), { snapshot });
  return { x, verdict: stage.enter(x) };
}

/** Code of the refusal, or `passes`. */
function said(options: WireOptions): string {
  const { x, verdict } = run(options);
  return verdict === Verdict.Next ? 'passes' : (x.refusal?.code ?? 'refused without a row');
}

describe('normalize', () => {
  it('makes a request canonical', () => {
    const { x, verdict } = run({
      method: 'POST',
      host: 'Shop.Example.:8443',
      path: '/a/./%62/../c%20d',
      query: 'x=%2F&y',
      headers: ['x-request-id', 'abc-123'],
      peerAddress: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 203, 0, 113, 9],
    });
    assert.equal(verdict, Verdict.Next);
    assert.deepEqual(
      [x.methodCode, x.host, x.path, x.encodedPath, x.query, x.clientAddress, x.clientRequestId],
      [2, 'shop.example', '/a/c d', '/a/c%20d', 'x=%2F&y', '203.0.113.9', 'abc-123'],
    );
  });

  it('refuses what the transport found wrong before it looks at anything else', () => {
    const { x, verdict } = run({ fault: REFUSALS.bad_framing, host: '', path: '\\' });
    assert.equal(verdict, Verdict.Refuse);
    assert.equal(x.refusal?.code, 'bad_framing');
    assert.equal(x.clientAddress, '192.0.2.7');
  });

  it('knows the methods, lets routes name further ones, and implements neither CONNECT nor look-alikes', () => {
    for (const method of ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])
      assert.equal(said({ method }), 'passes');
    assert.equal(run({ method: 'PROPFIND' }).x.methodCode, METHOD_OTHER);
    assert.equal(run({ method: 'VERSION-CONTROL' }).x.methodCode, METHOD_OTHER);
    for (const method of ['CONNECT', 'get', 'Get', 'GE(T', '', 'G', 'A'.repeat(40), 'GET1'])
      assert.equal(said({ method }), 'method_not_implemented', method);
    assert.equal(said({ method: 'TRACE' }), 'method_not_allowed');
  });

  it('says what is allowed where it refuses TRACE', () => {
    const { x } = run({ method: 'TRACE' });
    assert.deepEqual((x.wire as TestWire).answerEdits, ['set allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS']);
  });

  it('answers OPTIONS that may not go further, and refuses one that says so in words that nobody can count', () => {
    for (const value of ['0', '000']) {
      const { x, verdict } = run({ method: 'OPTIONS', path: '/a', headers: ['max-forwards', value] });
      assert.equal(verdict, Verdict.Handed, value);
      assert.deepEqual((x.wire as TestWire).answerEdits, ['set allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS']);
    }
    assert.equal(said({ method: 'OPTIONS', path: '/a', headers: ['max-forwards', '1'] }), 'passes');
    for (const value of ['', '-1', '1.0', '0x0', '1, 0', '9'.repeat(16)])
      assert.equal(said({ method: 'OPTIONS', headers: ['max-forwards', value] }), 'bad_header', value);
    assert.equal(said({ method: 'OPTIONS', headers: ['max-forwards', '1', 'max-forwards', '0'] }), 'bad_header');
    // Of other methods it may be ignored.
    assert.equal(said({ method: 'GET', headers: ['max-forwards', '0'] }), 'passes');
  });

  it('refuses fields of which one could be checked here and another be believed upstream', () => {
    const type = 'content-type';
    const form = 'application/x-www-form-urlencoded';
    assert.equal(said({ headers: [type, form, type, 'text/plain'] }), 'bad_header');
    assert.equal(said({ headers: ['authorization', 'Bearer a', 'authorization', 'Bearer a'] }), 'bad_header');
    for (const bad of [`${form}, text/plain`, `${form} x`, `${form},`, `${form}\tx;y`, ', x', `x ${form}`])
      assert.equal(said({ headers: [type, bad] }), 'bad_header', bad);
    for (const good of ['', form, `${form} ; charset="a, b"`, `${form};`, 'text/plain; charset=utf-8', 'json'])
      assert.equal(said({ headers: [type, good, 'cookie', 'a=b', 'cookie', 'c=d'] }), 'passes', good);
  });

  it('refuses hosts and targets with two readings', () => {
    assert.equal(said({ host: 'user@shop.example' }), 'bad_host');
    assert.equal(said({ host: '' }), 'bad_host');
    assert.equal(said({ path: '/a%2fb' }), 'bad_target');
    assert.equal(said({ path: '*' }), 'bad_target');
    assert.equal(said({ query: 'a#b' }), 'bad_target');
    assert.equal(said({ path: `/${'a'.repeat(9_000)}` }), 'target_too_long');
    assert.equal(said({ query: 'a'.repeat(17_000) }), 'target_too_long');
  });

  it('answers OPTIONS * by itself: it asks the gateway, not an upstream', () => {
    const { x, verdict } = run({ method: 'OPTIONS', path: '*' });
    assert.equal(verdict, Verdict.Handed);
    const wire = x.wire as TestWire;
    assert.deepEqual(wire.answered, { status: 204, contentType: '', body: '' });
    assert.deepEqual(wire.answerEdits, ['set allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS']);
  });

  it('bounds the number and the size of fields', () => {
    const fields = (count: number, size: number): string[] =>
      Array.from({ length: count }, () => ['x-a', 'v'.repeat(size)]).flat();
    assert.equal(said({ headers: fields(FIELDS_MAX, 1) }), 'passes');
    assert.equal(said({ headers: fields(FIELDS_MAX + 1, 1) }), 'head_too_large');
    assert.equal(said({ headers: fields(1, FIELD_BYTES_MAX - 3) }), 'passes');
    assert.equal(said({ headers: fields(1, FIELD_BYTES_MAX) }), 'head_too_large');
  });

  it('believes X-Forwarded-For from proxies that the listener or the bundle trusts, and from nobody else', () => {
    const headers = ['x-forwarded-for', '1.1.1.1, 203.0.113.5'];
    const peerAddress = [10, 0, 0, 1];
    assert.equal(run({ headers, peerAddress }).x.clientAddress, '10.0.0.1');
    assert.equal(run({ headers, peerAddress, forwardedFrom: ['10.0.0.0/8'] }).x.clientAddress, '203.0.113.5');
    assert.equal(run({ headers, peerAddress }, ['10.0.0.0/8']).x.clientAddress, '203.0.113.5');
    assert.equal(run({ headers, peerAddress }, ['11.0.0.0/8']).x.clientAddress, '10.0.0.1');
  });

  it('keeps a request id of the client only when it is sane', () => {
    for (const id of ['', 'a b', 'x'.repeat(129), 'a\u00e9', 'a"b', '{}'])
      assert.equal(run({ headers: ['x-request-id', id] }).x.clientRequestId, '', id);
  });

  it('never throws, whatever arrives', () => {
    const text = fc.string({ unit: 'binary' });
    fc.assert(
      fc.property(
        text,
        text,
        text,
        text,
        fc.array(text),
        fc.uint8Array({ maxLength: 17 }),
        (method, host, path, query, fields, address) => {
          const headers = fields.flatMap((value) => ['x-forwarded-for', value]);
          const options = {
            method,
            host,
            path,
            query,
            headers,
            peerAddress: [...address],
            forwardedFrom: ['0.0.0.0/0'],
          };
          assert.ok(run(options).verdict === Verdict.Next || run(options).x.refusal !== null);
        },
      ),
      { numRuns: 1_000 },
    );
  });

  it('believes a scheme that a trusted proxy says, and nobody else', () => {
    const headers = ['x-forwarded-for', '203.0.113.9', 'x-forwarded-proto', 'https'];
    const proxy = { peerAddress: [10, 0, 0, 1], secure: false };
    assert.equal(run({ ...proxy, headers }, ['10.0.0.0/8']).x.secure, true);
    assert.equal(run({ ...proxy, headers }, []).x.secure, false);
    assert.equal(run({ ...proxy, headers: [...headers.slice(0, 3), 'gopher'] }, ['10.0.0.0/8']).x.secure, false);
    assert.equal(
      run({ ...proxy, secure: true, headers: [...headers.slice(0, 3), 'http'] }, ['10.0.0.0/8']).x.secure,
      false,
    );
    const twice = [...headers, 'x-forwarded-proto', 'http'];
    assert.equal(run({ ...proxy, headers: twice }, ['10.0.0.0/8']).x.secure, false);
    assert.equal(run({ secure: true, headers: ['x-forwarded-proto', 'http'] }).x.secure, true);
  });
});
