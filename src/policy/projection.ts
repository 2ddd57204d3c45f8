/** The schema of one policy's input: what of `config/policy-input.schema.json` its `input` names. Built from the declaration, so that it says what the encoder sends. */
import { PolicyInput } from './input-schema.ts';

interface Shape {
  readonly type?: string;
  readonly properties?: Readonly<Record<string, Shape>>;
  readonly patternProperties?: Readonly<Record<string, Shape>>;
}

/** JSON Schema of the input that these fields (docs/policy.md) make; what is not named is not there. */
export function projectedSchema(fields: readonly string[]): object {
  const projected = node();
  for (const field of fields) {
    let from: Shape | undefined = PolicyInput as Shape;
    let to = projected;
    let rest = field;
    while (rest !== '' && from !== undefined) {
      // Keys of tables (headers, claims) are the whole rest, dots and all.
      const table: Shape | undefined = Object.values(from.patternProperties ?? {})[0];
      const dot: number = table === undefined ? rest.indexOf('.') : -1;
      const name: string = dot < 0 ? rest : rest.slice(0, dot);
      rest = dot < 0 ? '' : rest.slice(dot + 1);
      const shape: Shape | undefined =
        table ?? (Object.hasOwn(from.properties ?? {}, name) ? from.properties?.[name] : undefined);
      if (shape === undefined) break;
      if (rest === '') to.properties[name] = shape;
      else {
        const below = to.properties[name];
        // All of it was named already.
        if (below !== undefined && !isNode(below)) break;
        to = below ?? (to.properties[name] = node());
      }
      from = shape;
    }
  }
  return projected;
}

interface Node {
  readonly type: 'object';
  readonly properties: Record<string, Shape | Node>;
  readonly additionalProperties: false;
}

const nodes = new WeakSet<object>();

function node(): Node {
  const made: Node = { type: 'object', properties: {}, additionalProperties: false };
  nodes.add(made);
  return made;
}

function isNode(shape: Shape | Node): shape is Node {
  return nodes.has(shape);
}
