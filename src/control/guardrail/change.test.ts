import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { changeOf, type ChangeSide, FIELDS_MAX } from './change.ts';
import type { Subject } from './subject.ts';

const END = { digest: 'sha256:a', seq: 1, floor: 0 };
const NOTHING: Subject = {
  routes: {},
  cells: {},
  issuers: {},
  limits: {},
  policies: {},
  files: {},
  tenants: {},
  waf: {},
  defaults: {},
};
const side = (subject: Partial<Subject>): ChangeSide => ({ end: END, subject: { ...NOTHING, ...subject } });

describe('what a bundle changes', () => {
  it('is told by name: what came, what went, and what is otherwise in which fields', () => {
    const { routes, waf } = changeOf(
      side({
        routes: { a: { id: 'a', waf: { mode: 'block' }, list: [1, 2] }, b: { id: 'b' }, same: { x: 1, y: 2 } },
        waf: { mode: 'block', threshold: 5 },
      }),
      side({
        routes: { a: { id: 'a', waf: { mode: 'off' }, list: [1], 'x/y~': 1 }, c: { id: 'c' }, same: { y: 2, x: 1 } },
        waf: { mode: 'detect', threshold: 5 },
      }),
      'forward',
    );
    assert.deepEqual(routes.total, { before: 3, after: 3 });
    assert.deepEqual(routes.added, { c: { id: 'c' } });
    assert.deepEqual(routes.removed, { b: { id: 'b' } });
    assert.deepEqual(Object.keys(routes.changed), ['a']);
    assert.deepEqual(routes.changed['a']?.fields, ['/waf/mode', '/list', '/x~1y~0']);
    assert.deepEqual(waf.fields, ['/mode']);
  });

  it('is everything, where nothing serves', () => {
    const change = changeOf(null, side({ routes: { a: {} } }), 'forward');
    assert.equal(change.active, null);
    assert.deepEqual(change.routes.added, { a: {} });
  });

  it('is told in a bounded number of fields', () => {
    const many = (value: number): object => Object.fromEntries(Array.from({ length: 200 }, (_, i) => [`f${i}`, value]));
    const { waf } = changeOf(side({ waf: many(1) }), side({ waf: many(2) }), 'forward');
    assert.equal(waf.fields.length, FIELDS_MAX);
  });

  it('is nothing between equals, and every name is accounted for, whatever things are called', () => {
    const rows = fc.dictionary(fc.string(), fc.dictionary(fc.string(), fc.jsonValue(), { maxKeys: 4 }), { maxKeys: 6 });
    fc.assert(
      fc.property(rows, rows, (before, after) => {
        const none = changeOf(side({ routes: before }), side({ routes: structuredClone(before) }), 'forward').routes;
        assert.deepEqual([none.added, none.removed, none.changed], [{}, {}, {}]);
        const { added, removed, changed } = changeOf(
          side({ routes: before }),
          side({ routes: after }),
          'forward',
        ).routes;
        for (const name of Object.keys(added)) assert.ok(!Object.hasOwn(before, name));
        for (const name of Object.keys(removed)) assert.ok(!Object.hasOwn(after, name));
        for (const { fields } of Object.values(changed)) assert.ok(fields.length > 0);
        assert.equal(
          Object.keys(before).length - Object.keys(removed).length + Object.keys(added).length,
          Object.keys(after).length,
        );
      }),
    );
  });
});
