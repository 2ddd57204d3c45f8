/** What fills in defaults here fills in the same as TypeBox does, whatever is written. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { TSchema } from 'typebox';
import { Value } from 'typebox/value';
import { BootstrapConfig } from './bootstrap.ts';
import { PARTS } from './bundle.ts';
import { EndpointsFile } from './endpoints-file.ts';
import { fillOf } from './fill.ts';
import { ReleaseConfig } from './release.ts';
import { TrustConfig } from './trust.ts';

interface Shape {
  readonly properties?: Readonly<Record<string, Shape>>;
  readonly patternProperties?: Readonly<Record<string, Shape>>;
  readonly items?: Shape;
}

const SCHEMAS: readonly (readonly [string, TSchema])[] = [
  ...Object.entries(PARTS).map(([part, { schema }]) => [part, schema] as const),
  ['bootstrap', BootstrapConfig],
  ['endpoints', EndpointsFile],
  ['release', ReleaseConfig],
  ['trust', TrustConfig],
];

/** No lists: where a mapping is declared, TypeBox would fill in fields beside their items. */
const junk = fc.oneof(
  fc.constantFrom(null, true, 0, '', 'text', {}),
  fc.dictionary(fc.constantFrom('id', 'constructor', '__proto__'), fc.nat(), { noNullPrototype: true }),
);

/** Something of a shape, with less than is declared, and now and then something else. */
function written({ properties, patternProperties, items }: Shape): fc.Arbitrary<unknown> {
  const otherwise = { weight: 1, arbitrary: junk };
  if (properties !== undefined) {
    const fields = Object.fromEntries(Object.entries(properties).map(([name, shape]) => [name, written(shape)]));
    return fc.oneof(otherwise, {
      weight: 9,
      arbitrary: fc.record(fields, { requiredKeys: [], noNullPrototype: true }),
    });
  }
  const [each] = Object.values(patternProperties ?? {});
  if (each !== undefined) {
    const names = fc.constantFrom('a', 'b', 'constructor', '__proto__', '');
    return fc.oneof(otherwise, {
      weight: 9,
      arbitrary: fc.dictionary(names, written(each), { noNullPrototype: true }),
    });
  }
  if (items !== undefined)
    return fc.oneof(otherwise, { weight: 9, arbitrary: fc.array(written(items), { maxLength: 3 }) });
  return junk;
}

describe('defaults', () => {
  for (const [name, schema] of SCHEMAS) {
    it(`of ${name} are those that TypeBox fills in`, () => {
      fc.assert(
        fc.property(written(schema as Shape), (value) => {
          assert.deepEqual(fillOf(schema)(structuredClone(value)), Value.Default(schema, structuredClone(value)));
        }),
        { numRuns: 300 },
      );
    });
  }

  it('are not put into a list that stands where a mapping is declared', () => {
    assert.deepEqual(fillOf(PARTS.issuers.schema)({ issuers: [{ jwks: [] }, []] }), {
      issuers: [fillOf(PARTS.issuers.schema.properties.issuers.items)({ jwks: [] }), []],
    });
    assert.deepEqual(Object.keys(fillOf(PARTS.issuers.schema)([]) as object), []);
  });

  it('of two documents are not the same objects', () => {
    const fill = fillOf(PARTS.defaults.schema);
    const [one, other] = [fill({}), fill({})] as { forwardedFrom: string[] }[];
    one?.forwardedFrom.push('10.0.0.0/8');
    assert.deepEqual(other?.forwardedFrom, []);
  });
});
