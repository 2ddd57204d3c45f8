/**
 * What the addon offers for rewriting paths by regular expressions: linear in the path's length, compiled in any thread and registered for the process under a handle, as the
 * tables of routes are. The rules are those of native/router/src/rewrite.rs.
 */

export interface RewriteRule {
  /** Sees the path decoded. No look-around, no back-references. */
  readonly regex: string;
  /** What takes the place of every match: a path, written decoded; `$1`, `${name}` are groups, `$$` is the sign. */
  readonly replacement: string;
}

export interface RewriteAddon {
  /** Compiles and registers rules; `handle` is 0 when there are problems, or no rule. Throws when 64 tables are registered already. */
  rewritesCompile(rules: readonly RewriteRule[]): {
    readonly handle: number;
    readonly problems: readonly { readonly rule: number; readonly message: string }[];
  };
  /** Takes a table out of the registry; false when there is none. Threads that have asked it keep it until they ask a newer one. */
  rewritesDrop(handle: number): boolean;
  /**
   * The path, as it goes upstream (percent-encoded), with every match replaced; null when nothing matches, `''` when it has more than 256 matches or becomes longer than 8 KiB. The
   * caller checks its form. Throws when the handle or the rule is unknown.
   */
  rewritePath(handle: number, rule: number, path: string): string | null;
}
