/** The expressions of `waf.yaml` and of routes as the addon takes them, with places by which its errors find back. */
import type { Part } from '../../config/bundle.ts';
import { SEVERITIES, type WafExpression } from '../../config/waf-expression.ts';
import type { WafConfig } from '../../config/waf.ts';
import type { WafExpression as NativeExpression, WafList } from '../../native/waf-expression.ts';
import type { WafInput } from './waf.ts';

/** Documents that hold expressions, by the names in their places. */
const DOCUMENTS: ReadonlyMap<string, Part> = new Map([
  ['waf.yaml', 'waf'],
  ['routes.yaml', 'routes'],
]);

/** Place of an expression of a route; its profile names it so. */
export function localPlace(routePath: string, index: number): string {
  return `routes.yaml#${routePath}/waf/rules/${index}`;
}

/** Document and JSON Pointer of a place; null: it is the name of a file. */
export function pointerOf(place: string): { readonly part: Part; readonly path: string } | null {
  const [name = '', path] = place.split('#');
  const part = DOCUMENTS.get(name);
  return part === undefined || path === undefined ? null : { part, path };
}

/** All expressions: those of routes, which run first, then those of the bundle. `files` are the names of rule files in their order. */
export function expressionsOf({ waf, routes }: WafInput, files: readonly string[]): NativeExpression[] {
  const out: NativeExpression[] = [];
  for (const [i, route] of routes.routes.entries()) {
    for (const [j, item] of (route.waf?.rules ?? []).entries())
      out.push(nativeOf(item, localPlace(`/routes/${i}`, j), 0, true));
  }
  // Those before the first file run before all rules, those of the Core Rule Set included.
  let before = 0;
  for (const [i, item] of waf.rules.entries()) {
    if (typeof item === 'string') before = files.indexOf(item) + 1;
    else out.push(nativeOf(item, `waf.yaml#/rules/${i}`, before, false));
  }
  return out;
}

function nativeOf(e: WafExpression, place: string, before: number, local: boolean): NativeExpression {
  return {
    place,
    before,
    local,
    when: e.when,
    action: e.action,
    ...(e.id === undefined ? {} : { id: e.id }),
    ...(e.name === undefined ? {} : { name: e.name }),
    ...(e.points === undefined ? {} : { points: e.points }),
    ...(e.tags === undefined ? {} : { tags: e.tags }),
    ...(e.message === undefined ? {} : { message: e.message }),
    ...(e.severity === undefined ? {} : { severity: SEVERITIES.indexOf(e.severity) }),
  };
}

/** The lists that expressions may name. */
export function listsOf(waf: WafConfig): WafList[] {
  return Object.entries(waf.lists).map(([name, entries]) => ({
    place: `waf.yaml#/lists/${name}`,
    name,
    entries: entries.map(String),
    numbers: typeof entries[0] === 'number',
  }));
}
