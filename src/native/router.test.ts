import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { native } from '../native.ts';
import { METHOD_BITS_ALL, ROUTE_NONE, ROUTE_OTHER_METHOD, type RouterRoute } from './router.ts';

const GET = 1;
const POST = 4;

function route(id: string, kind: RouterRoute['kind'], path: string, over: Partial<RouterRoute> = {}): RouterRoute {
  return { id, hosts: ['*'], kind, path, methods: METHOD_BITS_ALL, headerPredicates: false, priority: 0, ...over };
}

describe('the router of the addon', () => {
  it('answers entries from the most specific on, and which route each is', () => {
    const addon = native();
    const { handle, problems } = addon.routerCompile([
      route('all', 'prefix', '/'),
      route('api', 'prefix', '/api'),
      route('user', 'template', '/api/{id}'),
      route('me', 'exact', '/api/me', { headerPredicates: true }),
      route('tenant', 'prefix', '/', { hosts: ['*.example.com'] }),
    ]);
    assert.deepEqual(problems, []);
    const routes = addon.routerRoutes(handle);
    const all = (host: string, path: string): number[] => {
      const found: number[] = [];
      for (let entry = 0; ; entry++) {
        entry = addon.routerFind(handle, host, path, GET, entry);
        if (entry === ROUTE_NONE) return found;
        found.push(routes[entry] ?? -1);
      }
    };
    assert.deepEqual(all('x', '/api/me'), [3, 2, 1, 0]);
    assert.deepEqual(all('a.example.com', '/apix'), [4, 0]);
    assert.equal(addon.routerDrop(handle), true);
  });

  it('tells no such path from not with this method', () => {
    const addon = native();
    const { handle } = addon.routerCompile([route('a', 'exact', '/a', { methods: GET })]);
    assert.equal(addon.routerFind(handle, 'h', '/a', POST, 0), ROUTE_OTHER_METHOD);
    assert.equal(addon.routerFind(handle, 'h', '/b', POST, 0), ROUTE_NONE);
    assert.equal(addon.routerFind(handle, 'h', '/a', GET, 1), ROUTE_NONE);
    assert.equal(addon.routerAllowed(handle, 'h', '/a'), GET);
    addon.routerDrop(handle);
  });

  it('reads long and non-ASCII strings whole', () => {
    const addon = native();
    const long = `/${'ü'.repeat(900)}`;
    const { handle } = addon.routerCompile([route('a', 'exact', long)]);
    assert.equal(addon.routerFind(handle, 'h', long, GET, 0), 0);
    assert.equal(addon.routerFind(handle, 'h', `${long}x`, GET, 0), ROUTE_NONE);
    assert.equal(addon.routerFind(handle, 'h', `/${'x'.repeat(100_000)}`, GET, 0), ROUTE_NONE);
    for (let n = 1010; n < 1030; n++) {
      assert.equal(addon.routerFind(handle, 'h', `/${'ü'.repeat(n / 2)}`, GET, 0), ROUTE_NONE);
    }
    addon.routerDrop(handle);
  });

  it('tells all problems and registers nothing then', () => {
    const { handle, problems } = native().routerCompile([
      route('a', 'exact', '/a'),
      route('b', 'exact', '/a'),
      route('c', 'regex', '('),
    ]);
    assert.equal(handle, 0);
    assert.deepEqual(
      problems.map((p) => p.route),
      [2, 1],
    );
    assert.match(problems[1]?.message ?? '', /route `b`: duplicate: route `a`/);
  });

  it('a thread that has asked a table keeps it after it was dropped; an unknown handle is an error', () => {
    const addon = native();
    const { handle } = addon.routerCompile([route('a', 'exact', '/a')]);
    assert.equal(addon.routerFind(handle, 'h', '/a', GET, 0), 0);
    assert.equal(addon.routerDrop(handle), true);
    assert.equal(addon.routerDrop(handle), false);
    assert.equal(addon.routerFind(handle, 'h', '/a', GET, 0), 0);
    const next = addon.routerCompile([route('a', 'exact', '/a')]).handle;
    assert.equal(addon.routerFind(next, 'h', '/a', GET, 0), 0);
    assert.throws(() => addon.routerFind(handle, 'h', '/a', GET, 0), /no route table has the handle/);
    addon.routerDrop(next);
  });

  it('the number of registered tables is bounded', () => {
    const addon = native();
    const handles: number[] = [];
    assert.throws(() => {
      for (let i = 0; i < 100; i++) handles.push(addon.routerCompile([route('a', 'exact', '/a')]).handle);
    }, /64 route tables are registered/);
    for (const handle of handles) addon.routerDrop(handle);
    assert.equal(handles.length, 64);
  });

  it('arguments of the wrong type are errors', () => {
    const addon = native();
    const { handle } = addon.routerCompile([route('a', 'exact', '/a')]);
    assert.throws(() => addon.routerFind(handle, 1 as unknown as string, '/a', GET, 0), /string/);
    assert.throws(() => addon.routerCompile([{ ...route('a', 'exact', '/a'), kind: 'glob' as 'exact' }]), /`glob`/);
    addon.routerDrop(handle);
  });
});
