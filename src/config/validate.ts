/** Checks a document against its declaration: all problems at once, each with its place, what was expected and the nearest spelling. */
import type { Static, TSchema } from 'typebox';
import { Compile } from 'typebox/compile';
import { Settings } from 'typebox/system';
import { Value } from 'typebox/value';
import { type Document, type Problem } from './document.ts';
import { suggestion } from './nearest.ts';

interface Shape {
  readonly type?: string;
  readonly properties?: Readonly<Record<string, Shape>>;
  readonly items?: Shape;
  readonly enum?: readonly unknown[];
  readonly description?: string;
  readonly examples?: readonly unknown[];
  readonly pattern?: string;
  readonly patternProperties?: Readonly<Record<string, Shape>>;
}

/** Problems reported at once. */
const PROBLEMS_MAX = 200;
Settings.Set({ maxErrors: PROBLEMS_MAX });

const compiled = new WeakMap<TSchema, ReturnType<typeof Compile>>();

function validatorOf(schema: TSchema): ReturnType<typeof Compile> {
  let validator = compiled.get(schema);
  if (validator === undefined) compiled.set(schema, (validator = Compile(schema)));
  return validator;
}

/** Schema and value at a JSON Pointer. */
function at(schema: Shape, value: unknown, path: string): { shape: Shape | undefined; value: unknown } {
  let shape: Shape | undefined = schema;
  for (const raw of path === '' ? [] : path.slice(1).split('/')) {
    const part = raw.replaceAll('~1', '/').replaceAll('~0', '~');
    value = (value as Record<string, unknown> | undefined)?.[part];
    shape = shape?.items ?? shape?.properties?.[part] ?? Object.values(shape?.patternProperties ?? {})[0];
  }
  return { shape, value };
}

function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
}

/** The problems of a value that TypeBox found, in the words of this project. */
function describe(schema: TSchema, doc: Document): Problem[] {
  const problems: Problem[] = [];
  for (const e of validatorOf(schema).Errors(doc.value)) {
    const path = e.instancePath;
    const found = at(schema, doc.value, path);
    const what = found.shape?.description === undefined ? '' : ` (${found.shape.description})`;
    const params = e.params as Record<string, unknown>;
    switch (e.keyword) {
      case 'boolean':
        break; // The `additionalProperties` row beside it says more.
      case 'additionalProperties':
        for (const key of params['additionalProperties'] as string[]) {
          problems.push(
            doc.problem(
              path,
              `unknown key "${key}"${suggestion(key, Object.keys(found.shape?.properties ?? {}))}`,
              key,
            ),
          );
        }
        break;
      case 'required':
        for (const key of params['requiredProperties'] as string[]) {
          const wanted = found.shape?.properties?.[key]?.description;
          problems.push(doc.problem(path, `"${key}" is missing${wanted === undefined ? '' : `: ${wanted}`}`));
        }
        break;
      case 'enum':
        problems.push(
          doc.problem(
            path,
            `${shown(found.value)} is not one of ${(found.shape?.enum ?? []).map(shown).join(', ')}${
              typeof found.value === 'string' ? nearHint(found.value, found.shape?.enum ?? []) : ''
            }`,
          ),
        );
        break;
      case 'pattern':
        problems.push(
          doc.problem(
            path,
            `${shown(found.value)} does not look like what is expected${what}${
              found.shape?.examples === undefined ? '' : `, e.g. ${found.shape.examples.map(shown).join(', ')}`
            }`,
          ),
        );
        break;
      case 'type':
        problems.push(
          doc.problem(
            path,
            `expected ${shown(params['type'] ?? found.shape?.type).replaceAll('"', '')}, got ${shown(found.value)}${what}`,
          ),
        );
        break;
      default:
        problems.push(doc.problem(path, `${shown(found.value)} ${e.message}${what}`));
    }
  }
  return problems;
}

function nearHint(value: string, words: readonly unknown[]): string {
  const hint = suggestion(
    value,
    words.filter((w) => typeof w === 'string'),
  );
  return hint.startsWith('; did') ? hint : '';
}

/** The typed value with defaults filled in, or every problem. */
export function validate<S extends TSchema>(
  schema: S,
  doc: Document,
): { readonly ok: true; readonly value: Static<S> } | { readonly ok: false; readonly problems: readonly Problem[] } {
  if (doc.problems.length > 0) return { ok: false, problems: doc.problems };
  const filled = Value.Default(schema, Value.Clone(doc.value));
  if (validatorOf(schema).Check(filled)) {
    // A second look at the untouched value is not needed: defaults only add what is absent.
    return { ok: true, value: filled as Static<S> };
  }
  const problems = describe(schema, doc).filter((p) => !isDefaulted(schema as Shape, p));
  return { ok: false, problems: problems.length > 0 ? problems : [doc.problem('', 'does not match its declaration')] };
}

/** A key that has a default is never missing. */
function isDefaulted(schema: Shape, p: Problem): boolean {
  const missing = /^"([^"]+)" is missing/.exec(p.message)?.[1];
  if (missing === undefined) return false;
  const parent = at(schema, undefined, p.path).shape;
  return parent?.properties?.[missing] !== undefined && 'default' in parent.properties[missing];
}
