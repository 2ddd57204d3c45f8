/** Of the declarations themselves: each field says what it means, in what unit, and how much of it is too much. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { gatewaySchema } from './reference.ts';

interface Shape {
  readonly type?: string;
  readonly description?: string;
  readonly default?: unknown;
  readonly enum?: readonly unknown[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly maxItems?: number;
  readonly maxLength?: number;
  readonly pattern?: string;
  readonly examples?: readonly string[];
  readonly additionalProperties?: boolean;
  readonly properties?: Readonly<Record<string, Shape>>;
  readonly patternProperties?: Readonly<Record<string, Shape>>;
  readonly items?: Shape;
}

const { $defs } = gatewaySchema() as { readonly $defs: Readonly<Record<string, Shape>> };

/** Every declared value by its place. */
function* fields(shape: Shape, place: string): Generator<readonly [place: string, shape: Shape]> {
  yield [place, shape];
  for (const [name, child] of Object.entries(shape.properties ?? {})) yield* fields(child, `${place}.${name}`);
  for (const child of Object.values(shape.patternProperties ?? {})) yield* fields(child, `${place}.<name>`);
  if (shape.items !== undefined) yield* fields(shape.items, `${place}[]`);
}
const all = Object.entries($defs).flatMap(([name, shape]) => [...fields(shape, name)]);

/** Places of the fields that break a rule. */
function breaking(rule: (shape: Shape, place: string) => boolean): string[] {
  return all.filter(([place, shape]) => !rule(shape, place)).map(([place]) => place);
}

describe('every field of the configuration', () => {
  it('is there', () => assert.ok(all.length > 150, String(all.length)));

  it('says what it means, in a sentence', () => {
    assert.deepEqual(
      breaking((s) => s.description !== undefined && /^.{3,}[.…]$/.test(s.description)),
      [],
    );
  });

  it('says its unit, where it has one', () => {
    assert.deepEqual(
      breaking((s, place) => {
        const unit = /(Ms|Bytes|BytesMax|Seconds|Pages|PagesMax)$/.exec(place)?.[1];
        if (unit === undefined || s.type !== 'integer') return true;
        const word = unit.startsWith('Ms')
          ? 'Unit: milliseconds'
          : unit.startsWith('Bytes')
            ? 'Unit: bytes'
            : unit.startsWith('Seconds')
              ? 'Unit: seconds'
              : 'Unit: pages';
        return s.description?.includes(word) === true;
      }),
      [],
    );
  });

  it('has bounds: numbers, lists, and texts by length, pattern or words', () => {
    assert.deepEqual(
      breaking((s) => {
        if (s.enum !== undefined) return true;
        if (s.type === 'integer' || s.type === 'number') return s.minimum !== undefined && s.maximum !== undefined;
        if (s.type === 'array') return s.maxItems !== undefined;
        if (s.type === 'string') return s.maxLength !== undefined || s.pattern !== undefined;
        return true;
      }),
      [],
    );
  });

  it('has a default within its own bounds, and examples that fit', () => {
    assert.deepEqual(
      breaking((s) => {
        const { default: value } = s;
        if (typeof value === 'number' && (value < (s.minimum ?? value) || value > (s.maximum ?? value))) return false;
        if (s.enum !== undefined && value !== undefined && !s.enum.includes(value)) return false;
        const texts = [...(s.examples ?? []), ...(typeof value === 'string' && value !== '' ? [value] : [])];
        return texts.every((t) => s.pattern === undefined || new RegExp(s.pattern, 'u').test(t));
      }),
      [],
    );
  });

  it('is one of those declared: no mapping takes unknown keys but those that are tables or keys of issuers', () => {
    assert.deepEqual(
      breaking(
        (s, place) =>
          s.type !== 'object' ||
          s.additionalProperties === false ||
          s.patternProperties !== undefined ||
          place === 'issuers.issuers[].jwks.keys[]',
      ),
      [],
    );
  });
});
