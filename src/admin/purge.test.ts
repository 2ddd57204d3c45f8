import assert from 'node:assert/strict';
import { it } from 'node:test';
import { purgeOf } from './purge.ts';

const of = (query: string): unknown => purgeOf(new URLSearchParams(query));

it('a purge names one thing, in the form in which it is stored', () => {
  assert.deepEqual(of('all=true'), { by: 'all' });
  assert.deepEqual(of('tag=News'), { by: 'tag', tag: 'news' });
  assert.deepEqual(of(`url=${encodeURIComponent('https://Shop.example:444/a/../b%7E?x={1}')}`), {
    by: 'address',
    host: 'shop.example',
    target: '/b~?x=%7B1%7D',
  });
  assert.deepEqual(of('prefix=http://h/a/'), { by: 'prefix', host: 'h', target: '/a/' });
  // As normalize knows it: the dot that ends an absolute name is none of it.
  assert.deepEqual(of('url=http://Shop.example./a'), { by: 'address', host: 'shop.example', target: '/a' });
  assert.deepEqual(of('url=http://[2001:DB8:0::1]/a'), { by: 'address', host: '[2001:db8::1]', target: '/a' });
});

it('anything else is told what is wrong', () => {
  for (const query of [
    '',
    'all=false',
    'tag=',
    'tag=a,b',
    'url=/a',
    'url=ftp://h/',
    'url=http://h/%252F',
    'url=http://h!/a',
    'host=a',
    'tag=a&all=true',
  ])
    assert.equal(typeof of(query), 'string', query);
});
