import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Edits, EDIT_BYTES_MAX, formOf } from './edits.ts';
import { Edit } from './layout.ts';

const SHORT = 96;
const LONG_AT = 256;

/** The list as the engine reads it. */
function read(bytes: Buffer, edits: Edits): [kind: number, name: string, value: string][] {
  const list: [number, string, string][] = [];
  const end = edits.from + edits.length;
  for (let at = edits.from; at < end; ) {
    const nameAt = at + 4;
    const valueAt = nameAt + bytes.readUInt8(at + 1);
    const next = valueAt + bytes.readUInt16LE(at + 2);
    if (bytes[at] !== Edit.VOID)
      list.push([bytes.readUInt8(at), bytes.latin1Slice(nameAt, valueAt), bytes.latin1Slice(valueAt, next)]);
    at = next;
  }
  return list;
}

describe('edits of a head', () => {
  it('are the same whether or not they outgrow the short room, and a cleared list begins there again', () => {
    const edit = fc.record({
      name: fc.constantFrom('x-a', 'x-bb', 'x-ccc', 'x-dddd'),
      value: fc.integer({ min: 0, max: 120 }).map((n) => 'v'.repeat(n)),
      way: fc.constantFrom('text', 'form', 'list'),
    });
    const tight = Buffer.alloc(LONG_AT + EDIT_BYTES_MAX);
    const wide = Buffer.alloc(EDIT_BYTES_MAX);
    const moving = new Edits(tight, 0, SHORT, LONG_AT);
    const still = new Edits(wide, 0, EDIT_BYTES_MAX, 0);
    fc.assert(
      fc.property(fc.array(edit, { maxLength: 12 }), (all) => {
        for (const list of [moving, still]) {
          list.clear();
          for (const { name, value, way } of all) {
            if (way === 'form') {
              if (list.place(formOf([[name, value]])) < 0) assert.ok(list.set(name, value));
            } else if (way === 'list') assert.ok(list.apply({ set: [name, value], add: ['x-e', value], remove: [] }));
            else assert.ok(list.set(name, value));
          }
        }
        assert.deepEqual(read(tight, moving), read(wide, still));
        assert.equal(moving.from, still.length <= SHORT ? 0 : LONG_AT);
        // Whatever else lies between the two rooms stays as it is.
        assert.ok(tight.subarray(SHORT, LONG_AT).every((byte) => byte === 0));
      }),
    );
  });

  it('by a form are filled in where they lie; later ones replace them, and a name that was edited before is not in a form', () => {
    const bytes = Buffer.alloc(EDIT_BYTES_MAX);
    const list = new Edits(bytes, 0, EDIT_BYTES_MAX, 0);
    const form = formOf([
      ['x-request-id', 'abd'],
      ['traceparent', 'de'],
    ]);
    assert.ok(list.set('x-a', '1'));
    const at = list.place(form);
    bytes.write('c', at + (form.places[0] ?? 0) + 2);
    const first = [Edit.SET, 'x-a', '1'];
    assert.deepEqual(read(bytes, list), [first, [Edit.SET, 'x-request-id', 'abc'], [Edit.SET, 'traceparent', 'de']]);
    assert.ok(list.set('Traceparent', 'c'));
    assert.deepEqual(read(bytes, list), [first, [Edit.SET, 'x-request-id', 'abc'], [Edit.SET, 'traceparent', 'c']]);
    assert.equal(list.place(form), -1);
    assert.equal(list.lost, false);
    assert.throws(() => formOf([['connection', 'close']]));
  });

  it('that do not fit the long room either are refused', () => {
    const list = new Edits(Buffer.alloc(LONG_AT + EDIT_BYTES_MAX), 0, SHORT, LONG_AT);
    assert.ok(list.set('x-a', 'v'.repeat(EDIT_BYTES_MAX - 100)));
    assert.equal(list.set('x-b', 'v'.repeat(100)), false);
    assert.ok(list.set('x-c', 'v'));
  });
});
