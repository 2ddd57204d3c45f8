/**
 * What a new bundle would change, as a guardrail sees it: the input of its policy, and what `cnx bundle diff` prints. Its JSON Schema is `config/guardrail-input.schema.json`. Names are
 * as in the documents; what the documents leave out stands there with its default.
 */
import type { Subject } from './subject.ts';

/** Parts whose things have names. */
export const NAMED_PARTS = ['routes', 'cells', 'issuers', 'limits', 'policies', 'files'] as const;
/** Parts that are one thing. */
export const WHOLE_PARTS = ['tenants', 'waf', 'defaults'] as const;
/** Most pointers that are told of one thing that has changed. */
export const FIELDS_MAX = 64;

/** Which bundle it is. */
export interface ChangeEnd {
  /** Empty: a directory. */
  readonly digest: string;
  readonly seq: number;
  readonly floor: number;
}

export interface Replaced {
  readonly before: object;
  readonly after: object;
  /** JSON Pointers of what differs in it. */
  readonly fields: readonly string[];
}

export interface PartChange {
  /** Things before and after. */
  readonly total: { readonly before: number; readonly after: number };
  readonly added: Readonly<Record<string, object>>;
  readonly removed: Readonly<Record<string, object>>;
  readonly changed: Readonly<Record<string, Replaced>>;
}

export type Change = {
  readonly schema: 1;
  /** Null: nothing serves yet, and everything is new. */
  readonly active: ChangeEnd | null;
  readonly candidate: ChangeEnd;
  readonly direction: 'forward' | 'rollback';
} & { readonly [P in (typeof NAMED_PARTS)[number]]: PartChange } & {
  readonly [P in (typeof WHOLE_PARTS)[number]]: Replaced;
};

export interface ChangeSide {
  readonly end: ChangeEnd;
  readonly subject: Subject;
}

export function changeOf(active: ChangeSide | null, candidate: ChangeSide, direction: Change['direction']): Change {
  const before = active?.subject;
  const after = candidate.subject;
  const named = NAMED_PARTS.map((part) => [part, partChange(before?.[part] ?? {}, after[part])] as const);
  const whole = WHOLE_PARTS.map((part) => [part, replaced(before?.[part] ?? {}, after[part])] as const);
  return {
    schema: 1,
    active: active?.end ?? null,
    candidate: candidate.end,
    direction,
    ...(Object.fromEntries(named) as { [P in (typeof NAMED_PARTS)[number]]: PartChange }),
    ...(Object.fromEntries(whole) as { [P in (typeof WHOLE_PARTS)[number]]: Replaced }),
  };
}

function partChange(before: Readonly<Record<string, object>>, after: Readonly<Record<string, object>>): PartChange {
  const old = new Map(Object.entries(before));
  const added: [string, object][] = [];
  const changed: [string, Replaced][] = [];
  for (const [name, value] of Object.entries(after)) {
    const was = old.get(name);
    old.delete(name);
    if (was === undefined) added.push([name, value]);
    else if (!isSame(was, value)) changed.push([name, replaced(was, value)]);
  }
  return {
    total: { before: Object.keys(before).length, after: Object.keys(after).length },
    added: Object.fromEntries(added),
    removed: Object.fromEntries(old),
    changed: Object.fromEntries(changed),
  };
}

function replaced(before: object, after: object): Replaced {
  const fields: string[] = [];
  compare(before, after, '', fields);
  return { before, after, fields };
}

function compare(before: unknown, after: unknown, path: string, fields: string[]): void {
  if (fields.length >= FIELDS_MAX || isSame(before, after)) return;
  if (!isObject(before) || !isObject(after)) {
    fields.push(path);
    return;
  }
  for (const key of new Set([...Object.keys(before), ...Object.keys(after)]))
    compare(own(before, key), own(after, key), `${path}/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`, fields);
}

/** Of values as JSON has them: the order of keys and where an object was made do not count. */
function isSame(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (Array.isArray(a)) return Array.isArray(b) && a.length === b.length && a.every((item, i) => isSame(item, b[i]));
  if (!isObject(a) || !isObject(b)) return false;
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => Object.hasOwn(b, key) && isSame(a[key], b[key]));
}

function own(object: Readonly<Record<string, unknown>>, key: string): unknown {
  return Object.hasOwn(object, key) ? object[key] : undefined;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
