import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RespondPlan } from '../../snapshot/route-plans.ts';
import { testPaths, TestWire, testExchange, testRoute, type WireOptions } from '../../../test/harness/wire.ts';
import type { Exchange } from '../exchange.ts';
import { Verdict } from '../verdict.ts';
import { prefixed, stripped } from '../answers/upstream-target.ts';
import { Respond } from './respond.ts';

function enter(
  over: Partial<RespondPlan>,
  o: WireOptions & { encodedPath?: string; attempts?: number } = {},
): { x: Exchange; wire: TestWire; verdict: Verdict } {
  const wire = new TestWire({ host: 'Shop.example:8443', ...o });
  const x = testExchange(wire, {}, testRoute({ respond: { ...testRoute().respond, ...over } }));
  x.host = 'shop.example';
  x.encodedPath = o.encodedPath ?? '/a%20b';
  x.query = o.query ?? '';
  x.attempts = o.attempts ?? 1;
  x.id = 'abcdef-00-00000001';
  return { x, wire, verdict: new Respond(testPaths).enter(x) };
}

const paths: readonly [path: string, strip: string, add: string, result: string][] = [
  ['/api/x', '', '', '/api/x'],
  ['/api/x', '/api', '', '/x'],
  ['/api', '/api', '', '/'],
  ['/api/', '/api', '', '/'],
  ['/apix', '/api', '', '/apix'],
  ['/other', '/api', '', '/other'],
  ['/api/api/x', '/api', '', '/api/x'],
  ['/x', '', '/v2', '/v2/x'],
  ['/', '', '/v2', '/v2'],
  ['/api/x', '/api', '/v2', '/v2/x'],
  ['/api', '/api', '/v2', '/v2'],
  ['/apix', '/api', '/v2', '/v2/apix'],
  ['/a%20b/c', '/a%20b', '', '/c'],
];
for (const [path, strip, add, result] of paths) {
  test(`${path} without "${strip}" under "${add}" is ${result}`, () =>
    assert.equal(prefixed(stripped(path, strip), add), result));
}

test('the upstream is asked for the canonical path and the query as sent, under the client’s Host', () => {
  const { x, verdict } = enter({}, { query: 'a=%41&b' });
  assert.equal(verdict, Verdict.Next);
  assert.equal(x.plan.target, '/a%20b?a=%41&b');
  assert.equal(x.plan.authority, 'Shop.example:8443');
});

test('the upstream’s Host can be set', () => {
  assert.equal(enter({ host: 'internal:9000' }).x.plan.authority, 'internal:9000');
});

test('edits of both directions: remove, set, add', () => {
  const edits = { remove: ['x-r'], set: ['x-s', '1', 'x-t', '2'], add: ['x-a', '3'] };
  const { wire } = enter({ request: edits, answer: edits });
  const expected = ['remove x-r', 'set x-s: 1', 'set x-t: 2', 'add x-a: 3'];
  assert.deepEqual(wire.upstreamEdits, expected);
  assert.deepEqual(wire.answerEdits, expected);
});

test('another attempt edits nothing again', () => {
  const { wire, verdict } = enter({ request: { remove: [], set: [], add: ['x-a', '3'] } }, { attempts: 2 });
  assert.equal(verdict, Verdict.Next);
  assert.deepEqual(wire.upstreamEdits, []);
});

test('Strict-Transport-Security is sent over TLS only (RFC 6797 §7.2)', () => {
  const strictTransport = 'max-age=1';
  assert.deepEqual(enter({ strictTransport }).wire.answerEdits, ['set strict-transport-security: max-age=1']);
  assert.deepEqual(enter({ strictTransport }, { secure: false }).wire.answerEdits, []);
});

test('https keeps host, path and query, and the port is said unless it is 443', () => {
  const to = (httpsPort: number): string[] => {
    const redirect = { status: 308, to: 'https' as const, httpsPort };
    const { wire, verdict } = enter({ redirect }, { secure: false, query: 'q=1', attempts: 0 });
    assert.equal(verdict, Verdict.Handed);
    assert.equal(wire.answered?.status, 308);
    return wire.answerEdits;
  };
  assert.equal(to(443)[0], 'set location: https://shop.example/a%20b?q=1');
  assert.equal(to(8443)[0], 'set location: https://shop.example:8443/a%20b?q=1');
});

test('a request that came through TLS is not redirected to https', () => {
  const { wire, verdict } = enter({ redirect: { status: 308, to: 'https', httpsPort: 443 } });
  assert.equal(verdict, Verdict.Next);
  assert.equal(wire.answered, null);
});

test('a literal location', () => {
  const { wire } = enter({ redirect: { status: 302, to: { location: '/new' }, httpsPort: 443 } }, { attempts: 0 });
  assert.deepEqual(wire.answered, { status: 302, contentType: 'text/plain', body: '' });
  assert.ok(wire.answerEdits.includes('set location: /new'));
});

/** As a real wire does: control bytes are refused. */
class StrictWire extends TestWire {
  override setAnswerHeader(name: string, value: string): boolean {
    return value.includes('\n') ? false : super.setAnswerHeader(name, value);
  }
}

test('a location with bytes that a field cannot hold is never sent', () => {
  const wire = new StrictWire({ secure: false });
  const redirect = { status: 308, to: 'https' as const, httpsPort: 443 };
  const x = testExchange(wire, {}, testRoute({ respond: { ...testRoute().respond, redirect } }));
  x.host = 'shop.example';
  x.encodedPath = '/';
  x.query = 'a\r\nset-cookie: x';
  assert.equal(new Respond(testPaths).enter(x), Verdict.Refuse);
  assert.equal(x.refusal?.code, 'bad_target');
  assert.equal(wire.answered, null);
});

test('an edit that the wire refuses stops the request: what an operator meant as protection must not be missing', () => {
  const wire = new StrictWire();
  const answer = { remove: [], set: ['x-a', 'a\nb'], add: [] };
  const x = testExchange(wire, {}, testRoute({ respond: { ...testRoute().respond, answer } }));
  assert.equal(new Respond(testPaths).enter(x), Verdict.Refuse);
});
