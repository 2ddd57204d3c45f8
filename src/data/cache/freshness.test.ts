import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { answerDirectives } from './directives.ts';
import { fieldOf } from './fields.ts';
import { ageField, initialAge, lifetime, type SetCookiePolicy, whyNotStored } from './freshness.ts';

const NOW = Date.UTC(2026, 10, 21, 12);
const date = (seconds: number): string => new Date(NOW + seconds * 1000).toUTCString();
const d = (fields: readonly string[]) =>
  answerDirectives(fieldOf(fields, 'cache-control'), fieldOf(fields, 'cdn-cache-control'));
const life = (status: number, ...fields: string[]): number => lifetime(status, fields, d(fields), NOW);

describe('the lifetime of an answer', () => {
  it('is s-maxage, else max-age, else Expires minus Date, else a tenth of its age', () => {
    assert.equal(life(200, 'cache-control', 'max-age=1, s-maxage=3600', 'expires', date(-10)), 3600);
    assert.equal(life(200, 'cache-control', 'max-age=60', 'expires', date(9999)), 60);
    assert.equal(life(200, 'expires', date(20), 'date', date(10)), 10);
    assert.equal(life(200, 'expires', date(20)), 20);
    assert.equal(life(200, 'last-modified', date(-1200), 'date', date(0)), 120);
    assert.equal(life(200, 'last-modified', date(-10_000_000), 'date', date(0)), 86_400);
  });

  it('is nothing when it has passed or cannot be read', () => {
    assert.equal(life(200, 'expires', date(300), 'date', date(400)), 0);
    assert.equal(life(200, 'expires', '0', 'last-modified', date(-86_400)), 0);
    assert.equal(life(200, 'cache-control', 'max-age=x', 'expires', date(300)), 0);
    assert.equal(life(200), 0);
  });

  it('is only guessed for statuses that allow it, or with public', () => {
    assert.equal(life(201, 'last-modified', date(-1200)), 0);
    assert.equal(life(599, 'last-modified', date(-1200)), 0);
    assert.equal(life(599, 'last-modified', date(-1200), 'cache-control', 'public'), 120);
  });

  it('is not Expires when CDN-Cache-Control speaks', () => {
    assert.equal(life(200, 'cdn-cache-control', 'public', 'expires', date(300)), 0);
  });
});

describe('the age of an answer', () => {
  it('is the greater of what Age says and what Date shows', () => {
    assert.equal(initialAge(['date', date(-10), 'age', '25'], NOW, NOW), 25);
    assert.equal(initialAge(['date', date(-30), 'age', '25'], NOW, NOW), 30);
    assert.equal(initialAge(['date', date(10), 'age', '15'], NOW, NOW), 15);
    assert.equal(initialAge(['age', '15'], NOW - 4000, NOW), 19);
    assert.equal(initialAge([], NOW, NOW), 0);
  });

  it('the first member of an Age counts, and only if it is a number', () => {
    for (const [text, seen] of [
      ['7200, 0', 7200],
      ['0, 7200', 0],
      ['-7200', 0],
      ['7200;a=b', 0],
      ['72.5', 0],
      ['abc', 0],
      ['', 0],
      ['2147483647', 2_147_483_647],
      ['99999999999999999999', 2_147_483_648],
    ] as const)
      assert.equal(ageField(text), seen, text);
  });
});

describe('whether an answer may be stored', () => {
  const why = (
    status: number,
    fields: string[],
    credentials = false,
    setCookie: SetCookiePolicy = 'skip',
  ): string | null => whyNotStored({ status, fields, directives: d(fields), credentials, setCookie });
  const cc = (value: string): string[] => ['cache-control', value];

  it('no-store and private say no', () => {
    assert.equal(why(200, cc('no-store, max-age=1')), 'no-store');
    assert.equal(why(200, cc('private, max-age=1')), 'private');
  });

  it('must-understand counts instead of no-store, for statuses that are understood', () => {
    assert.equal(why(200, cc('no-store, must-understand, max-age=1')), null);
    assert.equal(why(499, cc('must-understand, max-age=1')), 'no-store');
  });

  it('an answer to credentials only when it says so', () => {
    assert.equal(why(200, cc('max-age=1'), true), 'credentials');
    for (const allowed of ['public, max-age=1', 's-maxage=1', 'max-age=1, must-revalidate'])
      assert.equal(why(200, cc(allowed), true), null, allowed);
  });

  it('one that sets a cookie as the route says', () => {
    const fields = [...cc('max-age=1'), 'set-cookie', 'a=b'];
    assert.deepEqual(
      (['skip', 'strip', 'store'] as const).map((policy) => why(200, fields, false, policy)),
      ['set-cookie', null, null],
    );
  });

  it('any status with a lifetime, without one those that allow it', () => {
    assert.equal(why(599, cc('max-age=1')), null);
    assert.equal(why(299, ['expires', date(5)]), null);
    assert.equal(why(404, []), null);
    assert.equal(why(503, []), 'status');
  });
});
