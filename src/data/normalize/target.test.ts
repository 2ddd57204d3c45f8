import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  canonicalQuery,
  type CanonicalPath,
  checkQuery,
  PATH_BYTES_MAX,
  PATH_SEGMENTS_MAX,
  readPath,
  TargetFault,
} from './target.ts';

/** Path and encoded form, or the fault. */
function read(raw: string): [string, string] | TargetFault {
  const into: CanonicalPath = { path: '', encoded: '' };
  const fault = readPath(raw, into);
  return fault === TargetFault.None ? [into.path, into.encoded] : fault;
}

/** Texts that look like paths, most of them hostile. */
const pieces = fc.constantFrom(
  'a',
  'b.c',
  '.',
  '..',
  '...',
  '%2e',
  '%2E%2e',
  '.%2e',
  '',
  '%41',
  '%20',
  '%C3%A9',
  '%c0%af',
  '%ED%A0%80',
  '%00',
  '%2f',
  '%5c',
  '%',
  '%4',
  '%zz',
  ';v=1',
  '..;',
  '~x',
  'ä',
  '\\',
  '#',
  ' ',
  '\u0001',
  '%7f',
  '%F0%9F%98%80',
  '%FF',
  '"<>',
  '[x]',
  '|',
  "'",
  '@:',
  '%25',
  '%252e',
);
const paths = fc.array(pieces, { maxLength: 8 }).map((list) => `/${list.join('/')}`);
const anything = fc.oneof(paths, fc.string(), fc.string({ unit: 'binary' }));

describe('a path', () => {
  it('that needs nothing is returned as it is', () => {
    for (const raw of ['/', '/a', '/a/b/', '/a..b/.well-known/...', "/a;v=1/b,c/@:!$&'()*+=~_-."])
      assert.deepEqual(read(raw), [raw, raw]);
  });

  it('is decoded once, and written again in one form', () => {
    const table: readonly [string, string, string][] = [
      ['/%41', '/A', '/A'],
      ['/a%20b', '/a b', '/a%20b'],
      ['/caf%c3%a9', '/café', '/caf%C3%A9'],
      ['/%252e%252e/x', '/%2e%2e/x', '/%252e%252e/x'],
      ['/%25', '/%', '/%25'],
      ['/%3Fx', '/?x', '/%3Fx'],
      ['/%23', '/#', '/%23'],
      // An escaped delimiter stays one: raw, it would mean something else to who reads it next.
      ['/%3b/x', '/;/x', '/%3B/x'],
      ['/a%2Bb%3d%26;c+d', '/a+b=&;c+d', '/a%2Bb%3D%26;c+d'],
      ['/%3b/../%41%3B;//x', '/A;;/x', '/A%3B;/x'],
      ['/"<>|^`{}[]', '/"<>|^`{}[]', '/%22%3C%3E%7C%5E%60%7B%7D%5B%5D'],
    ];
    for (const [raw, path, encoded] of table) assert.deepEqual(read(raw), [path, encoded], raw);
  });

  it('loses its dot segments, encoded ones too, and its empty segments', () => {
    const table: readonly [string, string][] = [
      ['/a/./b', '/a/b'],
      ['/a/../b', '/b'],
      ['/a/b/..', '/a/'],
      ['/a/..', '/'],
      ['/.', '/'],
      ['/a/.', '/a/'],
      ['/a/%2e%2e/b', '/b'],
      ['/a/%2E./b', '/b'],
      ['//', '/'],
      ['//a///b//', '/a/b/'],
      ['/a//../b', '/b'],
      ['/a/b/../../c', '/c'],
    ];
    for (const [raw, path] of table) assert.deepEqual(read(raw), [path, path], raw);
  });

  it('with two readings is refused', () => {
    const table: readonly [string, TargetFault][] = [
      ['', TargetFault.NotAPath],
      ['a', TargetFault.NotAPath],
      ['*', TargetFault.NotAPath],
      ['/a%2fb', TargetFault.Separator],
      ['/a%2Fb', TargetFault.Separator],
      ['/a%5cb', TargetFault.Separator],
      ['/a\\b', TargetFault.Separator],
      ['/%00', TargetFault.Control],
      ['/%0d%0aSet-Cookie:x', TargetFault.Control],
      ['/\u0000', TargetFault.Control],
      ['/a b', TargetFault.Control],
      ['/%7f', TargetFault.Control],
      ['/%', TargetFault.Escape],
      ['/%4', TargetFault.Escape],
      ['/%zz', TargetFault.Escape],
      ['/%u0041', TargetFault.Escape],
      ['/%c0%af', TargetFault.Encoding],
      ['/%c0%ae%c0%ae/', TargetFault.Encoding],
      ['/%e0%80%af', TargetFault.Encoding],
      ['/%ed%a0%80', TargetFault.Encoding],
      ['/%f4%90%80%80', TargetFault.Encoding],
      ['/%ff', TargetFault.Encoding],
      ['/\u00e9', TargetFault.Encoding],
      ['/..', TargetFault.Climbs],
      ['/a/../..', TargetFault.Climbs],
      ['/%2e%2e/etc/passwd', TargetFault.Climbs],
      ['/a#b', TargetFault.Fragment],
      // Servlet containers take parameters off first: this would be /admin there, and below /public here.
      ['/public/..;/admin', TargetFault.DotParameter],
      ['/public/..;x=1/admin', TargetFault.DotParameter],
      ['/public/%2e%2E;/admin', TargetFault.DotParameter],
      ['/public/..%3B/admin', TargetFault.DotParameter],
      ['/public/.;/admin', TargetFault.DotParameter],
      ['/public/..;', TargetFault.DotParameter],
      [`/${'a'.repeat(PATH_BYTES_MAX)}`, TargetFault.TooLong],
      [`/${'%41/'.repeat(PATH_SEGMENTS_MAX + 1)}`, TargetFault.TooLong],
    ];
    for (const [raw, fault] of table) assert.equal(read(raw), fault, raw);
  });

  it('is never read with an exception, and what is read is canonical', () => {
    fc.assert(
      fc.property(anything, (raw) => {
        const found = read(raw);
        if (typeof found === 'number') return;
        const [path, encoded] = found;
        assert.ok(path.startsWith('/'));
        // eslint-disable-next-line no-control-regex -- control bytes are what must not be there
        assert.doesNotMatch(path, /[\u0000-\u001f\u007f\\]/);
        const segments = path.slice(1).split('/');
        assert.ok(!segments.some((segment) => segment === '.' || segment === '..'));
        assert.ok(!segments.slice(0, -1).includes(''));
        assert.match(encoded, /^\/(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/]|%[0-9A-F]{2})*$/);
        assert.equal(decodeURIComponent(encoded), path);
      }),
      { numRuns: 3_000 },
    );
  });

  it('is the same when it is read again', () => {
    fc.assert(
      fc.property(anything, (raw) => {
        const found = read(raw);
        if (typeof found === 'object') assert.deepEqual(read(found[1]), found);
      }),
      { numRuns: 2_000 },
    );
  });

  it('is what the URL standard makes of it, where both have an opinion', () => {
    const safe = fc.constantFrom(
      'a',
      'b.c',
      '.',
      '..',
      '...',
      '%2e',
      '%41',
      '%20',
      '%C3%A9',
      ';v',
      '~',
      '@:',
      "'",
      '%25',
    );
    fc.assert(
      fc.property(fc.array(safe, { maxLength: 8 }), (list) => {
        const raw = `/${list.join('/')}`;
        const found = read(raw);
        // The URL standard clamps at the root; we refuse.
        if (typeof found === 'number') assert.equal(found, TargetFault.Climbs);
        else assert.equal(decodeURIComponent(new URL(`http://h${raw}`).pathname), found[0]);
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('a query', () => {
  it('is escaped where it may not stand raw, and only there', () => {
    assert.equal(canonicalQuery('a=b&c=%2F;x=[1]/?@:!'), 'a=b&c=%2F;x=[1]/?@:!');
    assert.equal(canonicalQuery('q=<a "b">|{c}^`\\'.replaceAll(' ', '+')), 'q=%3Ca+%22b%22%3E%7C%7Bc%7D%5E%60%5C');
  });

  it('stays as it is, unless it could not have been sent', () => {
    for (const good of ['', 'a=1&b=%41', 'q=<script>"|{}', '??', 'a=%2f%00'])
      assert.equal(checkQuery(good), TargetFault.None, good);
    for (const bad of ['a b', 'a#b', '\u00e9', '%', '%4', '%gg', 'a\u0001', 'a\u007f'])
      assert.notEqual(checkQuery(bad), TargetFault.None, bad);
  });
});
