import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { TestWire } from '../../test/harness/wire.ts';
import { cookieIn, cookieOf } from './cookie.ts';

test('a cookie is found by its whole name, wherever it stands', () => {
  assert.equal(cookieIn('a=1; b=2; c=3', 'b'), '2');
  assert.equal(cookieIn('ab=1; b=2', 'b'), '2');
  assert.equal(cookieIn('a=1;b=2', 'b'), '2');
  assert.equal(cookieIn('b="quoted"', 'b'), 'quoted');
  assert.equal(cookieIn('b=', 'b'), '');
  assert.equal(cookieIn('b=x=y', 'b'), 'x=y');
  for (const line of ['', ';', 'a', 'bb=1', 'a=b=2', ' ; ; ']) assert.equal(cookieIn(line, 'b'), undefined, line);
});

test('several lines of the field are looked at, as HTTP/2 may send them', () => {
  assert.equal(cookieOf(new TestWire({ headers: ['cookie', 'a=1', 'cookie', 'b=2'] }), 'b'), '2');
  assert.equal(cookieOf(new TestWire(), 'b'), undefined);
});

test('any line agrees with taking it apart', () => {
  const name = fc.constantFrom('a', 'ab', 'b', 'session');
  const value = fc.stringMatching(/^[a-z0-9=]{0,6}$/);
  fc.assert(
    fc.property(fc.array(fc.tuple(name, value), { maxLength: 8 }), name, (pairs, wanted) => {
      const line = pairs.map(([n, v]) => `${n}=${v}`).join('; ');
      assert.equal(cookieIn(line, wanted), pairs.find(([n]) => n === wanted)?.[1]);
    }),
  );
});
