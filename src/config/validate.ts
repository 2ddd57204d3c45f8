/** Checks a document against its declaration: all problems at once, each with its place, what was expected and the nearest spelling. */
import type { Static, TSchema } from 'typebox';
import { Compile } from 'typebox/compile';
import { Settings } from 'typebox/system';
import { type Document, inOrder, pointerParts, type Problem, PROBLEMS_MAX } from './document.ts';
import { fillOf } from './fill.ts';
import { nearest, suggestion } from './nearest.ts';

interface Shape {
  readonly type?: string | readonly string[];
  readonly properties?: Readonly<Record<string, Shape>>;
  readonly items?: Shape;
  readonly enum?: readonly unknown[];
  readonly description?: string;
  readonly examples?: readonly unknown[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly pattern?: string;
  readonly patternProperties?: Readonly<Record<string, Shape>>;
}

// TypeBox says some things twice; and one more than is told, so that there is something to say that there are more.
Settings.Set({ maxErrors: 2 * (PROBLEMS_MAX + 1) });

const compiled = new WeakMap<TSchema, ReturnType<typeof Compile>>();

function validatorOf(schema: TSchema): ReturnType<typeof Compile> {
  let validator = compiled.get(schema);
  if (validator === undefined) compiled.set(schema, (validator = Compile(schema)));
  return validator;
}

/** Schema and value at a JSON Pointer. */
function at(schema: Shape, value: unknown, path: string): { shape: Shape | undefined; value: unknown } {
  let shape: Shape | undefined = schema;
  for (const part of pointerParts(path)) {
    value = (value as Record<string, unknown> | undefined)?.[part];
    shape =
      shape?.items ??
      (Object.hasOwn(shape?.properties ?? {}, part) ? shape?.properties?.[part] : undefined) ??
      Object.values(shape?.patternProperties ?? {})[0];
  }
  return { shape, value };
}

/** A value as it may stand in a message. */
function shown(value: unknown): string {
  if (value === null || value === undefined) return 'nothing';
  const text = typeof value === 'number' ? String(value) : (JSON.stringify(value) ?? typeof value);
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
}

/** JSON Schema's types as people say them. */
const TYPE_WORDS: Readonly<Record<string, string>> = {
  object: 'a mapping',
  array: 'a list',
  string: 'a text',
  integer: 'a whole number',
  number: 'a number',
  boolean: 'true or false',
};

/** The problems of a value (defaults filled in, so that what has one is never missing) that TypeBox found, in the words of this project. */
function describe(schema: TSchema, filled: unknown, doc: Document): Problem[] {
  const problems: Problem[] = [];
  for (const e of validatorOf(schema).Errors(filled)) {
    const path = e.instancePath;
    const { shape, value } = at(schema, filled, path);
    const params = e.params as Record<string, unknown>;
    switch (e.keyword) {
      case 'boolean':
        break; // The `additionalProperties` row beside it says more.
      case 'additionalProperties':
        for (const key of params['additionalProperties'] as string[])
          problems.push(
            doc.problem(path, `unknown key "${key}"${suggestion(key, Object.keys(shape?.properties ?? {}))}`, key),
          );
        break;
      case 'required':
        for (const key of params['requiredProperties'] as string[]) {
          const wanted = shape?.properties?.[key]?.description;
          problems.push(doc.problem(path, `"${key}" is missing${wanted === undefined ? '' : `: ${wanted}`}`));
        }
        break;
      default:
        problems.push(doc.problem(path, wrongValue(e.keyword, value, shape, params, e.message)));
    }
  }
  return inOrder(problems);
}

function wrongValue(
  keyword: string,
  value: unknown,
  shape: Shape | undefined,
  params: Readonly<Record<string, unknown>>,
  otherwise: string,
): string {
  const what = shape?.description === undefined ? '' : ` (${shape.description})`;
  switch (keyword) {
    case 'enum': {
      const words = (shape?.enum ?? []).filter((w) => typeof w === 'string');
      const near = typeof value === 'string' ? nearest(value, words) : undefined;
      const said = `${shown(value)} is not one of ${words.join(', ')}`;
      if (typeof value === 'number' && words.includes(String(value))) return `${said}${typeHint('string', value)}`;
      return near === undefined ? said : `${said}; did you mean "${near}"?`;
    }
    case 'pattern': {
      const examples = shape?.examples;
      const fits = examples === undefined ? (shape?.pattern ?? '') : examples.map(shown).join(' or ');
      return `${shown(value)} does not fit${what}; expected ${examples === undefined ? '' : 'something like '}${fits}`;
    }
    case 'format':
      return `${shown(value)} is a day that the calendar has not${what}`;
    case 'type': {
      const given = typeof params['type'] === 'string' ? params['type'] : (shape?.type ?? 'something else');
      const types = typeof given === 'string' ? [given] : given;
      const [type = ''] = types;
      return `expected ${types.map((t) => TYPE_WORDS[t] ?? t).join(' or ')}, got ${shown(value)}${typeHint(type, value)}${what}`;
    }
    case 'minimum':
    case 'maximum':
      return `${shown(value)} is out of bounds; ${shape?.minimum ?? '…'} to ${shape?.maximum ?? '…'} is expected${what}`;
    case 'minItems':
    case 'maxItems':
      return `${(value as unknown[]).length} items; ${shape?.minItems ?? 0} to ${shape?.maxItems ?? '…'} are expected${what}`;
    case 'minLength':
    case 'maxLength':
      return `${shown(value)} has ${(value as string).length} characters; ${shape?.minLength ?? 0} to ${shape?.maxLength ?? '…'} are expected${what}`;
    default:
      return `${shown(value)} ${otherwise}${what}`;
  }
}

/** What somebody who wrote that probably meant. */
function typeHint(type: string, value: unknown): string {
  if (type === 'string' && (typeof value === 'number' || typeof value === 'boolean')) return '; put it in quotes';
  if (type === 'boolean' && typeof value === 'string') return '; without quotes, and not yes, no, on or off';
  if ((type === 'integer' || type === 'number') && typeof value === 'string')
    return '; a plain number, without quotes or unit';
  if (type === 'array' && typeof value === 'string') return `; write [${value.length > 40 ? '…' : value}]`;
  return '';
}

/** The typed value with defaults filled in, or every problem. */
export function validate<S extends TSchema>(
  schema: S,
  doc: Document,
): { readonly ok: true; readonly value: Static<S> } | { readonly ok: false; readonly problems: readonly Problem[] } {
  if (doc.problems.length > 0) return { ok: false, problems: doc.problems };
  // Not TypeBox's clone: it leaves out keys such as `constructor`, which a tenant may be called.
  const filled = fillOf(schema)(structuredClone(doc.value));
  if (validatorOf(schema).Check(filled)) {
    return { ok: true, value: filled as Static<S> };
  }
  const problems = describe(schema, filled, doc);
  if (problems.length > PROBLEMS_MAX) return { ok: false, problems: [...problems.slice(0, PROBLEMS_MAX), doc.more()] };
  return { ok: false, problems: problems.length > 0 ? problems : [doc.problem('', 'does not match its declaration')] };
}
