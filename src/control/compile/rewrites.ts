/** Expressions over paths of all routes: collected while they compile, then compiled natively as one table. */
import type { RewriteAddon, RewriteRule } from '../../native/rewrite.ts';
import type { NativeHandle } from '../../snapshot/snapshot.ts';
import type { Report } from './report.ts';

export class Rewrites {
  readonly #rules: RewriteRule[] = [];
  readonly #places: string[] = [];

  /** Number of a rule in the table. `place`: JSON Pointer of it in the routes. */
  add(rule: RewriteRule, place: string): number {
    this.#places.push(place);
    return this.#rules.push({ regex: rule.regex, replacement: rule.replacement }) - 1;
  }

  /** The table; 0 without rules. What is wrong is reported. */
  compile(native: RewriteAddon, report: Report): NativeHandle {
    if (this.#rules.length === 0) return 0;
    const { handle, problems } = native.rewritesCompile(this.#rules);
    for (const { rule, message } of problems) report('routes', this.#places[rule] ?? '', message);
    return handle;
  }
}
