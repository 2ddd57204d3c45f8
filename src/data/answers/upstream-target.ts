/** What the upstream is asked for: path, query and Host as the route rewrites them. Filters, policies, the WAF and the cache know the client's own. */
import { present } from '../../base/assert.ts';
import type { RewriteAddon } from '../../native/rewrite.ts';
import type { PathChange } from '../../snapshot/respond-plans.ts';
import type { RespondPlan } from '../../snapshot/route-plans.ts';
import type { Exchange } from '../exchange.ts';
import { readHost } from '../normalize/host.ts';
import { type CanonicalPath, readPath, TargetFault } from '../normalize/target.ts';
import { textOf } from '../variables.ts';

/** Tells an upstream what was taken off the path that its client asked for. */
export const PREFIX_FIELD = 'x-forwarded-prefix';
/** A segment that is `.` or `..`, also with a parameter. */
const DOT_SEGMENT = /\/(?:\.|%2[Ee]){1,2}(?:[/;]|$)/;

export class UpstreamPaths {
  readonly #native: RewriteAddon;
  readonly #path: CanonicalPath = { path: '', encoded: '' };

  constructor(native: RewriteAddon) {
    this.#native = native;
  }

  /** The path in canonical form, percent-encoded; null when what the route makes of it has none. */
  of(x: Exchange): string | null {
    return this.changed(x, present(x.route, 'route').respond);
  }

  /** The client's path changed so; null as above. */
  changed(x: Exchange, change: PathChange): string | null {
    const { replace } = change;
    let path = stripped(x.encodedPath, change.stripPrefix);
    if (replace !== null) {
      if ('path' in replace) path = replace.path;
      else {
        const made = this.#rewritten(x, replace.rule, path);
        if (made === null) return null;
        path = made;
      }
    }
    return prefixed(path, change.addPrefix);
  }

  /** A path by one of the revision's expressions; the same when it does not match, null when the result has no canonical form. */
  #rewritten(x: Exchange, rule: number, path: string): string | null {
    const made = this.#native.rewritePath(x.revision.snapshot.rewrites, rule, path);
    if (made === null) return path;
    // Pieces that make a dot segment together would lead where nobody has looked.
    if (DOT_SEGMENT.test(made) || readPath(made, this.#path) !== TargetFault.None) return null;
    return this.#path.encoded;
  }
}

/** The path without a prefix of whole segments. A path that does not begin with it stays. */
export function stripped(path: string, prefix: string): string {
  if (!hasPrefix(path, prefix)) return path;
  return path.length === prefix.length ? '/' : path.slice(prefix.length);
}

/** `/api` is a prefix of `/api` and `/api/x`, not of `/apix`; `''` of nothing. */
export function hasPrefix(path: string, prefix: string): boolean {
  return (
    prefix !== '' &&
    path.startsWith(prefix) &&
    (path.length === prefix.length || path.charCodeAt(prefix.length) === 0x2f)
  );
}

/** The path behind a prefix. `/v2` before `/` is `/v2`: a slash at the end would name something else. */
export function prefixed(path: string, prefix: string): string {
  if (prefix === '') return path;
  return path === '/' ? prefix : prefix + path;
}

/** The Host of the upstream request; null when what the route makes is none. */
export function hostUpstream(x: Exchange, plan: RespondPlan): string | null {
  const { host } = plan;
  if (host === null) {
    const own = x.endpoint?.authority;
    return own === undefined || own === '' ? x.wire.host : own;
  }
  return typeof host === 'string' ? host : madeHost(x);
}

/** A Host that is made for each request; null when it is none. */
export function madeHost(x: Exchange): string | null {
  const host = x.route?.respond.host ?? null;
  if (host === null || typeof host === 'string') return host;
  const text = textOf(host, x);
  return readHost(text) === null ? null : text;
}
